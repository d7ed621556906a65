"""One training step as arrays: what a backend starts from, and its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from charkit.backend import Array, State
from charkit.charrnn import CharRNN
from charkit.snapshot import Snapshot, with_prefix
from charkit.training.steps import TrainingStep


@dataclass(frozen=True)
class RecordedStep:
    """What a training step starts from: the model before it, its batch and its learning rate."""

    before: Snapshot
    inputs: NDArray[np.int32]  # (batch, time)
    targets: NDArray[np.int32]  # (batch, time)
    masks: NDArray[np.bool_] | None  # (layer, batch, time, unit)
    learning_rate: float

    @classmethod
    def of(cls, model: CharRNN, step: TrainingStep) -> RecordedStep:
        """Copies out what the model's next step starts from."""
        return cls(model.snapshot(), step.inputs, step.targets, step.masks, step.learning_rate)

    @property
    def step(self) -> int:
        """The number of the step, counted from 1."""
        return self.before.step + 1

    def sequences(self, chosen: Sequence[int]) -> RecordedStep:
        """The step on these sequences of its batch alone."""
        index = list(chosen)
        state = self.before.state
        return replace(
            self,
            before=replace(self.before, state=State(state.hidden[:, index], state.cell[:, index])),
            inputs=self.inputs[index],
            targets=self.targets[index],
            masks=None if self.masks is None else self.masks[:, index],
        )

    def arrays(self) -> dict[str, Array]:
        """Every array by a name of its own."""
        arrays = {f"before.{name}": array for name, array in self.before.arrays().items()}
        arrays |= {"inputs": self.inputs, "targets": self.targets}
        arrays |= {"learning_rate": np.asarray(self.learning_rate, np.float64)}
        return arrays if self.masks is None else arrays | {"masks": self.masks}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> RecordedStep:
        """The inverse of ``arrays``."""
        return cls(
            Snapshot.from_arrays(with_prefix(arrays, "before.")),
            arrays["inputs"],
            arrays["targets"],
            arrays.get("masks"),
            float(arrays["learning_rate"]),
        )


@dataclass(frozen=True)
class StepResults:
    """The results of a backend for a recorded step."""

    logits: Array  # (batch, vocabulary), after the first symbol
    nats: Array  # (batch, time)
    gradients: dict[str, Array]  # by weight name, of the mean loss
    norm: float  # of the gradient, before clipping
    after: Snapshot  # the model after the step

    @classmethod
    def of(cls, model: CharRNN, recorded: RecordedStep) -> StepResults:
        """Runs the step on a model that is restored to the state before it."""
        batch, state = (recorded.inputs, recorded.targets), recorded.before.state
        gradients, _, _ = model.gradients(*batch, state=state, masks=recorded.masks)
        start = model.initial_state(len(recorded.inputs), arrays=state)
        logits, _ = model.predict(recorded.inputs[:, :1].copy(), start)
        result = model.train_step(*batch, learning_rate=recorded.learning_rate, masks=recorded.masks)
        return cls(logits, result.nats, gradients, result.gradient_norm, model.snapshot())

    def arrays(self) -> dict[str, Array]:
        """Every array by a name of its own."""
        arrays = {f"after.{name}": array for name, array in self.after.arrays().items()}
        arrays |= {f"gradient.{name}": array for name, array in self.gradients.items()}
        return arrays | {"logits": self.logits, "nats": self.nats, "norm": np.asarray(self.norm, np.float64)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> StepResults:
        """The inverse of ``arrays``."""
        return cls(
            arrays["logits"],
            arrays["nats"],
            with_prefix(arrays, "gradient."),
            float(arrays["norm"]),
            Snapshot.from_arrays(with_prefix(arrays, "after.")),
        )
