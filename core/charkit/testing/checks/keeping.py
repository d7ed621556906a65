"""What is kept between calls belongs to one call, one shape and one set of arrays: nothing stale comes out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from charkit.backend import Array, State
from charkit.charrnn import CharRNN
from charkit.config import OptimizerConfig
from charkit.testing.cases import SEED, STEPPING, make_case, stepping_case, symbols_of, weights_of
from charkit.testing.judge import same_bits
from charkit.testing.registry import check_precisions
from charkit.testing.subject import Subject

_ONE_LAYER = make_case(num_layers=1).model
#: The model of stage training.
_STEPPING = stepping_case().model
_STEPS, _STATES, _MOST_LOADS = 6, 8, 8
_BUFFERS = "lstm.py and loss.py: what comes out is no view of an array that later calls write to"


@check_precisions("training", among=("float32",))
def results_of_one_stream_can_wait(subject: Subject, precision: str) -> None:
    """One layer and one stream, whose arrays need no joining: results and states stay as they came out."""
    backend, weights = subject.backend(precision), weights_of(_ONE_LAYER)
    network = CharRNN.from_config(
        _ONE_LAYER, OptimizerConfig(), backend, batch_size=1, num_steps=_STEPS, weights=weights
    )
    batches = [_batch(number, streams=1) for number in range(3)]
    result = network.train_step(*batches[0])
    early, late = {"nats": result.nats}, replace(result)  # the same tensors, not read yet
    for batch in batches[1:]:
        network.train_step(*batch)
    expected = "the nats of a step, unchanged by later steps"
    same_bits({"nats": late.nats}, early, expected=expected, look_at=_BUFFERS)
    states, seen = [network.initial_state(1)], []
    for step in range(_STATES):
        inputs, targets = batches[step % 3]
        _, scored = network.nats(inputs, targets, states[-1])
        _, predicted = network.predict(inputs[:, :1].copy(), scored)
        states += [scored, predicted]
        seen += [network.state_arrays(scored), network.state_arrays(predicted)]
    for state, before in zip(states[1:], seen, strict=True):
        after = network.state_arrays(state)
        expected = "a state of one stream, unchanged by later calls"
        same_bits(_named(after), _named(before), expected=expected, look_at=_BUFFERS)


def _named(state: State[Array]) -> dict[str, Array]:
    return {"hidden": state.hidden, "cell": state.cell}


@check_precisions("training", among=("float32",))
def other_shapes_do_not_disturb(subject: Subject, precision: str) -> None:
    """Losses and state of a batch are the same before and after those of a larger batch."""
    large = stepping_case()
    small = replace(large.part([0, 1]).steps(4), masks=None)
    parts = subject.parts(precision, small.model, small.weights)
    before: dict[str, Array] = {}
    for case in (small, large, small):
        nats, after = parts.nats(*case.batch)
        if case is small:
            came = {"nats": nats, **_named(after)}
            before = before or came
            look_at = "arrays that are kept between calls have the shape of the call, and no more"
            same_bits(came, before, expected="the same numbers after a larger batch", look_at=look_at)


@check_precisions("training", among=("float32",))
def what_is_loaded_is_used(subject: Subject, precision: str) -> None:
    """Weights that are loaded several times in a row, and moments that are loaded alone, are those of the next call."""
    network = _stepping(subject, precision)
    symbol, logits = symbols_of(121, (3, 1), _STEPPING.vocabulary_size), dict[int, Array]()
    sets = {stream: weights_of(_STEPPING, stream) for stream in (10, 40)}
    for loads in range(
        1, _MOST_LOADS + 1
    ):  # what is found by its place in memory may be in that of one before
        for stream, weights in sets.items():
            for _ in range(loads):
                network.load_weights(weights)
            came, _ = network.predict(symbol, network.initial_state(3))
            look_at = (
                "lstm.py and output.py: what is prepared from weights is known again by the arrays themselves"
            )
            expected = "the logits of the weights that were loaded last"
            right = {"logits": logits.setdefault(stream, came)}
            same_bits({"logits": came}, right, expected=expected, look_at=look_at)
    network.train_step(*_batch(1))
    moments, step = network.moments(), network.step
    network.train_step(*_batch(2))
    other = _stepping(subject, precision)
    other.load_weights(network.weights())
    for one in (network, other):
        one.load_moments(moments.exp_avg, moments.exp_avg_sq, step=step)
        one.reset_state()
        one.train_step(*_batch(3))
    for what in ("exp_avg", "exp_avg_sq"):
        same_bits(
            getattr(network.moments(), what),
            getattr(other.moments(), what),
            expected=f"{what} of the moments that were loaded, gone on with",
            look_at="optimizer.py: what is kept of moments from call to call",
        )


@check_precisions("training")
def evaluation_has_the_weights_of_the_last_step(subject: Subject, precision: str) -> None:
    """A prediction after a step is the same once the weights are copied out and in again."""
    network = _stepping(subject, precision)
    symbol = symbols_of(121, (3, 1), _STEPPING.vocabulary_size)
    network.predict(symbol, network.initial_state(3))
    network.train_step(*_batch(1))
    came, _ = network.predict(symbol, network.initial_state(3))
    network.load_weights(network.weights())
    again, _ = network.predict(symbol, network.initial_state(3))
    same_bits(
        {"logits": came},
        {"logits": again},
        expected="the logits of the weights after the step",
        look_at="lstm.py and output.py: what is prepared from weights and kept; the update may have been in place",
    )


def _stepping(subject: Subject, precision: str) -> CharRNN:
    """A network of stage training, whose steps are compiled already."""
    backend = subject.backend(precision)
    weights = weights_of(_STEPPING)
    return CharRNN.from_config(
        _STEPPING, STEPPING, backend, batch_size=3, num_steps=_STEPS, seed=SEED, weights=weights
    )


def _batch(number: int, streams: int = 3) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    text = symbols_of(130 + number, (streams, _STEPS + 1), _STEPPING.vocabulary_size)
    return text[:, :-1].copy(), text[:, 1:].copy()
