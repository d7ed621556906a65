"""A sweep that is killed, with its trials or without them, goes on as one that never was (R15).

The sweep's process is killed by SIGKILL at random moments: while it reads, decides, starts trials, waits. In half of
the kills the processes of its trials go with it, as when a machine loses power; in the others they see that the sweep
is gone, and save. Trained one after the other, so that the order of completion is fixed, the trials must come by the
same decisions, in the same order, to the same results; each has the bits of a trial that was never killed, none is
lost, and none is sent anywhere twice. In the short column it is 9 trials and two kills; with ``--long``, and from
``--rounds 5`` on, 27 trials and five kills for each sweep.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from charkit.runs.records import METRICS
from charkit.runs.run import Run
from charkit_sweep import scheduler
from cli_support import lines_of
from faults import forked
from faults.rounds import Rounds
from sweep_support import spec_of, to_toml

#: What a resumed trial reports as one that was never stopped: times and speeds differ.
REPORTED = ("step", "epoch", "loss", "validation_loss", "learning_rate", "gradient_norm")
#: Kills of each sweep in the long column.
LONG = 5


def run_sweep(folder: str, arguments: list[str], fault: Callable[[], None] | None = None) -> None:
    """``toolkit sweep`` with standard error in a file, where a failure of this test finds it."""
    os.chdir(folder)
    output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if fault is not None:
        fault()
    from charkit_cli.main import run

    os._exit(run(["sweep", *arguments]))


class SweepKiller:
    """Runs a sweep that is killed at random moments, and compares it with one that is not."""

    def __init__(
        self, folder: Path, text: Path, trials: int, random: Random, fault: Callable[[], None] | None = None
    ) -> None:
        self._folder, self._random, self._fault = folder, random, fault
        for name in ("whole", "killed"):
            spec = spec_of(text, name=name, trials=trials)
            (folder / f"{name}.toml").write_text(to_toml(spec), "utf-8")
        assert forked.status_of(forked.start(time.sleep, 0)) == 0  # what they are forked from is ready now
        began = time.monotonic()
        assert forked.status_of(self._start("whole.toml", "--threads", "1")) == 0, self._output()
        self._seconds = time.monotonic() - began
        self.kills = 0

    def kill(self, times: int) -> None:
        """Kills the sweep so often, on its way, and lets it end. Raises AssertionError for what comes out otherwise."""
        lines = len(_journal(self._folder / "sweeps/whole"))
        for moment in sorted(self._random.sample(range(lines), times)):
            child = self._go_on()
            self._wait(child, moment, self._seconds / lines)
            assert child.is_alive(), f"it ended too early: {self._output()}"
            self._kill(child.pid, with_trials=self.kills % 2 == 1)
            assert forked.status_of(child) == -signal.SIGKILL, self._output()
            self.kills += 1
        assert forked.status_of(self._go_on()) == 0, self._output()
        self._compare()
        shutil.rmtree(self._folder / "sweeps/killed")

    def _go_on(self) -> Any:
        begun = (self._folder / "sweeps/killed").exists()
        return self._start(*(("--resume", "killed") if begun else ("killed.toml", "--threads", "1")))

    def _wait(self, child: Any, moment: int, seconds_per_line: float) -> None:
        """Waits until the journal has so many lines, and then for a while that is drawn, less than until the next."""
        journal = self._folder / "sweeps/killed/journal.jsonl"
        ends = time.monotonic() + forked.PATIENCE_SECONDS
        while child.is_alive() and _lines(journal) < moment:
            assert time.monotonic() < ends, f"the journal has {_lines(journal)} lines, not {moment}"
            time.sleep(0.002)
        child.join(self._random.uniform(0, seconds_per_line if moment else 0.3 * self._seconds))

    def _start(self, *arguments: str) -> Any:
        fault = self._fault if "--resume" in arguments else None
        return forked.start(run_sweep, str(self._folder), list(arguments), fault)

    def _kill(self, pid: int, *, with_trials: bool) -> None:
        trials = _children(pid) if with_trials else []
        for each in (pid, *trials):
            forked.kill(each)

    def _output(self) -> str:
        return (self._folder / "output.txt").read_text("utf-8")[-2_000:]

    def _compare(self) -> None:
        killed, whole = (self._folder / "sweeps" / name for name in ("killed", "whole"))
        same = _journal(killed) == _journal(whole)
        assert same, f"other decisions after {self.kills} kills"
        names = [sorted(path.name for path in sweep.glob("trial-*")) for sweep in (killed, whole)]
        assert names[0] == names[1], "other trials"
        for name in names[0]:
            same = forked.arrays(killed / name) == forked.arrays(whole / name)
            assert same, f"other bits in {name} after {self.kills} kills"
            assert _reports(killed / name) == _reports(whole / name), f"other reports in {name}"
        best = [json.loads((sweep / "report.json").read_text("utf-8"))["best"] for sweep in (killed, whole)]
        assert best[0] == best[1]
        assert not list(killed.glob(".*")), "something half made is left"


def _children(pid: int) -> list[int]:
    """The processes that a process has started; none where the system does not list them."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    except FileNotFoundError:
        return []


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _journal(sweep: Path) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in line.items() if key != "seconds"}
        for line in lines_of(sweep / "journal.jsonl")
    ]


def _reports(run: Path) -> list[tuple[Any, ...]]:
    return [tuple(record[key] for key in REPORTED) for record in Run.open(run).records(METRICS)]


def test_a_killed_sweep_makes_the_decisions_of_one_that_was_not(
    text_file: Path, rounds: Rounds, seed: int
) -> None:
    times = rounds(short=2, long=200)
    killer = SweepKiller(Path.cwd(), text_file, 27 if times >= LONG else 9, Random(f"{seed} sweep"))
    while killer.kills < times:
        killer.kill(min(LONG, times - killer.kills))


def forgotten_trials() -> None:
    """Forgets, when a sweep is resumed, what its trials were in the middle of."""
    make = scheduler.Scheduler.__init__

    def forget(self: scheduler.Scheduler, *arguments: Any) -> None:
        make(self, *arguments)
        self._pending.clear()

    scheduler.Scheduler.__init__ = forget  # type: ignore[method-assign]


def test_the_harness_finds_a_trial_that_is_forgotten(text_file: Path, seed: int) -> None:
    killer = SweepKiller(Path.cwd(), text_file, 3, Random(f"{seed} forgotten"), forgotten_trials)
    with pytest.raises(AssertionError, match=r"other decisions|it ended too early"):
        killer.kill(3)
