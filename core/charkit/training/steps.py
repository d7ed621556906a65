"""The training steps of a run: what each one trains on, and its result.

``toolkit train`` and the workers of a comparison both train through this module, so that a comparison judges the code
that trains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

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


def upcoming_steps(
    model: CharRNN | None,
    batches: Batches,
    first: int,
    last: int,
    learning_rate: LearningRate,
    reset_probability: float = 0.0,
) -> Iterator[TrainingStep]:
    """Yields the steps ``first`` to ``last``, each when it is about to be run.

    Where a step starts the text again, the model's carried state is reset before the step is yielded; where it does
    not, the state of each stream is reset with the probability ``reset_probability``, by the model's seed and the
    step. Batches and masks are prepared one step ahead on a thread. Without a model (layers that are not charkit's)
    there are no masks, no state to reset and no thread.
    """
    prepared = (
        _batches(batches, first, last) if model is None else prepared_batches(model, batches, first, last)
    )
    for number, batch in enumerate(prepared, start=first):
        if model is not None and (number - 1) % batches.count == 0:
            model.reset_state()
        elif model is not None and reset_probability:
            model.reset_state(state_resets(model.seed, number, model.batch_size, reset_probability))
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


def _batches(batches: Batches, first: int, last: int) -> Iterator[Prepared]:
    for number in range(first, last + 1):
        yield Prepared(*batches.of_step(number), None)
