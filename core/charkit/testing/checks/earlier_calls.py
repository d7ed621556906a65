"""Stages forward, loss and gradients: a call's result doesn't depend on the calls before it.

They may have had other numbers of sequences, masks or none, or have been those of another model.
"""

from __future__ import annotations

from dataclasses import replace

from charkit.testing.backend_parts import Parts
from charkit.testing.cases import Case, stepping_case
from charkit.testing.checked_calls import check_gradients, check_nats, check_prediction
from charkit.testing.registry import check_precisions
from charkit.testing.subject import Subject

_ARRAYS = (
    "arrays that are kept between calls: their shapes and strides must be those of the current call, and nothing in "
    "them may be left over from earlier calls"
)
_COMPILED = "backend.py: compile(): shapes and masks of later calls may differ from those of the first call"


def _fresh_parts(subject: Subject, precision: str, case: Case) -> Parts:
    """Parts whose compiled functions no other check has called."""
    return Parts(subject.backend(precision), case.model, case.weights)


@check_precisions("forward", among=("float32",))
def predictions_after_other_numbers_of_streams(subject: Subject, precision: str) -> None:
    """Symbols are predicted for three streams, then for the second, then for all again: nothing is left over."""
    case = replace(stepping_case(), masks=None)
    parts = _fresh_parts(subject, precision, case)
    for sequences in (slice(None), slice(1, 2), slice(None)):
        some = case.sequences(sequences)
        check_prediction(parts, precision, some, f"{_COMPILED}; lstm.py and output.py: {_ARRAYS}")


@check_precisions("forward", among=("float32",))
def models_work_side_by_side(subject: Subject, precision: str) -> None:
    """A model's parts still work after those of a model with different sizes and dropout have been built."""
    case, backend = stepping_case(), subject.backend(precision)
    parts = subject.parts(precision, case.model, case.weights)
    sizes = {"num_layers": 1, "lstm_size": 5, "vocabulary_size": 11, "dropout": 0.9}
    other = case.model.model_copy(update=sizes)
    backend.build_lstm(other)
    backend.build_output(other)
    look_at = (
        "lstm.py and output.py: sizes and dropout are those of the model given to build_lstm and build_output, not of "
        "the last network that was built"
    )
    check_prediction(parts, precision, case, look_at)


@check_precisions("loss", among=("float32",))
def other_batch_shapes_do_not_interfere(subject: Subject, precision: str) -> None:
    """Two sequences of four symbols are scored without masks, three of six with masks, and the first two again."""
    large = stepping_case()
    small = replace(large.sequences([1, 2]).steps(4), masks=None)
    parts = _fresh_parts(subject, precision, large)
    for case in (small, large, small):
        check_nats(parts, precision, case, f"{_COMPILED}; lstm.py, output.py and loss.py: {_ARRAYS}")


@check_precisions("loss", among=("float32",))
def masks_apply_with_any_dropout(subject: Subject, precision: str) -> None:
    """Models that differ only in dropout (0.3 and 0) score text with masks, each with its own scale."""
    case = stepping_case()
    for dropout in (case.model.dropout, 0.0):
        other = replace(case, model=case.model.model_copy(update={"dropout": dropout}))
        parts = subject.parts(precision, other.model, other.weights)
        look_at = (
            "lstm.py: masks apply wherever they are given, with the scale 1 / (1 - dropout), where dropout is "
            f"{dropout}; backend.py: the builders and compile(): share results only between networks whose models "
            "are equal in all fields, including dropout"
        )
        check_nats(parts, precision, other, look_at)


@check_precisions("gradients", among=("float32",))
def masks_come_and_go(subject: Subject, precision: str) -> None:
    """In a model with dropout, the same function is called without masks, with masks, and without again."""
    case = stepping_case()
    plain = replace(case.sequences([0]), masks=None)  # the sizes of another check, so that it compiles once
    parts = _fresh_parts(subject, precision, case)
    for given in (plain, case, plain):
        look_at = f"{_COMPILED}; masks are None in some calls and given in others"
        check_gradients(parts, precision, given, look_at)
