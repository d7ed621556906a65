"""Dynamic evaluation: the weights follow the text while it is scored (Krause et al., 2018, arXiv:1709.07432).

The text is one stream. Each segment of it is scored first, and only then are the weights moved by its gradient, so
every symbol is predicted by what came before it. What is measured is another thing than the trained model, a model
that goes on learning, so it is labelled as such wherever it is shown.

The rule is the paper's RMS rule: a gradient is divided by the root mean square that it had in training, and the
weights are pulled back to the trained ones, those more that the gradient moves more. The paper collects mean
squares in a pass over the training text; here they are Adam's second moments, which a checkpoint has. The rule is
computed with NumPy, so it is the same on every backend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from charkit.backend import Array
from charkit.charrnn import CharRNN
from charkit.config import Section
from charkit.errors import NotFiniteError, counted
from charkit.evaluation import Evaluation, figures, first_scored, symbol_counts, warmed_up
from charkit.text.vocabulary import Vocabulary

#: Added to root mean squares, as a share of their mean, so that weights which training never moved stay where they are.
FLOOR = 0.1


class DynamicConfig(Section):
    """How the weights adapt to the text. The defaults were the best on the validation split of a 600 KB text."""

    learning_rate: float = Field(
        0.0005,
        gt=0,
        le=1,
        description="step size; each gradient is first divided by the root mean square that it had in training",
    )
    segment_length: int = Field(20, ge=1, le=100_000, description="symbols scored between updates")
    decay: float = Field(
        0.002,
        ge=0,
        le=1,
        description="average fraction by which each update moves the weights back toward the trained ones",
    )


@dataclass(frozen=True)
class DynamicEvaluation(Evaluation):
    """How well a model predicts a text while its weights adapt to it, and the settings used."""

    config: DynamicConfig

    _caption: ClassVar[str] = "dynamic evaluation: the weights adapt to the text"


@dataclass(frozen=True)
class GradientScale:
    """The root mean square that the gradient of one symbol's loss has in training, by weight name."""

    root_mean_squares: Mapping[str, Array]

    @classmethod
    def of_moments(
        cls, exp_avg_sq: Mapping[str, Array], *, beta2: float, step: int, symbols_per_step: int
    ) -> GradientScale | None:
        """The scale from Adam's second moments after so many steps; None where there are none, as before training.

        A step's gradient is the mean over ``symbols_per_step`` symbols. What varies from symbol to symbol by
        chance, which is most of it, is smaller by the root of their number than the gradient of one.
        """
        if step == 0 or not any(np.any(array) for array in exp_avg_sq.values()):
            return None
        factor = symbols_per_step / (1.0 - beta2**step)
        with np.errstate(over="ignore"):  # moments near the largest float give infinity, and no update
            return cls({name: np.sqrt(array * factor) for name, array in exp_avg_sq.items()})


def evaluate_dynamically(
    model: CharRNN,
    symbols: NDArray[np.unsignedinteger[Any]],
    vocabulary: Vocabulary,
    start: int,
    stop: int,
    scale: GradientScale,
    config: DynamicConfig,
    progress: Callable[[float], None] | None = None,
) -> DynamicEvaluation:
    """Scores the symbols that ``evaluate`` scores, in one stream, while the weights follow them.

    ``symbols`` is the whole text, ``(symbol,)``. The model is left as it was, also after an error or Ctrl-C. Raises
    TextError if there is nothing to score, and NotFiniteError where the steps are so large that the loss overflows.
    """
    first = first_scored(start, stop)
    rule = _Rule(model.weights(), scale, config)
    state = model.state_arrays(warmed_up(model, symbols, np.array([first])))
    total_nats = 0.0
    with model.keeping_weights():
        for begin in range(first, stop, config.segment_length):
            end = min(stop, begin + config.segment_length)
            text = symbols[None, begin - 1 : end].astype(np.int32)
            gradients, nats, state = model.gradients(text[:, :-1].copy(), text[:, 1:].copy(), state=state)
            total_nats += float(nats.sum(dtype=np.float64))
            if not np.isfinite(total_nats):
                raise NotFiniteError(
                    f"dynamic evaluation diverged after {counted(begin - first, 'symbol')}; try a lower `learning_rate`"
                )
            if end < stop:
                model.replace_weights(rule.after(gradients))
            if progress is not None:
                progress((end - first) / (stop - first))
    counts = symbol_counts(symbols, vocabulary, first, stop)
    return DynamicEvaluation(**figures(total_nats, counts, vocabulary), streams=1, config=config)


class _Rule:
    """The weights while they follow a text."""

    def __init__(self, trained: Mapping[str, Array], scale: GradientScale, config: DynamicConfig) -> None:
        dtype = np.result_type(np.float32, *trained.values())
        roots = scale.root_mean_squares
        mean = float(np.mean(np.concatenate([array.ravel() for array in roots.values()])))
        # The gradient of a mean over a segment varies less than that of one symbol.
        of_segment = 1.0 / np.sqrt(config.segment_length)
        self._trained = {name: array.astype(dtype) for name, array in trained.items()}
        self._weights = {name: array.copy() for name, array in self._trained.items()}
        self._rates = {
            name: (config.learning_rate / (of_segment * (array + FLOOR * mean))).astype(dtype)
            for name, array in roots.items()
        }
        self._decays = {
            name: np.minimum(config.decay * array / mean, 1.0).astype(dtype) for name, array in roots.items()
        }

    def after(self, gradients: Mapping[str, Array]) -> Mapping[str, Array]:
        """The weights after an update from these gradients."""
        # Weights that overflow are found by the loss of the next segment.
        with np.errstate(over="ignore", invalid="ignore"):
            for name in self._weights:
                weights = self._weights[name]
                weights -= self._rates[name] * gradients[name]
                weights += self._decays[name] * (self._trained[name] - weights)
        return self._weights
