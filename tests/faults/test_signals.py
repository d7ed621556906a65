"""Signals at random moments, beside outputs that go away: the run is saved and the exit status says why (R13).

Each round trains in a process of its own, whose standard output and error are a ``tee`` in its process group, a pipe
that nobody reads, a full device or a terminal. Once it has come to a step drawn at random it gets the signal: the whole
group does, as by Ctrl-C, and of a terminal the other end is closed. The run must then be saved at the step that it had
reached, and resumed it must have the weights, moments and state of a run that nothing ended.
"""

from __future__ import annotations

import io
import os
import select
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import charkit
from charkit.backend import State
from charkit.runs.checkpoint_content import Checkpoint
from charkit.training import interrupts, trainer
from charkit_cli import progress, streams
from cli_support import TINY
from faults import forked
from faults.rounds import Rounds
from support import SMALL

pty = pytest.importorskip("pty")  # Windows has none, nor most of these signals
TRAIN = (
    *TINY, "--epochs=1000000", "--dropout=0.2", "--log-every=1", "--eval-every=9", "--save-every=4", "--run=r",
    "--sample-length=4",
)  # fmt: skip
SETTINGS = {**SMALL, "epochs": 1_000_000, "dropout": 0.2, "sample_length": 0}
#: Without saves, reports and validations on the way to the end.
QUICKLY: dict[str, Any] = {"threads": 1, "save_every": "1h", "log_every": 1000, "eval_every": 1000}
#: The steps that training has come to when it gets the signal.
STEPS = (1, 40)
#: Each resumed run ends at a multiple of this, so that few whole runs are needed to compare with.
MULTIPLE = 100
OUTPUTS = ("tee", "closed pipe", "full device", "terminal")


@dataclass(frozen=True)
class Case:
    """The signals that a process is sent, one after another."""

    signals: tuple[signal.Signals, ...]

    def statuses(self, output: str) -> set[int]:
        """The exit statuses that name the signal: 128 and it, or, where no handler was left, it as a negative.

        A terminal that goes away sends a SIGHUP of its own, and of two signals at a time it may be seen first.
        """
        number = self.signals[0]
        late = {-number} if len(self.signals) > 1 else set()
        return (
            {128 + number} | late | ({128 + signal.SIGHUP, -signal.SIGHUP} if output == "terminal" else set())
        )

    @property
    def saves(self) -> bool:
        """Whether the step that was reached is saved: a second Ctrl-C stops at once."""
        return self.signals[1:] != (signal.SIGINT,)


CASES = {
    "SIGINT": (Case((signal.SIGINT,)),),
    "SIGTERM": (Case((signal.SIGTERM,)),),
    "SIGHUP": (Case((signal.SIGHUP,)),),
    "twice": tuple(Case((number, number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)),
}


class Unbroken:
    """The arrays of runs that nothing ended, by their last step."""

    def __init__(self, text: Path) -> None:
        self._text = text
        self._arrays: dict[int, dict[str, bytes]] = {}

    def __call__(self, step: int) -> dict[str, bytes]:
        """The arrays after so many steps."""
        if step not in self._arrays:
            run = charkit.train(self._text, run=f"unbroken-{step}", max_steps=step, **SETTINGS | QUICKLY).run
            self._arrays[step] = forked.arrays(run)
        return self._arrays[step]


@dataclass(frozen=True)
class Bench:
    """What the rounds share."""

    text: Path
    random: Random
    unbroken: Unbroken
    fault: Callable[[], None] | None = None

    def repeat(self, rounds: int, case: Case, output: str) -> None:
        """Runs so many rounds."""
        for _ in range(rounds):
            self.round(case, output)

    def round(self, case: Case, output: str) -> None:
        """Raises AssertionError for a run that is not saved, another exit status, or other bits than the unbroken's."""
        folder = Path(tempfile.mkdtemp(dir=Path.cwd()))
        with Terminal() if output == "terminal" else Elsewhere(output, folder / "log") as wired:
            arguments = ("train", str(self.text), *TRAIN)
            child = forked.start(forked.toolkit, str(folder), arguments, wired.name, self.fault)
            step = forked.wait_for_step(child, folder / "r", self.random.randint(*STEPS))
            time.sleep(self.random.uniform(0, 0.01))
            for number in case.signals:
                send(child, number, wired)
                time.sleep(self.random.uniform(0, 0.02))
            status = forked.status_of(child)
        assert status in case.statuses(output), (status, wired.said())
        assert b"Traceback" not in wired.said()
        saved = forked.saved_step(folder / "r")
        assert saved >= step or not case.saves, (status, saved, step, wired.said())
        ends = (saved // MULTIPLE + 1) * MULTIPLE
        resumed = charkit.train(resume=folder / "r", max_steps=ends, **QUICKLY)
        # A signal from elsewhere would stop it in between, where its bits are others.
        assert resumed.step == ends, (resumed.step, resumed.stopped_because)
        # Not in the assertion: pytest would take minutes to show how the bytes differ.
        same = forked.arrays(folder / "r") == self.unbroken(ends)
        assert same, f"other bits after step {saved}"
        shutil.rmtree(folder)


class Elsewhere:
    """An output other than a terminal: one of ``forked.OUTPUTS``."""

    def __init__(self, name: str, log: Path) -> None:
        self.name, self._log = name, log

    def __enter__(self) -> Elsewhere:
        return self

    def __exit__(self, *error: object) -> None:
        """There is nothing to close."""

    def close(self) -> None:
        """It goes away without help: the tee is in the process group, and the others are useless from the start."""

    def said(self) -> bytes:
        """What came through."""
        return self._log.read_bytes() if self._log.exists() else b""


class Terminal:
    """A terminal, read at its other end until that is closed."""

    def __init__(self) -> None:
        self._leader, self._follower = pty.openpty()
        self.name = os.ttyname(self._follower)
        self._shown = bytearray()
        self._closed = threading.Event()
        self._reader = threading.Thread(target=self._read)

    def __enter__(self) -> Terminal:
        self._reader.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
        os.close(self._follower)

    def close(self) -> None:
        """Closes the other end, by which everything on the terminal gets SIGHUP."""
        if not self._closed.is_set():
            self._closed.set()
            self._reader.join()  # while it reads, the system keeps the terminal open
            os.close(self._leader)

    def said(self) -> bytes:
        """What was shown."""
        return bytes(self._shown)

    def _read(self) -> None:
        while not self._closed.is_set():
            if select.select([self._leader], [], [], 0.01)[0]:
                self._shown += os.read(self._leader, 65536)


def send(child: ForkServerProcess, number: signal.Signals, wired: Terminal | Elsewhere) -> None:
    """Sends the signal to the whole process group, which also loses its terminal."""
    assert child.pid is not None
    if not (number == signal.SIGHUP and isinstance(wired, Terminal)):  # which closing it sends
        with suppress(ProcessLookupError):  # the first signal was enough
            os.killpg(child.pid, number)
    wired.close()


@pytest.mark.parametrize("name", list(CASES))
def test_a_signal_saves_whatever_becomes_of_the_output(
    name: str, text_file: Path, rounds: Rounds, seed: int
) -> None:
    bench = Bench(text_file, Random(f"{seed} {name}"), Unbroken(text_file))
    for number in range(rounds(short=20, long=200)):  # each case with each output, in turn
        bench.round(CASES[name][number % len(CASES[name])], OUTPUTS[number % len(OUTPUTS)])


#: A fault may have no effect in a round: a save may be due just then.
MOST_ROUNDS = 10


def uncaught_hangup() -> None:
    """Leaves SIGHUP to the system, as before it was caught."""
    del interrupts.INTERRUPTIONS[signal.SIGHUP]


def fragile_output() -> None:
    """Lets what shows progress fail, and training with it."""
    streams.FailSafeOutput.write = io.FileIO.write  # type: ignore[method-assign]
    progress.FailSafeProgress._try = lambda self, action: action(self._progress)  # type: ignore


def forgotten_state() -> None:
    """Saves a state that is zero in place of the one that is carried."""

    def checkpoint(self: trainer.Trainer) -> Checkpoint:
        snapshot = self.model.snapshot()
        forgotten = State(*map(np.zeros_like, snapshot.state))
        return Checkpoint(replace(snapshot, state=forgotten), self._progress)

    trainer.Trainer._checkpoint = checkpoint  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("fault", "number", "output", "finding"),
    [
        (uncaught_hangup, signal.SIGHUP, "terminal", r"^\(-1, "),
        (fragile_output, signal.SIGINT, "tee", r"^\(1, "),
        (forgotten_state, signal.SIGTERM, "full device", "other bits after step"),
    ],
)
def test_the_harness_finds_faults(
    fault: Callable[[], None], number: signal.Signals, output: str, finding: str, text_file: Path, seed: int
) -> None:
    bench = Bench(text_file, Random(seed), Unbroken(text_file), fault)
    with pytest.raises(AssertionError, match=finding):
        bench.repeat(MOST_ROUNDS, Case((number,)), output)
