"""Sampling speed of one stream: charkit on each backend against torch.nn.LSTM step by step.

python benchmarks/sampling_speed.py --sizes 2x128 2x512
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from turns import Participant, answer_orders, machine, ratio_table, take_turns

PEER = "plain torch"
VOCABULARY = "".join(map(chr, range(32, 115)))
SIZES = {"2x128": 128, "2x512": 512}


def drawer(name: str, units: int, threads: int) -> Callable[[int], None]:
    """A function that samples so many characters."""
    if name != PEER:
        from charkit import CharRNN
        from charkit.config import SamplingConfig
        from charkit.sampling import sample_texts
        from charkit.text.vocabulary import Vocabulary

        vocabulary = Vocabulary.of_text(VOCABULARY)
        backend = name.removeprefix("charkit ")
        model = CharRNN(vocabulary.size, lstm_size=units, backend=backend, threads=threads)
        return lambda count: sample_texts(model, vocabulary, SamplingConfig(length=count, seed=1)) and None
    import torch

    from charkit_comparison.own_layers.plain_torch import CharLstm

    torch.set_num_threads(threads)
    network = CharLstm(len(VOCABULARY), units, 2, 0.0).eval()

    @torch.inference_mode()
    def draw(count: int) -> None:
        symbol, state = torch.zeros((1, 1), dtype=torch.long), None
        for _ in range(count):
            logits, state = network(symbol, state)
            symbol = torch.multinomial(torch.softmax(logits[0, -1], dim=-1), 1)[None]

    return draw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--backends", nargs="+", default=["numpy", "torch", "tensorflow", "jax"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--participant", help=argparse.SUPPRESS)
    parser.add_argument("--size", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.participant:
        draw = drawer(options.participant, SIZES[options.size], options.threads)

        def work(count: int = 1000) -> dict[str, float]:
            began = time.perf_counter()
            draw(count)
            return {"speed": count / (time.perf_counter() - began)}

        answer_orders(work, lambda: work(100))
        return
    ours = [f"charkit {name}" for name in options.backends]
    print(f"{machine()}; {options.threads} threads; NumPy {np.__version__}")
    for size in options.sizes:
        arguments = ["--size", size, "--threads", str(options.threads)]
        participants = [
            Participant(name, Path(__file__), arguments, options.threads) for name in (PEER, *ours)
        ]
        take_turns(participants, options.rounds)
        table = ratio_table(participants, "speed", "characters per second", dict.fromkeys(ours, PEER))
        print(f"\n{size}\n\n{table}", flush=True)
        for participant in participants:
            participant.close()


if __name__ == "__main__":
    main()
