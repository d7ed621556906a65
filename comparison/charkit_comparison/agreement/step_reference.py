"""What the float64 oracle makes of a recorded step, and by how much the terms of its gradients cancel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from charkit.backend import Array, Moments, State
from charkit.config import RunConfig
from charkit.testing.oracle import Oracle, Step
from charkit_comparison.agreement.numerical_cancellation import Magnitudes
from charkit_comparison.agreement.recorded_step import RecordedStep
from charkit_comparison.agreement.rounding_control import has_diverged

#: Memory that the oracle may take for one step, about, and the float64 numbers that it keeps per unit and symbol.
_ORACLE_BYTES, _KEPT_PER_UNIT = 1 << 29, 12

Arrays = Mapping[str, ArrayLike]


class StepReference:
    """The oracle's results of a recorded step, computed once for every backend that makes the step."""

    def __init__(self, recorded: RecordedStep, config: RunConfig) -> None:
        self.recorded, self.config = recorded, config
        self.weights = exact(recorded.before.weights)
        self.batch = (recorded.inputs, recorded.targets, recorded.before.state, recorded.masks)

    @cached_property
    def logits(self) -> Arrays:
        """The logits after the first symbol."""
        return logits_of(Oracle, self)

    @cached_property
    def forward(self) -> Arrays:
        """The nats of each symbol, and the state after the last."""
        return self._backward_and_forward[1]

    @cached_property
    def gradients(self) -> Arrays:
        """The gradient of every weight array."""
        return self._backward_and_forward[0]

    @property
    def has_diverged(self) -> bool:
        """Whether the loss of the step is so high that its arrays can't be judged."""
        loss = float(np.asarray(self.forward["the loss"]).mean())
        return bool(has_diverged([loss], self.config.model.vocabulary_size)[0])

    @cached_property
    def cancellation(self) -> Mapping[str, float]:
        """How many times as large the largest element of the loss and of each gradient is without cancellation.

        The loss of a symbol is a difference of logits, and its slope that of a probability and 1. In the gradients, the
        terms of a sum may cancel as well.
        """
        gradients, steps = self._steps(Magnitudes)
        nats = np.asarray(self.forward["the loss"])
        slope = float((1.0 - np.exp(-nats)).max())
        terms = {
            f"the gradient of {name}": float(array.max()) / slope
            for name, array in gradients.items()
            if slope
        }
        terms["the loss"] = float(max(step.nats.max() for step in steps))
        expected = {**self.gradients, "the loss": nats}
        return {
            name: max(1.0, largest_term / largest)
            for name, largest_term in terms.items()
            if (largest := float(np.abs(expected[name]).max(initial=0.0))) > 0
        }

    @cached_property
    def _backward_and_forward(self) -> tuple[Arrays, Arrays]:
        gradients, steps = self._steps(Oracle)
        nats = np.concatenate([step.nats for step in steps])
        hidden, cell = (np.concatenate([step.state[n] for step in steps], axis=1) for n in (0, 1))
        return named_gradients(gradients), named_forward(nats, State(hidden, cell))

    def _steps(self, kind: type[Oracle]) -> tuple[dict[str, NDArray[np.float64]], list[Step]]:
        """The gradients, and the steps of a few sequences each: the oracle keeps every unit at every symbol."""
        sequences, time = self.recorded.inputs.shape
        model = self.config.model
        bytes_each = (
            time * (_KEPT_PER_UNIT * model.num_layers * model.lstm_size + 3 * model.vocabulary_size) * 8
        )
        count = max(1, min(sequences, _ORACLE_BYTES // bytes_each))
        parts = [range(first, min(first + count, sequences)) for first in range(0, sequences, count)]
        oracle = kind(model)
        steps = [oracle.step(self.weights, *self.sequences(part).batch) for part in parts]
        gradients = {
            name: np.sum(
                [
                    len(part) / sequences * step.gradients[name]
                    for part, step in zip(parts, steps, strict=True)
                ],
                axis=0,
            )
            for name in self.weights
        }
        return gradients, steps

    def sequences(self, chosen: Sequence[int]) -> StepReference:
        """The step on these sequences of its batch alone."""
        return StepReference(self.recorded.sequences(chosen), self.config)


# ---- arrays by the names under which they are reported ------------------------------------------------------


def logits_of(oracle: type[Oracle], reference: StepReference) -> dict[str, ArrayLike]:
    symbols, _, state, _ = reference.batch
    # Scored without masks, as predictions are.
    result = oracle(reference.config.model).forward(reference.weights, symbols[:, :1], state)
    return {"the logits": result.logits[:, 0]}


def forward_of(oracle: type[Oracle], reference: StepReference) -> dict[str, ArrayLike]:
    return named_forward(*oracle(reference.config.model).nats(reference.weights, *reference.batch))


def gradients_of_oracle(oracle: type[Oracle], reference: StepReference) -> dict[str, ArrayLike]:
    return named_gradients(oracle(reference.config.model).gradients(reference.weights, *reference.batch))


def named_forward(nats: ArrayLike, state: State[Array]) -> dict[str, ArrayLike]:
    return {"the loss": nats, "the hidden state": state.hidden, "the cell state": state.cell}


def named_gradients(gradients: Arrays) -> dict[str, ArrayLike]:
    return {f"the gradient of {name}": array for name, array in gradients.items()}


def named_moments(norm: ArrayLike, moments: Moments[Array]) -> dict[str, ArrayLike]:
    return {
        "the gradient norm": norm,
        **{f"the first moment of {name}": array for name, array in moments.exp_avg.items()},
        **{f"the second moment of {name}": array for name, array in moments.exp_avg_sq.items()},
    }


def named_change(before: Arrays, after: Arrays) -> dict[str, ArrayLike]:
    return {f"the change in {name}": np.asarray(after[name]) - np.asarray(before[name]) for name in before}


def exact(arrays: Mapping[str, Array]) -> dict[str, NDArray[np.float64]]:
    return {name: array.astype(np.float64) for name, array in arrays.items()}


def exact_moments(moments: Moments[Array]) -> Moments[NDArray[np.float64]]:
    return Moments(exact(moments.exp_avg), exact(moments.exp_avg_sq))
