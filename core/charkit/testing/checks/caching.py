"""Stage training: what a backend caches between calls is never stale, whatever the arrays."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit.backend import Array, State
from charkit.charrnn import CharRNN
from charkit.config import OptimizerConfig
from charkit.testing.backend_parts import Parts
from charkit.testing.cases import (
    SEED,
    STEPPING,
    UNREAD_STEPS,
    make_case,
    stepping_case,
    symbols_of,
    weights_of,
)
from charkit.testing.registry import check, check_precisions
from charkit.testing.subject import Subject
from charkit.testing.tolerances import require, require_equal

_ONE_LAYER = make_case(num_layers=1).model
#: The model of stage training, whose steps are compiled already.
_STEPPING = stepping_case().model
_STEPS, _STATES, _MOST_LOADS = 6, 8, 8
_BUFFERS = "lstm.py and loss.py: results must not be views of arrays that later calls write to"


@check_precisions("training", among=("float32",))
def results_of_one_stream_can_be_read_later(subject: Subject, precision: str) -> None:
    """Results and states of one layer and one stream, read later, have not been changed by later calls."""
    backend, weights = subject.backend(precision), weights_of(_ONE_LAYER)
    network = CharRNN.from_config(
        _ONE_LAYER, OptimizerConfig(), backend, batch_size=1, num_steps=_STEPS, weights=weights
    )
    batches = [_batch(number, streams=1) for number in range(3)]
    result = network.train_step(*batches[0])
    early, late = {"nats": result.nats}, replace(result)  # the same tensors, not yet read
    for number in range(UNREAD_STEPS):
        network.train_step(*batches[1 + number % 2])
    expected = "the nats of a step, unchanged by later steps"
    require_equal({"nats": late.nats}, early, expected=expected, look_at=_BUFFERS)
    states, early_states = [network.initial_state(1)], []
    for step in range(_STATES):
        inputs, targets = batches[step % 3]
        _, scored = network.nats(inputs, targets, states[-1])
        _, predicted = network.predict(inputs[:, :1].copy(), scored)
        states += [scored, predicted]
        early_states += [network.state_arrays(scored), network.state_arrays(predicted)]
    for state, before in zip(states[1:], early_states, strict=True):
        after = network.state_arrays(state)
        expected = "a state of one stream, unchanged by later calls"
        require_equal(_by_name(after), _by_name(before), expected=expected, look_at=_BUFFERS)


def _by_name(state: State[Array]) -> dict[str, Array]:
    return {"hidden": state.hidden, "cell": state.cell}


@check_precisions("training", among=("float32",))
def loaded_arrays_are_used(subject: Subject, precision: str) -> None:
    """Weights loaded several times in a row, and moments loaded on their own, are used by the next call."""
    _check_loaded_weights(_stepping(subject, precision), "nats", _scored)
    for streams in (3, 1):  # the prediction of a single stream often has a separate path
        _check_loaded_weights(_stepping(subject, precision), "logits", partial(_predicted, streams=streams))
    network = _stepping(subject, precision)
    network.train_step(*_batch(1))
    moments, step = network.moments(), network.step
    network.train_step(*_batch(2))
    other = _stepping(subject, precision)
    other.load_weights(network.weights())
    for each in (network, other):
        each.load_moments(moments.exp_avg, moments.exp_avg_sq, step=step)
        each.reset_state()
        each.train_step(*_batch(3))
    for moment in ("exp_avg", "exp_avg_sq"):
        require_equal(
            getattr(network.moments(), moment),
            getattr(other.moments(), moment),
            expected=f"{moment} after a step from the loaded moments",
            look_at="optimizer.py: moments that are cached between calls",
        )


def _predicted(network: CharRNN, streams: int) -> Array:
    symbol = symbols_of(121, (streams, 1), _STEPPING.vocabulary_size)
    return network.predict(symbol, network.initial_state(streams))[0]


def _scored(network: CharRNN) -> Array:
    inputs, targets = _batch(1)
    return network.nats(inputs, targets, network.initial_state(len(inputs)))[0]


def _check_loaded_weights(network: CharRNN, what: str, evaluate: Callable[[CharRNN], Array]) -> None:
    """Loads two sets of weights in turn, and evaluates each; nothing else is called, whose caches could keep them."""
    known: dict[int, Array] = {}
    sets = {stream: weights_of(_STEPPING, stream) for stream in (10, 40)}
    # Arrays that are recognized by their address may have the address of earlier ones.
    for loads in range(1, _MOST_LOADS + 1):
        for stream, weights in sets.items():
            for _ in range(loads):
                network.load_weights(weights)
            found = evaluate(network)
            require_equal(
                {what: found},
                {what: known.setdefault(stream, found)},
                expected=f"the {what} computed with the weights that were loaded last",
                look_at="lstm.py and output.py: a cache of anything prepared from weights must keep a reference to "
                "their dictionary and recognize it with `is`; its id() may be reused, and the arrays may be updated in "
                "place",
            )


@check_precisions("training")
def evaluation_uses_the_latest_weights(subject: Subject, precision: str) -> None:
    """A prediction after a step stays the same when the weights have been copied out and back in."""
    network = _stepping(subject, precision)
    # The prediction of a single stream often has a separate path, in every precision the same.
    for streams in (3, 1) if precision == "float32" else (3,):
        symbol = symbols_of(121, (streams, 1), _STEPPING.vocabulary_size)
        network.predict(symbol, network.initial_state(streams))
        network.train_step(*_batch(streams))
        predicted, _ = network.predict(symbol, network.initial_state(streams))
        network.load_weights(network.weights())
        repeated, _ = network.predict(symbol, network.initial_state(streams))
        require_equal(
            {"logits": predicted},
            {"logits": repeated},
            expected=f"the logits computed with the weights after the step, for a batch of {streams}",
            look_at="lstm.py and output.py: what is prepared from weights and cached; the update may be in place",
        )


def _stepping(subject: Subject, precision: str) -> CharRNN:
    """A network of stage training."""
    backend = subject.backend(precision)
    weights = weights_of(_STEPPING)
    return CharRNN.from_config(
        _STEPPING, STEPPING, backend, batch_size=3, num_steps=_STEPS, seed=SEED, weights=weights
    )


def _batch(number: int, streams: int = 3) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    text = symbols_of(130 + number, (streams, _STEPS + 1), _STEPPING.vocabulary_size)
    return text[:, :-1].copy(), text[:, 1:].copy()


@check("training")
def replaced_weights_are_released(subject: Subject) -> None:
    """What is prepared from weights is released with them or, at the latest, when others are used."""
    case = stepping_case()
    parts = Parts(subject.backend("float32"), case.model, case.weights)
    old: list[Any] = []
    for weights in (case.weights, weights_of(_STEPPING, 40)):
        parts.weights = parts.tensors(weights)
        try:
            old = old or [weakref.ref(tensor) for tensor in parts.weights.values()]
        except TypeError:
            return  # tensors of this framework can't be observed
        for streams in (3, 1):
            some = case.sequences(slice(0, streams)).steps(1)
            parts.predict(some.symbols, some.state)
        parts.nats(*case.batch)
        parts.gradients(*case.batch)
    gc.collect()
    kept = sum(reference() is not None for reference in old)
    require(
        not kept,
        expected="replaced weights to be released once other weights are used",
        got=f"{kept} of {len(old)} replaced arrays still in memory",
        look_at="lstm.py, output.py and backend.py: what is prepared from weights may be kept only until other weights "
        "are used",
    )
