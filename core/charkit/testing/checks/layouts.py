"""Stages forward to gradients: axes of length 1 or of equal lengths, and arrays in any order of memory.

A layout that is inferred from a shape is right until two axes have the same length, in the batch or in a part of it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from charkit.testing.cases import case_of_equal_axes, make_case, stepping_case
from charkit.testing.checked_calls import check_gradients, check_prediction
from charkit.testing.registry import check_precisions
from charkit.testing.subject import Subject

_INFERRED = (
    "backend.py: differentiate(); lstm.py, output.py and loss.py: layouts that are inferred from a shape"
)


@check_precisions("forward", among=("float32",))
def predictions_of_one_unit(subject: Subject, precision: str) -> None:
    """Two layers of one unit, two symbols: a symbol is predicted for each of three streams; no axis is dropped."""
    case = make_case(vocabulary_size=2, lstm_size=1, num_steps=1)
    parts = subject.parts(precision, case.model, case.weights)
    check_prediction(parts, precision, case, "lstm.py and output.py: axes of length 1 in a single time step")


@check_precisions("gradients", among=("float32",))
def gradients_where_all_axes_are_equal(subject: Subject, precision: str) -> None:
    """Sequences, steps, symbols and units, three of each, with masks: no axis is identified by its length.

    With six sequences, the same is true of half of a batch, as one of two threads may have it.
    """
    for batch_size, num_layers, part in (
        (3, 2, ""),
        (6, 1, ", which may be that of part of a batch"),
    ):
        case = case_of_equal_axes(num_layers=num_layers, batch_size=batch_size)
        look_at = f"{_INFERRED}{part}"
        check_gradients(subject.parts(precision, case.model, case.weights), precision, case, look_at)


@check_precisions("gradients", among=("float32",))
def arrays_have_any_order_of_memory(subject: Subject, precision: str) -> None:
    """Weights, symbols, targets, states and masks in column-major order give the same gradients."""
    case = stepping_case()
    other = replace(
        case,
        symbols=np.asfortranarray(case.symbols),
        targets=np.asfortranarray(case.targets),
        masks=np.asfortranarray(case.masks),
        state=type(case.state)(*map(np.asfortranarray, case.state)),
        weights={name: np.asfortranarray(array) for name, array in case.weights.items()},
    )
    look_at = (
        "backend.py: tensor() for arrays in column-major order; "
        "lstm.py and loss.py: views that need contiguous arrays"
    )
    check_gradients(subject.parts(precision, other.model, other.weights), precision, other, look_at)
