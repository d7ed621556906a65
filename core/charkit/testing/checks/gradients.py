"""Stage gradients: the gradient of the mean loss, per array, against the oracle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from charkit.backend import Array
from charkit.testing.agreement import agree
from charkit.testing.border import of_precision
from charkit.testing.cases import Case, make_case, real_case, reordered, stepping_case, weights_of
from charkit.testing.judge import BOUNDS, Mismatch, difference, near, same_bits, same_shape
from charkit.testing.memory import at_most
from charkit.testing.mistakes.gradients import truncated
from charkit.testing.oracle import Oracle
from charkit.testing.registry import check, check_precisions
from charkit.testing.subject import Parts, Subject

_GRADIENT = "backend.py: differentiate(); lstm.py, output.py and loss.py where the way back is by hand"
#: A hundred times what a vocabulary of 70,000 takes here, and half of what its square does.
_MEMORY_BYTES = 8 << 30
_REACH = "backend.py: differentiate() and lstm.py: the way back goes through all time steps, uncut"
#: A shape is handled the same way in bfloat16, whose wide bounds show less of it.
_EXACT = ("float32", "float64")
_MEAN = "backend.py: differentiate() gives the gradient of the mean over batch and time"


def _parts(subject: Subject, precision: str, case: Case) -> Parts:
    return subject.parts(precision, case.model, case.weights)


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
    of_precision({**gradients, **rest}, precision, "backend.py: differentiate()")


@check_precisions("gradients", among=("float32",))
def gradients_of_one_layer(subject: Subject, precision: str) -> None:
    """One layer from a zero state: the gradient of every weight array, the nats and the state."""
    case = make_case(
        num_layers=1, vocabulary_size=600, with_state=False
    )  # one program for this and other symbols
    _agree(subject, precision, case, _GRADIENT)


@check_precisions("gradients", among=("float32",))
def gradients_with_state(subject: Subject, precision: str) -> None:
    """Two layers from a state that is not zero; nothing flows back into that state."""
    _agree(subject, precision, make_case(), _GRADIENT)


@check_precisions("gradients")
def gradients_with_masks(subject: Subject, precision: str) -> None:
    """Three layers with dropout: masks and scale are on the way back as on the way forward."""
    _agree(subject, precision, stepping_case(), f"{_GRADIENT}; the masks on the way back")


@check_precisions("gradients", among=("float32",))
def gradients_with_a_low_dropout(subject: Subject, precision: str) -> None:
    """A dropout of 0.004: however low it is, masks drop outputs, and what is kept is scaled."""
    case = real_case()
    gradients, nats, _ = _parts(subject, precision, case).gradients(*case.batch)
    expected = Oracle(case.model).step(case.weights, *case.batch)
    look_at = f"{_GRADIENT}; masks and scale wherever there are masks"
    _close(
        {**gradients, "nats": nats}, {**expected.gradients, "nats": expected.nats}, precision, lambda: look_at
    )


@check_precisions("gradients", among=("bfloat16",))
def gradients_of_a_frequent_symbol(subject: Subject, precision: str) -> None:
    """In bfloat16, 3,200 symbols that are nearly all the same: sums over them are of float32, and do not stall."""
    case = make_case(num_layers=1, batch_size=64, num_steps=50)
    case.symbols[:, 1:], case.targets[:, 1:] = 3, 5
    look_at = (
        "lstm.py and output.py: products take bfloat16 and give float32; sums, also by symbol, are of float32"
    )
    _agree(subject, precision, case, look_at)


@check_precisions("gradients", among=("float32",))
def gradients_of_a_single_sequence(subject: Subject, precision: str) -> None:
    """A batch of one sequence, without masks in a model that has dropout: nothing is dropped, and nothing is scaled."""
    case = replace(make_case(batch_size=1, masked=True), masks=None)
    _agree(subject, precision, case, f"{_GRADIENT}; no masks, no dropout")


@check_precisions("gradients", among=("float32",))
def gradients_of_a_single_symbol(subject: Subject, precision: str) -> None:
    """Sequences of one symbol."""
    _agree(subject, precision, make_case(num_steps=1), _GRADIENT)


@check_precisions("gradients", among=("float32",))
def gradients_of_a_large_vocabulary(subject: Subject, precision: str) -> None:
    """A vocabulary of 600: absent symbols have no gradient in weight_ih, and repeated ones that of every place."""
    case = make_case(num_layers=1, vocabulary_size=600)
    case.symbols[:, 1:3] = case.symbols[:, :1]
    look_at = "lstm.py: the gradient of layer 0's weight_ih by symbol"
    _agree(subject, precision, case, look_at)
    # What is absent now was present before.
    _agree(subject, precision, replace(case, symbols=(case.symbols + 300) % 600), look_at)


@check_precisions("gradients", among=("float32",))
def gradients_of_70000_symbols(subject: Subject, precision: str) -> None:
    """A vocabulary of 70,000, with symbols and targets of 0, above 255, 32,767 and 65,535."""
    case = make_case(num_layers=1, batch_size=2, num_steps=3, vocabulary_size=70_000)
    symbols = np.array([[300, 69_999, 40_000], [0, 66_000, 33_000]], np.int32)
    targets = np.array([[69_999, 40_000, 66_001], [66_002, 0, 260]], np.int32)
    case = replace(case, symbols=symbols, targets=targets)
    try:
        with at_most(_MEMORY_BYTES):
            gradients, nats, _ = _parts(subject, precision, case).gradients(*case.batch)
    except MemoryError:
        return  # it makes a square of the vocabulary, such as all one-hot rows: wasteful, but not wrong
    expected = Oracle(case.model).step(case.weights, *case.batch)
    _close(
        {**gradients, "nats": nats},
        {**expected.gradients, "nats": expected.nats},
        precision,
        lambda: "lstm.py and loss.py: symbols and targets stay int32",
    )


@check_precisions("gradients", among=_EXACT)
def order_of_gradients_means_nothing(subject: Subject, precision: str) -> None:
    """The weights in another order of their dictionary: each gradient bears the name of its weight."""
    case = stepping_case()
    other = replace(case, weights=reordered(case.weights, 3))
    look_at = "backend.py: differentiate() joins weights and gradients by name, not by position"
    _agree(subject, precision, other, look_at)


@check("gradients")
def gradients_reach_across_the_whole_sequence(subject: Subject) -> None:
    """A sequence of 300 symbols with its forget gates open: its nats and state, and a gradient that reaches back."""
    precision = subject.finest()
    case = make_case(num_layers=1, batch_size=2, num_steps=300)
    weights = {name: 0.5 * array for name, array in case.weights.items()}
    forget = slice(case.model.lstm_size, 2 * case.model.lstm_size)
    weights["lstm.0.bias"][forget] = 8.0
    case = replace(case, weights=weights)
    gradients, nats, after = _parts(subject, precision, case).gradients(*case.batch)
    step = Oracle(case.model).step(weights, *case.batch)
    _close(gradients, step.gradients, precision, lambda: _cut(case, gradients, precision) + _REACH)
    near(
        {"nats": nats, **after._asdict()},
        {"nats": step.nats, **step.state._asdict()},
        precision=precision,
        kind="forward",
        look_at="lstm.py and loss.py: all time steps count, however many",
    )


def _cut(case: Case, observed: Mapping[str, Array], precision: str) -> str:
    """After how many time steps the gradient stops, if it does so after one of the usual numbers."""
    for length in (1, 2, 3, 4, 5, 8, 10, 16, 20, 25, 32, 35, 50, 64, 100, 128, 150, 200, 256):
        wrong = truncated(length)(case.model).gradients(case.weights, *case.batch)
        furthest = max(difference(observed[name], array) for name, array in wrong.items())
        if furthest <= BOUNDS[precision]["gradients"]:
            return f"it looks like back-propagation cut every {length} symbols; see "
    return ""


def _close(
    observed: Mapping[str, Array],
    expected: Mapping[str, Array],
    precision: str,
    look_at: Callable[[], str],
) -> None:
    """Compares like ``agree``, for large cases, on which trying every known mistake would take minutes."""
    limit = BOUNDS[precision]["gradients"]
    for name, array in expected.items():
        same_shape(name, observed, array, "backend.py: differentiate()")
        gap = difference(observed[name], array)
        if gap > limit:
            raise Mismatch(
                expected=f"{name} within {limit:.0e} of the array's largest ({precision})",
                got=f"max|difference|/max|reference| {gap:.2e}",
                look_at=look_at(),
            )


@check_precisions("gradients", among=_EXACT)
def gradients_are_of_the_weights_given(subject: Subject, precision: str) -> None:
    """One array of the weights is new, and the others are the same tensors: nothing stale is kept on the way back."""
    case = stepping_case()
    parts = _parts(subject, precision, case)
    tensors, others = parts.weights, weights_of(case.model, 40)
    for name, array in others.items():
        parts.weights = tensors | {name: parts.backend.tensor(array)}
        gradients, _, _ = parts.gradients(*case.batch)
        expected = Oracle(case.model).gradients(case.weights | {name: array}, *case.batch)
        look_at = f"{_GRADIENT}; what is prepared from weights and kept (only {name} is new here)"
        near(gradients, expected, precision=precision, kind="gradients", look_at=look_at)


@check_precisions("gradients", among=_EXACT)
def gradient_is_of_the_mean(subject: Subject, precision: str) -> None:
    """A batch that holds one sequence three times has the gradient of that sequence alone."""
    case = stepping_case()
    one, thrice = case.part([1]), case.part([1, 1, 1])
    gradients, _, _ = _parts(subject, precision, thrice).gradients(*thrice.batch)
    agree(
        gradients,
        lambda oracle: oracle(case.model).gradients(case.weights, *one.batch),
        precision=precision,
        kind="gradients",
        look_at=_MEAN,
    )


@check_precisions("gradients", among=_EXACT)
def gradients_of_slices_add_up(subject: Subject, precision: str) -> None:
    """The gradients of the two halves of a batch, half of each, add up to the batch's."""
    case = make_case(num_layers=3, batch_size=6, masked=True)
    total: dict[str, Array] = {}
    for sequences in (slice(0, 3), slice(3, 6)):
        part = case.part(sequences)
        gradients, _, _ = _parts(subject, precision, part).gradients(*part.batch)
        for name, gradient in gradients.items():
            total[name] = total.get(name, 0.0) + 0.5 * gradient.astype(np.float64)
    agree(
        total,
        lambda oracle: oracle(case.model).gradients(case.weights, *case.batch),
        precision=precision,
        kind="gradients",
        look_at=_MEAN,
    )


@check_precisions("gradients", among=_EXACT)
def gradients_change_nothing(subject: Subject, precision: str) -> None:
    """Asking for gradients changes neither weights nor state; asking again gives the same bits."""
    case, backend = stepping_case(), subject.backend(precision)
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
