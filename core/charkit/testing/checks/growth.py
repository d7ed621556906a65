"""Memory, threads and open files do not grow with the number of steps, arrays and networks.

A framework that differentiates by a recorded graph keeps the graph for as long as something refers to it. A state
that is not cut from its graph refers to the whole history of the run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from charkit.backend import Array, Backend
from charkit.charrnn import CharRNN
from charkit.config import ModelConfig, OptimizerConfig
from charkit.network import StepResult
from charkit.testing.cases import symbols_of, weights_of
from charkit.testing.judge import require
from charkit.testing.memory import only_new_garbage, used_bytes
from charkit.testing.registry import check
from charkit.testing.subject import Subject

_MODEL = ModelConfig(vocabulary_size=60, lstm_size=64, num_layers=1)
#: Weights of 2 MB.
_WIDE = ModelConfig(vocabulary_size=7, lstm_size=352, num_layers=1)
_BATCH = (32, 30)
#: A graph of many nodes and few numbers, and the least that a node of it takes, for each symbol of a sequence.
_SMALL, _LONG, _NODE_BYTES = ModelConfig(vocabulary_size=7, lstm_size=4, num_layers=1), (2, 200), 2048
#: The gates of one batch in float32: the least that a graph of it holds.
_GRAPH_BYTES = 4 * 4 * _MODEL.lstm_size * _BATCH[0] * _BATCH[1]
#: One symbol makes a small graph: that many times the batch is sampled side by side.
_SIDE_BY_SIDE = 8
_WARM_UP = 6
_ROUND = 16
#: Growth in all of these rounds is growth for good; a library that allocates once grows in one of them.
_ROUNDS = 4
#: Where Linux lists the threads and the open files of a process.
_LISTS = (Path("/proc/self/task"), Path("/proc/self/fd"))
_RESOURCES = (
    "backend.py and lstm.py: what a call starts or opens, it ends or closes, or the backend keeps one for all"
)
_LARGE_BYTES = 2 << 20
_DETACH = "the state that comes out is cut from the graph that made it (detach)"


def _network(subject: Subject) -> CharRNN:
    return CharRNN.from_config(
        _MODEL,
        OptimizerConfig(),
        subject.backend("float32"),
        batch_size=_BATCH[0],
        num_steps=_BATCH[1],
        weights={name: 0.1 * array for name, array in weights_of(_MODEL).items()},
    )


def _does_not_grow(
    backend: Backend[Any],
    act: Callable[[], None],
    *,
    graph_bytes: int,
    count: int,
    what: str,
    look_at: str,
    warm_up: int = _WARM_UP,
    beside: Callable[[], None] | None = None,
) -> None:
    """Acts ``count`` times a round; raises Mismatch if each round adds a quarter of what one act may leave behind.

    That is the memory of a graph, a thread, or an open file. Memory that ``beside`` makes grow too, which leaves behind
    what every backend may, does not count: an object that is kept can hold a megabyte of Python's allocator.
    """
    for _ in range(warm_up):
        act()
    most = _Use(count * graph_bytes / 4, count / 4, count / 4)
    with only_new_garbage():
        least = _least_growth(backend, act, count, most)
        if beside is not None and least.memory >= most.memory:
            allowed = _least_growth(backend, beside, count, most).memory
            least = least._replace(memory=least.memory - max(0, allowed))
    grows = _Use(*(grown >= allowed for grown, allowed in zip(least, most, strict=True)))
    said = _Use(f"{least.memory / 1e6:.0f} MB", f"{least.threads} threads", f"{least.files} open files")
    more = ", ".join(name for name, one in zip(said, grows, strict=True) if one)
    require(
        not any(grows),
        expected=f"memory, threads and open files that do not grow with the number of {what}",
        got=f"at least {more} more after each {count} {what}",
        look_at=look_at if grows.memory else _RESOURCES,
    )


class _Use(NamedTuple):
    """What the process uses, or something that is known of each."""

    memory: Any
    threads: Any
    files: Any


def _least_growth(backend: Backend[Any], act: Callable[[], None], count: int, most: _Use) -> _Use:
    """What the rounds add at least; there are no more of them once that is below the most."""
    rounds: list[_Use] = []
    while True:
        before = _use(backend)
        for _ in range(count):
            act()
        after = _use(backend)
        rounds.append(_Use(*(now - then for now, then in zip(after, before, strict=True))))
        least = _Use(*(min(grown) for grown in zip(*rounds, strict=True)))
        small = all(grown < allowed for grown, allowed in zip(least, most, strict=True))
        if small or len(rounds) == _ROUNDS:
            return least


def _use(backend: Backend[Any]) -> _Use:
    memory = used_bytes(backend)
    return _Use(memory, *(sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0 for folder in _LISTS))


@check("training")
def training_keeps_no_history(subject: Subject) -> None:
    """Memory does not grow from training step to training step, the state carried along and the results kept."""
    network = _network(subject)
    inputs, targets = symbols_of(100, _BATCH, 60), symbols_of(101, _BATCH, 60)
    kept: list[StepResult] = []

    def step() -> None:
        kept.append(network.train_step(inputs, targets))
        _ = kept[-1].loss  # waits for a framework that works later

    look_at = f"backend.py: differentiate(): {_DETACH}, and so are the nats"
    _does_not_grow(
        network.backend, step, graph_bytes=_GRAPH_BYTES, count=_ROUND, what="steps", look_at=look_at
    )


@check("training")
def results_keep_no_graph(subject: Subject) -> None:
    """Results of steps that are kept, of long sequences and a small model, take the memory of their numbers alone."""
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
        _ = kept[-1].gradient_norm  # waits for a framework that works later

    def step_for_its_numbers() -> None:
        result = network.train_step(inputs, targets)
        numbers.append((result.nats, result.gradient_norm))

    _does_not_grow(
        backend,
        step,
        graph_bytes=_NODE_BYTES * _LONG[1],
        count=_ROUND // 2,
        what="kept results",
        look_at="backend.py: differentiate(): the nats belong to no graph (detach)",
        beside=step_for_its_numbers,
    )


def _train_once(network: CharRNN) -> None:
    """Makes a step, after which weights may be marked as such that a graph is recorded of."""
    network.train_step(symbols_of(100, _BATCH, 60), symbols_of(101, _BATCH, 60))


@check("training")
def evaluation_keeps_no_history(subject: Subject) -> None:
    """Nor does it grow, once a step was made, from batch to batch of an evaluation that carries its state."""
    network = _network(subject)
    _train_once(network)
    inputs, targets = symbols_of(100, _BATCH, 60), symbols_of(101, _BATCH, 60)
    state = network.initial_state(_BATCH[0])

    def evaluate() -> None:
        nonlocal state
        _, state = network.nats(inputs, targets, state)

    look_at = f"backend.py and lstm.py, outside of differentiate(): no graph is recorded, or {_DETACH}"
    _does_not_grow(
        network.backend, evaluate, graph_bytes=_GRAPH_BYTES, count=_ROUND, what="batches", look_at=look_at
    )


@check("training")
def sampling_keeps_no_history(subject: Subject) -> None:
    """Nor from symbol to symbol of a text, the state handed on."""
    network = _network(subject)
    _train_once(network)
    symbols = symbols_of(102, (_SIDE_BY_SIDE * _BATCH[0], 1), 60)
    state = network.initial_state(len(symbols))

    def predict() -> None:
        nonlocal state
        _, state = network.predict(symbols, state)

    _does_not_grow(
        network.backend,
        predict,
        graph_bytes=_GRAPH_BYTES * _SIDE_BY_SIDE // _BATCH[1],
        count=2 * _ROUND,
        what="symbols",
        look_at=f"backend.py and lstm.py: where one symbol is predicted, {_DETACH}",
    )


@check("build")
def arrays_are_let_go(subject: Subject) -> None:
    """Arrays that were copied in and out, and that nothing refers to any more, take no memory."""
    backend = subject.backend("float32")
    for dtype in (np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.bool_)):
        array = np.ones(_LARGE_BYTES // dtype.itemsize, dtype)

        def cross(array: Array = array) -> None:
            backend.numpy(backend.tensor(array))

        _does_not_grow(
            backend,
            cross,
            graph_bytes=_LARGE_BYTES,
            count=8,
            what=f"arrays of {dtype} that were copied in and out",
            look_at="backend.py: tensor() and numpy() keep no reference to what they made",
        )


@check("training")
def backends_are_let_go(subject: Subject) -> None:
    """Backends that trained a step and that nothing refers to any more leave no thread and no open file behind."""
    weights = {name: 0.1 * array for name, array in weights_of(_SMALL).items()}
    inputs, targets = symbols_of(106, (1, 6), 7), symbols_of(107, (1, 6), 7)
    first = subject.backend("float32")

    def use() -> None:
        network = CharRNN.from_config(
            _SMALL, OptimizerConfig(), subject.new("float32"), batch_size=1, num_steps=6, weights=weights
        )
        _ = network.train_step(inputs, targets).loss

    _does_not_grow(
        first,
        use,
        graph_bytes=_LARGE_BYTES
        * 100,  # what a framework keeps of each program that it compiles is its own affair
        count=2,
        what="backends that were made, used and dropped",
        look_at=_RESOURCES,
        warm_up=1,
    )


@check("sampling")
def networks_are_let_go(subject: Subject) -> None:
    """Networks that were used and that nothing refers to any more take no memory."""
    backend = subject.backend("float32")
    weights = {name: 0.1 * array for name, array in weights_of(_WIDE).items()}
    symbols = symbols_of(103, (1, 1), _WIDE.vocabulary_size)

    def use() -> None:
        network = CharRNN.from_config(
            _WIDE, OptimizerConfig(), backend, batch_size=1, num_steps=1, weights=weights
        )
        network.predict(symbols, network.initial_state(1))

    _does_not_grow(
        backend,
        use,
        graph_bytes=sum(4 * array.size for array in weights.values()),
        count=2,
        what="networks that were made and dropped",
        look_at="backend.py and lstm.py: what is kept by network or by weights, outside of the parts",
    )
