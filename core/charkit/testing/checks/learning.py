"""Stage training: two texts that only a correct network can learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from charkit.charrnn import CharRNN
from charkit.network import StepResult
from charkit.testing.registry import check_precisions
from charkit.testing.subject import Subject
from charkit.testing.tolerances import require, require_equal

#: A bigram model can't predict it, since two or three symbols follow each one; more context can.
_CYCLE = (0, 0, 1, 0, 1, 1, 2, 0, 2, 1)
#: The symbol after four 2s is the one that did not precede them, five symbols back.
_MEMORY = (0, 2, 2, 2, 2, 1, 2, 2, 2, 2)
#: In float64 the weights after ten steps are compared to ten digits, which is stricter.
_PRECISIONS = ("float32", "bfloat16")
_LEARNED_NATS = 0.05
#: How many steps the core may take before it reads their losses.
_UNREAD_STEPS = 100
#: Both texts have the same shapes, so that they share compiled programs.
_NUM_STEPS = 4


@check_precisions("training", among=_PRECISIONS)
def cycle_is_learned(subject: Subject, precision: str) -> None:
    """A cycle of ten symbols that a bigram model can't predict is learned to under 0.05 nats."""
    loss, results = _cycle(subject, precision)
    require(
        loss < _LEARNED_NATS,
        expected=f"a loss under {_LEARNED_NATS} nats per symbol",
        got=f"{loss:.3f} after {len(results)} steps",
        look_at="the stages before: small errors there add up here",
    )


@check_precisions("training", among=_PRECISIONS)
def results_can_be_read_later(subject: Subject, precision: str) -> None:
    """Losses and norms that are read up to a hundred steps later are those of their step."""
    _, results = _cycle(subject, precision)
    early = results[-_UNREAD_STEPS:]
    late = [replace(result) for result in early]  # the same tensors, not yet read
    for name in ("nats", "gradient_norm"):
        require_equal(
            {name: np.array([getattr(result, name) for result in late])},
            {name: np.array([getattr(result, name) for result in early])},
            expected="the results of each step, unchanged until they are read",
            look_at="backend.py and optimizer.py: nats and norm are new arrays, no buffers that later steps write to",
        )


def _cycle(subject: Subject, precision: str) -> tuple[float, list[StepResult]]:
    """The run on the cycle, shared by both checks."""
    return subject.cached(("cycle", precision), lambda: _learn(subject, precision, _CYCLE, most=300))


@check_precisions("training", among=("float32",))
def memory_beyond_num_steps_is_learned(subject: Subject, precision: str) -> None:
    """A symbol five steps back is recalled with num_steps 4, which only the carried state allows."""
    loss, results = _learn(subject, precision, _MEMORY, most=1500)
    require(
        loss < _LEARNED_NATS,
        expected=f"a loss under {_LEARNED_NATS} nats per symbol",
        got=f"{loss:.3f} after {len(results)} steps",
        look_at="lstm.py: the returned state must be the one after the last symbol, never zero",
    )


def _learn(
    subject: Subject, precision: str, cycle: tuple[int, ...], *, most: int
) -> tuple[float, list[StepResult]]:
    """Trains until the mean loss over one period of the cycle is low enough; returns it and each step's result.

    One sequence starts at each position of the cycle, so that every batch holds all of it.
    """
    period = len(cycle)
    network = CharRNN(
        max(cycle) + 1,
        period,
        _NUM_STEPS,
        lstm_size=16,
        num_layers=1,
        learning_rate=0.02,
        grad_clip=1.0,
        backend=subject.new(precision),
        seed=1,
    )
    results: list[StepResult] = []
    for step in range(most):
        positions = np.arange(period)[:, None] + step * _NUM_STEPS + np.arange(_NUM_STEPS + 1)
        text = np.asarray(cycle, np.int32)[positions % period]
        results.append(network.train_step(text[:, :-1].copy(), text[:, 1:].copy()))
        _ = results[-1].gradient_norm
        loss = float(np.mean([result.loss for result in results[-period:]]))
        if len(results) >= period and loss < _LEARNED_NATS:
            break
    return loss, results
