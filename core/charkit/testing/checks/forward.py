"""Stage forward: the LSTM and the projection, dropout by masks, and the state, against the oracle."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from charkit.backend import Array, State
from charkit.testing.agreement import agree
from charkit.testing.border import of_precision
from charkit.testing.cases import Case, make_case, reordered, stepping_case, weights_of
from charkit.testing.judge import BOUNDS, difference, require, same_bits
from charkit.testing.oracle import Oracle
from charkit.testing.registry import check_precisions
from charkit.testing.subject import Parts, Subject

_LSTM = "lstm.py: z = W_ih x + W_hh h + b, gates i, f, g, o; output.py: W_out output + b_out"
#: A shape is handled the same way in bfloat16, whose wide bounds show less of it.
_EXACT = ("float32", "float64")
_STATE = "lstm.py: the state, two arrays (layer, batch, unit)"
_SYMBOLS = "lstm.py: the columns of layer 0's weight_ih, by symbols that stay int32"
_MASKS = "lstm.py: output = h * mask / (1 - dropout) on every layer, the carried h without a mask"


def _parts(subject: Subject, precision: str, case: Case) -> Parts:
    return subject.parts(precision, case.model, case.weights)


def _agree(subject: Subject, precision: str, case: Case, look_at: str) -> None:
    _compare(_parts(subject, precision, case), precision, case, look_at)


def _compare(parts: Parts, precision: str, case: Case, look_at: str) -> None:
    """Compares the logits after the first symbol, and the state after the first and after all symbols."""
    observed = _observed(parts, case)
    proof = replace(make_case(num_layers=case.model.num_layers, masked=True), weights=case.weights)
    has_proof = case.masks is not None and proof.model == case.model
    agree(
        observed,
        partial(_computed, case),
        precision=precision,
        kind="forward",
        look_at=look_at,
        # Where one layer alone is masked, say, many mistakes are the same.
        proof=(lambda: (_observed(parts, proof), partial(_computed, proof))) if has_proof else None,
    )
    of_precision(observed, precision, "lstm.py and output.py")


def _observed(parts: Parts, case: Case) -> dict[str, Array]:
    first = case.steps(1)
    logits, state = parts.predict(first.symbols, first.state, first.masks)
    last = parts.advance(case.symbols, case.state, case.masks)
    return {
        "logits": logits,
        "hidden after one symbol": state.hidden,
        "cell after one symbol": state.cell,
        "hidden": last.hidden,
        "cell": last.cell,
    }


def _computed(case: Case, oracle: type[Oracle]) -> dict[str, ArrayLike]:
    judge, first = oracle(case.model), case.steps(1)
    one = judge.forward(case.weights, first.symbols, first.state, first.masks)
    every = judge.forward(case.weights, case.symbols, case.state, case.masks)
    return {
        "logits": one.logits[:, 0],
        "hidden after one symbol": one.state.hidden,
        "cell after one symbol": one.state.cell,
        "hidden": every.state.hidden,
        "cell": every.state.cell,
    }


@check_precisions("forward", among=_EXACT)
def one_layer(subject: Subject, precision: str) -> None:
    """One layer from a zero state: logits after one symbol, hidden and cell after one and after six."""
    _agree(subject, precision, make_case(num_layers=1, with_state=False), _LSTM)


@check_precisions("forward")
def two_layers(subject: Subject, precision: str) -> None:
    """Two layers from a zero state: the second reads the first one's output."""
    _agree(subject, precision, make_case(with_state=False), _LSTM)


@check_precisions("forward")
def state_is_carried(subject: Subject, precision: str) -> None:
    """Two layers from a state that is not zero; it goes in and comes out as (layer, batch, unit)."""
    _agree(subject, precision, make_case(), _STATE)


@check_precisions("forward", among=("float32",))
def batch_of_one_and_single_step(subject: Subject, precision: str) -> None:
    """A batch of one sequence, whole and a single symbol of it, of three layers and more units than there are gates."""
    _agree(subject, precision, make_case(num_layers=3, batch_size=1, lstm_size=5), _LSTM)


@check_precisions("forward", among=("float32",))
def symbols_of_a_large_vocabulary(subject: Subject, precision: str) -> None:
    """Symbols of a vocabulary of 600, most of them above 255: an index of eight bits does not hold them."""
    case = make_case(num_layers=1, vocabulary_size=600)
    assert (case.symbols[:, 0] > 255).any()
    first = case.steps(1)
    logits, _ = _parts(subject, precision, case).predict(first.symbols, first.state)

    def compute(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        return {"logits": oracle(case.model).forward(case.weights, first.symbols, first.state).logits[:, 0]}

    agree({"logits": logits}, compute, precision=precision, kind="forward", look_at=_SYMBOLS)


@check_precisions("forward")
def symbol_by_symbol_equals_whole(subject: Subject, precision: str) -> None:
    """Symbol by symbol, the state handed on each time, gives the logits of the whole sequence."""
    case = make_case(num_steps=8)
    parts, state = _parts(subject, precision, case), case.state
    columns = []
    for t in range(8):
        logits, state = parts.predict(case.symbols[:, t : t + 1].copy(), state)
        columns.append(logits)
    agree(
        {"logits": np.stack(columns, axis=1), "hidden": state.hidden, "cell": state.cell},
        lambda oracle: _whole(oracle, case),
        precision=precision,
        kind="forward",
        look_at=_STATE,
    )


def _whole(oracle: type[Oracle], case: Case) -> dict[str, ArrayLike]:
    result = oracle(case.model).forward(case.weights, case.symbols, case.state, case.masks)
    return {"logits": result.logits, "hidden": result.state.hidden, "cell": result.state.cell}


@check_precisions("forward", among=("float32",))
def masks_drop_every_layer(subject: Subject, precision: str) -> None:
    """Masks on one layer at a time, the last one too: outputs are dropped and scaled by 1 / (1 - dropout)."""
    case = stepping_case()
    assert case.masks is not None
    for layer in range(case.model.num_layers):
        masks = np.ones_like(case.masks)
        masks[layer] = case.masks[layer]
        _agree(subject, precision, replace(case, masks=masks), f"{_MASKS} (layer {layer} is masked here)")


@check_precisions("forward", among=("float32",))
def kept_outputs_are_scaled(subject: Subject, precision: str) -> None:
    """Masks that keep everything still scale by 1 / (1 - dropout); no masks, no scale."""
    case = stepping_case()
    assert case.masks is not None
    _agree(subject, precision, replace(case, masks=np.ones_like(case.masks)), _MASKS)
    _agree(subject, precision, replace(case, masks=None), _MASKS)


@check_precisions("forward", among=("float32",))
def carried_state_is_not_masked(subject: Subject, precision: str) -> None:
    """Where only the last layer is masked, the state after the sequence is that of the sequence without masks."""
    case = stepping_case()
    assert case.masks is not None
    masks = np.ones_like(case.masks)
    masks[-1] = False
    _agree(subject, precision, replace(case, masks=masks), _MASKS)


@check_precisions("forward", among=("float32",))
def slices_of_a_batch(subject: Subject, precision: str) -> None:
    """Each half of a batch, with its half of state and masks, gives that half of the results."""
    case = make_case(num_layers=3, batch_size=6, masked=True)
    for sequences in (slice(0, 3), slice(3, 6)):
        _agree(subject, precision, case.part(sequences), "lstm.py: sequences of a batch don't mix")


@check_precisions("forward")
def order_of_weights_means_nothing(subject: Subject, precision: str) -> None:
    """The weights in two other orders of their dictionary: they are joined by name."""
    case = make_case()
    for start in (0, 3):
        other = replace(case, weights=reordered(case.weights, start))
        _agree(subject, precision, other, "lstm.py and output.py: weights are taken by name, not by position")


@check_precisions("forward")
def other_weights_give_other_logits(subject: Subject, precision: str) -> None:
    """Each call uses the weights that it is given, also after many others: nothing stale is kept."""
    case = make_case()
    parts = _parts(subject, precision, case)
    first, second, third = (weights_of(case.model, stream) for stream in (10, 40, 70))
    tensors, others = parts.tensors(first), parts.tensors(second)
    sets = [(first, tensors), (second, others), (third, parts.tensors(third)), (first, tensors)]
    # One array at a time, the others being the same tensors: what is kept by one of them is stale for the rest.
    sets += [(first | {name: second[name]}, tensors | {name: others[name]}) for name in first]
    for weights, parts.weights in sets:
        other = replace(case, weights=weights)
        _compare(parts, precision, other, "lstm.py: what is prepared from weights and kept")


@check_precisions("forward")
def state_is_not_consumed(subject: Subject, precision: str) -> None:
    """The state that was handed in can be used again: it has not changed."""
    look_at = "lstm.py: nothing writes to the state that comes in"
    for case in (make_case(), stepping_case().part([0]).steps(1)):  # sampling is often a path of its own
        parts = _parts(subject, precision, case)
        state = parts.state(case.state)
        before = parts.state_out(state)
        if len(case.symbols) > 1:
            results = [parts.state_out(parts.advance_tensors(case.symbols, state)) for _ in range(2)]
        else:
            results = [parts.state_out(parts.predict_tensors(case.symbols, state)[1]) for _ in range(2)]
        after = parts.state_out(state)
        same_bits(_named(after), _named(before), expected="an unchanged state", look_at=look_at)
        expected = "the same result from the same state"
        same_bits(_named(results[1]), _named(results[0]), expected=expected, look_at=look_at)


@check_precisions("forward")
def state_is_all_that_is_carried(subject: Subject, precision: str) -> None:
    """A state that is copied out and in again gives the same bits as the state itself: it holds nothing more."""
    case = make_case()
    parts = _parts(subject, precision, case)
    after = parts.advance_tensors(case.symbols, parts.state(case.state))
    copied = parts.state(parts.state_out(after))
    from_itself, from_copy = (
        parts.state_out(parts.advance_tensors(case.symbols, state)) for state in (after, copied)
    )
    same_bits(
        _named(from_itself),
        _named(from_copy),
        expected="the same bits from a state and from its copy",
        look_at="lstm.py: the state is kept in a finer type than numpy() returns, or in another place too",
    )


def _named(state: State[Array]) -> dict[str, Array]:
    return {"hidden": state.hidden, "cell": state.cell}


@check_precisions("forward", among=("bfloat16",))
def bfloat16_is_not_float32(subject: Subject, precision: str) -> None:
    """bfloat16, where it is declared, rounds the operands of matrix products: it is not float32 by another name."""
    case = make_case()
    state = _parts(subject, precision, case).advance(case.symbols, case.state)
    expected = Oracle(case.model).forward(case.weights, case.symbols, case.state).state
    gap = difference(state.hidden, expected.hidden)
    require(
        gap > BOUNDS["float32"]["forward"],
        expected=f"a rounding of 8-bit operands, above {BOUNDS['float32']['forward']:.0e} of the largest",
        got=f"float32's numbers: a difference of {gap:.1e}",
        look_at="lstm.py: bfloat16 operands, by the precision that __init__ was given; or leave it out of precisions",
    )
