"""A well-known course's recipe for Anna Karenina, in a plain PyTorch loop as its notebook has it.

    python -m benchmarks notebook-recipe anna.txt --state notebook.safetensors

2x512, dropout 0.5 between the layers and before the output, Adam at 0.001, batches of 128 x 100, clip 5, 20 epochs,
the last tenth held out, float32, PyTorch's own initial weights. Each epoch's validation is read as the notebook reads
it: the mean over batches of 128 x 100 from a zero state. The same recipe in charkit:

    toolkit train anna.txt --backend torch --recipe classic --lstm-size 512 --dropout 0.5 --batch-size 128 \
        --num-steps 100 --epochs 20 --validation-share 0.1 --test-share 0 --initialization uniform

It takes an hour on two cores. The state is written after every epoch, and a run that was cut off continues from it.
The weights alone are beside it with their vocabulary, for ``toolkit import notebook.weights.safetensors``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

BATCH, STEPS, SIZE, LAYERS, EPOCHS = 128, 100, 512, 2, 20
State = tuple[Tensor, Tensor]


class Notebook(nn.Module):
    """``nn.LSTM`` over one-hot symbols, dropout, ``nn.Linear``."""

    def __init__(self, symbols: int) -> None:
        super().__init__()
        self.symbols = symbols
        self.lstm = nn.LSTM(symbols, SIZE, LAYERS, dropout=0.5, batch_first=True)
        self.dropout = nn.Dropout(0.5)
        self.linear = nn.Linear(SIZE, symbols)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits ``(batch * time, symbol)`` and the new state, from symbols ``(batch, time)``."""
        features, state = self.lstm(nn.functional.one_hot(x, self.symbols).float(), state)
        return self.linear(self.dropout(features).reshape(-1, SIZE)), state


def batches(data: NDArray[np.int64]) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets ``(BATCH, STEPS)``; the very last target of a row is its first symbol, as in the notebook."""
    columns = len(data) // (BATCH * STEPS) * STEPS
    rows = data[: BATCH * columns].reshape(BATCH, columns)
    following = np.roll(rows, -1, axis=1)
    for start in range(0, columns, STEPS):
        part = slice(start, start + STEPS)
        yield torch.from_numpy(rows[:, part].copy()), torch.from_numpy(following[:, part].copy())


def zero_state() -> State:
    """The state at the beginning of an epoch and of a validation."""
    return torch.zeros(LAYERS, BATCH, SIZE), torch.zeros(LAYERS, BATCH, SIZE)


def train_epoch(model: Notebook, optimizer: torch.optim.Adam, data: NDArray[np.int64]) -> float:
    """One pass; returns its mean loss in nats, with dropout."""
    model.train()
    state, losses = zero_state(), []
    for x, y in batches(data):
        optimizer.zero_grad()
        logits, (h, c) = model(x, state)
        state = (h.detach(), c.detach())
        loss = nn.functional.cross_entropy(logits, y.flatten())
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 5)
        optimizer.step()
        losses.append(loss.item())
    return float(np.mean(losses))


@torch.no_grad()
def validate(model: Notebook, data: NDArray[np.int64]) -> float:
    """The notebook's reading: the mean of the batches' losses, in nats."""
    model.eval()
    state, losses = zero_state(), []
    for x, y in batches(data):
        logits, state = model(x, state)
        losses.append(nn.functional.cross_entropy(logits, y.flatten()).item())
    return float(np.mean(losses))


def save(path: Path, model: Notebook, optimizer: torch.optim.Adam, epoch: int) -> None:
    """Writes weights, moments, the generator's state and the epoch."""
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    for index, (name, parameter) in enumerate(model.named_parameters()):
        for key in ("exp_avg", "exp_avg_sq", "step"):
            tensors[f"adam.{key}.{index}.{name}"] = optimizer.state[parameter][key].contiguous()
    save_file({**tensors, "random": torch.get_rng_state()}, path, {"epoch": str(epoch)})
    weights = {name: tensors[name] for name in model.state_dict()}
    save_file(weights, path.with_suffix(".weights.safetensors"))


def restore(path: Path, model: Notebook, optimizer: torch.optim.Adam) -> None:
    """The inverse of ``save``."""
    tensors = load_file(path)
    model.load_state_dict({name: tensors[name] for name in model.state_dict()})
    for index, (name, parameter) in enumerate(model.named_parameters()):
        optimizer.state[parameter] = {
            key: tensors[f"adam.{key}.{index}.{name}"] for key in ("exp_avg", "exp_avg_sq", "step")
        }
    torch.set_rng_state(tensors["random"])


def main() -> None:
    """Trains, or continues, and prints a line of JSON for each epoch."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("--state", type=Path, default=Path("notebook.safetensors"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    text = options.text.read_text("utf-8")
    symbols = {symbol: number for number, symbol in enumerate(sorted(set(text)))}
    data = np.array([symbols[symbol] for symbol in text], dtype=np.int64)
    border = int(len(data) * 0.9)
    model = Notebook(len(symbols))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    history: list[dict[str, float]] = []
    log = options.state.with_suffix(".jsonl")
    options.state.with_suffix(".weights.vocabulary.json").write_text(json.dumps(symbols), "utf-8")
    if options.state.exists():
        restore(options.state, model, optimizer)
        history = [json.loads(line) for line in log.read_text().splitlines()]
    for epoch in range(len(history) + 1, options.epochs + 1):
        began = time.monotonic()
        loss = train_epoch(model, optimizer, data[:border])
        validation = validate(model, data[border:])
        line = {"epoch": epoch, "loss": loss, "validation": validation, "seconds": time.monotonic() - began}
        print(json.dumps(line), flush=True)
        save(options.state, model, optimizer, epoch)
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
