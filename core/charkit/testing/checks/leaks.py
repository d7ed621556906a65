"""Memory, threads and open files do not leak with the number of steps, arrays, networks and backends.

A framework that records a graph in order to differentiate keeps it for as long as something refers to it. A state
that is not detached from its graph refers to the whole history of the run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from charkit.backend import Array, Backend
from charkit.charrnn import CharRNN
from charkit.config import ModelConfig, OptimizerConfig
from charkit.errors import counted
from charkit.network import StepResult
from charkit.testing.cases import STEPPING, WIDE, stepping_case, symbols_of, weights_of
from charkit.testing.memory import frozen_objects
from charkit.testing.registry import check
from charkit.testing.resources import Growth, ResourceUse, growth, resource_use
from charkit.testing.subject import Subject
from charkit.testing.tolerances import require

_MODEL = ModelConfig(vocabulary_size=60, lstm_size=64, num_layers=1)
#: Weights of 4 MB.
_WIDE = ModelConfig(vocabulary_size=7, lstm_size=WIDE, num_layers=1)
_MANY = (64, 2)
_BATCH = (64, 15)  # some frameworks compile longer loops for longer
#: A graph of many nodes and few numbers, with the least memory of its nodes for each symbol of a sequence.
_SMALL, _LONG, _NODE_BYTES = ModelConfig(vocabulary_size=7, lstm_size=4, num_layers=1), (2, 200), 2048
#: The gates of one batch in float32: the least that a graph of it holds.
_GRAPH_BYTES = 4 * 4 * _MODEL.lstm_size * _BATCH[0] * _BATCH[1]
#: The graph of one symbol is small, so this many times the batch is sampled in parallel.
_PARALLEL = 4
_WARM_UP = 2
_ROUND = 16
#: A leak grows in all of these rounds. A library that allocates once grows in one of them, and kept objects that each
#: hold a megabyte of Python's allocator have been seen to grow in four.
_ROUNDS = 12
_RESOURCES = (
    "backend.py and lstm.py: a call ends the threads that it starts and closes the files that it opens, or shares "
    "them with all calls of all backends"
)
_LARGE_BYTES = 2 << 20
_DETACH = "detach the returned state from the graph that computed it"


def _network(subject: Subject) -> CharRNN:
    return CharRNN.from_config(
        _MODEL,
        OptimizerConfig(),
        subject.backend("float32"),
        batch_size=_BATCH[0],
        num_steps=_BATCH[1],
        weights={name: 0.1 * array for name, array in weights_of(_MODEL).items()},
    )


def _require_no_leak(
    backend: Backend[Any],
    action: Callable[[], None],
    *,
    graph_bytes: int,
    count: int,
    repeated: str,
    look_at: str,
    warm_up: int = _WARM_UP,
    baseline: Callable[[], None] | None = None,
) -> None:
    """Raises Mismatch if each round of ``count`` actions leaks a quarter of a graph, thread or open file per action.

    Memory that ``baseline`` leaks too is subtracted: results that it keeps are allowed, and one small object can hold
    a megabyte of Python's allocator.
    """
    for _ in range(warm_up):
        action()
    limit = Growth(*(math.ceil(count * each / 4) for each in (graph_bytes, 1, 1)))
    with frozen_objects():
        least = _least_growth(backend, action, count, limit)
        if baseline is not None and least.memory >= limit.memory:
            allowed = _least_growth(backend, baseline, count, limit).memory
            least = least._replace(memory=least.memory - max(0, allowed))
    texts = (
        f"{least.memory / 1e6:.1f} MB",
        counted(least.threads, "thread"),
        counted(least.files, "open file"),
    )
    more = " and ".join(
        text for text, grown, allowed in zip(texts, least, limit, strict=True) if grown >= allowed
    )
    require(
        not more,
        expected=f"use of memory, threads and open files that does not grow with the number of {repeated}",
        got=f"an increase of at least {more} for every {count} {repeated}",
        look_at=look_at if least.memory >= limit.memory else _RESOURCES,
    )


def _least_growth(backend: Backend[Any], action: Callable[[], None], count: int, limit: Growth) -> Growth:
    """The smallest growth in a round; stops once that is below the limit."""
    rounds: list[tuple[ResourceUse, ResourceUse]] = []
    while True:
        before = resource_use(backend)
        for _ in range(count):
            action()
        after = resource_use(backend)
        rounds.append((before, after))
        grown = [growth(*each, now=after) for each in rounds]
        least = Growth(*(min(values) for values in zip(*grown, strict=True)))
        small = all(value < allowed for value, allowed in zip(least, limit, strict=True))
        if small or len(rounds) == _ROUNDS:
            return least


@check("training")
def training_keeps_no_history(subject: Subject) -> None:
    """Memory does not grow from one training step to the next, with carried state and kept results."""
    network = _network(subject)
    inputs, targets = symbols_of(100, _BATCH, 60), symbols_of(101, _BATCH, 60)
    kept: list[StepResult] = []

    def step() -> None:
        kept.append(network.train_step(inputs, targets))
        _ = kept[-1].loss  # waits for asynchronous frameworks

    look_at = f"backend.py: differentiate(): {_DETACH}, and the nats too"
    _require_no_leak(
        network.backend, step, graph_bytes=_GRAPH_BYTES, count=_ROUND, repeated="steps", look_at=look_at
    )


@check("training")
def results_keep_no_graph(subject: Subject) -> None:
    """Results kept from steps with long sequences and a small model take up no more memory than their numbers need."""
    # In float32, frameworks have kernels of their own for a whole sequence, whose graphs are small.
    backend = subject.backend(subject.finest())
    network = CharRNN.from_config(
        _SMALL,
        OptimizerConfig(),
        backend,
        batch_size=_LONG[0],
        num_steps=_LONG[1],
        weights=weights_of(_SMALL),
    )
    inputs, targets = symbols_of(104, _LONG, _SMALL.vocabulary_size), symbols_of(105, _LONG, 7)
    kept: list[StepResult] = []
    numbers: list[tuple[Array, float]] = []

    def step() -> None:
        kept.append(network.train_step(inputs, targets))
        _ = kept[-1].gradient_norm  # waits for asynchronous frameworks

    def step_keeping_numbers() -> None:
        result = network.train_step(inputs, targets)
        numbers.append((result.nats, result.gradient_norm))

    _require_no_leak(
        backend,
        step,
        graph_bytes=_NODE_BYTES * _LONG[1],
        count=_ROUND // 4,
        repeated="kept results, beyond what their values take up",
        look_at="backend.py: differentiate(): detach the nats from the graph",
        baseline=step_keeping_numbers,
    )


def _train_once(network: CharRNN) -> None:
    """Makes a step, after which a framework may record graphs of the weights."""
    network.train_step(symbols_of(100, _BATCH, 60), symbols_of(101, _BATCH, 60))


@check("training")
def evaluation_keeps_no_history(subject: Subject) -> None:
    """After a training step, memory does not grow from batch to batch in an evaluation that carries its state."""
    network = _network(subject)
    _train_once(network)
    inputs, targets = symbols_of(100, _BATCH, 60), symbols_of(101, _BATCH, 60)
    state = network.initial_state(_BATCH[0])

    def evaluate() -> None:
        nonlocal state
        _, state = network.nats(inputs, targets, state)

    look_at = f"backend.py and lstm.py, outside of differentiate(): record no graph, or {_DETACH}"
    _require_no_leak(
        network.backend, evaluate, graph_bytes=_GRAPH_BYTES, count=_ROUND, repeated="batches", look_at=look_at
    )


@check("training")
def sampling_keeps_no_history(subject: Subject) -> None:
    """Memory does not grow from symbol to symbol while text is sampled."""
    network = _network(subject)
    _train_once(network)
    symbols = symbols_of(102, (_PARALLEL * _BATCH[0], 1), 60)
    state = network.initial_state(len(symbols))

    def predict() -> None:
        nonlocal state
        _, state = network.predict(symbols, state)

    _require_no_leak(
        network.backend,
        predict,
        graph_bytes=_GRAPH_BYTES * _PARALLEL // _BATCH[1],
        count=2 * _ROUND,
        repeated="symbols",
        look_at=f"backend.py and lstm.py: for predictions of one symbol, {_DETACH}",
    )


@check("build")
def arrays_are_released(subject: Subject) -> None:
    """Arrays that were copied in and out and are no longer referenced take up no memory."""
    backend = subject.backend("float32")
    for dtype in (np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.bool_)):
        array = np.ones(_LARGE_BYTES // dtype.itemsize, dtype)

        def copy(array: Array = array) -> None:
            backend.numpy(backend.tensor(array))

        _require_no_leak(
            backend,
            copy,
            graph_bytes=_LARGE_BYTES,
            count=8,
            repeated=f"{dtype} arrays that were copied in and out",
            look_at="backend.py: tensor() and numpy() keep no reference to what they return",
        )


@check("training")
def backends_are_released(subject: Subject) -> None:
    """Backends that have taken a training step and are no longer referenced leave no thread or open file behind."""
    case = stepping_case()  # model, shapes and optimizer of earlier checks, which are compiled
    batch_size, num_steps = case.symbols.shape
    first = subject.backend("float32")

    def use() -> None:
        network = CharRNN.from_config(
            case.model,
            STEPPING,
            subject.new("float32"),
            batch_size=batch_size,
            num_steps=num_steps,
            weights=case.weights,
        )
        _ = network.train_step(case.symbols, case.targets).loss

    _require_no_leak(
        first,
        use,
        graph_bytes=100 * _LARGE_BYTES,  # frameworks may keep the programs that they compile
        count=2,
        repeated="backends that were created, used and dropped",
        look_at=_RESOURCES,
        warm_up=1,
    )


@check("sampling")
def networks_are_released(subject: Subject) -> None:
    """Networks that have been used and are no longer referenced take up no memory, and leave no thread behind."""
    backend = subject.backend("float32")
    weights = {name: 0.1 * array for name, array in weights_of(_WIDE).items()}
    symbols = symbols_of(103, (1, 1), _WIDE.vocabulary_size)
    # Enough sequences that backends divide them between threads.
    inputs, targets = (symbols_of(seed, _MANY, _WIDE.vocabulary_size) for seed in (106, 107))

    def use() -> None:
        network = CharRNN.from_config(
            _WIDE, OptimizerConfig(), backend, batch_size=_MANY[0], num_steps=_MANY[1], weights=weights
        )
        network.predict(symbols, network.initial_state(1))
        network.nats(inputs, targets, network.initial_state(_MANY[0]))
        _ = network.train_step(inputs, targets).loss

    _require_no_leak(
        backend,
        use,
        graph_bytes=sum(4 * array.size for array in weights.values()),
        count=2,
        repeated="networks that were created, used and dropped",
        look_at="backend.py and lstm.py: caches, keyed by network or weights, that are kept outside the parts",
    )
