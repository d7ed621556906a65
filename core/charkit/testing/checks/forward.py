"""Stage forward: the LSTM and the projection, dropout by masks, and the state, against the oracle."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from charkit.backend import Array, State
from charkit.testing.agreement import require_agreement
from charkit.testing.backend_parts import Parts
from charkit.testing.cases import Case, make_case, reordered, stepping_case, unmasked_case, weights_of
from charkit.testing.memory import MUCH_FOR_70000_SYMBOLS, memory_limit
from charkit.testing.oracle import Oracle
from charkit.testing.registry import check_precisions
from charkit.testing.returned_values import require_precision
from charkit.testing.subject import Subject
from charkit.testing.tolerances import require_close, require_equal

_LSTM = "lstm.py: z = W_ih x + W_hh h + b, gates i, f, g, o; output.py: W_out output + b_out"
_STATE = "lstm.py: the state, two arrays (layer, batch, unit)"
_SYMBOLS = (
    "lstm.py: the columns of layer 0's weight_ih, indexed by symbols, which stay int32; "
    "output.py: the logits of a large vocabulary"
)
_MASKS = "lstm.py: output = h * mask / (1 - dropout) on every layer; the carried h is not masked"


def _parts(subject: Subject, precision: str, case: Case) -> Parts:
    return subject.parts(precision, case.model, case.weights)


def _check_forward(subject: Subject, precision: str, case: Case, look_at: str) -> None:
    _check_parts(_parts(subject, precision, case), precision, case, look_at)


def _check_parts(parts: Parts, precision: str, case: Case, look_at: str) -> None:
    """Compares the logits after the first symbol, and the state after the first and after all symbols."""
    observed = _backend_results(parts, case)
    proof = replace(make_case(num_layers=case.model.num_layers, masked=True), weights=case.weights)
    has_proof = case.masks is not None and proof.model == case.model
    require_agreement(
        observed,
        partial(_oracle_results, case),
        precision=precision,
        kind="forward",
        look_at=look_at,
        # Many mistakes give the same numbers if, for example, only one layer is masked.
        proof=(lambda: (_backend_results(parts, proof), partial(_oracle_results, proof)))
        if has_proof
        else None,
    )
    require_precision(observed, precision, "lstm.py and output.py")


def _backend_results(parts: Parts, case: Case) -> dict[str, Array]:
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


def _oracle_results(case: Case, oracle: type[Oracle]) -> dict[str, ArrayLike]:
    reference, first = oracle(case.model), case.steps(1)
    first_result = reference.forward(case.weights, first.symbols, first.state, first.masks)
    result = reference.forward(case.weights, case.symbols, case.state, case.masks)
    return {
        "logits": first_result.logits[:, 0],
        "hidden after one symbol": first_result.state.hidden,
        "cell after one symbol": first_result.state.cell,
        "hidden": result.state.hidden,
        "cell": result.state.cell,
    }


@check_precisions("forward", among=("float32",))
def one_layer(subject: Subject, precision: str) -> None:
    """One layer from a zero state: logits after one symbol, and hidden and cell state after one and six symbols."""
    _check_forward(subject, precision, make_case(num_layers=1, with_state=False), _LSTM)


@check_precisions("forward")
def three_layers(subject: Subject, precision: str) -> None:
    """Three layers from a zero state: each reads the output of the one before."""
    _check_forward(subject, precision, unmasked_case(with_state=False), _LSTM)


@check_precisions("forward")
def state_is_carried(subject: Subject, precision: str) -> None:
    """Several layers from a nonzero state, which is passed in and returned as (layer, batch, unit)."""
    _check_forward(subject, precision, unmasked_case(), _STATE)


@check_precisions("forward", among=("float32",))
def batch_of_one_and_single_step(subject: Subject, precision: str) -> None:
    """A batch of one sequence, and a single symbol from it, with more units than gates."""
    _check_forward(subject, precision, make_case(num_layers=1, batch_size=1, lstm_size=5), _LSTM)


@check_precisions("forward", among=("float32",))
def symbols_of_a_large_vocabulary(subject: Subject, precision: str) -> None:
    """Symbols of a vocabulary of 600, most of them beyond eight bits, and a single one of a vocabulary of 70,000."""
    case = make_case(num_layers=1, vocabulary_size=600)
    assert (case.symbols[:, 0] > 255).any()
    first = case.steps(1)
    logits, _ = _parts(subject, precision, case).predict(first.symbols, first.state)

    def compute(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        return {"logits": oracle(case.model).forward(case.weights, first.symbols, first.state).logits[:, 0]}

    require_agreement({"logits": logits}, compute, precision=precision, kind="forward", look_at=_SYMBOLS)
    _check_one_of_70000_symbols(subject, precision)


def _check_one_of_70000_symbols(subject: Subject, precision: str) -> None:
    """Predicts from one symbol of one sequence, which sampling has and which often has a separate path."""
    case = make_case(num_layers=1, batch_size=1, num_steps=1, vocabulary_size=70_000)
    case = replace(case, symbols=np.array([[69_000]], np.int32))
    try:
        with memory_limit(MUCH_FOR_70000_SYMBOLS):
            logits, _ = _parts(subject, precision, case).predict(case.symbols, case.state)
    except MemoryError:
        return  # an array of vocabulary by vocabulary is wasteful, but not wrong
    expected = Oracle(case.model).forward(case.weights, case.symbols, case.state).logits[:, 0]
    require_close(
        {"logits": logits},
        {"logits": expected},
        precision=precision,
        kind="forward",
        look_at=f"{_SYMBOLS}; also in a separate path for a single symbol, if there is one",
    )


@check_precisions("forward")
def symbol_by_symbol_equals_whole(subject: Subject, precision: str) -> None:
    """A sequence read one symbol at a time, with carried state, gives the same logits as the whole sequence."""
    case = unmasked_case(num_steps=8)
    parts, state = _parts(subject, precision, case), case.state
    columns = []
    for t in range(8):
        logits, state = parts.predict(case.symbols[:, t : t + 1].copy(), state)
        columns.append(logits)
    require_agreement(
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
    """Masks on one layer at a time, including the last: outputs are dropped or scaled by 1 / (1 - dropout)."""
    case = stepping_case()
    assert case.masks is not None
    for layer in range(case.model.num_layers):
        masks = np.ones_like(case.masks)
        masks[layer] = case.masks[layer]
        _check_forward(
            subject, precision, replace(case, masks=masks), f"{_MASKS} (layer {layer} is masked here)"
        )


@check_precisions("forward", among=("float32",))
def kept_outputs_are_scaled(subject: Subject, precision: str) -> None:
    """Even masks that keep everything scale by 1 / (1 - dropout); without masks, nothing is scaled."""
    case = stepping_case()
    assert case.masks is not None
    _check_forward(subject, precision, replace(case, masks=np.ones_like(case.masks)), _MASKS)
    _check_forward(subject, precision, replace(case, masks=None), _MASKS)


@check_precisions("forward", among=("float32",))
def carried_state_is_not_masked(subject: Subject, precision: str) -> None:
    """Even if the last layer's masks drop all outputs, the state after the sequence is as if they dropped none."""
    case = stepping_case()
    assert case.masks is not None
    masks = np.ones_like(case.masks)
    masks[-1] = False
    _check_forward(subject, precision, replace(case, masks=masks), _MASKS)


@check_precisions("forward", among=("float32",))
def slices_of_a_batch(subject: Subject, precision: str) -> None:
    """Each half of a batch, with its half of the state and masks, gives the corresponding half of the results."""
    case = make_case(num_layers=3, batch_size=6, masked=True)
    for sequences in (slice(0, 3), slice(3, 6)):
        _check_forward(
            subject, precision, case.sequences(sequences), "lstm.py: the sequences in a batch must not mix"
        )


@check_precisions("forward")
def weight_order_does_not_matter(subject: Subject, precision: str) -> None:
    """Weights are found by name, whatever their order in the dictionary."""
    case = unmasked_case()
    for start in (0, 3):
        other = replace(case, weights=reordered(case.weights, start))
        _check_forward(
            subject, precision, other, "lstm.py and output.py: weights are looked up by name, not by position"
        )


@check_precisions("forward")
def other_weights_give_other_logits(subject: Subject, precision: str) -> None:
    """Each call uses the weights it is given, even after calls with different weights: no cache is stale."""
    case = unmasked_case()
    parts = _parts(subject, precision, case)
    first, second, third = (weights_of(case.model, stream) for stream in (10, 40, 70))
    tensors, others = parts.tensors(first), parts.tensors(second)
    sets = [(first, tensors), (second, others), (third, parts.tensors(third)), (first, tensors)]
    # One new array at a time: what is cached by another array would be stale.
    sets += [(first | {name: second[name]}, tensors | {name: others[name]}) for name in first]
    for weights, parts.weights in sets:
        other = replace(case, weights=weights)
        _check_parts(
            parts, precision, other, "lstm.py and output.py: what is prepared from weights and cached"
        )


@check_precisions("forward")
def state_is_not_consumed(subject: Subject, precision: str) -> None:
    """The state that is passed in is unchanged and can be used again."""
    look_at = "lstm.py: nothing writes to the given state"
    cases = [unmasked_case()]
    if precision == "float32":  # sampling often has a separate path, in every precision the same
        cases.append(stepping_case().sequences([0]).steps(1))
    for case in cases:
        parts = _parts(subject, precision, case)
        state = parts.state(case.state)
        before = parts.state_out(state)
        if len(case.symbols) > 1:
            results = [parts.state_out(parts.advance_tensors(case.symbols, state)) for _ in range(2)]
        else:
            results = [parts.state_out(parts.predict_tensors(case.symbols, state)[1]) for _ in range(2)]
        after = parts.state_out(state)
        require_equal(_by_name(after), _by_name(before), expected="an unchanged state", look_at=look_at)
        expected = "the same result from the same state"
        require_equal(_by_name(results[1]), _by_name(results[0]), expected=expected, look_at=look_at)


@check_precisions("forward")
def only_the_state_is_carried(subject: Subject, precision: str) -> None:
    """A state that is copied out and back in gives the same bits as the state itself: nothing else is carried."""
    case = unmasked_case()
    parts = _parts(subject, precision, case)
    after = parts.advance_tensors(case.symbols, parts.state(case.state))
    copied = parts.state(parts.state_out(after))
    from_itself, from_copy = (
        parts.state_out(parts.advance_tensors(case.symbols, state)) for state in (after, copied)
    )
    require_equal(
        _by_name(from_itself),
        _by_name(from_copy),
        expected="the same bits from a state and from its copy",
        look_at="lstm.py: a state whose dtype has higher precision than the one that numpy() returns, or a "
        "state that is also stored elsewhere",
    )


def _by_name(state: State[Array]) -> dict[str, Array]:
    return {"hidden": state.hidden, "cell": state.cell}
