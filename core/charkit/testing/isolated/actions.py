"""The work that an isolated process repeats on request, while its threads are measured from outside."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from time import sleep
from typing import Any

from charkit.backend import Backend
from charkit.charrnn import CharRNN
from charkit.config import ModelConfig, OptimizerConfig
from charkit.plugins.failures import describe_error
from charkit.testing.cases import symbols_of, weights_of

#: Large enough that the time goes into the framework's work and not into calling it, and that backends divide it.
_MODEL = ModelConfig(vocabulary_size=64, lstm_size=128, num_layers=1)
_BATCH = (96, 16)
_SOME = (64, 16)
_EVALUATED = (160, 16)  # some backends evaluate fewer sequences on one thread
#: Few sequences through a wide layer, which some backends don't divide between threads and leave to their library.
_WIDE_MODEL, _FEW = ModelConfig(vocabulary_size=16, lstm_size=512, num_layers=1), (4, 16)
#: How long a process that rests is deaf to the next request.
_REST_SECONDS = 0.01
#: The status of a process whose last call has failed.
LAST_CALL_FAILED = 17

#: What the process with one thread repeats while it is measured, beside training, and where that is.
MEASURED = {
    "train whole": "during training with divides_batches set to False",
    "evaluate": "during evaluation",
    "evaluate some": f"during the evaluation of {_SOME[0]} sequences",
    "evaluate few": f"during the evaluation of {_FEW[0]} sequences",
}
Action = Callable[[], object]


def warm_actions(backend: Backend[Any], *, evaluates: bool) -> dict[str, Action]:
    """A training step and a rest; if asked for, a step on a shard, and evaluations of several sizes.

    Each waits for its result, and all have run before.
    """
    network = _network(backend, _MODEL, _BATCH)
    inputs, targets = (symbols_of(stream, _BATCH, _MODEL.vocabulary_size) for stream in (1, 2))
    actions: dict[str, Action] = {"train": lambda: network.train_step(inputs, targets).loss}
    if evaluates:
        actions["train whole"] = lambda: _train_undivided(backend, actions["train"])
        actions["evaluate"] = _evaluation(network, _EVALUATED)
        actions["evaluate some"] = _evaluation(network, _SOME)
        actions["evaluate few"] = _evaluation(_network(backend, _WIDE_MODEL, _FEW), _FEW)
    for action in 3 * list(actions.values()):
        action()
    return actions | {"rest": lambda: sleep(_REST_SECONDS)}


def _network(backend: Backend[Any], model: ModelConfig, batch: tuple[int, int]) -> CharRNN:
    """A network of that size, with small weights."""
    return CharRNN.from_config(
        model,
        OptimizerConfig(),
        backend,
        batch_size=batch[0],
        num_steps=batch[1],
        weights={name: 0.1 * array for name, array in weights_of(model).items()},
    )


def _evaluation(network: CharRNN, shape: tuple[int, int]) -> Action:
    """The evaluation of a batch of this shape, always the same and from the same state."""
    symbols, state = symbols_of(1, shape, network.config.vocabulary_size), network.initial_state(shape[0])
    return lambda: network.nats(symbols, symbols, state)[0]


def _train_undivided(backend: Backend[Any], train: Action) -> None:
    """Trains as on a shard, whose batch is not divided."""
    backend.divides_batches = False
    train()
    backend.divides_batches = True


def call_after_the_main_thread(action: Action) -> None:
    """Starts a thread that makes a call when the main thread has ended, as a thread of the user's may.

    If the call fails, the process ends with the status LAST_CALL_FAILED, and the last line of its standard error says
    why.
    """

    def call() -> None:
        threading.main_thread().join()
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - whatever a backend raises is reported
            sys.stderr.write(f"\n{describe_error(error)}\n")
            sys.stderr.flush()
            os._exit(LAST_CALL_FAILED)

    threading.Thread(target=call).start()
