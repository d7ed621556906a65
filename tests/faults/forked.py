"""Training in real processes that start in milliseconds: forked from one that has imported everything already.

    child = start(train_until_killed, run, settings)
    kill(child.pid)

The functions that run there are here, or in another module that a new process can import.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

#: What a child would otherwise import itself, a second each time.
_PRELOADED = (
    "pytest",
    "charkit_cli.main",
    "charkit_cli.train",
    "charkit_numpy.backend",
    "charkit.training.trainer",
)
#: After so long a child that should have ended or got somewhere fails its test, on however busy a machine.
PATIENCE_SECONDS = 120.0


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    frameworks = [
        f"charkit_{name}.backend" for name in ("torch", "jax", "tensorflow") if find_spec(f"charkit_{name}")
    ]
    context.set_forkserver_preload(["faults.forked", *_PRELOADED, *frameworks])
    return context


def start(function: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """Starts the function in a process of its own."""
    child = _context().Process(target=function, args=arguments, daemon=True)
    child.start()
    return child


def kill(process_id: int | None) -> None:
    """Kills a process, unless it has ended meanwhile: the fork server waits for its children itself."""
    assert process_id is not None
    with suppress(ProcessLookupError):
        os.kill(process_id, signal.SIGKILL)


def status_of(child: ForkServerProcess) -> int:
    """The exit status, as ``subprocess`` has it, of a child that ends."""
    child.join(PATIENCE_SECONDS)
    assert child.exitcode is not None, "the child goes on"
    return child.exitcode


# ---- what runs in the children ----------------------------------------------------------------------------


def train(
    folder: str,
    backend: str,
    run: str,
    text: str,
    settings: dict[str, Any],
    fault: Callable[[], None] | None = None,
) -> None:
    """Trains a run to its end, from where it stands if it is there; ``fault`` is planted first."""
    import charkit

    os.chdir(folder)
    if fault is not None:
        fault()
    if Path(run).exists():
        charkit.train(resume=run, backend=backend, threads=1)
    else:
        charkit.train(text, run=run, backend=backend, threads=1, **settings)


def toolkit(
    folder: str, arguments: Sequence[str], output: str, fault: Callable[[], None] | None = None
) -> None:
    """``toolkit`` as the leader of a new session, with the output that ``OUTPUTS`` has; ``fault`` is planted first."""
    from charkit_cli.main import main

    os.chdir(folder)
    os.setsid()
    OUTPUTS.get(output, _terminal)(output)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - those of the process that this one is forked
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - from were opened on what they no longer are
    if fault is not None:
        fault()
    sys.argv = ["toolkit", *arguments]
    main()


def _tee(_name: str) -> None:
    tee = subprocess.Popen(["tee", "log"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert tee.stdin is not None
    _send_to(tee.stdin.fileno())
    tee.stdin.close()


def _closed_pipe(_name: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    _send_to(writing)
    os.close(writing)


def _full_device(_name: str) -> None:
    _send_to(os.open("/dev/full", os.O_WRONLY))


def _terminal(name: str) -> None:
    """Makes a terminal the controlling one, as that of a shell is: what a session leader opens first."""
    terminal = os.open(name, os.O_RDWR)
    os.dup2(terminal, 0)
    _send_to(terminal)


def _send_to(descriptor: int) -> None:
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


#: Where standard output and error go, by name; any other name is the path of a terminal.
OUTPUTS: dict[str, Callable[[str], None]] = {
    "tee": _tee,
    "closed pipe": _closed_pipe,
    "full device": _full_device,
}


# ---- what a test sees of them -----------------------------------------------------------------------------


def reported_step(run: Path) -> int:
    """The step of the last whole line of ``metrics.jsonl``; 0 as long as there is none."""
    try:
        lines = (run / "metrics.jsonl").read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return 0
    return int(json.loads(lines[-1])["step"]) if lines else 0


def wait_for_step(child: ForkServerProcess, run: Path, step: int) -> int:
    """Waits until the child has reported the step; returns the last one that it has."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while (found := reported_step(run)) < step:
        assert child.is_alive(), f"the child ended with {child.exitcode} at step {found}"
        assert time.monotonic() < ends, f"the child did not get from step {found} to {step}"
        time.sleep(0.002)
    return found


def saved_step(run: Path) -> int:
    """The step of the checkpoint from which the run goes on."""
    return int(_latest(run).name)


def arrays(run: Path) -> dict[str, bytes]:
    """The bytes of the weights, moments and state at the latest checkpoint."""
    return {path.name: path.read_bytes() for path in sorted(_latest(run).glob("*.safetensors"))}


def _latest(run: Path) -> Path:
    """The folder of the newest whole checkpoint, which a kill may leave without being pointed at."""
    from charkit.runs.run import Run

    return Run.open(run).checkpoint("latest")[1]
