"""The training steps of a run: what each one trains on, and its result.

``toolkit train`` and the workers of a comparison both train through this module, so that a comparison judges the code
that trains.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from charkit.charrnn import CharRNN
from charkit.network import StepResult
from charkit.randomness import state_resets
from charkit.text.batches import Batches
from charkit.training.prefetch import Prepared, prepared_batches

#: The learning rate of a step, counted from 1.
LearningRate = Callable[[int], float]


@dataclass(frozen=True, eq=False)
class TrainingStep:
    """One step before it is run: its number, counted from 1, and everything it needs besides the model."""

    number: int
    inputs: NDArray[np.int32]  # (batch, time)
    targets: NDArray[np.int32]  # (batch, time)
    masks: NDArray[np.bool_] | None  # (layer, batch, time, unit); None without dropout
    learning_rate: float


class CarriesState(Protocol):
    """What carries a state from step to step: charkit's model, or layers that are not charkit's."""

    def reset_state(self, streams: NDArray[np.bool_] | None = None) -> None:
        """Resets the state of the streams to zero; bool ``(batch,)``, None for all of them."""


def reset_before_step(
    carrier: CarriesState, step: int, batches: Batches, seed: int, reset_probability: float
) -> None:
    """Resets what has to be reset before a step, counted from 1.

    Where the step starts the text again, that is the state of every stream; where it does not, the state of each
    stream with the probability ``reset_probability``, by the seed and the step.
    """
    if (step - 1) % batches.count == 0:
        carrier.reset_state()
    elif reset_probability:
        streams = state_resets(seed, step, batches.batch_size, reset_probability)
        if streams.any():
            carrier.reset_state(streams)


def upcoming_steps(
    model: CharRNN | None,
    batches: Batches,
    first: int,
    last: int,
    learning_rate: LearningRate,
    reset_probability: float = 0.0,
) -> Generator[TrainingStep, None, None]:
    """Yields the steps ``first`` to ``last``, each when it is about to be run.

    The model's state is reset before the step is yielded, as ``reset_before_step`` does by the model's seed. Batches
    and masks are prepared one step ahead on a thread, which ends with the generator: close it. Without a model (layers
    that are not charkit's) there are no masks and no thread, and the caller resets what carries the state.
    """
    prepared = (
        _batches(batches, first, last) if model is None else prepared_batches(model, batches, first, last)
    )
    with closing(prepared):
        for number, batch in enumerate(prepared, start=first):
            if model is not None:
                reset_before_step(model, number, batches, model.seed, reset_probability)
            yield TrainingStep(number, batch.inputs, batch.targets, batch.masks, learning_rate(number))


def run_step(model: CharRNN, step: TrainingStep) -> StepResult:
    """Trains the model on one step."""
    return model.train_step(step.inputs, step.targets, learning_rate=step.learning_rate, masks=step.masks)


#: Trains a model on one step: ``run_step``, or what computes the shards of its batch.
StepRunner = Callable[[CharRNN, TrainingStep], StepResult]


def training_steps(
    model: CharRNN, steps: Iterable[TrainingStep], run: StepRunner = run_step
) -> Iterator[StepResult]:
    """Trains the model on each step as its result is asked for. A framework may still be computing the result."""
    return (run(model, step) for step in steps)


def _batches(batches: Batches, first: int, last: int) -> Generator[Prepared, None, None]:
    for number in range(first, last + 1):
        yield Prepared(*batches.of_step(number), None)
