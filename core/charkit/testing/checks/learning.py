"""Stage training: two texts that only a correct network can learn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from charkit.charrnn import CharRNN
from charkit.network import StepResult
from charkit.testing.cases import UNREAD_STEPS
from charkit.testing.registry import check_precisions
from charkit.testing.subject import Subject
from charkit.testing.tolerances import require, require_equal


@dataclass(frozen=True)
class _Text:
    """A cycle of symbols, with a learning rate and a number of steps at which each backend learns it."""

    cycle: tuple[int, ...]
    learning_rate: float
    most_steps: int


#: A bigram model can't predict it, since two or three symbols follow each one; more context can. NumPy takes 36 steps.
_CYCLE = _Text((0, 0, 1, 0, 1, 1, 2, 0, 2, 1), 0.05, 300)
#: The symbol after four 2s is the one that did not precede them, five symbols back. NumPy takes 112 steps; at higher
#: rates some initial weights never learn it.
_MEMORY = _Text((0, 2, 2, 2, 2, 1, 2, 2, 2, 2), 0.02, 1500)
#: In float64 the weights after ten steps are compared to ten digits, which is stricter.
_PRECISIONS = ("float32", "bfloat16")
_LEARNED_NATS = 0.05
_SEED = 3
_MEMORY_PRECISION = "float32"
#: Both texts have the same shapes and configuration, so that they share compiled programs: their rates are given to
#: each step.
_NUM_STEPS = 4


@check_precisions("training", among=_PRECISIONS)
def cycle_is_learned(subject: Subject, precision: str) -> None:
    """A cycle of ten symbols that a bigram model can't predict is learned to a loss below 0.05 nats."""
    loss, results = _learned(subject, precision, _CYCLE)
    require(
        loss < _LEARNED_NATS,
        expected=f"a loss below {_LEARNED_NATS} nats per symbol",
        got=f"{loss:.3f} after {len(results)} steps",
        look_at="earlier stages: small errors there add up here",
    )


@check_precisions("training", among=_PRECISIONS)
def results_can_be_read_later(subject: Subject, precision: str) -> None:
    """Losses and norms that are read up to a hundred steps later are those of their own step."""
    # The longer run, where one is made in this precision: it has a hundred steps.
    _, results = _learned(subject, precision, _MEMORY if precision == _MEMORY_PRECISION else _CYCLE)
    early = results[-UNREAD_STEPS:]
    late = [replace(result) for result in early]  # the same tensors, not yet read
    for name in ("nats", "gradient_norm"):
        require_equal(
            {name: np.array([getattr(result, name) for result in late])},
            {name: np.array([getattr(result, name) for result in early])},
            expected="the results of each step, unchanged until they are read",
            look_at="backend.py and optimizer.py: nats and norm are new arrays, not buffers that later steps write to",
        )


@check_precisions("training", among=(_MEMORY_PRECISION,))
def memory_beyond_num_steps_is_learned(subject: Subject, precision: str) -> None:
    """A symbol five steps back is recalled with a num_steps of 4, which only the carried state makes possible."""
    loss, results = _learned(subject, precision, _MEMORY)
    require(
        loss < _LEARNED_NATS,
        expected=f"a loss below {_LEARNED_NATS} nats per symbol",
        got=f"{loss:.3f} after {len(results)} steps",
        look_at="lstm.py: the returned state must be the one after the last symbol, never zero",
    )


def _learned(subject: Subject, precision: str, text: _Text) -> tuple[float, list[StepResult]]:
    """The training on a text, shared by the checks."""
    return subject.cached(("learned", precision, text), lambda: _learn(subject, precision, text))


def _learn(subject: Subject, precision: str, text: _Text) -> tuple[float, list[StepResult]]:
    """Trains until the mean loss over one period of the cycle is low enough; returns it and each step's result.

    One sequence starts at each position of the cycle, so that every batch holds all of it.
    """
    period = len(text.cycle)
    network = CharRNN(
        max(text.cycle) + 1,
        period,
        _NUM_STEPS,
        lstm_size=16,
        num_layers=1,
        grad_clip=1.0,
        backend=subject.new(precision),
        seed=_SEED,
    )
    results: list[StepResult] = []
    for step in range(text.most_steps):
        positions = np.arange(period)[:, None] + step * _NUM_STEPS + np.arange(_NUM_STEPS + 1)
        symbols = np.asarray(text.cycle, np.int32)[positions % period]
        inputs, targets = symbols[:, :-1].copy(), symbols[:, 1:].copy()
        results.append(network.train_step(inputs, targets, learning_rate=text.learning_rate))
        _ = results[-1].gradient_norm
        loss = float(np.mean([result.loss for result in results[-period:]]))
        if len(results) >= period and loss < _LEARNED_NATS:
            break
    return loss, results
