"""Realistic sizes: many layers, wide layers, many sequences, a high dropout, and saturated gates.

A backend that works in blocks, in buffers of a fixed size or by another algorithm above some size is right on small
arrays. Mistakes are not named at these sizes: trying each would take a second.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from charkit.backend import Array, State
from charkit.randomness import dropout_masks
from charkit.testing.agreement import require_agreement
from charkit.testing.cases import SEED, Case, make_case, stepping_case
from charkit.testing.checked_calls import check_gradients, check_nats, check_prediction
from charkit.testing.oracle import Oracle
from charkit.testing.registry import check, check_precisions
from charkit.testing.subject import Subject
from charkit.testing.tolerances import require_equal

_BACKWARD = (
    "backend.py: differentiate(); lstm.py, output.py and loss.py if the backward pass is written by hand"
)
#: Other than the 0.3 of all other cases, to show a fixed or bounded value.
_HIGH_DROPOUT = 0.9


def _many_sequences() -> Case:
    """Just above the usual sizes of blocks, 128 sequences and 8,192 symbols, and a multiple of neither."""
    return make_case(num_layers=4, batch_size=130, num_steps=83, vocabulary_size=5, lstm_size=3)


def _check_gradients(subject: Subject, precision: str, case: Case, look_at: str) -> dict[str, Array]:
    """Compares gradients, nats and state; returns the gradients."""
    return check_gradients(subject.parts(precision, case.model, case.weights), precision, case, look_at)


@check_precisions("gradients", among=("float32",))
def gradients_of_the_smallest_model(subject: Subject, precision: str) -> None:
    """One unit, two symbols and one sequence of one symbol: no axis is dropped, and nothing is divided by zero."""
    case = make_case(num_layers=1, batch_size=1, num_steps=1, vocabulary_size=2, lstm_size=1)
    _check_gradients(subject, precision, case, f"{_BACKWARD}; axes of length 1")


@check_precisions("gradients", among=("float32",))
def gradients_of_wide_layers(subject: Subject, precision: str) -> None:
    """260 sequences through 515 units: every unit feeds every gate and has its gradient."""
    case = make_case(num_layers=1, batch_size=260, num_steps=2, lstm_size=515)
    case = replace(case, weights={name: 0.05 * array for name, array in case.weights.items()})
    _check_gradients(subject, precision, case, f"units or sequences that are processed in parts; {_BACKWARD}")


@check("gradients")
def gradients_of_many_sequences(subject: Subject) -> None:
    """Four layers, 130 sequences of 83 symbols, dropout of 0.9: every sequence counts, and results are repeatable."""
    case, precision = _many_sequences(), subject.finest()  # float32 rounds a plain sum over so many rows
    masks = dropout_masks(SEED, 1, (4, *case.symbols.shape, case.model.lstm_size), _HIGH_DROPOUT)
    model = case.model.model_copy(update={"dropout": _HIGH_DROPOUT})
    case = replace(case, model=model, masks=masks)
    look_at = f"{_BACKWARD}; sequences that are processed in parts; 1 / (1 - dropout) for any dropout"
    gradients = _check_gradients(subject, precision, case, look_at)
    repeated, _, _ = subject.parts(precision, case.model, case.weights).gradients(*case.batch)
    require_equal(
        repeated,
        gradients,
        expected="the same gradient from the same call",
        look_at=f"{_BACKWARD}; sums whose order changes from call to call, as with the order in which threads finish",
    )


@check_precisions("loss", among=("float32",))
def many_sequences_are_scored(subject: Subject, precision: str) -> None:
    """2,101 sequences of 32 symbols are scored at once; a symbol is predicted for each, then for one."""
    case = make_case(num_layers=4, batch_size=2_101, num_steps=32, vocabulary_size=5, lstm_size=3)
    parts = subject.parts(precision, case.model, case.weights)  # which no other check has called
    blocks = (
        "lstm.py, output.py, loss.py and compile() in backend.py: blocks and buffers, and the division of an odd "
        "number of sequences"
    )
    look_at = f"lstm.py: the state of each of four layers; {blocks}"
    check_nats(parts, precision, case, look_at)
    check_prediction(parts, precision, case, look_at)
    check_prediction(
        parts,
        precision,
        case.sequences(slice(1, 2)),
        f"{blocks}; one stream after 2,101: what the first call decides",
    )


@check_precisions("loss", among=("float32",))
def long_sequences_are_scored(subject: Subject, precision: str) -> None:
    """Sequences of 1,031 symbols, not a multiple of any usual block size: the loss of each, and the last state."""
    case = make_case(batch_size=2, num_steps=1_031)
    parts = subject.parts(precision, case.model, case.weights)
    look_at = "lstm.py: time steps that are processed in blocks; the state is the one after the last"
    check_nats(parts, precision, case, look_at)


@check_precisions("gradients", among=("float32", "float64"))
def saturated_gates_and_large_cells(subject: Subject, precision: str) -> None:
    """Cells of plus and minus 300, gates at 0 and 1, and large gradients: nothing overflows or is clipped.

    One symbol of one stream and of several is predicted too: it often has a separate path.
    """
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
    for modified, look_at in (
        (large_cells, "tanh and its gradient for large values of the cell"),
        (saturated, "the sigmoids, tanh and their gradients if exp overflows"),
        (steep, "no element of a gradient is clipped in the backward pass"),
    ):
        parts = subject.parts(precision, modified.model, modified.weights)
        gradients, nats, after = parts.gradients(*modified.batch)
        require_agreement(
            {**gradients, "nats": nats, **after._asdict()},
            partial(_oracle_step, modified),
            precision=precision,
            kind="gradients",
            look_at=f"lstm.py: {look_at}",
        )
        for sequences in (slice(None), slice(0, 1)):
            first = modified.sequences(sequences).steps(1)
            logits, after = parts.predict(first.symbols, first.state)
            require_agreement(
                {"logits": logits, **after._asdict()},
                partial(_oracle_prediction, first),
                precision=precision,
                kind="forward",
                look_at=f"lstm.py: {look_at}, in the prediction of {_streams(first)}",
            )


def _oracle_step(case: Case, oracle: type[Oracle]) -> dict[str, ArrayLike]:
    step = oracle(case.model).step(case.weights, *case.batch)
    return {**step.gradients, "nats": step.nats, **step.state._asdict()}


def _oracle_prediction(case: Case, oracle: type[Oracle]) -> dict[str, ArrayLike]:
    result = oracle(case.model).forward(case.weights, case.symbols, case.state)
    return {"logits": result.logits[:, 0], **result.state._asdict()}


def _streams(case: Case) -> str:
    count = len(case.symbols)
    return "one stream" if count == 1 else f"{count} streams"
