"""SIGKILL at random moments: resumed until it is done, a run has the bits of one that was never killed (R1).

A run is killed again and again, at moments from the start of its process to a little after its end: while the run is
made, while it is opened, in a step, a validation, a save. Once it is done its weights, moments and state, and what it
reported, must be those of an unbroken run; then the next run begins, until there have been enough kills.

The processes are forked from one that has imported every framework that is installed.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from charkit.runs.debris import remove_left_over_runs
from charkit.training import trainer
from cli_support import lines_of
from faults import forked
from faults.rounds import Rounds
from support import SMALL

SETTINGS: dict[str, Any] = {
    **SMALL, "max_steps": 40, "dropout": 0.3, "save_every": 4, "eval_every": 20, "log_every": 5, "sample_length": 5,
    "schedule": "cosine", "warmup_steps": 5,
}  # fmt: skip
#: A resumed session may begin its own reports: what else a line has must be the same.
REPORTED = ("step", "epoch", "loss", "validation_loss", "learning_rate", "gradient_norm")


class Killer:
    """Trains runs in processes that are killed at random moments, and compares them with an unbroken run."""

    def __init__(
        self, backend: str, text: Path, random: Random, fault: Callable[[], None] | None = None
    ) -> None:
        self.kills = 0
        self._backend, self._text, self._random, self._fault = backend, text, random, fault
        self._folder = Path(tempfile.mkdtemp(dir=Path.cwd()))
        assert forked.status_of(forked.start(time.sleep, 0)) == 0  # what they are forked from is ready now
        began = time.monotonic()
        assert forked.status_of(self._start("unbroken")) == 0
        self._seconds = time.monotonic() - began

    def kill(self, times: int) -> None:
        """Kills so many processes. Raises AssertionError for a run that ends otherwise than the unbroken one."""
        enough = self.kills + times
        while self.kills < enough:
            self._until_done("killed", enough)
            self._compare("killed")
            shutil.rmtree(self._folder / "killed")

    def _until_done(self, run: str, enough: int) -> None:
        """Trains the run to its end, in as many processes as that takes."""
        while True:
            child = self._start(run)
            if self.kills < enough:
                child.join(self._random.uniform(0, 1.1 * self._seconds))
                forked.kill(child.pid)
            status = forked.status_of(child)
            if status == 0:
                return
            assert status == -signal.SIGKILL, f"a process ended with {status} after {self.kills} kills"
            self.kills += 1
            if (self._folder / run).exists() and forked.saved_step(self._folder / run) == SETTINGS[
                "max_steps"
            ]:
                return  # it was killed on its way out

    def _start(self, run: str) -> Any:
        folder, text = str(self._folder), str(self._text)
        return forked.start(forked.train, folder, self._backend, run, text, SETTINGS, self._fault)

    def _compare(self, run: str) -> None:
        killed, unbroken = self._folder / run, self._folder / "unbroken"
        assert forked.saved_step(killed) == SETTINGS["max_steps"]
        # Not in the assertion: pytest would take minutes to show how the bytes differ.
        same = forked.arrays(killed) == forked.arrays(unbroken)
        assert same, f"other bits after {self.kills} kills"
        for name, keys in (("metrics.jsonl", REPORTED), ("samples.jsonl", ("step", "sample", "seed"))):
            found, expected = (
                [tuple(line[key] for key in keys) for line in lines_of(folder / name)]
                for folder in (killed, unbroken)
            )
            assert found == expected, f"other lines in {name} after {self.kills} kills"
        left = list(self._folder.glob(f".*{run}*"))
        assert [path.name for path in left if not _is_just_begun(path)] == [], (
            "something is left beside the run"
        )
        hours_ago = time.time() - 2 * 3600
        for path in left:
            os.utime(path, (hours_ago, hours_ago))
        remove_left_over_runs(killed)
        assert list(self._folder.glob(f".*{run}*")) == [], "something is left beside the run for ever"


def _is_just_begun(folder: Path) -> bool:
    """Whether a process was killed before it wrote into its new folder: others leave that alone for an hour."""
    return [path.name for path in folder.iterdir() if path.stat().st_size > 0] == []


@pytest.mark.parametrize(
    "backend",
    [
        "numpy",
        pytest.param("torch", marks=pytest.mark.torch),
        pytest.param("tensorflow", marks=pytest.mark.tensorflow),
        pytest.param("jax", marks=pytest.mark.jax),
    ],
)
def test_a_run_that_is_killed_ends_as_one_that_is_not(
    backend: str, text_file: Path, rounds: Rounds, seed: int
) -> None:
    Killer(backend, text_file, Random(f"{seed} {backend}")).kill(rounds(short=10, long=200))


def forgotten_state() -> None:
    """Begins each resumed session with a state of zeros."""
    resume = trainer.Trainer.run_until_stopped

    def run(self: trainer.Trainer, *arguments: Any) -> Any:
        if self.model.step:
            self.model.reset_state()
        return resume(self, *arguments)

    trainer.Trainer.run_until_stopped = run  # type: ignore[method-assign]


def test_the_harness_finds_a_state_that_is_not_restored(text_file: Path, seed: int) -> None:
    killer = Killer("numpy", text_file, Random(seed), forgotten_state)
    with pytest.raises(AssertionError, match="other bits after"):
        killer.kill(20)
