"""What has to be seen on a GPU, in one command: the same numbers, exact resume, memory, and speed beside bare cuDNN.

python -m benchmarks gpu                    # PyTorch on cuda:0
python -m benchmarks gpu --backend jax
python -m benchmarks gpu --device cpu --quick     # does the program itself work?

The exit status is 1 if a check fails. With --save the speeds are recorded for the documentation.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.arguments import positive_number
from benchmarks.cases import SIZES, Size
from benchmarks.results import Measured, Result, add_options, command_line, show

TOOLKIT = (sys.executable, "-m", "charkit_cli")
VOCABULARY_SIZE = 83
#: What the names of results leave out.
BACKEND, DEVICE = "torch", "cuda:0"


def toolkit(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line, and returns what it printed."""
    return subprocess.run([*TOOLKIT, *arguments], capture_output=True, text=True, check=False)


def conformance(backend: str, device: str, *, quick: bool) -> str:
    """Runs the conformance kit on the device, or its first stages; returns what is wrong, or nothing."""
    stages = ("--stage", "import", "--stage", "build", "--stage", "forward") if quick else ()
    done = toolkit("verify", "--backend", backend, "--device", device, "--json", *stages)
    if done.returncode not in {0, 1}:
        return done.stderr.strip()
    failed = [check["name"] for check in json.loads(done.stdout)["checks"] if check["status"] == "failed"]
    return f"failed: {', '.join(failed)}" if failed else ""


def exact_resume(backend: str, device: str) -> str:
    """Trains 40 steps in one go, and 20 and 20; returns what differs, or nothing."""
    digests = []
    with tempfile.TemporaryDirectory() as folder:
        for stops in ((40,), (20, 40)):
            run = Path(folder) / f"run-{len(stops)}"
            for index, stop in enumerate(stops):
                start = ("--resume", str(run)) if index else ("--recipe", "classic", "--run", str(run))
                extra = () if index else ("--dropout", "0.5", "--lstm-size", "64", "--schedule", "constant")
                done = toolkit(
                    "train",
                    *start,
                    *extra,
                    *("--backend", backend, "--device", device, "--max-steps", str(stop)),
                )
                if done.returncode:
                    return done.stderr.strip()
            newest = max((run / "checkpoints").iterdir(), key=lambda path: path.name)
            digests.append(hashlib.sha256((newest / "model.safetensors").read_bytes()).hexdigest())
    return "" if digests[0] == digests[1] else "weights of a resumed run differ"


def charkit_step(size: Size, backend: str, device: str, precision: str) -> Callable[[], Any]:
    """One training step of charkit."""
    import numpy as np

    from charkit import CharRNN

    network = CharRNN(
        VOCABULARY_SIZE,
        size.batch_size,
        size.num_steps,
        size.lstm_size,
        size.num_layers,
        backend=backend,
        device=device,
        precision=precision,
    )
    symbols = np.random.default_rng(0).integers(
        0, VOCABULARY_SIZE, (size.batch_size, size.num_steps), dtype=np.int32
    )
    return lambda: network.train_step(symbols, symbols).loss


def bare_step(size: Size, device: str) -> Callable[[], Any]:
    """The forward and backward pass of torch.nn.LSTM alone on random inputs: what cuDNN takes."""
    import torch

    lstm = torch.nn.LSTM(size.lstm_size, size.lstm_size, size.num_layers, batch_first=True).to(device)
    inputs = torch.randn(size.batch_size, size.num_steps, size.lstm_size, device=device)

    def step() -> float:
        lstm.zero_grad(set_to_none=True)
        outputs, _ = lstm(inputs)
        outputs.mean().backward()
        return float(outputs[0, 0, 0].item())  # waits for the device

    return step


def speed(step: Callable[[], Any], symbols: int, seconds: float) -> float:
    """Symbols per second, after some steps that don't count."""
    for _ in range(5):
        step()
    began, count = time.perf_counter(), 0
    while count < 3 or time.perf_counter() - began < seconds:
        step()
        count += 1
    return count * symbols / (time.perf_counter() - began)


def main() -> None:
    """Checks, measures, and exits with 1 if a check fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", default=BACKEND, choices=("torch", "tensorflow", "jax"))
    parser.add_argument("--device", default=DEVICE)
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--seconds", type=positive_number, default=3.0, help="of a turn [default: 3]")
    add_options(parser, rounds=5)
    options = parser.parse_args()
    sizes = ["2x128", "2x512"]
    if options.quick:
        sizes, options.rounds, options.seconds, options.precisions = ["tiny"], 1, 0.05, ["float32"]
    problems = {
        "conformance kit": conformance(options.backend, options.device, quick=options.quick),
        "exact resume": exact_resume(options.backend, options.device),
    }
    for name, problem in problems.items():
        print(f"{name} on {options.device}: {problem or 'passed'}", flush=True)
    for size in sizes:
        _measure(size, options)
    sys.exit(int(any(problems.values())))


def result_name(size: str, options: argparse.Namespace) -> str:
    """Under which the speeds of a size are recorded, so that one backend or device doesn't replace another."""
    parts = [options.backend] if options.backend != BACKEND else []
    parts += [options.device.replace(":", "-")] if options.device != DEVICE else []
    return "-".join(["gpu", size, *parts])


def _measure(name: str, options: argparse.Namespace) -> None:
    size = SIZES[name]
    steps = {"torch.nn.LSTM alone": bare_step(size, options.device)}
    for precision in options.precisions:
        mine = f"charkit {options.backend} {precision}"
        steps[mine] = charkit_step(size, options.backend, options.device, precision)
    values: dict[str, list[list[float]]] = {one: [] for one in steps}
    for _ in range(options.rounds):
        for one, step in steps.items():
            values[one].append([speed(step, size.batch_symbols, options.seconds)])
    results = [
        Measured(one, rounds, "" if one.startswith("torch") else "torch.nn.LSTM alone")
        for one, rounds in values.items()
    ]
    title = f"Training {name} on {options.device}{_peak_memory(options.device)}"
    show(
        Result(
            result_name(name, options), title, "characters/s", command_line("gpu"), results, options.threads
        ),
        options,
    )


def _peak_memory(device: str) -> str:
    if not device.startswith("cuda"):
        return ""
    import torch

    used = torch.cuda.max_memory_allocated(device) / 2**20
    return f" ({torch.cuda.get_device_name(device)}; PyTorch's peak memory {used:,.0f} MiB)"


if __name__ == "__main__":
    main()
