"""A well-known course's recipe for Anna Karenina, in a plain PyTorch loop as its notebook has it.

    python -m benchmarks notebook-recipe anna.txt --state notebook.safetensors

2x512, dropout 0.5 between the layers and before the output, Adam at 0.001, batches of 128 x 100, clip 5, 20 epochs,
the last tenth held out, float32, PyTorch's own initial weights. Each epoch's validation is read as the notebook reads
it: the mean over batches of 128 x 100 from a zero state. The same recipe in charkit:

    toolkit train anna.txt --backend torch --recipe classic --lstm-size 512 --dropout 0.5 --batch-size 128 \
        --num-steps 100 --epochs 20 --validation-share 0.1 --test-share 0 --initialization uniform

It takes an hour on two cores. The state is written after every epoch, and a run that was cut off continues from it.
The plain loop's weights alone are beside it with their vocabulary, for ``toolkit import notebook.weights.safetensors``.

    python -m benchmarks notebook-recipe anna.txt --characters 450000 --lstm-size 128 --batch-size 32 --num-steps 50
    python -m benchmarks notebook-recipe ... --charkit --state charkit.safetensors

A smaller model shows in minutes whether charkit learns as this loop does. With ``--charkit``, ``charkit.CharRNN``
trains on its PyTorch backend, from the same initial weights, on the same batches and with the same reading. With
``--by-symbol``, what a state has learned of line breaks is shown apart from the rest. ``--dropout-seed`` and
``--one-bias`` change one thing each: the masks, or the second bias that PyTorch has in each gate.
"""

# Over 300 lines: the notebook's loop and the same recipe in charkit, to be read side by side.

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmarks.arguments import input_file, positive_integer
from charkit import CharRNN

LAYERS, EPOCHS, DROPOUT, LEARNING_RATE, CLIP = 2, 20, 0.5, 0.001, 5.0
State = tuple[Tensor, Tensor]


class Shape(NamedTuple):
    """Of the model and its batches; by default the notebook's."""

    lstm_size: int = 512
    batch_size: int = 128
    num_steps: int = 100


class Notebook(nn.Module):
    """``nn.LSTM`` over one-hot symbols, dropout, ``nn.Linear``."""

    def __init__(self, symbols: int, shape: Shape) -> None:
        super().__init__()
        self.symbols, self.shape = symbols, shape
        self.lstm = nn.LSTM(symbols, shape.lstm_size, LAYERS, dropout=DROPOUT, batch_first=True)
        self.dropout = nn.Dropout(DROPOUT)
        self.linear = nn.Linear(shape.lstm_size, symbols)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits ``(batch * time, symbol)`` and the new state, from symbols ``(batch, time)``."""
        features, state = self.lstm(nn.functional.one_hot(x, self.symbols).float(), state)
        return self.linear(self.dropout(features).reshape(-1, self.shape.lstm_size)), state

    def zero_state(self) -> State:
        """The state at the beginning of an epoch and of a validation."""
        zeros = torch.zeros(LAYERS, self.shape.batch_size, self.shape.lstm_size)
        return zeros, zeros.clone()

    def train_one_bias(self) -> None:
        """Leaves one bias in each gate to be trained, the sum of PyTorch's two, as in charkit."""
        for layer in range(LAYERS):
            kept, other = (getattr(self.lstm, f"bias_{kind}_l{layer}") for kind in ("ih", "hh"))
            with torch.no_grad():
                kept += other
                other.zero_()
            other.requires_grad_(False)

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters that training changes, by name."""
        return {name: each for name, each in self.named_parameters() if each.requires_grad}


def batches(data: NDArray[np.int64], shape: Shape) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Inputs and targets ``(batch, time)``; the very last target of a row is its first symbol, as in the notebook."""
    columns = len(data) // (shape.batch_size * shape.num_steps) * shape.num_steps
    rows = data[: shape.batch_size * columns].reshape(shape.batch_size, columns)
    following = np.roll(rows, -1, axis=1)
    for start in range(0, columns, shape.num_steps):
        part = slice(start, start + shape.num_steps)
        yield rows[:, part].copy(), following[:, part].copy()


@torch.no_grad()
def nats_of_batches(model: Notebook, data: NDArray[np.int64]) -> list[tuple[Tensor, Tensor]]:
    """The loss of each symbol of each batch, in nats, and the symbols, both ``(batch * time,)``."""
    model.eval()
    state, found = model.zero_state(), []
    for x, y in batches(data, model.shape):
        logits, state = model(torch.from_numpy(x), state)
        targets = torch.from_numpy(y).flatten()
        found.append((nn.functional.cross_entropy(logits, targets, reduction="none"), targets))
    return found


def validate(model: Notebook, data: NDArray[np.int64]) -> float:
    """The notebook's reading: the mean of the batches' losses, in nats."""
    return float(np.mean([nats.mean().item() for nats, _ in nats_of_batches(model, data)]))


def by_symbol(model: Notebook, data: NDArray[np.int64], symbols: dict[str, int]) -> dict[str, float]:
    """The parts of the validation loss that line breaks, spaces and all other symbols have in it, in nats."""
    nats, targets = (torch.cat(each) for each in zip(*nats_of_batches(model, data), strict=True))
    parts = {
        name: (nats[targets == symbols[symbol]].sum() / len(nats)).item()
        for name, symbol in {"line breaks": "\n", "spaces": " "}.items()
    }
    return {**parts, "others": nats.mean().item() - sum(parts.values())}


class InPlainLoop:
    """Trains the model as the notebook does."""

    def __init__(self, model: Notebook) -> None:
        self._model = model
        self._optimizer = torch.optim.Adam(model.trained_parameters().values(), lr=LEARNING_RATE)

    def train_epoch(self, data: NDArray[np.int64]) -> float:
        """One pass; returns its mean loss in nats, with dropout."""
        model, optimizer = self._model, self._optimizer
        model.train()
        state, losses = model.zero_state(), []
        for x, y in batches(data, model.shape):
            optimizer.zero_grad()
            logits, (h, c) = model(torch.from_numpy(x), state)
            state = (h.detach(), c.detach())
            loss = nn.functional.cross_entropy(logits, torch.from_numpy(y).flatten())
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            losses.append(loss.item())
        return float(np.mean(losses))

    def save(self, path: Path) -> None:
        """Writes weights, moments and the generator's state, and the weights alone beside them."""
        weights = {name: tensor.contiguous() for name, tensor in self._model.state_dict().items()}
        tensors = dict(weights)
        for index, (name, parameter) in enumerate(self._model.trained_parameters().items()):
            for key in ("exp_avg", "exp_avg_sq", "step"):
                tensors[f"adam.{key}.{index}.{name}"] = self._optimizer.state[parameter][key].contiguous()
        save_file({**tensors, "random": torch.get_rng_state()}, path)
        save_file(weights, path.with_suffix(".weights.safetensors"))

    def restore(self, path: Path) -> None:
        """The inverse of ``save``."""
        tensors = load_file(path)
        self._model.load_state_dict({name: tensors[name] for name in self._model.state_dict()})
        for index, (name, parameter) in enumerate(self._model.trained_parameters().items()):
            self._optimizer.state[parameter] = {
                key: tensors[f"adam.{key}.{index}.{name}"] for key in ("exp_avg", "exp_avg_sq", "step")
            }
        torch.set_rng_state(tensors["random"])


class InCharkit:
    """The same model in charkit, from the weights of the plain one, to which it gives its own back for a reading."""

    def __init__(self, model: Notebook, dropout_seed: int, threads: int) -> None:
        self._plain, self._threads = model, threads
        self._network = CharRNN(
            model.symbols,
            model.shape.batch_size,
            model.shape.num_steps,
            model.shape.lstm_size,
            LAYERS,
            LEARNING_RATE,
            CLIP,
            DROPOUT,
            backend="torch",
            threads=threads,
            seed=dropout_seed,
        )
        plain = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
        weights = {"output.weight": plain["linear.weight"], "output.bias": plain["linear.bias"]}
        for layer in range(LAYERS):
            for kind in ("weight_ih", "weight_hh"):
                weights[f"lstm.{layer}.{kind}"] = plain[f"lstm.{kind}_l{layer}"]
            weights[f"lstm.{layer}.bias"] = plain[f"lstm.bias_ih_l{layer}"] + plain[f"lstm.bias_hh_l{layer}"]
        self._network.load_weights({name: array.copy() for name, array in weights.items()})

    def train_epoch(self, data: NDArray[np.int64]) -> float:
        """One pass; returns its mean loss in nats, with dropout."""
        self._network.reset_state()
        losses = [
            self._network.train_step(x.astype(np.int32), y.astype(np.int32)).loss
            for x, y in batches(data, self._plain.shape)
        ]
        self._give_weights()
        return float(np.mean(losses))

    def save(self, path: Path) -> None:
        """Writes the network's file, which ``CharRNN.load`` reads."""
        self._network.save(path)

    def restore(self, path: Path) -> None:
        """The inverse of ``save``."""
        self._network = CharRNN.load(path, backend="torch", threads=self._threads)
        self._give_weights()

    def _give_weights(self) -> None:
        own = self._network.weights()
        tensors = {"linear.weight": own["output.weight"], "linear.bias": own["output.bias"]}
        for layer in range(LAYERS):
            for kind in ("weight_ih", "weight_hh"):
                tensors[f"lstm.{kind}_l{layer}"] = own[f"lstm.{layer}.{kind}"]
            tensors[f"lstm.bias_ih_l{layer}"] = own[f"lstm.{layer}.bias"]
            tensors[f"lstm.bias_hh_l{layer}"] = np.zeros_like(own[f"lstm.{layer}.bias"])
        self._plain.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in tensors.items()})


def main() -> None:
    """Trains, or continues, and prints a line of JSON for each epoch."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("text", type=input_file)
    parser.add_argument("--state", type=Path, default=Path("notebook.safetensors"))
    parser.add_argument("--threads", type=positive_integer, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=positive_integer, default=EPOCHS)
    parser.add_argument("--lstm-size", type=positive_integer, default=Shape().lstm_size)
    parser.add_argument("--batch-size", type=positive_integer, default=Shape().batch_size)
    parser.add_argument("--num-steps", type=positive_integer, default=Shape().num_steps)
    parser.add_argument("--characters", type=positive_integer, help="of the text's beginning [default: all]")
    parser.add_argument(
        "--dropout-seed", type=int, help="seed for the dropout masks of a new state [default: that of --seed]"
    )
    trained = parser.add_mutually_exclusive_group()
    trained.add_argument("--charkit", action="store_true", help="train in charkit")
    trained.add_argument("--one-bias", action="store_true", help="one bias in each gate of the plain loop")
    parser.add_argument(
        "--by-symbol", action="store_true", help="only print the parts of the state's validation loss"
    )
    options = parser.parse_args()
    if options.state.exists():
        _check_state(parser, options)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    text = options.text.read_text("utf-8")[: options.characters]
    symbols = {symbol: number for number, symbol in enumerate(sorted(set(text)))}
    data = np.array([symbols[symbol] for symbol in text], dtype=np.int64)
    model = Notebook(len(symbols), Shape(options.lstm_size, options.batch_size, options.num_steps))
    if options.one_bias:
        model.train_one_bias()
    dropout_seed = options.seed if options.dropout_seed is None else options.dropout_seed
    if options.dropout_seed is not None:
        torch.manual_seed(options.dropout_seed)
    trainer = InCharkit(model, dropout_seed, options.threads) if options.charkit else InPlainLoop(model)
    if options.by_symbol:
        trainer.restore(options.state)
        print(json.dumps(by_symbol(model, data[_border(data) :], symbols)))
        return
    if not options.charkit:
        options.state.with_suffix(".weights.vocabulary.json").write_text(json.dumps(symbols), "utf-8")
    _train(trainer, model, data, options)


def _check_state(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Ends the program if the state is of another kind of training."""
    with safe_open(options.state, "pt") as state:
        moments = sum(name.startswith("adam.exp_avg.") for name in state.keys())  # noqa: SIM118 - it is no mapping
    neither = "neither --charkit nor --one-bias"
    found = {0: "--charkit", 3 * LAYERS + 2: "--one-bias"}.get(moments, neither)
    given = "--charkit" if options.charkit else "--one-bias" if options.one_bias else neither
    if found != given:
        parser.error(f"{str(options.state)!r} was written with {found}; give the same, or another --state")


def _border(data: NDArray[np.int64]) -> int:
    """Where the held-out tenth begins."""
    return int(len(data) * 0.9)


def _train(
    trainer: InPlainLoop | InCharkit, model: Notebook, data: NDArray[np.int64], options: argparse.Namespace
) -> None:
    """Trains, or continues, and writes the state after every epoch."""
    border = _border(data)
    history: list[dict[str, float]] = []
    log = options.state.with_suffix(".jsonl")
    if options.state.exists():
        trainer.restore(options.state)
        history = [json.loads(line) for line in log.read_text().splitlines()]
    for epoch in range(len(history) + 1, options.epochs + 1):
        began = time.monotonic()
        loss = trainer.train_epoch(data[:border])
        validation = validate(model, data[border:])
        line = {"epoch": epoch, "loss": loss, "validation": validation, "seconds": time.monotonic() - began}
        print(json.dumps(line), flush=True)
        trainer.save(options.state)
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
