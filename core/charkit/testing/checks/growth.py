"""Stage training: memory does not grow with the number of steps.

A framework that differentiates by a recorded graph keeps the graph for as long as something refers to it. A state
that is not cut from its graph refers to the whole history of the run.
"""

from __future__ import annotations

from collections.abc import Callable

from charkit.charrnn import CharRNN
from charkit.config import ModelConfig, OptimizerConfig
from charkit.testing.cases import symbols_of, weights_of
from charkit.testing.judge import require
from charkit.testing.memory import used_bytes
from charkit.testing.registry import check
from charkit.testing.subject import Subject

_MODEL = ModelConfig(vocabulary_size=60, lstm_size=64, num_layers=1)
_BATCH = (32, 31)
#: The gates of one batch in float32: the least that a graph of it holds.
_GRAPH_BYTES = 4 * 4 * _MODEL.lstm_size * _BATCH[0] * _BATCH[1]
#: One symbol makes a small graph: that many times the batch is sampled side by side.
_SIDE_BY_SIDE = 8
_WARM_UP = 6
_ROUND = 16
#: Growth in all of these rounds is growth for good; a library that allocates once grows in one of them.
_ROUNDS = 4
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
    network: CharRNN, act: Callable[[], None], *, graph_bytes: int, count: int, what: str, look_at: str
) -> None:
    """Acts ``count`` times a round; raises Mismatch if each round adds the memory of a quarter of its graphs."""
    for _ in range(_WARM_UP):
        act()
    growth: list[int] = []
    while len(growth) < _ROUNDS:
        before = used_bytes(network.backend)
        for _ in range(count):
            act()
        growth.append(used_bytes(network.backend) - before)
        if growth[-1] < count * graph_bytes / 4:
            return
    megabytes = ", ".join(f"{one / 1e6:.0f}" for one in growth)
    require(
        False,
        expected=f"memory that does not grow with the number of {what}",
        got=f"{megabytes} MB more after each {count} {what}",
        look_at=look_at,
    )


@check("training")
def training_keeps_no_history(subject: Subject) -> None:
    """Memory does not grow from training step to training step, the state carried along."""
    network = _network(subject)
    inputs, targets = symbols_of(100, _BATCH, 60), symbols_of(101, _BATCH, 60)

    def step() -> None:
        _ = network.train_step(inputs, targets).loss  # waits for a framework that works later

    look_at = f"backend.py: differentiate(): {_DETACH}, and so are the nats"
    _does_not_grow(network, step, graph_bytes=_GRAPH_BYTES, count=_ROUND, what="steps", look_at=look_at)


@check("training")
def evaluation_keeps_no_history(subject: Subject) -> None:
    """Nor does it grow from batch to batch of an evaluation that carries its state."""
    network = _network(subject)
    inputs, targets = symbols_of(100, _BATCH, 60), symbols_of(101, _BATCH, 60)
    state = network.start(_BATCH[0])

    def evaluate() -> None:
        nonlocal state
        _, state = network.nats(inputs, targets, state)

    look_at = f"backend.py and lstm.py, outside of differentiate(): no graph is recorded, or {_DETACH}"
    _does_not_grow(network, evaluate, graph_bytes=_GRAPH_BYTES, count=_ROUND, what="batches", look_at=look_at)


@check("training")
def sampling_keeps_no_history(subject: Subject) -> None:
    """Nor from symbol to symbol of a text, the state handed on."""
    network = _network(subject)
    symbols = symbols_of(102, (_SIDE_BY_SIDE * _BATCH[0], 1), 60)
    state = network.start(len(symbols))

    def predict() -> None:
        nonlocal state
        _, state = network.predict(symbols, state)

    _does_not_grow(
        network,
        predict,
        graph_bytes=_GRAPH_BYTES * _SIDE_BY_SIDE // _BATCH[1],
        count=2 * _ROUND,
        what="symbols",
        look_at=f"backend.py and lstm.py: where one symbol is predicted, {_DETACH}",
    )
