"""R9: two trainers and four readers on one run at the same time, and locks whose content means nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

import charkit
from charkit.errors import RunError
from charkit.runs.checkpoint import CHECKPOINTS, save_checkpoint
from charkit.runs.checkpoint_content import Checkpoint
from charkit.runs.folder_files import OpenFolder
from charkit.runs.records import METRICS
from charkit.runs.run import Run
from faults.rounds import Rounds
from training_support import train

#: Seconds for what takes one on a machine that does nothing else.
PATIENCE_SECONDS = 120
BETWEEN_SAVES_SECONDS = 0.2
#: Seconds of a round; in the long column, rounds of them make 30 minutes.
ROUND_SECONDS = 60
#: A trainer that saves at every step until it is told to stop.
TRAINER = (
    "import sys\nfrom charkit_cli.main import main\nsys.argv = ['toolkit', 'train', *sys.argv[1:]]\nmain()\n"
)


#: Between two reads of a thread, so that the trainers get time to save.
BETWEEN_READS_SECONDS = 0.01


class Readers:
    """Threads that load the run, read its reports, and look for the newest one, again and again."""

    def __init__(self, path: Path, count: int) -> None:
        self._path = path
        self._stop = threading.Event()
        self.errors: list[BaseException] = []
        self.reads = 0
        self._threads = [threading.Thread(target=self._read, args=(number,)) for number in range(count)]

    def __enter__(self) -> Readers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _read(self, number: int) -> None:
        last = 0
        while not self._stop.is_set():
            try:
                run = Run.open(self._path)
                checkpoint, folder, notices = run.checkpoint("best" if number % 2 else "latest")
                # A trainer may have been killed between a save and pointing ``best`` at it, which is said.
                wrong = [notice for notice in notices if not notice.startswith("'best' points to ")]
                assert wrong == [], notices
                assert checkpoint.progress.step == int(folder.name)
                assert number % 2 or checkpoint.progress.step >= last, "the latest checkpoint went back"
                last = checkpoint.progress.step
                steps = [record["step"] for record in run.records(METRICS)]
                assert steps == sorted(set(steps)), "reports are twice or out of order"
            except BaseException as error:  # noqa: BLE001 - a reader's thread hands over whatever it met
                self.errors.append(error)
                return
            self.reads += 1
            time.sleep(BETWEEN_READS_SECONDS)


class Trainer:
    """A process that resumes the run and saves at every step until it is ended."""

    def __init__(self, path: Path, log: Path) -> None:
        self._log = log
        options = (
            "--max-steps=1000000",
            "--epochs=1000000",
            "--threads=1",
            "--save-every=1",
            "--eval-every=7",
        )
        command = [sys.executable, "-c", TRAINER, "--resume", str(path), *options, "--log-every=3"]
        with log.open("wb") as file:
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file)

    @property
    def said(self) -> str:
        """What it printed so far; once that is anything, signals are caught."""
        return self._log.read_text("utf-8", "replace")

    def end(self, number: int) -> None:
        """Sends a signal and waits; a process that was refused has ended by itself."""
        self.process.send_signal(number)
        self.process.wait(120)
        assert "Traceback" not in self.said, self.said


def _share(path: Path, seconds: float, random: Random) -> int:
    """Two trainers at once, one pair after the other, while four readers read; returns how often these did."""
    end = time.monotonic() + seconds
    with Readers(path, 4) as readers:
        while time.monotonic() < end and not readers.errors:
            pair = [Trainer(path, Path(f"trainer-{number}.log")) for number in range(2)]
            while not all(trainer.said or trainer.process.poll() is not None for trainer in pair):
                time.sleep(0.1)
            time.sleep(random.uniform(0, 3))
            assert any(trainer.process.poll() is None for trainer in pair), [trainer.said for trainer in pair]
            for trainer in pair:
                trainer.end(random.choice((signal.SIGINT, signal.SIGTERM, signal.SIGKILL)))
    assert readers.errors == [], readers.errors
    return readers.reads


def test_two_trainers_and_four_readers(text_file: Path, rounds: Rounds, seed: int) -> None:
    train(text_file, run="r", max_steps=2)
    assert _share(Path("r"), ROUND_SECONDS * rounds(short=1, long=30), Random(seed)) > 4
    run = Run.open(Path("r"))
    names = sorted(name for name in os.listdir(run.path / CHECKPOINTS) if name[0] != ".")
    assert names, "nothing is left"
    steps = [record["step"] for record in run.records(METRICS)]
    assert steps == sorted(set(steps))
    step = run.checkpoint("latest")[0].progress.step
    train(resume="r", max_steps=step + 1)
    assert not [name for name in os.listdir(run.path / CHECKPOINTS) if name[0] == "."]


def test_of_two_trainers_one_is_refused(text_file: Path) -> None:
    """Both are here at once, which the test above leaves to chance."""
    train(text_file, run="r", max_steps=2)
    refusals: list[str] = []

    def try_too(event: charkit.events.Event) -> None:
        if isinstance(event, charkit.events.Advanced):
            with pytest.raises(RunError, match=rf"being trained by process {os.getpid()}; wait") as refused:
                train(resume="r", max_steps=9)
            refusals.append(str(refused.value))

    train(resume="r", max_steps=5, on_event=try_too)
    assert len(refusals) == 3


@pytest.mark.parametrize(
    "content",
    ["1", "THIS", "4711 on elsewhere.example", "1 on \x1b[2J", "", "9" * 4000, "\x00\xff"],
)
def test_what_a_lock_file_says_keeps_nobody_out(text_file: Path, content: str) -> None:
    """A stale lock of another machine, and a process number that another process has now."""
    train(text_file, run="r", max_steps=2)
    Path("r/lock").write_text(content.replace("THIS", f"{os.getpid()}"), "latin-1")
    assert train(resume="r", max_steps=3).step == 3
    assert Path("r/lock").read_text() == f"{os.getpid()} on {socket.gethostname()}"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("4711 on elsewhere.example", "process 4711 on elsewhere.example;"),
        (f"4711 on {socket.gethostname()}", "process 4711;"),
        ("4711", "process 4711;"),
        ("1 on \x1b[2J", "an unknown process;"),
        ("", "an unknown process;"),
    ],
)
def test_a_held_lock_names_its_holder_and_nothing_else(text_file: Path, content: str, said: str) -> None:
    from charkit.runs.lock import RunLock

    train(text_file, run="r", max_steps=2)
    with RunLock.take(Path("r")):
        Path("r/lock").write_text(content)
        with pytest.raises(RunError) as refused:
            train(resume="r", max_steps=3)
    assert said in str(refused.value)


# ---- planted faults --------------------------------------------------------------------------------------


def _reads_beside_saves(path: Path, checkpoint: Checkpoint, reads: int) -> list[BaseException]:
    """What readers met until they had read so often, while a checkpoint was saved again and again.

    Between saves there is time for a read, as there is in training: a reader looks again a few times, not for ever.
    """
    with Readers(path, 2) as readers:
        end = time.monotonic() + PATIENCE_SECONDS
        while readers.reads < reads and not readers.errors:
            assert time.monotonic() < end, f"{readers.reads} reads in {PATIENCE_SECONDS} s"
            save_checkpoint(path, checkpoint)
            time.sleep(BETWEEN_SAVES_SECONDS)
    return readers.errors


def test_a_checkpoint_that_is_removed_before_it_is_replaced_is_found(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(text_file, run="r", max_steps=2)
    saved = Run.open(Path("r")).checkpoint("latest")[0]
    assert _reads_beside_saves(Path("r"), saved, 100) == []

    real = OpenFolder._put_in_place

    def remove_first(folder: OpenFolder, temporary: str, name: str, existing: Any) -> None:
        if existing == "replace":
            folder.remove(name)
            time.sleep(0.05)
        real(folder, temporary, name, "refuse")

    monkeypatch.setattr(OpenFolder, "_put_in_place", remove_first)
    assert _reads_beside_saves(Path("r"), saved, 1000), "no reader noticed"


def test_a_lock_that_lets_two_in_is_found(text_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from charkit.runs import lock
    from charkit.system import file_locks

    monkeypatch.setattr(lock, "try_lock", file_locks._LockOfHandle)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_of_two_trainers_one_is_refused(text_file)
