"""Stage training: two texts that only a network that is right can learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from charkit.charrnn import CharRNN
from charkit.network import StepResult
from charkit.testing.registry import check_precisions
from charkit.testing.subject import Subject
from charkit.testing.tolerances import require, same_bits

#: After each symbol come two others or three: a bigram can't predict it, two symbols of context and more can.
_CYCLE = (0, 0, 1, 0, 1, 1, 2, 0, 2, 1)
#: What follows four 2s is the symbol that did not stand before them, five symbols back.
_MEMORY = (0, 2, 2, 2, 2, 1, 2, 2, 2, 2)
#: In float64 the weights of ten steps are judged to ten digits, which says more than that they learn.
_AMONG = ("float32", "bfloat16")
_LEARNT_NATS = 0.05
#: How many steps the core may take before it reads their losses.
_UNREAD_STEPS = 100
#: One length of sequence, as one batch size and one vocabulary: what is compiled for one text serves the other.
_NUM_STEPS = 4


@check_precisions("training", among=_AMONG)
def cycle_is_learned(subject: Subject, precision: str) -> None:
    """A cycle of ten symbols that a bigram can't predict is learnt to under 0.05 nats."""
    loss, results = _cycle(subject, precision)
    require(
        loss < _LEARNT_NATS,
        expected=f"a loss under {_LEARNT_NATS} nats per symbol",
        got=f"{loss:.3f} after {len(results)} steps",
        look_at="the stages before: what is learnt too slowly there adds up here",
    )


@check_precisions("training", among=_AMONG)
def results_can_be_read_later(subject: Subject, precision: str) -> None:
    """Losses and norms that are read up to a hundred steps later are those that each step had."""
    _, results = _cycle(subject, precision)
    early = results[-_UNREAD_STEPS:]
    late = [replace(result) for result in early]  # the same tensors, not read yet
    for name in ("nats", "gradient_norm"):
        same_bits(
            {name: np.array([getattr(result, name) for result in late])},
            {name: np.array([getattr(result, name) for result in early])},
            expected="the results of each step, unchanged until they are read",
            look_at="backend.py and optimizer.py: nats and norm are fresh, no buffers that later steps write to",
        )


def _cycle(subject: Subject, precision: str) -> tuple[float, list[StepResult]]:
    """The run on the cycle, made once for both checks."""
    return subject.kept(("cycle", precision), lambda: _learn(subject, precision, _CYCLE, most=300))


@check_precisions("training", among=("float32",))
def memory_beyond_num_steps_is_learned(subject: Subject, precision: str) -> None:
    """What came five symbols ago is recalled with num_steps 4, which only the carried state can do."""
    loss, results = _learn(subject, precision, _MEMORY, most=1500)
    require(
        loss < _LEARNT_NATS,
        expected=f"a loss under {_LEARNT_NATS} nats per symbol",
        got=f"{loss:.3f} after {len(results)} steps",
        look_at="lstm.py: the state that comes out must be the one after the last symbol, never zero",
    )


def _learn(
    subject: Subject, precision: str, cycle: tuple[int, ...], *, most: int
) -> tuple[float, list[StepResult]]:
    """Trains until the mean loss over one round of the cycle is low enough; returns it and each step's result.

    One sequence starts at each place of the cycle, so every batch holds all of it and learning is smooth.
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
        places = np.arange(period)[:, None] + step * _NUM_STEPS + np.arange(_NUM_STEPS + 1)
        text = np.asarray(cycle, np.int32)[places % period]
        results.append(network.train_step(text[:, :-1].copy(), text[:, 1:].copy()))
        _ = results[-1].gradient_norm
        loss = float(np.mean([result.loss for result in results[-period:]]))
        if len(results) >= period and loss < _LEARNT_NATS:
            break
    return loss, results
