"""Stage training: whole steps of CharRNN on the backend, compared with each other and with the oracle."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from charkit.backend import Array, Backend
from charkit.charrnn import CharRNN
from charkit.testing.agreement import require_agreement
from charkit.testing.cases import SEED, STEPPING, stepping_case, symbols_of, weights_of
from charkit.testing.oracle import Oracle
from charkit.testing.oracle_run import OracleRun
from charkit.testing.registry import check, check_precisions
from charkit.testing.subject import Subject
from charkit.testing.tolerances import BOUNDS, difference, require, require_equal

_STEP = "backend.py: compile() and its consumes argument; optimizer.py"
_MODEL = stepping_case().model
_BATCH = (3, 6)
#: The length of the longest of these runs.
_MOST_STEPS = 10
#: Bounds between a fused step and the same step in two calls, which may compute in another order.
_FUSED_BOUNDS = {"float64": 1e-12, "float32": 2e-5, "bfloat16": BOUNDS["bfloat16"]["gradients"]}


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


def _uninterrupted_run(subject: Subject, precision: str, last: int) -> dict[str, Array]:
    """What ``_train`` returns for steps 1 to ``last``: the reference run that the checks share."""

    def run() -> list[dict[str, Array]]:
        network = _network(subject.new(precision))
        steps = [_train(network, step, step) for step in range(1, _MOST_STEPS + 1)]
        results = {name: np.concatenate([step[name] for step in steps]) for name in ("losses", "norms")}
        return [
            {**step, **{name: array[:count] for name, array in results.items()}}
            for count, step in enumerate(steps, start=1)
        ]

    return subject.cached(("uninterrupted run", precision), run)[last - 1]


def _train(network: CharRNN, first: int, last: int) -> dict[str, Array]:
    """Trains steps ``first`` to ``last``; returns all arrays of the network, and losses and norms."""
    losses, norms = [], []
    for step in range(first, last + 1):
        result = network.train_step(*_step_batch(step))
        losses.append(result.loss)  # at once; another check reads results later
        norms.append(result.gradient_norm)
    return {**_arrays_of(network), "losses": np.array(losses), "norms": np.array(norms)}


def _arrays_of(network: CharRNN) -> dict[str, Array]:
    moments, state = network.moments(), network.state()
    return {
        **network.weights(),
        **{f"exp_avg.{name}": array for name, array in moments.exp_avg.items()},
        **{f"exp_avg_sq.{name}": array for name, array in moments.exp_avg_sq.items()},
        "hidden": state.hidden,
        "cell": state.cell,
    }


@lru_cache(maxsize=256)  # the same mistakes are tried on losses and weights, in each precision
def _oracle_run(oracle: type[Oracle], steps: int) -> Mapping[str, ArrayLike]:
    run = OracleRun(oracle(_MODEL, STEPPING), weights_of(_MODEL), _BATCH[0])
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
    """The loss of one whole step with dropout, and its gradient norm before clipping."""
    _check_losses_and_norms(subject, precision, 1)


@check_precisions("training")
def losses_of_ten_steps(subject: Subject, precision: str) -> None:
    """The loss and norm of each of ten steps with dropout, carried state and clipping."""
    _check_losses_and_norms(subject, precision, 10)


def _check_losses_and_norms(subject: Subject, precision: str, steps: int) -> None:
    observed = _uninterrupted_run(subject, precision, steps)
    require_agreement(
        _losses_and_norms_of(observed),
        lambda oracle: _losses_and_norms_of(_oracle_run(oracle, steps)),  # type: ignore[arg-type]
        precision=precision,
        kind="gradients",
        look_at=_STEP,
    )


def _losses_and_norms_of(results: Mapping[str, ArrayLike]) -> dict[str, ArrayLike]:
    return {name: results[name] for name in ("losses", "norms")}


@check_precisions("training", among=("float64",))
def weights_after_ten_steps(subject: Subject, precision: str) -> None:
    """Every weight array after ten steps, in float64; in float32, Adam would amplify rounding errors."""
    observed = _uninterrupted_run(subject, precision, 10)
    compute = lambda oracle: _oracle_run(oracle, 10)  # noqa: E731
    require_agreement(observed, compute, precision=precision, kind="update", look_at=_STEP)


@check("training")
def fused_step_equals_two_calls(subject: Subject) -> None:
    """A training step has the same effect as gradients() followed by apply_gradients()."""
    precision = subject.finest()
    inputs, targets = _step_batch(1)
    fused, separate = _network(subject.new(precision)), _network(subject.new(precision))
    masks = separate.masks(1, inputs.shape)
    result = fused.train_step(inputs, targets)
    gradients, nats, after = separate.gradients(inputs, targets, masks=masks)
    norm = separate.apply_gradients(gradients)
    separate.load_state(after)
    # Adam turns the rounding of a tiny gradient into a full step: weights are compared in float64 only.
    names = (
        set(_arrays_of(separate))
        if precision == "float64"
        else set(_arrays_of(separate)) - set(separate.weights())
    )
    step, calls = _arrays_of(fused), _arrays_of(separate)
    pairs = {name: (step[name], calls[name]) for name in sorted(names)}
    pairs |= {"loss": (np.asarray(result.loss), np.asarray(np.mean(nats, dtype=np.float64)))}
    pairs |= {"norm": (np.asarray(result.gradient_norm), np.asarray(norm))}
    for name, (fused_value, separate_value) in pairs.items():
        gap = difference(fused_value, separate_value)
        require(
            gap <= _FUSED_BOUNDS[precision],
            expected=f"the same {name} as from two separate calls, within {_FUSED_BOUNDS[precision]:.0e}",
            got=f"a difference of {gap:.2e}",
            look_at=_STEP,
        )


@check_precisions("training")
def not_finite_is_reported(subject: Subject, precision: str) -> None:
    """A NaN weight gives a non-finite loss and norm, raises no error, and affects no later step."""
    network = _network(subject.new(precision))
    weights = weights_of(_MODEL)
    weights["output.bias"][0] = np.nan
    network.replace_weights(weights)  # load_weights refuses nan
    result = network.train_step(*_step_batch(1))
    require(
        not np.isfinite(result.loss) and not np.isfinite(result.gradient_norm),
        expected="a loss and a norm that are not finite",
        got=f"loss {result.loss}, norm {result.gradient_norm}",
        look_at="loss.py and optimizer.py: don't replace NaN; the core detects and reports it",
    )
    network.load_weights(weights_of(_MODEL))
    network.reset_state()
    network.train_step(*_step_batch(1))
    arrays, right = _arrays_of(network), _uninterrupted_run(subject, precision, 1)
    require_equal(
        arrays,
        {name: right[name] for name in arrays},
        expected="a step from new weights, unaffected by the NaN before it",
        look_at="backend.py, lstm.py and optimizer.py: arrays that are kept between calls; multiplying by 0 doesn't "
        "clear them, since 0 * NaN is NaN",
    )


@check("training")
def precisions_work_side_by_side(subject: Subject) -> None:
    """Networks of every precision, two of them on one backend, get the same results in turn as each does alone."""
    precisions = subject.precisions()
    alone = {precision: _uninterrupted_run(subject, precision, 3) for precision in precisions}
    backends = [subject.new(precision) for precision in precisions]
    networks, other = [_network(backend) for backend in backends], _network(backends[0])
    for step in (1, 2, 3):
        for network in networks:
            network.train_step(*_step_batch(step))
        if step == 1:
            _train(other, 1, 3)
    for network in (*networks, other):
        arrays, precision = _arrays_of(network), network.backend.precision
        require_equal(
            arrays,
            {name: alone[precision][name] for name in arrays},
            expected=f"the same numbers as from a {precision} network that is trained alone",
            look_at="backend.py: process settings, such as a default precision; what networks share",
        )


@check_precisions("training", among=("float32",))
def works_in_another_thread(subject: Subject, precision: str) -> None:
    """A network gives the same bits in another thread, even if it was created and first trained in the main thread."""
    right = _uninterrupted_run(subject, precision, 2)
    moved = _network(subject.new(precision))
    _train(moved, 1, 1)
    with ThreadPoolExecutor(1) as pool:
        created_there = pool.submit(lambda: _train(_network(subject.new(precision)), 1, 2)).result()
        trained_there = pool.submit(lambda: {**_train(moved, 2, 2), "logits": _logits(moved)}).result()
    expected = "the same bits as in the main thread"
    look_at = "backend.py: settings that apply to one thread only"
    require_equal(created_there, right, expected=expected, look_at=look_at)
    last = {name: right[name][1:] for name in ("losses", "norms")}
    right = {**right, **last, "logits": _logits(moved)}
    look_at = f"{look_at}, and objects that can be used only in the thread that created them"
    require_equal(trained_there, right, expected=expected, look_at=look_at)


def _logits(network: CharRNN) -> Array:
    """The logits after one symbol of each stream."""
    return network.predict(symbols_of(82, (_BATCH[0], 1), 7), network.initial_state(_BATCH[0]))[0]


@check_precisions("training", among=("float32",))
def evaluation_does_not_affect_training(subject: Subject, precision: str) -> None:
    """Between two steps, predictions, gradients and evaluation with another batch shape do not change the results."""
    right = _uninterrupted_run(subject, precision, 2)
    network = _network(subject.new(precision))
    network.train_step(*_step_batch(1))
    before = _arrays_of(network)
    _evaluate(network)
    look_at = "lstm.py and output.py: arrays that are cached between calls"
    require_equal(
        _arrays_of(network), before, expected="a network that evaluation leaves unchanged", look_at=look_at
    )
    network.train_step(*_step_batch(2))
    arrays = _arrays_of(network)
    require_equal(
        arrays,
        {name: right[name] for name in arrays},
        expected="the same step as without a preceding evaluation",
        look_at=look_at,
    )
    trained = _evaluate(network)
    network.load_weights(network.weights())
    require_equal(
        trained,
        _evaluate(network),
        expected="the same evaluation after the weights were copied out and back in",
        look_at=f"{look_at}; the update may be in place",
    )


def _evaluate(network: CharRNN) -> dict[str, Array]:
    """Evaluates a network without changing it: nats of another batch shape, logits and gradients."""
    inputs, targets = symbols_of(80, (2, 4), 7), symbols_of(81, (2, 4), 7)
    nats, _ = network.nats(inputs, targets, network.initial_state(2))
    gradients, _, _ = network.gradients(*_step_batch(9), masks=network.masks(9, _BATCH))
    return {"nats": nats, "logits": _logits(network), **gradients}


@check_precisions("training", among=("float32", "float64"))
def resuming_is_bit_exact(subject: Subject, precision: str) -> None:
    """A new network with copied weights, moments, state and step count continues with the same bits."""
    right = _uninterrupted_run(subject, precision, 6)
    first = _network(subject.new(precision))
    _train(first, 1, 3)
    second = _network(subject.new(precision))
    second.load_weights(first.weights())
    moments = first.moments()
    second.load_moments(moments.exp_avg, moments.exp_avg_sq, step=first.step)
    second.load_state(first.state())
    _train(second, 4, 6)
    arrays = _arrays_of(second)
    require_equal(
        arrays,
        {name: right[name] for name in arrays},
        expected="the same bits as in an uninterrupted run",
        look_at="optimizer.py and lstm.py: numbers that are stored outside of weights, moments and state",
    )
