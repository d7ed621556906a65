"""What an isolated process reports of small runs: digests of their results, and differences between backends."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from charkit import plugins
from charkit.backend import Backend, State, available_threads
from charkit.charrnn import CharRNN
from charkit.config import OptimizerConfig
from charkit.network import Predict
from charkit.plugins.failures import describe_error
from charkit.testing.cases import Case, make_case, symbols_of
from charkit.testing.isolated.process_settings import thread_pools, under_user_defaults
from charkit.testing.lasting_threads import lasting_threads
from charkit.testing.overlap import results_beside_another_call
from charkit.testing.tolerances import difference

#: Enough steps that the order in which squared gradients are added shows in a norm.
_STEPS, _FEW_STEPS = 24, 3
#: More symbols than gates of the small network, whose weights some backends then read in another way.
_LARGE_VOCABULARY = 19


def other_backend(backend: Backend[Any], threads: int | None) -> Backend[Any]:
    """Another backend of the same name, precision and device."""
    return plugins.create(backend.name, precision=backend.precision, device=backend.device, threads=threads)


def report_more_threads(backend: Backend[Any]) -> dict[str, Any]:
    """What a backend reports if asked for more threads than there are processors, the thread pools then, and whether
    a training step differs from one with fewer threads: by array, the largest difference over the largest element.

    There are several sequences for each thread. A backend that still uses as many threads as before does not train.
    """
    requested = available_threads() + 1
    other = other_backend(backend, requested)
    report = {
        "requested": requested,
        "reported": other.threads,
        "thread_pools": thread_pools(),
        "differences": {},
    }
    if other.threads != backend.threads:
        case = make_case(batch_size=4 * requested + 1)
        expected, observed = (step_results(each, case) for each in (backend, other))
        report["differences"] = {name: difference(observed[name], expected[name]) for name in expected}
    return report


def step_results(backend: Backend[Any], case: Case) -> dict[str, Any]:
    """What one training step returns, and the gradients, which the first moments are a tenth of."""
    network = small_network(backend, case)
    result = network.train_step(case.symbols, case.targets)
    gradients = {f"gradient of {name}": array for name, array in network.moments().exp_avg.items()}
    return {
        "nats": result.nats,
        "gradient norm": result.gradient_norm,
        **gradients,
        **network.state()._asdict(),
    }


def report_user_defaults(backend: Backend[Any]) -> dict[str, str]:
    """What goes wrong where new backends are used under each further default of the framework, or nothing."""

    def use() -> dict[str, str]:
        # With one thread where sizes are larger, since several may add in any order. The call beside another one comes
        # first, since the calls after it show what it has left behind.
        single, larger = other_backend(backend, 1), _larger_case()
        beside = _digests_beside_another_call(single, larger)
        found = usage_digests(single, larger) | beside
        digests = {f"{name} (64 units)": digest for name, digest in found.items()}
        for precision in sorted(backend.precisions):
            other = plugins.create(
                backend.name, precision=precision, device=backend.device, threads=backend.threads
            )
            found = usage_digests(other, make_case(vocabulary_size=_LARGE_VOCABULARY, masked=True))
            digests |= {
                f"{name} ({precision}, {_LARGE_VOCABULARY} symbols)": digest for name, digest in found.items()
            }
        return digests | result_digests(other_backend(backend, backend.threads), steps=_FEW_STEPS)

    outcomes = list(under_user_defaults(use))
    expected = use() if outcomes else {}
    return {default: _wrong(outcome, expected, changed) for default, outcome, changed in outcomes}


def _larger_case() -> Case:
    """Large enough that a framework chooses another algorithm for products, which some defaults are about."""
    return make_case(lstm_size=64, vocabulary_size=65, batch_size=16, num_steps=8, masked=True)


def report_lasting_threads(_backend: Backend[Any]) -> dict[str, Any]:
    """The names of the threads that Python waits for when the process ends, unless they end soon."""
    return {"names": [thread.name for thread in lasting_threads()]}


def _wrong(outcome: dict[str, str] | Exception, expected: dict[str, str], changed: list[str]) -> str:
    """What went wrong in an outcome: an error, other digests than expected, or changed settings; or nothing."""
    if isinstance(outcome, Exception):
        return describe_error(outcome)
    different = [name for name in expected if outcome[name] != expected[name]]
    if different:
        return f"different results: {', '.join(different)}"
    return f"changed: {', '.join(changed)}" if changed else ""


def result_digests(backend: Backend[Any], steps: int = _STEPS) -> dict[str, str]:
    """Digests of the norms, losses and arrays of a short run, small enough that one thread computes it."""
    case = make_case()
    network = small_network(backend, case)
    results = [
        network.train_step(*(symbols_of(2 * step + part, case.symbols.shape, 7) for part in (0, 1)))
        for step in range(steps)
    ]
    moments = network.moments()
    network.predict(case.symbols[:, :1].copy(), network.initial_state(3))  # it may change settings
    return {
        "norms": _digest({"norms": np.array([result.gradient_norm for result in results])}),
        "losses": _digest({"losses": np.array([result.loss for result in results])}),
        "weights": _digest(network.weights()),
        "moments": _digest(moments.exp_avg) + _digest(moments.exp_avg_sq),
        "state": _digest(network.state()._asdict()),
    }


def usage_digests(backend: Backend[Any], case: Case) -> dict[str, str]:
    """Digests of what each function of a network returns, with masks, and with weight decay where there is some."""
    weight_decay = 0.1 if "weight_decay" in backend.capabilities else 0.0
    network = small_network(backend, case, weight_decay=weight_decay)
    result = network.train_step(case.symbols, case.targets, masks=case.masks)
    nats, after = network.nats(case.symbols, case.targets, network.initial_state(len(case.symbols)))
    logits, next_state = network.predict(case.symbols[:, :1].copy(), after)
    advanced = network.advance(case.symbols, next_state)
    return {
        "training": _digest({"nats": result.nats, **network.weights(), **network.state()._asdict()}),
        "evaluation": _digest({"nats": nats}),
        "prediction": _digest({"logits": logits, **network.state_arrays(advanced)._asdict()}),
    }


def _digests_beside_another_call(backend: Backend[Any], case: Case) -> dict[str, str]:
    """Digests of the logits that are computed within one call while another one goes on, and after it has ended."""
    function = Predict(backend.build_lstm(case.model), backend.build_output(case.model))
    weights = {name: backend.tensor(array) for name, array in case.weights.items()}
    arguments = weights, backend.tensor(case.symbols[:, :1].copy()), State(*map(backend.tensor, case.state))
    results = results_beside_another_call(backend, function, *arguments)
    return {
        f"prediction {when}": _digest({"logits": backend.numpy(logits)})
        for when, (logits, _) in results.items()
    }


def small_network(backend: Backend[Any], case: Case, *, weight_decay: float = 0.0) -> CharRNN:
    """A network whose functions are compiled once for all of these."""
    batch_size, num_steps = case.symbols.shape
    return CharRNN.from_config(
        case.model,
        OptimizerConfig(grad_clip=0.3, weight_decay=weight_decay),
        backend,
        batch_size=batch_size,
        num_steps=num_steps,
        weights=case.weights,
    )


def _digest(arrays: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + arrays[name].tobytes())
    return digest.hexdigest()
