"""Stages forward and gradients: what bfloat16 rounds, and what it leaves as it is."""

from __future__ import annotations

import numpy as np

from charkit.testing.cases import make_case, stepping_case
from charkit.testing.oracle import Oracle
from charkit.testing.registry import check_precisions
from charkit.testing.subject import Subject
from charkit.testing.tolerances import BOUNDS, difference, require

_LOGITS = (
    "output.py: in bfloat16, only operands of the product are rounded, neither the bias nor the logits; or "
    "bfloat16_rounds says that logits are rounded"
)


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
    """In bfloat16, logits keep the digits of the output bias, unless bfloat16_rounds mentions logits."""
    case = make_case()
    parts = subject.parts(precision, case.model, case.weights)
    if "logits" in parts.backend.bfloat16_rounds:
        return
    weights = case.weights | {"output.weight": np.zeros_like(case.weights["output.weight"])}
    parts.weights = parts.tensors(weights)
    logits, _ = parts.predict(case.symbols[:, :1].copy(), case.state)
    gap = difference(logits, np.broadcast_to(weights["output.bias"], logits.shape))
    limit = BOUNDS["float32"]["forward"]
    require(
        gap <= limit,
        expected=f"logits equal to output.bias where output.weight is zero, within {limit:.0e} of the largest",
        got=f"a difference of {gap:.1e}",
        look_at=_LOGITS,
    )


@check_precisions("gradients", among=("bfloat16",))
def logits_of_training_are_not_rounded(subject: Subject, precision: str) -> None:
    """In bfloat16, logits are not rounded in scoring and training either, unless bfloat16_rounds mentions logits."""
    masked, limit = stepping_case(), BOUNDS["float32"]["forward"]
    weights = masked.weights | {"output.weight": np.zeros_like(masked.weights["output.weight"])}
    parts = subject.parts(precision, masked.model, weights)
    if "logits" in parts.backend.bfloat16_rounds:
        return
    expected, _ = Oracle(masked.model).nats(weights, *masked.batch)
    for what, nats in (
        ("scoring", parts.nats(*masked.batch)[0]),
        ("training", parts.gradients(*masked.batch)[1]),
    ):
        gap = difference(nats, expected)
        require(
            gap <= limit,
            expected=f"nats of {what} from output.bias alone where output.weight is zero, within {limit:.0e}",
            got=f"a difference of {gap:.1e}",
            look_at=_LOGITS,
        )
