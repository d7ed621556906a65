"""The sizes that are measured, their arithmetic, and the functions that participants time."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from charkit.config import DataConfig, ModelConfig, OptimizerConfig
from charkit.text.batches import Batches
from charkit.text.corpus import Corpus, open_corpus
from charkit.weights import initial_weights

#: Takes inputs and targets and returns the loss, which only finished work has.
Step = Callable[[Any, Any], float]


class Size(NamedTuple):
    """The shape of a model and of its batches."""

    num_layers: int
    lstm_size: int
    batch_size: int
    num_steps: int

    @property
    def batch_symbols(self) -> int:
        """How many symbols a step trains on."""
        return self.batch_size * self.num_steps


SIZES = {
    "2x128": Size(2, 128, 64, 50),
    "2x512": Size(2, 512, 100, 100),
    "tiny": Size(2, 16, 8, 10),
}


def training_flops(size: Size, vocabulary_size: int) -> float:
    """Floating-point operations of the matrix products of one symbol in training.

    Two for each weight forward, and twice that backward. Layer 0's inputs are one-hot: a choice of rows, no product.
    """
    unit = size.lstm_size
    weights = 4 * unit * unit * (2 * size.num_layers - 1) + unit * vocabulary_size
    return 6.0 * weights


@contextmanager
def corpus_of(options: argparse.Namespace) -> Iterator[Corpus]:
    """The text that was given, or the built-in one."""
    with open_corpus(DataConfig(text=(str(options.text),)) if options.text else DataConfig()) as corpus:
        yield corpus


def batches_forever(corpus: Corpus, size: Size) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The training split's batches, again and again."""
    batches = Batches(corpus.symbols, size.batch_size, size.num_steps, stop=corpus.split("train")[1])
    while True:
        for index in range(batches.count):
            yield batches.batch(index)


def precision_of(name: str) -> str:
    """The precision that a participant's name ends in, or float32."""
    return "bfloat16" if name.endswith("bfloat16") else "float32"


def step_function(name: str, options: argparse.Namespace, vocabulary_size: int) -> Step:
    """A participant's training step; names are such as ``charkit torch bfloat16`` and ``keras jax``."""
    size = SIZES[options.size]
    kind, framework = name.split()[:2]
    if name == "plain jax":
        from benchmarks.plain_jax import PlainJax

        return PlainJax(
            vocabulary_size, size.lstm_size, size.num_layers, size.batch_size, options.threads
        ).step
    if kind != "charkit":
        return _peer_step(kind, framework, name, options, vocabulary_size)
    model = charkit_network(name, options, vocabulary_size)
    return lambda inputs, targets: model.train_step(inputs, targets).loss


def charkit_network(name: str, options: argparse.Namespace, vocabulary_size: int) -> Any:
    """charkit's network on the backend that the name says; that of NumPy uses Numba only if the name ends in it."""
    from charkit import CharRNN

    os.environ["CHARKIT_NUMBA"] = "1" if name.endswith("numba") else "0"

    size = SIZES[options.size]
    return CharRNN(
        vocabulary_size,
        size.batch_size,
        size.num_steps,
        size.lstm_size,
        size.num_layers,
        dropout=options.dropout,
        backend=name.split()[1],
        precision=precision_of(name),
        threads=options.threads,
    )


def _peer_step(
    kind: str, framework: str, name: str, options: argparse.Namespace, vocabulary_size: int
) -> Step:
    """The step of a framework's own layers, from the weights and at the learning rate that charkit starts with."""
    size = SIZES[options.size]
    model = ModelConfig(
        vocabulary_size=vocabulary_size,
        lstm_size=size.lstm_size,
        num_layers=size.num_layers,
        dropout=options.dropout,
    )
    optimizer = OptimizerConfig()
    weights = initial_weights(model, seed=0)
    peer: Any
    if kind in {"plain", "compiled"}:
        from charkit_comparison.own_layers.plain_torch import PlainTorch

        peer = PlainTorch(model, optimizer, weights, options.threads, precision_of(name))
        if kind == "compiled":
            peer.compile()
    else:
        from charkit_comparison.own_layers.keras_layers import KerasLayers

        peer = KerasLayers(
            framework, model, optimizer, weights, (size.batch_size, size.num_steps), options.threads
        )
    return lambda inputs, targets: peer.step(inputs, targets, optimizer.learning_rate)
