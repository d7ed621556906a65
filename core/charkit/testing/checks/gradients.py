"""Stage gradients: the gradient of the mean loss, per array, against the oracle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from charkit.backend import Array, State
from charkit.testing.agreement import require_agreement
from charkit.testing.backend_parts import Parts
from charkit.testing.cases import (
    Case,
    make_case,
    realistic_case,
    realistic_step,
    reordered,
    stepping_case,
    unmasked_case,
    weights_of,
)
from charkit.testing.checked_calls import check_gradients
from charkit.testing.mistakes.gradients import truncated
from charkit.testing.oracle import Oracle
from charkit.testing.registry import check, check_precisions
from charkit.testing.returned_values import require_precision
from charkit.testing.subject import Subject
from charkit.testing.tolerances import (
    BOUNDS,
    Mismatch,
    difference,
    require_close,
    require_equal,
    require_shape,
)

_GRADIENT = (
    "backend.py: differentiate(); lstm.py, output.py and loss.py if the backward pass is written by hand"
)
_REACH = "backend.py: differentiate() and lstm.py: the backward pass goes through all time steps"
_EXACT = ("float32", "float64")  # bfloat16 handles shapes alike, and its wide bounds would show fewer faults
_MEAN = "backend.py: differentiate() gives the gradient of the mean over batch and time"


def _parts(subject: Subject, precision: str, case: Case) -> Parts:
    return subject.parts(precision, case.model, case.weights)


def _check_gradients(subject: Subject, precision: str, case: Case, look_at: str) -> None:
    gradients, nats, state = _parts(subject, precision, case).gradients(*case.batch)

    def compute_gradients(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        reference = oracle(case.model)
        expected = reference.gradients(case.weights, *case.batch)
        return {**expected, "the gradient norm": reference.norm(expected)}

    def compute_forward(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        expected, after = oracle(case.model).nats(case.weights, *case.batch)
        return {"nats": expected, "hidden": after.hidden, "cell": after.cell}

    norm = np.sqrt(
        sum(float(np.sum(np.square(gradient, dtype=np.float64))) for gradient in gradients.values())
    )
    forward = {"nats": nats, "hidden": state.hidden, "cell": state.cell}
    require_agreement(
        {**gradients, "the gradient norm": norm},
        compute_gradients,
        precision=precision,
        kind="gradients",
        look_at=look_at,
    )
    require_agreement(forward, compute_forward, precision=precision, kind="forward", look_at=look_at)
    require_precision({**gradients, **forward}, precision, "backend.py: differentiate()")


@check_precisions("gradients", among=("float32",))
def gradients_of_one_layer(subject: Subject, precision: str) -> None:
    """One layer from a zero state: the gradient of every weight array, the losses and the state."""
    # The vocabulary of a later check, so that both compile the same program.
    case = make_case(num_layers=1, vocabulary_size=600, with_state=False)
    _check_gradients(subject, precision, case, _GRADIENT)


@check_precisions("gradients", among=("float32",))
def gradients_with_state(subject: Subject, precision: str) -> None:
    """Three layers from a nonzero state, into which no gradient flows."""
    _check_gradients(subject, precision, unmasked_case(), _GRADIENT)


@check_precisions("gradients")
def gradients_with_masks(subject: Subject, precision: str) -> None:
    """Three layers with dropout: the masks and the scale apply in the backward pass as in the forward pass."""
    _check_gradients(subject, precision, stepping_case(), f"{_GRADIENT}; the masks in the backward pass")


@check_precisions("gradients", among=("float32",))
def gradients_of_zero_outputs(subject: Subject, precision: str) -> None:
    """Outputs that are exactly 0, but kept by their masks, have gradients like all others."""
    case = stepping_case()
    zeros = {name: np.zeros(array.shape) for name, array in case.weights.items() if name.startswith("lstm.")}
    state = State(np.zeros(case.state.hidden.shape), np.zeros(case.state.cell.shape))
    case = replace(case, weights=case.weights | zeros, state=state)
    look_at = f"{_GRADIENT}; which outputs are kept depends on the masks, not on the outputs"
    check_gradients(_parts(subject, precision, case), precision, case, look_at)


@check_precisions("gradients", among=("float32",))
def gradients_with_a_low_dropout(subject: Subject, precision: str) -> None:
    """With a dropout as low as 0.004, masks still drop outputs, and the kept outputs are still scaled."""
    case = realistic_case()
    gradients, nats, _ = _parts(subject, precision, case).gradients(*case.batch)
    expected = realistic_step()
    advice = "masks apply wherever they are given; arrays that are processed in blocks; symbols stay int32"
    look_at = f"{_GRADIENT}; {advice}"
    _require_close(
        {**gradients, "nats": nats}, {**expected.gradients, "nats": expected.nats}, precision, lambda: look_at
    )


@check_precisions("gradients", among=("bfloat16",))
def gradients_of_a_frequent_symbol(subject: Subject, precision: str) -> None:
    """In bfloat16, 3,200 symbols that are nearly all the same: sums over them use float32 and don't stall.

    Some backends look up the columns of weight_ih where there are more symbols than gates.
    """
    look_at = (
        "lstm.py and output.py: products take bfloat16 and return float32; sums, including those per symbol, are in "
        "float32"
    )
    for vocabulary_size in (7, 19):
        case = make_case(num_layers=1, batch_size=64, num_steps=50, vocabulary_size=vocabulary_size)
        case.symbols[:, 1:], case.targets[:, 1:] = 3, 5
        _check_gradients(subject, precision, case, look_at)


@check_precisions("gradients", among=("float32",))
def gradients_of_a_single_sequence(subject: Subject, precision: str) -> None:
    """A batch of one sequence, without masks, in a model with dropout: nothing is dropped or scaled."""
    case = replace(stepping_case().sequences([0]), masks=None)
    _check_gradients(subject, precision, case, f"{_GRADIENT}; no masks, no dropout")


@check_precisions("gradients", among=("float32",))
def gradients_of_a_single_symbol(subject: Subject, precision: str) -> None:
    """Sequences of a single symbol: the gradient of every weight array, the losses and the state."""
    _check_gradients(subject, precision, make_case(num_layers=1, num_steps=1), _GRADIENT)


@check_precisions("gradients", among=("float32", "bfloat16"))
def gradients_of_a_large_vocabulary(subject: Subject, precision: str) -> None:
    """Out of 600 or 300 symbols, absent ones get no gradient in weight_ih; gradients of repeated ones add up."""
    look_at = (
        "lstm.py: the gradient of layer 0's weight_ih by symbol; symbols and targets stay int32 in the backward "
        "pass"
    )
    for size in (600, 300) if precision == "float32" else (600,):
        case = make_case(num_layers=1, vocabulary_size=size)
        case.symbols[:, 1:3] = case.symbols[:, :1]
        assert (case.targets > 255).any()
        _check_gradients(subject, precision, case, look_at)
        # Symbols that are absent now were present before.
        others = (case.symbols + size // 2) % size
        assert (others > 255).any()
        _check_gradients(subject, precision, replace(case, symbols=others), look_at)


@check_precisions("gradients", among=_EXACT)
def gradient_order_does_not_matter(subject: Subject, precision: str) -> None:
    """Each gradient has the name of its weight, whatever the order of the dictionary."""
    case = stepping_case()
    other = replace(case, weights=reordered(case.weights, 3))
    look_at = "backend.py: differentiate() matches weights and gradients by name, not by position"
    _check_gradients(subject, precision, other, look_at)


@check("gradients")
def gradients_span_the_whole_sequence(subject: Subject) -> None:
    """300 symbols of a vocabulary of 600, open forget gates: losses, state, and gradients across the whole sequence."""
    precision = subject.finest()
    # A large vocabulary, which may have a path of its own: so float64 compiles no further program for it.
    case = make_case(num_layers=1, batch_size=2, num_steps=300, vocabulary_size=600)
    weights = {name: 0.5 * array for name, array in case.weights.items()}
    forget = slice(case.model.lstm_size, 2 * case.model.lstm_size)
    weights["lstm.0.bias"][forget] = 8.0
    case = replace(case, weights=weights)
    gradients, nats, after = _parts(subject, precision, case).gradients(*case.batch)
    step = Oracle(case.model).step(weights, *case.batch)
    _require_close(
        gradients, step.gradients, precision, lambda: _truncation(case, gradients, precision) + _REACH
    )
    require_close(
        {"nats": nats, **after._asdict()},
        {"nats": step.nats, **step.state._asdict()},
        precision=precision,
        kind="forward",
        look_at="lstm.py and loss.py: all time steps count, however many there are",
    )


def _truncation(case: Case, observed: Mapping[str, Array], precision: str) -> str:
    """Names the number of time steps after which the gradient is truncated, if it is a common one."""
    for length in (1, 2, 3, 4, 5, 8, 10, 16, 20, 25, 32, 35, 50, 64, 100, 128, 150, 200, 256):
        wrong = truncated(length)(case.model).gradients(case.weights, *case.batch)
        furthest = max(difference(observed[name], array) for name, array in wrong.items())
        if furthest <= BOUNDS[precision]["gradients"]:
            where = "at each symbol" if length == 1 else f"every {length} symbols"
            return f"it looks like truncated backpropagation ({where}); see "
    return ""


def _require_close(
    observed: Mapping[str, Array],
    expected: Mapping[str, Array],
    precision: str,
    look_at: Callable[[], str],
) -> None:
    """Like ``require_agreement``, for cases so large that trying every known mistake would take minutes."""
    limit = BOUNDS[precision]["gradients"]
    for name, array in expected.items():
        require_shape(name, observed, array, "backend.py: differentiate()")
        gap = difference(observed[name], array)
        if gap > limit:
            raise Mismatch(
                expected=f"{name} within {limit:.0e} times the largest element ({precision})",
                got=f"max|difference|/max|reference| = {gap:.2e}",
                look_at=look_at(),
            )


@check_precisions("gradients", among=_EXACT)
def gradients_use_the_given_weights(subject: Subject, precision: str) -> None:
    """One weight array is new, and the others are the same tensors: no cached array is stale."""
    case = stepping_case()
    parts = _parts(subject, precision, case)
    tensors, others = parts.weights, weights_of(case.model, 40)
    for name, array in others.items():
        parts.weights = tensors | {name: parts.backend.tensor(array)}
        gradients, _, _ = parts.gradients(*case.batch)
        expected = Oracle(case.model).gradients(case.weights | {name: array}, *case.batch)
        look_at = f"{_GRADIENT}; what is prepared from weights and cached (only {name} is new here)"
        require_close(gradients, expected, precision=precision, kind="gradients", look_at=look_at)


@check_precisions("gradients", among=_EXACT)
def gradients_are_of_the_mean_loss(subject: Subject, precision: str) -> None:
    """A batch that contains the same sequence three times has the gradient of that sequence alone."""
    case = stepping_case()
    single, repeated = case.sequences([1]), case.sequences([1, 1, 1])
    gradients, _, _ = _parts(subject, precision, repeated).gradients(*repeated.batch)
    require_agreement(
        gradients,
        lambda oracle: oracle(case.model).gradients(case.weights, *single.batch),
        precision=precision,
        kind="gradients",
        look_at=_MEAN,
    )


@check_precisions("gradients", among=_EXACT)
def gradients_of_slices_add_up(subject: Subject, precision: str) -> None:
    """The gradient of a batch is the mean of the gradients of its halves."""
    case = make_case(num_layers=3, batch_size=6, masked=True)
    total: dict[str, Array] = {}
    for sequences in (slice(0, 3), slice(3, 6)):
        part = case.sequences(sequences)
        gradients, _, _ = _parts(subject, precision, part).gradients(*part.batch)
        for name, gradient in gradients.items():
            total[name] = total.get(name, 0.0) + 0.5 * gradient.astype(np.float64)
    require_agreement(
        total,
        lambda oracle: oracle(case.model).gradients(case.weights, *case.batch),
        precision=precision,
        kind="gradients",
        look_at=_MEAN,
    )


@check_precisions("gradients", among=_EXACT)
def gradients_change_nothing(subject: Subject, precision: str) -> None:
    """Computing gradients changes neither the weights nor the state, and repeating it gives the same bits."""
    case, backend = stepping_case(), subject.backend(precision)
    parts = _parts(subject, precision, case)
    backward = parts.backward
    state, masks = parts.state(case.state), backend.tensor(np.asarray(case.masks))
    symbols, targets = backend.tensor(case.symbols), backend.tensor(case.targets)
    before = {**parts.arrays(parts.weights), **parts.arrays(state._asdict())}
    first = parts.arrays(backward(parts.weights, symbols, targets, state, masks)[0])
    second = parts.arrays(backward(parts.weights, symbols, targets, state, masks)[0])
    after = {**parts.arrays(parts.weights), **parts.arrays(state._asdict())}
    require_equal(after, before, expected="unchanged weights and state", look_at=_GRADIENT)
    require_equal(second, first, expected="the same gradient from the same call", look_at=_GRADIENT)
