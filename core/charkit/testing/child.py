"""A process of its own for checks on an installed backend: what it computes and changes, and work to watch it by.

    python -m charkit.testing.child FOLDER NAME THREADS DEVICE

DEVICE stands where the backend has no processor, whose threads are asked for; empty, it is the backend's first.

It works in FOLDER, which is empty. It writes one line of JSON, then waits for orders on its standard input, a line
each: ``train`` or ``evaluate``, which it does until the next one comes, and ``exhaust``, to which it writes one
more line: what comes of running out of memory.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from charkit import plugins
from charkit.backend import Array, Backend, available_threads
from charkit.charrnn import CharRNN
from charkit.config import ModelConfig, OptimizerConfig
from charkit.testing.cases import make_case, symbols_of, weights_of
from charkit.testing.exhausting import exhaust
from charkit.testing.surroundings import (
    changes,
    changes_of_pools,
    pools,
    set_the_users_defaults,
    surroundings,
    thread_variables,
)

#: Large enough that the time goes into the framework's work and not into calling it.
_MODEL = ModelConfig(vocabulary_size=64, lstm_size=128, num_layers=1)
_BATCH = (64, 16)
#: So many that the order in which the squares of the gradients are added shows in a norm.
_STEPS = 24
#: Of prctl(2): sets the name of the thread that calls it.
_SET_NAME = 15


def main() -> None:
    """Reports, then works."""
    folder, name, threads, device = sys.argv[1:]
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers, TemporaryFile() as printed:
        os.dup2(2, 1)  # what a framework prints is no answer
        variables = thread_variables()
        # What a framework changes when it is imported is its own affair, and comes before the first look.
        devices = plugins.find(name).backend_class.devices()
        device = "cpu" if "cpu" in devices else device or devices[0]
        move_to(folder)
        signal.signal(
            signal.SIGINT, signal.default_int_handler
        )  # where it was ignored, ignoring it would not show
        _begin_a_thread_with_an_odd_name()
        if int(threads) > 1:
            set_the_users_defaults()
        before = surroundings()
        os.dup2(printed.fileno(), 1)
        backend = plugins.create(name, precision="float32", device=device, threads=int(threads))
        precise = "float64" if "float64" in backend.precisions else "float32"
        exact = plugins.create(name, precision=precise, device=device, threads=int(threads))
        made, threads_before = changes(before, surroundings()), pools()
        report = {"threads": backend.threads, "bits": bits(exact)}
        train, evaluate = _work(backend)
        _ = backend.versions(), backend.notices(), backend.device_memory_bytes()  # which only report
        sys.stdout.flush()
        printing = []
        if os.fstat(printed.fileno()).st_size:
            printing = ["standard output, on which something is printed"]
        os.dup2(2, 1)
        imported = [f"the environment variable {one}" for one in changes(variables, thread_variables())]
        used = [*changes(before, surroundings()), *changes_of_pools(threads_before, pools()), *printing]
        changed = {"made": made, "used": used, "imported": imported}
        report |= {"changed": changed, "pools": threads_before}
        report["dtype"] = str(backend.numpy(backend.tensor(np.zeros(1))).dtype)
        print(json.dumps(report), file=answers, flush=True)
        orders = os.fdopen(
            os.dup(0), "rb", buffering=0
        )  # where nothing is read ahead, select sees what is left
        for line in orders:
            order = line.decode().strip()
            if order in _REPORTS:
                print(json.dumps(_REPORTS[order](backend)), file=answers, flush=True)
                continue
            work = {"train": train, "evaluate": evaluate}[order]
            while not select.select([orders], [], [], 0)[0]:
                work()


def _begin_a_thread_with_an_odd_name() -> None:
    """Linux cuts the name of a thread after 15 bytes, which may be inside a character."""
    named = threading.Event()

    def wait() -> None:
        with suppress(AttributeError, OSError):  # other systems have no prctl
            ctypes.CDLL(None).prctl(_SET_NAME, b"r\xe9sum\xe9")
        named.set()
        threading.Event().wait()

    threading.Thread(target=wait, daemon=True).start()
    named.wait()


def more_threads(backend: Backend[Any]) -> dict[str, Any]:
    """What a backend reports that is asked for more threads than there are processors, and the pools then."""
    asked = available_threads() + 1
    other = plugins.create(backend.name, precision=backend.precision, device=backend.device, threads=asked)
    return {"asked": asked, "reported": other.threads, "pools": pools()}


#: What this process answers to other orders than to work.
_REPORTS: dict[str, Callable[[Backend[Any]], dict[str, Any]]] = {
    "exhaust": exhaust,
    "more threads": more_threads,
}


def move_to(folder: str) -> None:
    """Goes where a file that the backend leaves can be seen; modules are still found where they were."""
    sys.path[:] = [os.path.abspath(entry) for entry in sys.path]
    os.chdir(folder)


def bits(backend: Backend[Any]) -> dict[str, str]:
    """Digests of the norms, losses and arrays of a run so small that one thread does it."""
    case = make_case()
    batch_size, num_steps = case.symbols.shape
    network = CharRNN.from_config(
        case.model,
        OptimizerConfig(grad_clip=0.3),
        backend,
        batch_size=batch_size,
        num_steps=num_steps,
        weights=case.weights,
    )
    results = [
        network.train_step(*(symbols_of(2 * step + part, case.symbols.shape, 7) for part in (0, 1)))
        for step in range(_STEPS)
    ]
    moments = network.moments()
    network.predict(
        case.symbols[:, :1].copy(), network.initial_state(batch_size)
    )  # for what it changes in the process
    return {
        "norms": _digest({"norms": np.array([result.gradient_norm for result in results])}),
        "losses": _digest({"losses": np.array([result.loss for result in results])}),
        "weights": _digest(network.weights()),
        "moments": _digest(moments.exp_avg) + _digest(moments.exp_avg_sq),
        "state": _digest(network.state()._asdict()),
    }


def _digest(arrays: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + arrays[name].tobytes())
    return digest.hexdigest()


def _work(backend: Backend[Any]) -> tuple[Callable[[], object], Callable[[], object]]:
    """A training step and an evaluated batch, each with the wait for its result, as functions; both are warm."""
    network = CharRNN.from_config(
        _MODEL,
        OptimizerConfig(),
        backend,
        batch_size=_BATCH[0],
        num_steps=_BATCH[1],
        weights={name: 0.1 * array for name, array in weights_of(_MODEL).items()},
    )
    inputs, targets = (symbols_of(stream, _BATCH, _MODEL.vocabulary_size) for stream in (1, 2))
    state = network.initial_state(_BATCH[0])

    def train() -> float:
        return network.train_step(inputs, targets).loss

    def evaluate() -> Array:
        return network.nats(inputs, targets, state)[0]

    for _ in range(3):
        train()
        evaluate()
    return train, evaluate


if __name__ == "__main__":
    main()
