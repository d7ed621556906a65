"""Training speed against what users of each framework would write: same text, shapes and threads, in turns.

python benchmarks/training_speed.py anna.txt
python benchmarks/training_speed.py anna.txt --sizes 2x128 --precision bfloat16 --dropout 0.5
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from turns import Participant, answer_orders, machine, ratio_table, take_turns

from charkit.config import DataConfig, ModelConfig, OptimizerConfig
from charkit.text.batches import Batches
from charkit.text.corpus import open_corpus
from charkit.weights import initial_weights

#: What each backend is measured against: the plain torch.nn.LSTM loop, or Keras on the same framework.
PEERS = {
    "charkit numpy": "plain torch",
    "charkit torch": "plain torch",
    "charkit tensorflow": "keras tensorflow",
    "charkit jax": "keras jax",
}
#: Shape of the model, and of its batches: batch_size, num_steps.
SIZES = {"2x128": (2, 128, 64, 50), "2x512": (2, 512, 100, 100)}
SECONDS_PER_TURN = 3.0


def batches_forever(batches: Batches) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    while True:
        for index in range(batches.count):
            yield batches.batch(index)


def step_function(
    name: str, options: argparse.Namespace, vocabulary_size: int
) -> Callable[[Any, Any], float]:
    """The participant's step: takes inputs and targets, returns the loss, which only finished work has."""
    layers, units, batch, steps = SIZES[options.size]
    kind, framework = name.split()
    if name == "plain jax":
        from plain_jax import PlainJax

        return PlainJax(vocabulary_size, units, layers, batch, options.threads).step
    if kind != "charkit":
        return peer_step(name, options, vocabulary_size)
    from charkit import CharRNN

    model = CharRNN(
        vocabulary_size,
        batch,
        steps,
        units,
        layers,
        dropout=options.dropout,
        backend=framework,
        precision=options.precision,
        threads=options.threads,
    )
    return lambda inputs, targets: model.train_step(inputs, targets).loss


def peer_step(name: str, options: argparse.Namespace, vocabulary_size: int) -> Callable[[Any, Any], float]:
    """The step of a framework's own layers, from the weights and at the learning rate that charkit starts with."""
    layers, units, batch, steps = SIZES[options.size]
    model = ModelConfig(
        vocabulary_size=vocabulary_size, lstm_size=units, num_layers=layers, dropout=options.dropout
    )
    optimizer = OptimizerConfig()
    weights = initial_weights(model, seed=0)
    kind, framework = name.split()
    peer: Any
    if kind == "plain":
        from charkit_comparison.own_layers.plain_torch import PlainTorch

        peer = PlainTorch(model, optimizer, weights, options.threads, options.precision)
    else:
        from charkit_comparison.own_layers.keras_layers import KerasLayers

        peer = KerasLayers(framework, model, optimizer, weights, (batch, steps), options.threads)
    return lambda inputs, targets: peer.step(inputs, targets, optimizer.learning_rate)


def work(name: str, options: argparse.Namespace) -> None:
    """In the worker process: trains for a few seconds on each request."""
    _, _, batch, steps = SIZES[options.size]
    with open_corpus(DataConfig(text=(options.text,))) as corpus:
        stream = batches_forever(Batches(corpus.symbols, batch, steps, stop=corpus.split("train")[1]))
        step = step_function(name, options, corpus.vocabulary.size)

        def train(seconds: float) -> dict[str, float]:
            began, count = time.perf_counter(), 0
            while count < 3 or time.perf_counter() - began < seconds:
                step(*next(stream))
                count += 1
            return {"speed": count * batch * steps / (time.perf_counter() - began)}

        answer_orders(lambda: train(SECONDS_PER_TURN), lambda: train(1.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--backends", nargs="+", default=["numpy", "torch", "tensorflow", "jax"])
    parser.add_argument("--also", nargs="+", default=[], choices=["plain jax"], help="further participants")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--participant", help=argparse.SUPPRESS)
    parser.add_argument("--size", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.participant:
        work(options.participant, options)
        return
    ours = [
        f"charkit {name}" for name in options.backends if (name, options.precision) != ("numpy", "bfloat16")
    ]
    peers = [PEERS[name] for name in ours if options.precision == "float32" or PEERS[name] == "plain torch"]
    names = [*dict.fromkeys(peers), *options.also, *ours]
    sys.stdout.write(
        f"{machine()}; {options.threads} threads, {options.precision}, dropout {options.dropout}\n"
    )
    for size in options.sizes:
        arguments = [options.text, "--size", size, "--precision", options.precision]
        arguments += ["--dropout", str(options.dropout), "--threads", str(options.threads)]
        participants = [Participant(name, Path(__file__), arguments, options.threads) for name in names]
        take_turns(participants, options.rounds)
        print(f"\n{size}, batches of {SIZES[size][2]} x {SIZES[size][3]}\n")
        print(ratio_table(participants, "speed", "characters per second", PEERS), flush=True)
        for participant in participants:
            participant.close()


if __name__ == "__main__":
    main()
