"""A process of its own for checks on an installed backend: the bits that it computes, and the work to watch it by.

    python -m charkit.testing.child NAME THREADS [DEVICE]

It writes one line of JSON, then trains until its standard input ends.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import sys
from typing import Any

import numpy as np

from charkit import plugins
from charkit.backend import Backend
from charkit.charrnn import CharRNN
from charkit.config import ModelConfig, OptimizerConfig
from charkit.testing.cases import gradients_of, make_case, symbols_of, weights_of
from charkit.testing.subject import Updater

#: Large enough that the time goes into the framework's work and not into calling it.
_MODEL = ModelConfig(vocabulary_size=64, lstm_size=128, num_layers=1)
_BATCH = (64, 16)
#: So many sets of gradients that the order in which their squares are added shows in a norm.
_SETS = 24


def main() -> None:
    """Reports, then works."""
    name, threads, *device = sys.argv[1:]
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)  # what a framework prints is no answer
        where = device[0] if device else None
        backend = plugins.create(name, precision="float32", device=where, threads=int(threads))
        precise = "float64" if "float64" in backend.precisions else "float32"
        exact = plugins.create(name, precision=precise, device=where, threads=int(threads))
        report = {"threads": backend.threads, "bits": bits(exact)}
        work = _work(backend)
        work()
        print(json.dumps(report), file=answers, flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        work()


def bits(backend: Backend[Any]) -> dict[str, str]:
    """Digests of the norms, weights and moments of updates, and of a gradient; small, so that one thread does it."""
    model = make_case().model
    updater = Updater(backend, OptimizerConfig(grad_clip=1.0), weights_of(model))
    norms = [updater.update(gradients_of(model, 20 * step, 1.0), 0.01, step) for step in range(1, _SETS + 1)]
    case = make_case()
    network = CharRNN.from_config(
        case.model, OptimizerConfig(), backend, batch_size=3, num_steps=5, weights=case.weights
    )
    gradients, nats, after = network.gradients(case.symbols, case.targets, state=case.state)
    return {
        "norms": _digest({"norms": np.array(norms)}),
        "weights and moments": _digest(updater.observed()),
        "gradients": _digest({**gradients, "nats": nats, **after._asdict()}),
    }


def _digest(arrays: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + arrays[name].tobytes())
    return digest.hexdigest()


def _work(backend: Backend[Any]) -> Any:
    """One training step and the wait for its loss, as a function; its warm-up is done."""
    network = CharRNN.from_config(
        _MODEL,
        OptimizerConfig(),
        backend,
        batch_size=_BATCH[0],
        num_steps=_BATCH[1],
        weights={name: 0.1 * array for name, array in weights_of(_MODEL).items()},
    )
    inputs, targets = (symbols_of(stream, _BATCH, _MODEL.vocabulary_size) for stream in (1, 2))

    def work() -> float:
        return network.train_step(inputs, targets).loss

    for _ in range(3):
        work()
    return work


if __name__ == "__main__":
    main()
