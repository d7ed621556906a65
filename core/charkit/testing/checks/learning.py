"""Stage training: two texts that only a network that is right can learn."""

from __future__ import annotations

import numpy as np

from charkit.charrnn import CharRNN
from charkit.testing.judge import require
from charkit.testing.registry import check_precisions
from charkit.testing.subject import Subject

#: After each symbol come two others or three: a bigram can't predict it, two symbols of context and more can.
_CYCLE = (0, 0, 1, 0, 1, 1, 2, 0, 2, 1)
#: What follows four 2s is the symbol that did not stand before them, five symbols back.
_MEMORY = (0, 2, 2, 2, 2, 1, 2, 2, 2, 2)
#: In float64 the weights of ten steps are judged to ten digits, which says more than that they learn.
_AMONG = ("float32", "bfloat16")
_LEARNT_NATS = 0.05
#: One length of sequence, as one batch size and one vocabulary: what is compiled for one text serves the other.
_NUM_STEPS = 4


@check_precisions("training", among=_AMONG)
def cycle_is_learnt(subject: Subject, precision: str) -> None:
    """A cycle of ten symbols that a bigram can't predict is learnt to under 0.05 nats."""
    loss, steps = _learn(subject, precision, _CYCLE, most=300)
    require(
        loss < _LEARNT_NATS,
        expected=f"a loss under {_LEARNT_NATS} nats per symbol",
        got=f"{loss:.3f} after {steps} steps",
        look_at="the stages before: what is learnt too slowly there adds up here",
    )


@check_precisions("training", among=_AMONG)
def memory_beyond_num_steps_is_learnt(subject: Subject, precision: str) -> None:
    """What came five symbols ago is recalled with num_steps 4, which only the carried state can do."""
    loss, steps = _learn(subject, precision, _MEMORY, most=1500)
    require(
        loss < _LEARNT_NATS,
        expected=f"a loss under {_LEARNT_NATS} nats per symbol",
        got=f"{loss:.3f} after {steps} steps",
        look_at="lstm.py: the state that comes out must be the one after the last symbol, never zero",
    )


def _learn(subject: Subject, precision: str, cycle: tuple[int, ...], *, most: int) -> tuple[float, int]:
    """Trains until the mean loss over one round of the cycle is low enough; returns it and the steps taken.

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
    losses: list[float] = []
    for step in range(most):
        places = np.arange(period)[:, None] + step * _NUM_STEPS + np.arange(_NUM_STEPS + 1)
        text = np.asarray(cycle, np.int32)[places % period]
        losses.append(network.train_step(text[:, :-1].copy(), text[:, 1:].copy()).loss)
        if len(losses) >= period and np.mean(losses[-period:]) < _LEARNT_NATS:
            break
    return float(np.mean(losses[-period:])), len(losses)
