"""Stages forward and gradients: what bfloat16 rounds, and what it leaves as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from charkit.backend import State
from charkit.testing.cases import Case, make_case
from charkit.testing.oracle import Oracle
from charkit.testing.registry import check_precisions
from charkit.testing.subject import Subject
from charkit.testing.tolerances import BOUNDS, difference, require

_LOGITS = (
    "output.py: in bfloat16, only operands of the product are rounded, neither the product, nor the bias, nor the "
    "logits; or bfloat16_rounds says that logits are rounded"
)
#: The sigmoid of this is 1, and of its negative 0; the hyperbolic tangent of the cell is 1: exactly so in float32 and
#: bfloat16.
_OPEN, _LARGE_CELL = 50.0, 20.0
#: The bits of a float32 number that a bfloat16 number has.
_BFLOAT16_BITS = np.uint32(0xFFFF0000)


def _with_exact_outputs(case: Case) -> Case:
    """The case with LSTM weights and a state that make every output exactly 1, and operands that are not rounded."""
    weights = {name: np.zeros(array.shape) for name, array in case.weights.items()}
    for layer in range(case.model.num_layers):
        i, f, _, o = weights[f"lstm.{layer}.bias"].reshape(4, -1)
        i[:], f[:], o[:] = -_OPEN, _OPEN, _OPEN
    bits = case.weights["output.weight"].astype(np.float32).view(np.uint32)
    weights["output.weight"] = (bits & _BFLOAT16_BITS).view(np.float32).astype(np.float64)
    weights["output.bias"] = case.weights["output.bias"]
    state = State(np.zeros(case.state.hidden.shape), np.full(case.state.cell.shape, _LARGE_CELL))
    return replace(case, weights=weights, state=state, masks=None)


@check_precisions("forward", among=("bfloat16",))
def bfloat16_is_not_float32(subject: Subject, precision: str) -> None:
    """bfloat16 rounds the operands of matrix products, for one symbol too: it is not float32 under another name."""
    case = make_case()
    parts, limit = subject.parts(precision, case.model, case.weights), BOUNDS["float32"]["forward"]
    single = case.sequences(slice(0, 1))  # one symbol of one stream often has a separate path
    for what, some in (
        ("six symbols of three streams", case),
        ("one symbol of three streams", case.steps(1)),
        ("one symbol of one stream", single.steps(1)),
    ):
        if some is case:
            state = parts.advance(some.symbols, some.state)
        else:
            _, state = parts.predict(some.symbols, some.state)
        expected = Oracle(case.model).forward(case.weights, some.symbols, some.state).state
        gap = difference(state.hidden, expected.hidden)
        require(
            gap > limit,
            expected=f"8-bit operands: a difference above {limit:.0e} of the largest after {what}",
            got=f"the numbers of float32: a difference of {gap:.1e}",
            look_at="lstm.py: bfloat16 operands if that is the precision given to __init__; or leave bfloat16 out of "
            "precisions",
        )


@check_precisions("forward", among=("bfloat16",))
def logits_are_not_rounded(subject: Subject, precision: str) -> None:
    """In bfloat16, logits keep the digits of float32, unless bfloat16_rounds mentions logits."""
    case, limit = _with_exact_outputs(make_case()).steps(1), BOUNDS["float32"]["forward"]
    parts = subject.parts(precision, case.model, case.weights)
    if "logits" in parts.backend.bfloat16_rounds:
        return
    logits, _ = parts.predict(case.symbols, case.state)
    expected = Oracle(case.model).forward(case.weights, case.symbols, case.state).logits[:, 0]
    gap = difference(logits, expected)
    require(
        gap <= limit,
        expected=f"logits within {limit:.0e} of the largest, where all operands are numbers of bfloat16",
        got=f"a difference of {gap:.1e}",
        look_at=_LOGITS,
    )


@check_precisions("gradients", among=("bfloat16",))
def logits_of_training_are_not_rounded(subject: Subject, precision: str) -> None:
    """In bfloat16, logits are not rounded in scoring and training either, unless bfloat16_rounds mentions logits."""
    # The sizes of another check in bfloat16, so that the gradients compile once.
    case = _with_exact_outputs(make_case(num_layers=1, vocabulary_size=600))
    parts, limit = subject.parts(precision, case.model, case.weights), BOUNDS["float32"]["forward"]
    if "logits" in parts.backend.bfloat16_rounds:
        return
    expected, _ = Oracle(case.model).nats(case.weights, *case.batch)
    for what, nats in (
        ("scoring", parts.nats(*case.batch)[0]),
        ("training", parts.gradients(*case.batch)[1]),
    ):
        gap = difference(nats, expected)
        require(
            gap <= limit,
            expected=f"nats of {what} within {limit:.0e} of the largest, where all operands are numbers of bfloat16",
            got=f"a difference of {gap:.1e}",
            look_at=_LOGITS,
        )
