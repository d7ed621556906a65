"""Sizes beyond toys: many layers, wide layers, many sequences, a high dropout, and numbers that saturate.

A backend that works in blocks, in buffers of a fixed size or by another path above some size is right on small
arrays. No known mistake is looked for at these sizes: trying each would take a second.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from charkit.backend import Array, State
from charkit.randomness import dropout_masks
from charkit.testing.agreement import agree
from charkit.testing.cases import SEED, Case, make_case, stepping_case
from charkit.testing.judge import near, same_bits
from charkit.testing.oracle import Oracle
from charkit.testing.registry import check, check_precisions
from charkit.testing.subject import Subject

_WAY_BACK = "backend.py: differentiate(); lstm.py, output.py and loss.py where the way back is by hand"
#: Not 0.3, as in all other cases: a share that is fixed or bounded shows.
_HIGH_DROPOUT = 0.9


def _many() -> Case:
    """Above the usual limits of blocks, 128 sequences and 8,192 symbols at once, and a multiple of none."""
    return make_case(num_layers=4, batch_size=130, num_steps=83, vocabulary_size=5, lstm_size=3)


def _gradients_agree(subject: Subject, precision: str, case: Case, look_at: str) -> dict[str, Array]:
    """Compares gradients, nats and state; returns the gradients."""
    parts = subject.parts(precision, case.model, case.weights)
    gradients, nats, after = parts.gradients(*case.batch)
    step = Oracle(case.model).step(case.weights, *case.batch)
    near(
        {**gradients, "nats": nats, **after._asdict()},
        {**step.gradients, "nats": step.nats, **step.state._asdict()},
        precision=precision,
        kind="gradients",
        look_at=look_at,
    )
    return gradients


@check_precisions("gradients", among=("float32",))
def gradients_of_the_smallest_model(subject: Subject, precision: str) -> None:
    """One unit, two symbols, one sequence of one symbol: no axis is lost, and nothing is divided by zero."""
    case = make_case(num_layers=1, batch_size=1, num_steps=1, vocabulary_size=2, lstm_size=1)
    _gradients_agree(subject, precision, case, f"{_WAY_BACK}; axes of length 1")


@check_precisions("gradients", among=("float32",))
def gradients_where_all_axes_are_equal(subject: Subject, precision: str) -> None:
    """Four layers, sequences, steps, symbols and units: no axis is found by its length."""
    case = make_case(num_layers=4, batch_size=4, num_steps=4, vocabulary_size=4, lstm_size=4)
    look_at = f"{_WAY_BACK}; layouts that are guessed from a shape"
    _gradients_agree(subject, precision, case, look_at)


@check_precisions("gradients", among=("float32",))
def gradients_of_wide_layers(subject: Subject, precision: str) -> None:
    """300 sequences through 530 units: every unit feeds back into every gate, and each has its gradient."""
    case = make_case(num_layers=1, batch_size=300, num_steps=2, lstm_size=530)
    case = replace(case, weights={name: 0.05 * array for name, array in case.weights.items()})
    _gradients_agree(subject, precision, case, f"units or sequences that are worked on in parts; {_WAY_BACK}")


@check("gradients")
def gradients_of_many_sequences(subject: Subject) -> None:
    """Four layers, 130 sequences of 83 symbols, a dropout of 0.9: all have their share, the same bits twice."""
    case, precision = _many(), subject.finest()  # in float32 a plain sum over so many rows rounds more
    masks = dropout_masks(SEED, 1, (4, *case.symbols.shape, case.model.lstm_size), _HIGH_DROPOUT)
    model = case.model.model_copy(update={"dropout": _HIGH_DROPOUT})
    case = replace(case, model=model, masks=masks)
    look_at = f"{_WAY_BACK}; sequences that are worked on in parts; 1 / (1 - dropout) for any dropout"
    gradients = _gradients_agree(subject, precision, case, look_at)
    again, _, _ = subject.parts(precision, case.model, case.weights).gradients(*case.batch)
    same_bits(
        again,
        gradients,
        expected="the same gradient from the same call",
        look_at=f"{_WAY_BACK}; sums whose order changes from call to call, such as the order in which threads end",
    )


@check_precisions("loss", among=("float32",))
def many_sequences_are_scored(subject: Subject, precision: str) -> None:
    """2,100 sequences of 32 symbols scored at once, and one symbol of each predicted: each has its own numbers."""
    case = make_case(num_layers=4, batch_size=2_100, num_steps=32, vocabulary_size=5, lstm_size=3)
    parts = subject.parts(precision, case.model, case.weights)
    nats, after = parts.nats(*case.batch)
    logits, last = parts.predict(case.symbols[:, :1].copy(), case.state)
    judge = Oracle(case.model)
    expected, expected_after = judge.nats(case.weights, *case.batch)
    one = judge.forward(case.weights, case.symbols[:, :1], case.state)
    near(
        {
            "nats": nats,
            **after._asdict(),
            "logits": logits,
            "hidden after one symbol": last.hidden,
            "cell after one symbol": last.cell,
        },
        {
            "nats": expected,
            **expected_after._asdict(),
            "logits": one.logits[:, 0],
            "hidden after one symbol": one.state.hidden,
            "cell after one symbol": one.state.cell,
        },
        precision=precision,
        kind="forward",
        look_at="lstm.py: the state of each of four layers; lstm.py, output.py and loss.py: blocks and buffers",
    )


@check_precisions("loss", among=("float32",))
def long_sequences_are_scored(subject: Subject, precision: str) -> None:
    """A sequence of 331 symbols, which no usual length of a block divides: the nats of each, and the last state."""
    case = make_case(batch_size=2, num_steps=331)
    nats, after = subject.parts(precision, case.model, case.weights).nats(*case.batch)
    expected, expected_after = Oracle(case.model).nats(case.weights, *case.batch)
    near(
        {"nats": nats, **after._asdict()},
        {"nats": expected, **expected_after._asdict()},
        precision=precision,
        kind="forward",
        look_at="lstm.py: time steps that are worked on in blocks; the state is that after the last one",
    )


@check_precisions("gradients", among=("float32", "float64"))
def saturated_gates_and_large_cells(subject: Subject, precision: str) -> None:
    """Cells of plus and minus 300, gates at 0 and 1, and large gradients: nothing overflows or is cut off."""
    case = stepping_case()
    units = case.model.lstm_size
    cells = case.state.cell * (300.0 / np.abs(case.state.cell).max())
    carrying = {name: array.copy() for name, array in case.weights.items()}
    for layer in range(case.model.num_layers):
        carrying[f"lstm.{layer}.bias"][units : 2 * units : 2] = 50.0  # forget gates that forget nothing
    large_cells = replace(case, weights=carrying, state=State(case.state.hidden, cells))
    biases = case.weights["lstm.0.bias"] * np.tile([1000.0, 1.0], 2 * units)  # every other unit
    saturated = replace(case, weights=case.weights | {"lstm.0.bias": biases})
    output = 50.0 * case.weights["output.weight"]
    steep = replace(case, weights=case.weights | {"output.weight": output})
    for one, what in (
        (large_cells, "tanh and its gradient where the cell is large"),
        (saturated, "the sigmoids, tanh and their gradients where exp overflows"),
        (steep, "no element of a gradient is bounded on the way back"),
    ):
        gradients, nats, after = subject.parts(precision, one.model, one.weights).gradients(*one.batch)
        agree(
            {**gradients, "nats": nats, **after._asdict()},
            partial(_step, one),
            precision=precision,
            kind="gradients",
            look_at=f"lstm.py: {what}",
        )


def _step(case: Case, oracle: type[Oracle]) -> dict[str, ArrayLike]:
    step = oracle(case.model).step(case.weights, *case.batch)
    return {**step.gradients, "nats": step.nats, **step.state._asdict()}
