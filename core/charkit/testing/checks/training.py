"""Stage training: whole steps of CharRNN on the backend, alone and against a run on the oracle."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from charkit.backend import Array, Backend
from charkit.charrnn import CharRNN
from charkit.testing.agreement import agree
from charkit.testing.cases import SEED, STEPPING, stepping_case, symbols_of, weights_of
from charkit.testing.judge import BOUNDS, difference, require, same_bits
from charkit.testing.oracle import Oracle, Run
from charkit.testing.registry import check, check_precisions
from charkit.testing.subject import Subject

_STEP = "backend.py: compile() and what it consumes; optimizer.py"
_MODEL = stepping_case().model
_BATCH = (3, 6)
#: How many steps the longest of these runs has.
_MOST_STEPS = 10
#: A fused step and the same step in two calls: the same arithmetic, perhaps in another order.
_SAME_STEP = {"float64": 1e-12, "float32": 2e-5, "bfloat16": BOUNDS["bfloat16"]["gradients"]}


def _network(backend: Backend[Any]) -> CharRNN:
    batch_size, num_steps = _BATCH
    return CharRNN.from_config(
        _MODEL,
        STEPPING,
        backend,
        batch_size=batch_size,
        num_steps=num_steps,
        seed=SEED,
        weights=weights_of(_MODEL),
    )


def _step_batch(step: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    text = symbols_of(50 + step, (_BATCH[0], _BATCH[1] + 1), _MODEL.vocabulary_size)
    return text[:, :-1].copy(), text[:, 1:].copy()


def _straight(subject: Subject, precision: str, last: int) -> dict[str, Array]:
    """What ``_train`` gives for steps 1 to ``last``: the run that the checks compare with, made once."""

    def run() -> list[dict[str, Array]]:
        network = _network(subject.new(precision))
        steps = [_train(network, step, step) for step in range(1, _MOST_STEPS + 1)]
        results = {name: np.concatenate([step[name] for step in steps]) for name in ("losses", "norms")}
        return [
            {**step, **{name: array[:count] for name, array in results.items()}}
            for count, step in enumerate(steps, start=1)
        ]

    return subject.kept(("straight", precision), run)[last - 1]


def _train(network: CharRNN, first: int, last: int) -> dict[str, Array]:
    """Steps ``first`` to ``last``, then everything that the network holds, and losses and norms."""
    losses, norms = [], []
    for step in range(first, last + 1):
        result = network.train_step(*_step_batch(step))
        losses.append(result.loss)  # at once: another check reads results late
        norms.append(result.gradient_norm)
    return {**_held(network), "losses": np.array(losses), "norms": np.array(norms)}


def _held(network: CharRNN) -> dict[str, Array]:
    moments, state = network.moments(), network.state()
    return {
        **network.weights(),
        **{f"exp_avg.{name}": array for name, array in moments.exp_avg.items()},
        **{f"exp_avg_sq.{name}": array for name, array in moments.exp_avg_sq.items()},
        "hidden": state.hidden,
        "cell": state.cell,
    }


def _oracle_run(oracle: type[Oracle], steps: int) -> dict[str, ArrayLike]:
    run = Run(oracle(_MODEL, STEPPING), weights_of(_MODEL), _BATCH[0])
    masks = _network_masks(steps)
    results = [run.train_step(*_step_batch(step), masks[step - 1]) for step in range(1, steps + 1)]
    losses, norms = zip(*results, strict=True)
    return {**run.weights, "losses": losses, "norms": norms}


@cache
def _network_masks(steps: int) -> list[Any]:
    from charkit.randomness import dropout_masks

    shape = (_MODEL.num_layers, *_BATCH, _MODEL.lstm_size)
    return [dropout_masks(SEED, step, shape, _MODEL.dropout) for step in range(1, steps + 1)]


@check_precisions("training")
def one_step(subject: Subject, precision: str) -> None:
    """One whole step with dropout: its loss, and its gradient norm before clipping."""
    _losses_and_norms(subject, precision, 1)


@check_precisions("training")
def losses_of_ten_steps(subject: Subject, precision: str) -> None:
    """Ten steps with dropout, carried state and clipping: the loss and the norm of each."""
    _losses_and_norms(subject, precision, 10)


def _losses_and_norms(subject: Subject, precision: str, steps: int) -> None:
    observed = _straight(subject, precision, steps)
    agree(
        _losses_and_norms_of(observed),
        lambda oracle: _losses_and_norms_of(_oracle_run(oracle, steps)),
        precision=precision,
        kind="gradients",
        look_at=_STEP,
    )


def _losses_and_norms_of(results: Mapping[str, ArrayLike]) -> dict[str, ArrayLike]:
    return {name: results[name] for name in ("losses", "norms")}


@check_precisions("training", among=("float64",))
def weights_after_ten_steps(subject: Subject, precision: str) -> None:
    """The same ten steps in float64: every weight array. Not in float32, where Adam amplifies rounding."""
    observed = _straight(subject, precision, 10)
    compute = lambda oracle: _oracle_run(oracle, 10)  # noqa: E731
    agree(observed, compute, precision=precision, kind="update", look_at=_STEP)


@check("training")
def fused_step_equals_two_calls(subject: Subject) -> None:
    """A training step changes what gradients() and then apply_gradients() change."""
    precision = subject.finest()
    inputs, targets = _step_batch(1)
    fused, apart = _network(subject.new(precision)), _network(subject.new(precision))
    masks = apart.masks(1, inputs.shape)
    result = fused.train_step(inputs, targets)
    gradients, nats, after = apart.gradients(inputs, targets, masks=masks)
    norm = apart.apply_gradients(gradients)
    apart.load_state(after)
    # Adam turns a rounding of a tiny gradient into a whole step: weights are judged in float64 alone.
    names = set(_held(apart)) if precision == "float64" else set(_held(apart)) - set(apart.weights())
    step, calls = _held(fused), _held(apart)
    pairs = {name: (step[name], calls[name]) for name in sorted(names)}
    pairs |= {"loss": (np.asarray(result.loss), np.asarray(np.mean(nats, dtype=np.float64)))}
    pairs |= {"norm": (np.asarray(result.gradient_norm), np.asarray(norm))}
    for name, (came, wanted) in pairs.items():
        gap = difference(came, wanted)
        require(
            gap <= _SAME_STEP[precision],
            expected=f"{name} as from two calls, within {_SAME_STEP[precision]:.0e}",
            got=f"a difference of {gap:.2e}",
            look_at=_STEP,
        )


@check_precisions("training")
def not_finite_is_told(subject: Subject, precision: str) -> None:
    """A weight that is not a number makes loss and norm not finite, without an error; and no more than these."""
    network = _network(subject.new(precision))
    weights = weights_of(_MODEL)
    weights["output.bias"][0] = np.nan
    network.load_weights(weights)
    result = network.train_step(*_step_batch(1))
    require(
        not np.isfinite(result.loss) and not np.isfinite(result.gradient_norm),
        expected="a loss and a norm that are not finite",
        got=f"loss {result.loss}, norm {result.gradient_norm}",
        look_at="loss.py and optimizer.py: nothing replaces nan; the core catches it and tells",
    )
    network.load_weights(weights_of(_MODEL))
    network.reset_state()
    network.train_step(*_step_batch(1))
    held, right = _held(network), _straight(subject, precision, 1)
    same_bits(
        held,
        {name: right[name] for name in held},
        expected="a network that is as good as new once its weights are",
        look_at="backend.py and lstm.py: arrays that are kept between calls: 0 * nan is nan",
    )


@check("training")
def precisions_live_side_by_side(subject: Subject) -> None:
    """Networks of every precision, two of them on one backend, stepping in turns, are as each is alone."""
    precisions = subject.precisions()
    alone = {precision: _straight(subject, precision, 3) for precision in precisions}
    backends = [subject.new(precision) for precision in precisions]
    networks, other = [_network(backend) for backend in backends], _network(backends[0])
    for step in (1, 2, 3):
        for network in networks:
            network.train_step(*_step_batch(step))
        if step == 1:
            _train(other, 1, 3)
    for network in (*networks, other):
        held, precision = _held(network), network.backend.precision
        same_bits(
            held,
            {name: alone[precision][name] for name in held},
            expected=f"a {precision} network as it is when it is alone",
            look_at="backend.py: settings of the process, such as a default precision; what networks share",
        )


@check_precisions("training", among=("float32",))
def works_from_a_thread(subject: Subject, precision: str) -> None:
    """A network that is made and trained in another thread gives the same bits."""
    with ThreadPoolExecutor(1) as pool:
        threaded = pool.submit(lambda: _train(_network(subject.new(precision)), 1, 2)).result()
    here = _straight(subject, precision, 2)
    look_at = "backend.py: settings that hold for one thread only"
    same_bits(threaded, here, expected="the same bits as in the main thread", look_at=look_at)


@check_precisions("training", among=("float32",))
def evaluation_does_not_disturb(subject: Subject, precision: str) -> None:
    """Losses of another batch shape, predictions and gradients between two steps change nothing."""
    still = _straight(subject, precision, 2)
    network = _network(subject.new(precision))
    network.train_step(*_step_batch(1))
    before = _held(network)
    _evaluated(network)
    look_at = "lstm.py and output.py: arrays that are kept between calls"
    same_bits(_held(network), before, expected="a network that evaluation leaves alone", look_at=look_at)
    network.train_step(*_step_batch(2))
    held = _held(network)
    same_bits(
        held,
        {name: still[name] for name in held},
        expected="the step as without evaluation before it",
        look_at=look_at,
    )
    trained = _evaluated(network)
    network.load_weights(network.weights())
    same_bits(
        trained,
        _evaluated(network),
        expected="an evaluation after a step that is the same once its weights are copied out and in again",
        look_at=f"{look_at}: the update may have been in place",
    )


def _evaluated(network: CharRNN) -> dict[str, Array]:
    """What changes nothing in a network: nats of another batch shape, logits and gradients."""
    inputs, targets = symbols_of(80, (2, 4), 7), symbols_of(81, (2, 4), 7)
    nats, _ = network.nats(inputs, targets, network.initial_state(2))
    logits, _ = network.predict(symbols_of(82, (3, 1), 7), network.initial_state(3))
    gradients, _, _ = network.gradients(*_step_batch(9), masks=network.masks(9, _BATCH))
    return {"nats": nats, "logits": logits, **gradients}


@check_precisions("training", among=("float32", "float64"))
def resumes_to_the_bit(subject: Subject, precision: str) -> None:
    """Weights, moments, state and step count out and into a new network: it goes on to the same bits."""
    straight = _straight(subject, precision, 6)
    first = _network(subject.new(precision))
    _train(first, 1, 3)
    second = _network(subject.new(precision))
    second.load_weights(first.weights())
    moments = first.moments()
    second.load_moments(moments.exp_avg, moments.exp_avg_sq, step=first.step)
    second.load_state(first.state())
    _train(second, 4, 6)
    held = _held(second)
    same_bits(
        held,
        {name: straight[name] for name in held},
        expected="the bits of a run that was not interrupted",
        look_at="optimizer.py and lstm.py: numbers that are kept outside of weights, moments and state",
    )
