"""Stages forward and gradients: what bfloat16 rounds, and what it leaves as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from charkit.backend import State
from charkit.testing.cases import Case, make_case, stepping_case
from charkit.testing.mistakes.bfloat16 import rounded
from charkit.testing.oracle import Oracle
from charkit.testing.registry import check_precisions
from charkit.testing.subject import Subject
from charkit.testing.tolerances import BOUNDS, difference, require

_LOGITS = (
    "output.py: in bfloat16, only the operands of the product are rounded, not the product, the bias or the "
    "logits; or bfloat16_rounds says that logits are rounded"
)
#: The sigmoid of this is 1, and of its negative 0; the hyperbolic tangent of the cell is 1: exactly so in float32 and
#: bfloat16.
_OPEN, _LARGE_CELL = 50.0, 20.0
#: What bfloat16_rounds mentions if the gradient of a bias is not that of float32.
_PARTS_OF_THE_GRADIENT = ("gradient", "bias", "gate", "cell", "product")
#: A cell that is rounded by 0.5 in bfloat16, so that it loses what a step adds to it, the tanh of this.
_COUNTING_CELL, _ADDED = 200.0, 0.25
#: What bfloat16_rounds mentions if the cell is not that of float32.
_PARTS_OF_THE_CELL = ("state", "cell")
#: What bfloat16_rounds mentions if gradients of weights are not those of float32, and weights whose gradients add up
#: products: those of the input weights may each be a single rounded operand.
_PARTS_OF_WEIGHT_GRADIENTS = ("gradient", "product")
_ADDED_UP = ("lstm.0.weight_hh", "output.weight")
#: What is added to one logit so that its probability is 1.
_FAR = 1000.0


def _with_exact_outputs(case: Case) -> Case:
    """The case with LSTM weights and a state that make every output exactly 1, and operands that are not rounded."""
    weights = {name: np.zeros(array.shape) for name, array in case.weights.items()}
    for layer in range(case.model.num_layers):
        i, f, _, o = weights[f"lstm.{layer}.bias"].reshape(4, -1)
        i[:], f[:], o[:] = -_OPEN, _OPEN, _OPEN
    weights["output.weight"] = rounded(case.weights["output.weight"])
    weights["output.bias"] = case.weights["output.bias"]
    state = State(np.zeros(case.state.hidden.shape), np.full(case.state.cell.shape, _LARGE_CELL))
    return replace(case, weights=weights, state=state, masks=None)


@check_precisions("forward", among=("bfloat16",))
def bfloat16_is_not_float32(subject: Subject, precision: str) -> None:
    """bfloat16 rounds the operands of matrix products, for one symbol too: it is not float32 under another name."""
    case = replace(stepping_case(), masks=None)
    parts, limit = subject.parts(precision, case.model, case.weights), BOUNDS["float32"]["forward"]
    single = case.sequences(slice(0, 1))  # one symbol of one stream often has a separate path
    for what, some in (
        ("six symbols of each of three streams", case),
        ("one symbol of each of three streams", case.steps(1)),
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
            expected=f"bfloat16 operands: after {what}, a hidden state that differs from the float64 reference by more "
            f"than {limit:.0e} times its largest element",
            got=f"float32 results: a difference of {gap:.1e}",
            look_at="lstm.py: bfloat16 operands if that is the precision given to __init__; or leave bfloat16 out of "
            "precisions",
        )


@check_precisions("forward", among=("bfloat16",))
def logits_are_not_rounded(subject: Subject, precision: str) -> None:
    """In bfloat16, logits keep the digits of float32, unless bfloat16_rounds mentions logits."""
    case, limit = _with_exact_outputs(stepping_case()).steps(1), BOUNDS["float32"]["forward"]
    parts = subject.parts(precision, case.model, case.weights)
    if "logits" in parts.backend.bfloat16_rounds:
        return
    logits, _ = parts.predict(case.symbols, case.state)
    expected = Oracle(case.model).forward(case.weights, case.symbols, case.state).logits[:, 0]
    gap = difference(logits, expected)
    require(
        gap <= limit,
        expected=f"logits with a relative error of at most {limit:.0e}, because all operands are exact in bfloat16",
        got=f"a relative error of {gap:.1e}",
        look_at=_LOGITS,
    )


@check_precisions("gradients", among=("bfloat16",))
def logits_of_training_are_not_rounded(subject: Subject, precision: str) -> None:
    """In bfloat16, logits are not rounded in scoring or training either, unless bfloat16_rounds mentions logits."""
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
            expected=f"nats in {what} with a relative error of at most {limit:.0e}, because all operands are exact in "
            "bfloat16",
            got=f"a relative error of {gap:.1e}",
            look_at=_LOGITS,
        )


@check_precisions("gradients", among=("bfloat16",))
def cells_are_not_rounded(subject: Subject, precision: str) -> None:
    """In bfloat16, cells keep small increments at each step, unless bfloat16_rounds mentions the state or cells."""
    # The models of earlier checks in bfloat16.
    small, large = map(_with_counting_cells, (stepping_case(), make_case(num_layers=1, vocabulary_size=600)))
    parts = subject.parts(precision, small.model, small.weights)
    if any(what in parts.backend.bfloat16_rounds for what in _PARTS_OF_THE_CELL):
        return
    state = small.state
    for step in range(small.symbols.shape[1]):
        _, state = parts.predict(small.symbols[:, step : step + 1].copy(), state)
    trained = subject.parts(precision, large.model, large.weights)
    for what, case, after in (
        ("symbol-by-symbol prediction", small, state),
        ("a call that only advances the state", small, parts.advance(small.symbols, small.state)),
        ("scoring", large, trained.nats(*large.batch)[1]),
        ("training", large, trained.gradients(*large.batch)[2]),
    ):
        expected = Oracle(case.model).forward(case.weights, case.symbols, case.state).state.cell
        gap, limit = difference(after.cell, expected), BOUNDS["float32"]["forward"]
        require(
            gap <= limit,
            expected=f"a cell that grows from {_COUNTING_CELL:g} to {expected.max():.2f} in {what}",
            got=f"{np.max(after.cell):.2f}",
            look_at="lstm.py: in bfloat16, only operands of products are rounded, and the cell is float32 at each time "
            "step; or bfloat16_rounds says that the state is rounded",
        )


def _with_counting_cells(case: Case) -> Case:
    """The case with LSTM weights and a state whose cells are large and grow a little at each step."""
    weights = {name: np.zeros(array.shape) for name, array in case.weights.items()}
    for layer in range(case.model.num_layers):
        i, f, g, _ = weights[f"lstm.{layer}.bias"].reshape(4, -1)
        i[:], f[:], g[:] = _OPEN, _OPEN, _ADDED
    state = State(np.zeros(case.state.hidden.shape), np.full(case.state.cell.shape, _COUNTING_CELL))
    return replace(case, weights=weights, state=state, masks=None)


@check_precisions("gradients", among=("bfloat16",))
def factors_of_the_backward_pass_are_not_rounded(subject: Subject, precision: str) -> None:
    """In bfloat16, gates and cells enter the gradient of a bias unrounded, unless bfloat16_rounds mentions them."""
    # The sizes of another check in bfloat16. Its logits are so far apart that all gradients of logits are 0 or of one
    # size, which may be rounded: up to that scale, the gradient of the bias contains no operand of a product.
    case = make_case(num_layers=1, vocabulary_size=600)
    parts = subject.parts(precision, case.model, case.weights)
    if any(what in parts.backend.bfloat16_rounds for what in _PARTS_OF_THE_GRADIENT):
        return
    weights = _with_exact_outputs(case).weights | {"lstm.0.bias": case.weights["lstm.0.bias"]}
    weights["output.bias"] = np.where(np.arange(600) == 0, _FAR, 0.0)
    exact = replace(case, weights=weights, targets=np.maximum(case.targets, 1))
    parts.weights = parts.tensors(exact.weights)
    observed = parts.gradients(*exact.batch)[0]["lstm.0.bias"]
    expected = Oracle(case.model).gradients(exact.weights, *exact.batch)["lstm.0.bias"]
    gap = difference(observed / np.linalg.norm(observed), expected / np.linalg.norm(expected))
    limit = BOUNDS["float32"]["gradients"]
    require(
        gap <= limit,
        expected=f"the direction of the gradient of lstm.0.bias within {limit:.0e} of the reference's, because rounded "
        "operands change only its length here",
        got=f"a difference of {gap:.1e}",
        look_at="lstm.py: in bfloat16, only operands of products are rounded, and the gates and cells by which the "
        "backward pass multiplies are float32; or bfloat16_rounds says that they are rounded",
    )


@check_precisions("gradients", among=("bfloat16",))
def gradients_are_not_rounded(subject: Subject, precision: str) -> None:
    """In bfloat16, gradients of one and of more time steps are not rounded, unless bfloat16_rounds mentions them."""
    case = make_case(num_layers=1, vocabulary_size=600)  # the sizes of another check in bfloat16
    parts = subject.parts(precision, case.model, case.weights)
    if any(what in parts.backend.bfloat16_rounds for what in _PARTS_OF_WEIGHT_GRADIENTS):
        return
    for what, some in (("sequences", case), ("a single time step", case.steps(1))):
        gradients = parts.gradients(*some.batch)[0]
        for name in _ADDED_UP:
            gradient = gradients[name]
            changed = float(np.mean(rounded(gradient) != gradient))
            require(
                changed > 0.5,
                expected=f"a gradient of {name} for {what} with the digits of float32, of which rounding to bfloat16 "
                "changes most elements",
                got=f"{changed:.0%} of its elements changed by rounding",
                look_at="lstm.py and output.py: in bfloat16, only the operands of a product are rounded, not the "
                "product; or bfloat16_rounds says that gradients are rounded",
            )
