"""A small run, what each command makes of it, and whether what it makes of a harmed one is what charkit promises."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

import charkit
from charkit.runs.records import SCHEDULE
from charkit.runs.run import Run
from charkit_cli.main import run as run_toolkit
from support import SMALL_TEXT

#: A run of a few kilobytes, three checkpoints of which the best is neither the newest nor the oldest.
SETTINGS = {
    "recipe": "classic",
    "lstm_size": 5,
    "num_layers": 1,
    "batch_size": 3,
    "num_steps": 6,
    "sample_length": 5,
    "log_every": 2,
    "save_every": 2,
    "eval_every": 2,
    "validation_share": 0.02,
    "test_share": 0.02,
    "threads": 1,
}
#: The step to which a run is resumed.
RESUMED_TO = 10
#: What a command says where it takes another checkpoint than the one that it was to take.
_OTHER_CHECKPOINT = re.compile(
    r"^note: (skipped checkpoint \d+: |the (best|latest) checkpoint, \d+, is missing|'best' points to )",
    re.MULTILINE,
)
#: Seconds after which a command hangs: it takes a hundredth of that.
LIMIT_SECONDS = 60
#: A message longer than this is no clear line.
MOST_CHARACTERS = 3000
#: What training says where the gradient, or an array that would be saved, is not finite.
_DIVERGED = re.compile(
    r"error: .* at step \d+(, so the checkpoint was not saved)?; the last good checkpoint of "
)


class HangError(BaseException):
    """A command did not end; no OSError, which commands report."""


class BrokenPromiseError(AssertionError):
    """What a command made of a harmed run is none of what charkit promises."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit status, and what it said on both outputs."""

    status: int
    out: str
    err: str


def make_run(folder: Path) -> Path:
    """Trains the run, with its text beside it."""
    text, run = folder / "small.txt", folder / "run"
    text.write_text(SMALL_TEXT, "utf-8")
    charkit.train(text, run=run, max_steps=6, learning_rate=0.1, **SETTINGS)  # type: ignore[arg-type]
    charkit.train(resume=run, max_steps=8, learning_rate=50.0, threads=1)  # step 8 is worse than step 6
    record = {"step": 4, "from_step": 0, "fraction": 0.5, "last_step": 8, "elapsed_seconds": 1.0}
    Run.open(run).record(SCHEDULE, record)
    (run / "lock").unlink()
    return run


def call(*arguments: str | Path) -> Outcome:
    """Runs a command in this process. Raises HangError, and BrokenPromiseError for a traceback."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), limited():
        try:
            status = run_toolkit([str(argument) for argument in arguments])
        except Exception as error:
            raise BrokenPromiseError(f"{arguments}: {type(error).__name__}: {error}") from error
    return Outcome(status, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Raises HangError where what is done within takes far too long."""

    def give_up(_number: int, _frame: FrameType | None) -> None:
        raise HangError(f"no end after {LIMIT_SECONDS} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _sample(run: Path, which: str) -> Outcome:
    return _without_origin(
        call(
            "sample", run, "--checkpoint", which, "--seed", "1", "--length", "30", "--json", "--threads", "1"
        )
    )


def _evaluate(run: Path, which: str) -> Outcome:
    return _without_origin(
        call("evaluate", run, "--checkpoint", which, "--split", "test", "--json", "--threads", "1")
    )


def _without_origin(done: Outcome) -> Outcome:
    """Without the run and the step: copies lie elsewhere, and the figures are what must be those of a checkpoint."""
    if done.status != 0:
        return done
    found = json.loads(done.out)
    del found["run"], found["step"]
    return Outcome(0, json.dumps(found), done.err)


def _resume(run: Path) -> Outcome:
    done = call(
        "train", "--resume", run, "--max-steps", str(RESUMED_TO), "--learning-rate", "0.1", "--threads", "1"
    )
    if done.status != 0:
        return done
    weights = run / "checkpoints" / f"{RESUMED_TO:08d}" / "model.safetensors"
    return Outcome(0, weights.read_bytes().hex(), done.err)


def _start_from(run: Path) -> Outcome:
    new = run.with_name("new")
    shutil.rmtree(new, ignore_errors=True)
    text = run.with_name("small.txt")
    small = ("--batch-size", "3", "--num-steps", "6", "--sample-length", "0", "--save-every", "100")
    done = call(
        "train", text, "--init-from", run, "--run", new, "--recipe", "classic", "--max-steps", "1", *small
    )
    if done.status != 0:
        if new.exists():
            raise BrokenPromiseError("a run was left half made")
        return done
    return Outcome(0, (new / "checkpoints" / "00000001" / "model.safetensors").read_bytes().hex(), done.err)


def _export(run: Path) -> Outcome:
    out = run.with_name("exported.safetensors")
    done = call("export", run, "--out", out, "--overwrite", "--json")
    return Outcome(0, out.read_bytes().hex(), done.err) if done.status == 0 else done


#: What reads a run, by name; each changes nothing but the run itself.
READERS: dict[str, Callable[[Path], Outcome]] = {
    "sample best": partial(_sample, which="best"),
    "sample latest": partial(_sample, which="latest"),
    "evaluate": partial(_evaluate, which="best"),
    "resume": _resume,
    "init-from": _start_from,
    "export": _export,
}


class Expected:
    """What each reader gives for the whole run and for each of its checkpoints alone, the best one's first."""

    def __init__(self, run: Path, scratch: Path) -> None:
        self._outputs: dict[str, dict[str, str]] = {}
        names = sorted(path.name for path in (run / "checkpoints").iterdir())
        for reader, read in READERS.items():
            by_name = {}
            for name in names:
                copy = copied(run, scratch)
                for other in names:
                    if other != name:
                        shutil.rmtree(copy / "checkpoints" / other)
                done = read(copy)
                assert done.status == 0, done.err
                by_name[name] = done.out
            done = read(copied(run, scratch))
            assert "note: skipped" not in done.err, done.err
            self._outputs[reader] = {"": done.out, **by_name}
            assert done.out in by_name.values(), "the whole run is read from one of its checkpoints"

    def check_raw(self, reader: str, done: Outcome) -> str:
        """Whether an outcome after raw harm is right: refused, unchanged, or of another checkpoint with a notice.

        Returns which of these it was. Raises BrokenPromiseError.
        """
        if done.status != 0:
            return check_refused(done)
        outputs = self._outputs[reader]
        if done.out == outputs[""]:
            return "unchanged"
        if done.out not in outputs.values():
            raise BrokenPromiseError(f"{reader}: other numbers: {done.out[:200]}")
        if not _OTHER_CHECKPOINT.search(done.err):
            raise BrokenPromiseError(f"{reader}: another checkpoint without a notice of it")
        return "fell back"


def check_refused(done: Outcome) -> str:
    """Whether a command that failed did so with status 2 and one clear line, after notes."""
    lines = [
        line
        for line in done.err.splitlines()
        if not line.startswith(("note: ", "step ", "saved ", "sample "))
    ]
    if done.status != 2 or len(lines) != 1 or not lines[0].startswith("error: "):
        raise BrokenPromiseError(f"status {done.status}: {done.err[-2000:]}")
    if len(lines[0]) > MOST_CHARACTERS or "\x1b" in lines[0]:
        raise BrokenPromiseError(f"no clear line: {lines[0][:500]}")
    return "refused"


def check_crafted(reader: str, done: Outcome) -> str:
    """Whether an outcome of a crafted run is right: refused, or finite numbers and text that is not blank.

    Training may also begin, with moments that are finite but absurd, and end where its weights no longer are.
    """
    if done.status != 0:
        last = done.err.splitlines()[-1:]
        if reader == "resume" and done.status == 2 and last and _DIVERGED.match(last[0]):
            return "taken"
        return check_refused(done)
    if reader.startswith("sample") and not any(json.loads(done.out)["samples"]):
        raise BrokenPromiseError("an empty sample")
    if reader == "evaluate" and json.loads(done.out)["loss"] is None:
        raise BrokenPromiseError("a loss that is not finite")
    return "taken"


def copied(run: Path, scratch: Path) -> Path:
    """A new copy of the run in the scratch folder, which is emptied; its text lies beside it."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    shutil.copy(run.with_name("small.txt"), scratch)
    return Path(shutil.copytree(run, scratch / "run"))
