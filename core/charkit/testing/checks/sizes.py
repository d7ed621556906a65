"""Realistic sizes: many layers, wide layers, many sequences, a high dropout, and saturated gates.

A backend that works in blocks, in buffers of a fixed size or by another algorithm above some size is right on small
arrays. Mistakes are not named at these sizes: trying each would take a second.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from charkit.backend import Array, State
from charkit.randomness import dropout_masks
from charkit.testing.agreement import require_agreement
from charkit.testing.cases import SEED, WIDE, Case, make_case, stepping_case
from charkit.testing.checked_calls import check_gradients, check_nats, check_prediction
from charkit.testing.memory import MUCH_FOR_70000_SYMBOLS, memory_limit
from charkit.testing.oracle import Oracle
from charkit.testing.registry import check, check_precisions
from charkit.testing.subject import Subject
from charkit.testing.tolerances import require, require_equal

_BACKWARD = (
    "backend.py: differentiate(); lstm.py, output.py and loss.py if the backward pass is written by hand"
)
#: Other than the 0.3 of all other cases, to show a fixed or bounded value.
_HIGH_DROPOUT = 0.9


#: A bias at which exp overflows in float32, and with it the usual formula for the sigmoid.
_SATURATING = 1000.0

#: The logits of two symbols, plus and minus; some losses are clamped at 100 nats.
_FAR_APART = 150.0


def _many_sequences(precision: str) -> Case:
    """Just above the usual sizes of blocks, 128 sequences and 8,192 symbols, and a multiple of neither.

    In float32, 1,040 symbols: a plain sum over 10,790 rows has a rounding error of twice the bound, and is allowed.
    """
    num_steps = 83 if precision == "float64" else 8
    return make_case(num_layers=4, batch_size=130, num_steps=num_steps, vocabulary_size=5, lstm_size=3)


def _wide_layer(*, batch_size: int, num_steps: int) -> Case:
    """With small weights, so that few gates are saturated."""
    case = make_case(num_layers=1, batch_size=batch_size, num_steps=num_steps, lstm_size=WIDE)
    return replace(case, weights={name: 0.05 * array for name, array in case.weights.items()})


def _check_gradients(subject: Subject, precision: str, case: Case, look_at: str) -> dict[str, Array]:
    """Compares gradients, nats and state; returns the gradients."""
    return check_gradients(subject.parts(precision, case.model, case.weights), precision, case, look_at)


@check_precisions("gradients", among=("float32",))
def gradients_of_the_smallest_model(subject: Subject, precision: str) -> None:
    """One unit, two symbols and one sequence of one symbol: no axis is dropped, and no loss is clamped."""
    case = make_case(num_layers=1, batch_size=1, num_steps=1, vocabulary_size=2, lstm_size=1)
    _check_gradients(subject, precision, case, f"{_BACKWARD}; axes of length 1")
    bias = np.full(2, _FAR_APART)
    bias[case.targets[0, 0]] = -_FAR_APART
    unlikely = replace(case, weights=case.weights | {"output.bias": bias})
    _check_gradients(
        subject, precision, unlikely, f"{_BACKWARD}; an unlikely target, even if there are only two symbols"
    )


@check_precisions("gradients", among=("float32",))
def gradients_of_wide_layers(subject: Subject, precision: str) -> None:
    """260 sequences through 515 units: every unit feeds every gate and gets a gradient."""
    case = _wide_layer(batch_size=260, num_steps=2)
    _check_gradients(
        subject, precision, case, f"{_BACKWARD}; units or sequences that are processed in blocks"
    )


@check_precisions("gradients", among=("float32",))
def saturated_wide_layers_cause_no_warnings(subject: Subject, precision: str) -> None:
    """Saturated gates of 515 units for 260 sequences cause no warning, not even in a thread of the backend's own."""
    case = _wide_layer(batch_size=260, num_steps=2)
    biases = np.resize(
        [-_SATURATING, 0.0], case.weights["lstm.0.bias"].shape
    )  # every other unit of each gate
    parts = subject.parts(precision, case.model, case.weights | {"lstm.0.bias": biases})
    calls: dict[str, Callable[[], object]] = {
        "a training step": partial(parts.gradients, *case.batch),
        "an evaluation": partial(parts.nats, *case.batch),
        "a prediction": partial(parts.predict, case.symbols[:, :1].copy(), case.state),
    }
    for what, call in calls.items():
        with warnings.catch_warnings(record=True) as shown:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", RuntimeWarning)
            call()
        messages = sorted({str(each.message) for each in shown})
        require(
            not messages,
            expected=f"no warning during {what} with saturated gates",
            got="; ".join(messages),
            look_at="backend.py and lstm.py: the core has NumPy ignore floating-point errors, but only in the thread "
            "that calls the backend; use numpy.errstate in every thread that the backend starts",
        )


@check_precisions("gradients", among=("float32",))
def gradients_of_70000_symbols(subject: Subject, precision: str) -> None:
    """A vocabulary of 70,000: symbols and targets include 0 and numbers above 65,535, and logits reach 200."""
    case = make_case(num_layers=1, batch_size=2, num_steps=3, vocabulary_size=70_000)
    symbols = np.array([[300, 69_999, 40_000], [0, 66_000, 33_000]], np.int32)
    targets = np.array([[69_999, 40_000, 66_001], [66_002, 0, 260]], np.int32)
    weights = case.weights | {"output.bias": np.linspace(-200.0, 200.0, 70_000)}
    case = replace(case, symbols=symbols, targets=targets, weights=weights)
    look_at = (
        "lstm.py and loss.py: symbols and targets stay int32; symbol 0 has a gradient like any other symbol; the "
        "maximum of each row of logits is subtracted before exp, however long the row is"
    )
    try:
        with memory_limit(MUCH_FOR_70000_SYMBOLS):
            _check_gradients(subject, precision, case, look_at)
    except MemoryError:
        return  # an array of vocabulary by vocabulary is wasteful, but not wrong


@check("gradients")
def gradients_of_many_sequences(subject: Subject) -> None:
    """Four layers, 130 sequences, a dropout of 0.9: every sequence counts, and results are repeatable."""
    precision = subject.finest()
    case = _many_sequences(precision)
    masks = dropout_masks(SEED, 1, (4, *case.symbols.shape, case.model.lstm_size), _HIGH_DROPOUT)
    model = case.model.model_copy(update={"dropout": _HIGH_DROPOUT})
    case = replace(case, model=model, masks=masks)
    look_at = f"{_BACKWARD}; sequences that are processed in blocks; 1 / (1 - dropout) for any dropout"
    gradients = _check_gradients(subject, precision, case, look_at)
    repeated, _, _ = subject.parts(precision, case.model, case.weights).gradients(*case.batch)
    require_equal(
        repeated,
        gradients,
        expected="the same gradient from the same call",
        look_at=f"{_BACKWARD}; sums whose order changes from call to call, for example with the order in which threads "
        "finish",
    )


@check_precisions("loss", among=("float32",))
def many_sequences_are_scored(subject: Subject, precision: str) -> None:
    """4,201 sequences of 16 symbols are scored at once; a symbol is predicted for each, then for one."""
    case = make_case(num_layers=4, batch_size=4_201, num_steps=16, vocabulary_size=5, lstm_size=3)
    parts = subject.parts(precision, case.model, case.weights)  # which no other check has called
    blocks = (
        "lstm.py, output.py, loss.py and compile() in backend.py: blocks and buffers, and an odd number of sequences "
        "that is divided into parts"
    )
    look_at = f"lstm.py: the state of each of four layers; {blocks}"
    check_nats(parts, precision, case, look_at)
    check_prediction(parts, precision, case, look_at)
    check_prediction(
        parts,
        precision,
        case.sequences(slice(1, 2)),
        f"{blocks}; one stream after 4,201 streams: whatever the first call sets for later ones",
    )


@check_precisions("loss", among=("float32",))
def wide_layers_are_scored(subject: Subject, precision: str) -> None:
    """A model with 515 units scores 97 sequences and predicts a symbol for each, then for one, all in float32."""
    # Enough multiplications in a single time step for backends to divide it.
    case = _wide_layer(batch_size=97, num_steps=3)
    parts = subject.parts(precision, case.model, case.weights)
    look_at = "lstm.py and output.py outside of differentiate(): wide layers, in the precision of the backend"
    check_nats(parts, precision, case, look_at)
    check_prediction(parts, precision, case, look_at)
    check_prediction(parts, precision, case.sequences([0]), look_at)


@check_precisions("loss", among=("float32",))
def long_sequences_are_scored(subject: Subject, precision: str) -> None:
    """Sequences of 1,031 symbols, not a multiple of any common block size: each symbol's loss and the last state."""
    case = make_case(batch_size=2, num_steps=1_031)
    parts = subject.parts(precision, case.model, case.weights)
    look_at = (
        "lstm.py: time steps that are processed in blocks; the state is the one after the last time step"
    )
    check_nats(parts, precision, case, look_at)


@check_precisions("gradients", among=("float32", "float64"))
def saturated_gates_and_large_cells(subject: Subject, precision: str) -> None:
    """Cell states of plus and minus 300, gates at 0 and 1, and large gradients: nothing overflows or is clipped.

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
        (steep, "no element of a gradient may be clipped in the backward pass"),
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
                look_at="lstm.py and output.py: large cells, saturated gates and large logits in the prediction for "
                f"{_streams(first)}",
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
