"""What makes a small character LSTM good: a plain PyTorch loop with one option for each technique.

    python -m benchmarks techniques tinyshakespeare.txt --steps 5000 --learning-rate 0.01 --beta1 0 --dropout 0.1

It trains on the first 80 % of a text and scores the next 10 %. The last tenth is never read, so that nothing which is
chosen here was chosen on the text that docs/quality.md reports in the end. Each run prints one line of JSON: the
options that differ from their defaults, the seconds, and the losses in nats at ``--scores`` moments.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from math import cos, pi
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.arguments import input_file, positive_integer

#: Hidden and cell state of each layer, ``(1, batch, unit)``.
State = list[tuple[Tensor, Tensor]]
Symbols = NDArray[np.int64]
STREAMS, WARM_UP_SYMBOLS, CHUNK_STEPS = 48, 500, 100


class CharLSTM(nn.Module):
    """LSTM layers over one-hot symbols or an embedding, and a linear output over the last layer or all of them."""

    def __init__(self, vocabulary_size: int, options: argparse.Namespace) -> None:
        super().__init__()
        self.vocabulary_size, self.options = vocabulary_size, options
        width = options.embedding or vocabulary_size
        self.embedding = nn.Embedding(vocabulary_size, options.embedding) if options.embedding else None
        skipped = width if options.skip_input else 0
        sizes = [width] + [options.size + skipped] * (options.layers - 1)
        self.layers = nn.ModuleList(nn.LSTM(size, options.size, batch_first=True) for size in sizes)
        self.output = nn.Linear(
            options.size * (options.layers if options.skip_output else 1), vocabulary_size
        )
        if options.initialization == "orthogonal":
            self._orthogonal()
        self.layers[0].weight_ih_l0.data.mul_(options.input_scale)

    def _orthogonal(self) -> None:
        """charkit's own initial values: Glorot, orthogonal recurrent blocks, and 1 on the forget gate."""
        size = self.options.size
        for lstm in self.layers:
            nn.init.xavier_uniform_(lstm.weight_ih_l0)
            for gate in range(4):
                nn.init.orthogonal_(lstm.weight_hh_l0.data[gate * size : (gate + 1) * size])
            nn.init.zeros_(lstm.bias_ih_l0)
            nn.init.zeros_(lstm.bias_hh_l0)
            lstm.bias_ih_l0.data[size : 2 * size] = 1.0
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def zero_state(self, batch: int) -> State:
        """The state before the first symbol of ``batch`` streams."""
        size = self.options.size
        return [(torch.zeros(1, batch, size), torch.zeros(1, batch, size)) for _ in self.layers]

    def _drop(self, x: Tensor) -> Tensor:
        share = self.options.dropout
        if not self.training or share == 0:
            return x
        if self.options.locked:  # one mask for all time steps of a batch
            return x * (torch.rand(x.shape[0], 1, x.shape[2]) >= share).to(x.dtype) / (1 - share)
        return functional.dropout(x, share)

    def forward(self, symbols: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits ``(batch, time, symbol)`` and the new state."""
        if self.embedding is None:
            x = functional.one_hot(symbols, self.vocabulary_size).float()
        else:
            x = self.embedding(symbols)
        first, after, outputs = x, [], []
        for lstm, before in zip(self.layers, state, strict=True):
            if self.options.skip_input and outputs:
                x = torch.cat([x, first], -1)
            recurrent = lstm.weight_hh_l0
            if self.training and self.options.weight_dropout:
                recurrent = functional.dropout(recurrent, self.options.weight_dropout)
            weights = [lstm.weight_ih_l0, recurrent, lstm.bias_ih_l0, lstm.bias_hh_l0]
            x, hidden, cell = torch._VF.lstm(  # type: ignore[attr-defined]  # nn.LSTM's own call
                x, before, weights, True, 1, 0.0, self.training, False, True
            )
            after.append((hidden, cell))
            x = self._drop(x)
            outputs.append(x)
        return self.output(torch.cat(outputs, -1) if self.options.skip_output else x), after


@torch.no_grad()
def score(model: CharLSTM, data: Symbols, start: int, stop: int) -> float:
    """The mean loss of ``data[start:stop]`` in nats, each symbol with at least 500 before it."""
    model.eval()
    borders = np.linspace(start, stop, STREAMS + 1).astype(np.int64)
    state, total, count = model.zero_state(STREAMS), 0.0, 0
    for offset in range(-WARM_UP_SYMBOLS, int(np.diff(borders).max()), CHUNK_STEPS):
        positions = borders[:-1, None] + offset + np.arange(CHUNK_STEPS)
        real = (positions < borders[1:, None]) & (offset >= 0)
        positions = np.minimum(positions, stop - 1)
        logits, state = model(torch.from_numpy(data[positions - 1]), state)
        targets = torch.from_numpy(data[positions]).flatten()
        nats = functional.cross_entropy(logits.flatten(0, 1), targets, reduction="none")
        total += float((nats.double() * torch.from_numpy(real.flatten())).sum())
        count += int(real.sum())
    model.train()
    return total / count


def learning_rate(step: int, options: argparse.Namespace) -> float:
    """The learning rate of a step, counted from 1."""
    peak, floor = options.learning_rate, options.learning_rate * options.floor
    if step <= options.warmup:
        return float(peak * step / options.warmup)
    done = (step - options.warmup) / max(1, options.steps - options.warmup)
    height = {
        "constant": 1.0,
        "linear": 1 - done,
        "cosine": 0.5 * (1 + cos(pi * done)),
        "cooldown": min(1.0, (1 - done) / options.cooldown_share),
    }[options.schedule]
    return float(floor + (peak - floor) * height)


def batches(data: Symbols, options: argparse.Namespace) -> Iterator[tuple[bool, Symbols, Symbols]]:
    """Whether an epoch begins, inputs and targets ``(batch, time)``, of every step."""
    random = np.random.default_rng(options.seed)
    batch, steps = options.batch_size, options.num_steps
    per_epoch = (len(data) - 1) // (batch * steps)
    length = per_epoch * steps
    rows = np.empty((0, 0), dtype=np.int64)
    for step in range(options.steps):
        place = step % per_epoch
        if place == 0:
            offset = int(random.integers(len(data))) if options.epoch_offset else 0
            text = np.roll(data, -offset)
            rows = np.stack([text[row * length : (row + 1) * length + 1] for row in range(batch)])
        columns = rows[:, place * steps : (place + 1) * steps + 1]
        inputs, targets = columns[:, :-1].copy(), columns[:, 1:].copy()
        if options.noise:  # some inputs are replaced by symbols drawn from the text
            noisy = random.random(inputs.shape) < options.noise
            inputs = np.where(noisy, data[random.integers(len(data), size=inputs.shape)], inputs)
        yield place == 0, inputs, targets


def train(
    model: CharLSTM, data: Symbols, held_out: tuple[int, int], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Trains on ``data`` up to the held-out range and returns the losses at some moments."""
    output, inputs_of_first = list(model.output.parameters()), model.layers[0].weight_ih_l0
    others = [one for one in list(model.parameters())[: -len(output)] if one is not inputs_of_first]
    groups = [{"params": others, "factor": 1.0}, {"params": output, "factor": options.output_rate}]
    groups += [{"params": [inputs_of_first], "factor": options.input_rate}]
    optimizer = torch.optim.AdamW(
        groups, betas=(options.beta1, options.beta2), eps=options.epsilon, weight_decay=options.weight_decay
    )
    average = [parameter.detach().clone() for parameter in model.parameters()]
    random = np.random.default_rng((options.seed, 1))
    state, losses, scores = model.zero_state(options.batch_size), [], []
    for step, (begins, inputs, targets) in enumerate(batches(data[: held_out[0]], options), start=1):
        if begins:
            state = model.zero_state(options.batch_size)
        if options.reset_probability:
            kept = random.random((1, options.batch_size, 1)) >= options.reset_probability
            keep = torch.from_numpy(kept.astype(np.float32))
            state = [(hidden * keep, cell * keep) for hidden, cell in state]
        logits, state = model(torch.from_numpy(inputs), state)
        state = [(hidden.detach(), cell.detach()) for hidden, cell in state]
        loss = functional.cross_entropy(logits.flatten(0, 1), torch.from_numpy(targets).flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), options.grad_clip)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, options) * group["factor"]
        optimizer.step()
        losses.append(loss.item())
        if options.average:
            share = 1 - min(options.average, 1 - 1 / (step + 1))
            torch._foreach_lerp_(average, [one.detach() for one in model.parameters()], share)
        if step % max(1, options.steps // options.scores) == 0:
            moment = {
                "step": step,
                "train": float(np.mean(losses[-200:])),
                "held_out": score(model, data, *held_out),
            }
            if options.average:
                moment["average"] = score_average(model, average, data, held_out)
            scores.append({key: round(value, 4) for key, value in moment.items()})
    return scores


@torch.no_grad()
def score_average(model: CharLSTM, average: list[Tensor], data: Symbols, held_out: tuple[int, int]) -> float:
    """The loss of the averaged weights; the model keeps its own."""
    own = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter, value in zip(model.parameters(), average, strict=True):
        parameter.copy_(value)
    loss = score(model, data, *held_out)
    for parameter, value in zip(model.parameters(), own, strict=True):
        parameter.copy_(value)
    return loss


def arguments() -> argparse.ArgumentParser:
    """The options, one for each technique."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("text", type=input_file)
    add("--characters", type=positive_integer, help="use only so many of the text")
    for name, default in (
        ("size", 128),
        ("layers", 2),
        ("batch-size", 32),
        ("num-steps", 50),
        ("steps", 2000),
    ):
        add(f"--{name}", type=positive_integer, default=default)
    for name, default in (("learning-rate", 0.01), ("beta1", 0.9), ("beta2", 0.999), ("epsilon", 1e-8)):
        add(f"--{name}", type=float, default=default)
    for name, default in (("grad-clip", 5.0), ("weight-decay", 0.0), ("floor", 0.0), ("cooldown-share", 0.3)):
        add(f"--{name}", type=float, default=default)
    for name in ("dropout", "weight-dropout", "noise", "reset-probability", "average"):
        add(f"--{name}", type=float, default=0.0)
    for name in ("locked", "epoch-offset", "skip-output", "skip-input"):
        add(f"--{name}", action="store_true")
    add("--schedule", default="cosine", choices=("constant", "linear", "cosine", "cooldown"))
    add("--initialization", default="orthogonal", choices=("orthogonal", "uniform"))
    add("--input-scale", type=float, default=1.0, help="factor of the first layer's initial input weights")
    add(
        "--input-rate", type=float, default=1.0, help="factor of the learning rate of the first input weights"
    )
    add("--output-rate", type=float, default=1.0, help="factor of the learning rate of the output layer")
    for name, default in (("warmup", 0), ("embedding", 0), ("seed", 0), ("threads", 1), ("scores", 2)):
        add(f"--{name}", type=int, default=default)
    return parser


def main() -> None:
    """Trains with the options and prints the result."""
    parser = arguments()
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    text = options.text.read_text("utf-8")[: options.characters]
    symbols = {symbol: number for number, symbol in enumerate(sorted(set(text)))}
    data = np.array([symbols[symbol] for symbol in text], dtype=np.int64)
    model = CharLSTM(len(symbols), options)
    began = time.monotonic()
    scores = train(model, data, (int(len(data) * 0.8), int(len(data) * 0.9)), options)
    given = {key: value for key, value in vars(options).items() if value != parser.get_default(key)}
    given["text"] = options.text.stem
    print(json.dumps({**given, "seconds": round(time.monotonic() - began), "scores": scores}), flush=True)


if __name__ == "__main__":
    main()
