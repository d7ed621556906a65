"""Stage gradients: the gradient of the mean loss, per array, against the oracle."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from charkit.backend import Array
from charkit.testing.cases import Case, make_case
from charkit.testing.judge import agree, same_bits
from charkit.testing.oracle import Oracle
from charkit.testing.registry import check_precisions
from charkit.testing.subject import Parts, Subject

_GRADIENT = "backend.py: differentiate(); lstm.py, output.py and loss.py where the way back is by hand"
_MEAN = "backend.py: differentiate() gives the gradient of the mean over batch and time"


def _parts(subject: Subject, precision: str, case: Case) -> Parts:
    return Parts(subject.backend(precision), case.model, case.weights)


def _agree(subject: Subject, precision: str, case: Case, look_at: str) -> None:
    gradients, nats, state = _parts(subject, precision, case).gradients(*case.batch)

    def compute_gradients(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        judge = oracle(case.model)
        expected = judge.gradients(case.weights, *case.batch)
        return {**expected, "the norm": judge.norm(expected)}

    def compute_rest(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        expected, after = oracle(case.model).nats(case.weights, *case.batch)
        return {"nats": expected, "hidden": after.hidden, "cell": after.cell}

    norm = np.sqrt(sum(float(np.sum(np.square(one, dtype=np.float64))) for one in gradients.values()))
    rest = {"nats": nats, "hidden": state.hidden, "cell": state.cell}
    agree(
        {**gradients, "the norm": norm},
        compute_gradients,
        precision=precision,
        kind="gradients",
        look_at=look_at,
    )
    agree(rest, compute_rest, precision=precision, kind="forward", look_at=look_at)


@check_precisions("gradients")
def gradients_of_one_layer(subject: Subject, precision: str) -> None:
    """One layer from a zero state: the gradient of every weight array, the nats and the state."""
    _agree(subject, precision, make_case(num_layers=1, with_state=False), _GRADIENT)


@check_precisions("gradients")
def gradients_with_state(subject: Subject, precision: str) -> None:
    """Two layers from a state that is not zero; nothing flows back into that state."""
    _agree(subject, precision, make_case(), _GRADIENT)


@check_precisions("gradients")
def gradients_with_masks(subject: Subject, precision: str) -> None:
    """Three layers with dropout: masks and scale are on the way back as on the way forward."""
    _agree(
        subject, precision, make_case(num_layers=3, masked=True), f"{_GRADIENT}; the masks on the way back"
    )


@check_precisions("gradients")
def gradients_of_a_single_symbol(subject: Subject, precision: str) -> None:
    """A batch of one sequence, and sequences of one symbol."""
    _agree(subject, precision, make_case(batch_size=1), _GRADIENT)
    _agree(subject, precision, make_case(num_steps=1), _GRADIENT)


@check_precisions("gradients")
def gradients_of_a_large_vocabulary(subject: Subject, precision: str) -> None:
    """A vocabulary of 600 of which few are met: symbols that are absent have no gradient in weight_ih."""
    case = make_case(num_layers=1, vocabulary_size=600)
    _agree(subject, precision, case, "lstm.py: the gradient of layer 0's weight_ih by symbol")


@check_precisions("gradients")
def gradient_is_of_the_mean(subject: Subject, precision: str) -> None:
    """A batch that holds every sequence twice has the gradient of the batch that holds each once."""
    case = make_case()
    twice = case.part([0, 1, 2, 0, 1, 2])
    gradients, _, _ = _parts(subject, precision, twice).gradients(*twice.batch)
    agree(
        gradients,
        lambda oracle: oracle(case.model).gradients(case.weights, *case.batch),
        precision=precision,
        kind="gradients",
        look_at=_MEAN,
    )


@check_precisions("gradients")
def gradients_of_slices_add_up(subject: Subject, precision: str) -> None:
    """The gradients of two slices, weighted by their share of the symbols, add up to the batch's."""
    case = make_case(batch_size=5, masked=True)
    total: dict[str, Array] = {}
    for sequences, share in ((slice(0, 2), 2 / 5), (slice(2, 5), 3 / 5)):
        part = case.part(sequences)
        gradients, _, _ = _parts(subject, precision, part).gradients(*part.batch)
        for name, gradient in gradients.items():
            total[name] = total.get(name, 0.0) + share * gradient.astype(np.float64)
    agree(
        total,
        lambda oracle: oracle(case.model).gradients(case.weights, *case.batch),
        precision=precision,
        kind="gradients",
        look_at=_MEAN,
    )


@check_precisions("gradients")
def gradients_change_nothing(subject: Subject, precision: str) -> None:
    """Asking for gradients changes neither weights nor state; asking again gives the same bits."""
    case, backend = make_case(masked=True), subject.backend(precision)
    parts = _parts(subject, precision, case)
    backward = parts.backward
    state, masks = parts.state(case.state), backend.tensor(np.asarray(case.masks))
    symbols, targets = backend.tensor(case.symbols), backend.tensor(case.targets)
    before = {**parts.arrays(parts.weights), **parts.arrays(state._asdict())}
    first = parts.arrays(backward(parts.weights, symbols, targets, state, masks)[0])
    second = parts.arrays(backward(parts.weights, symbols, targets, state, masks)[0])
    after = {**parts.arrays(parts.weights), **parts.arrays(state._asdict())}
    same_bits(after, before, expected="weights and state as they were", look_at=_GRADIENT)
    same_bits(second, first, expected="the same gradient from the same call", look_at=_GRADIENT)
