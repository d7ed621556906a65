"""Sessions of trials, in a process apart: each goes from where a trial's run stands up to a rung, or to its end.

Run as ``python -m charkit_sweep.trial_session``. It reads requests, a line of JSON each, from standard input, one after
the other. About each it writes lines of JSON on what was standard output, the last of which says what came of it.
SIGTERM makes it save and end, and so does the end of its input: a sweep that is killed leaves no trial that goes on.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Queue
from typing import Any

from charkit import events
from charkit.api import train
from charkit.errors import CharkitError, NotFiniteError, RunError, StorageError, TerminatedError
from charkit.plugins.failures import describe_error, printable_line
from charkit.runs.creation import NameTakenError
from charkit.runs.folder_files import OpenFolder, write_all
from charkit.runs.identity import identity
from charkit.runs.lock import is_held
from charkit.runs.records import METRICS
from charkit.runs.run import Run
from charkit.training.interrupts import INTERRUPTIONS
from charkit.training.result import TrainResult
from charkit.training.resume import FinishedRunError

#: How long a session waits for another process that still holds the run, as one of a killed sweep that is saving.
LOCK_SECONDS = 120.0
_LOOK_SECONDS = 0.05
#: Seconds between two lines about the progress of training.
_REPORT_SECONDS = 0.25

Report = Callable[[dict[str, Any]], None]


def run_session(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Trains a trial as far as is asked for, unless its run is there already, and returns what came of it."""
    run, until = Path(request["run"]), request["until"]
    _wait_until_free(run)
    if identity(run) is None:
        try:
            return _outcome(_begin(request, report), until)
        except NameTakenError:  # by a process of a killed sweep, a moment ago
            _wait_until_free(run)
    found = _found(run, until)
    if found is not None:
        return found
    try:
        return _outcome(_resume(request, report), until)
    except FinishedRunError:
        return _reached(run, None, ended=True)


def _begin(request: dict[str, Any], report: Report) -> TrainResult:
    return train(
        run=request["run"],
        recipe=request["recipe"],
        settings=request["settings"],
        **_choice(request, report),
    )


def _resume(request: dict[str, Any], report: Report) -> TrainResult:
    return train(resume=request["run"], **_choice(request, report))


def _choice(request: dict[str, Any], report: Report) -> dict[str, Any]:
    return {
        **{key: request[key] for key in ("backend", "device", "threads")},
        "stop_at": request["until"],
        "on_event": _Reporter(report),
    }


class _Reporter:
    """Reports the events of training that a sweep shows, now and then."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._reported_at = 0.0
        self._loss: float | None = None

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.Started():
                self._report({"started": event.step, "total_steps": event.total_steps})
            case events.StepMetrics():
                self._loss = event.loss
            case events.Advanced() if time.monotonic() - self._reported_at >= _REPORT_SECONDS:
                self._reported_at = time.monotonic()
                self._report({"step": event.step, "loss": self._loss})


def _found(run: Path, until: int | None) -> dict[str, Any] | None:
    """What came of a trial whose run is already where it was to get; None where there is more to train."""
    opened = Run.open(run)
    progress = opened.checkpoint("latest")[0].progress
    if progress.validation_due:
        return None
    patience = progress.training.patience
    if patience is not None and progress.validations_without_gain >= patience:
        return _reached(run, None, ended=True)
    if until is not None and progress.step >= until:
        return _reached(run, until, ended=False)
    return None


def _outcome(result: TrainResult, until: int | None) -> dict[str, Any]:
    if result.stopped_because in INTERRUPTIONS.values():
        return {"interrupted": result.step}
    ended = result.stopped_because != "stop_at"
    return _reached(result.run, None if ended else until, ended=ended)


def _reached(run: Path, until: int | None, *, ended: bool) -> dict[str, Any]:
    """The losses of a run, by its records up to a step, or all of them. Raises RunError where it has none."""
    records = [
        record
        for record in Run.open(run).records(METRICS)
        if record["validation_loss"] is not None and (until is None or record["step"] <= until)
    ]
    if not records or (until is not None and records[-1]["step"] != until):
        what = "the end of its training" if until is None else f"step {until:,}"
        raise RunError(
            f"{str(run)!r} has no validation loss at {what}, so it can't be compared with other trials; its text "
            "may have no validation split"
        )
    return {
        "reached": records[-1]["step"],
        "loss": min(record["validation_loss"] for record in records),
        "last_loss": records[-1]["validation_loss"],
        "seconds": records[-1]["elapsed_seconds"],
        "ended": ended,
    }


def _wait_until_free(run: Path) -> None:
    """Waits while another process holds the run; one that holds it for long is found when the run is resumed."""
    ends = time.monotonic() + LOCK_SECONDS
    while identity(run) is not None and time.monotonic() < ends:
        with OpenFolder.at(run) as folder:
            if not is_held(folder):
                return
        time.sleep(_LOOK_SECONDS)


def _requests() -> Queue[dict[str, Any] | None]:
    """The requests that come, which a thread reads; None at their end, when SIGTERM ends what is in hand, too."""
    found: Queue[dict[str, Any] | None] = Queue()

    def read() -> None:
        unread = b""
        while piece := os.read(0, 1 << 16):
            *lines, unread = (unread + piece).split(b"\n")
            for line in lines:
                found.put(json.loads(line))
        in_hand = found.unfinished_tasks > 0
        found.put(None)
        if in_hand:
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=read, name="charkit-sweep-requests", daemon=True).start()
    return found


def main() -> None:
    """Carries out requests until there are no more."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what a framework prints is no answer

    def report(content: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # the sweep was killed: what is trained is saved all the same
            write_all(answers, json.dumps(content).encode() + b"\n")

    requests = _requests()
    while (request := requests.get()) is not None:
        sys.argv = ["toolkit", "sweep", "--resume", Path(request["run"]).parent.name]  # for the run's record
        outcome = _carried_out(request, report)
        requests.task_done()  # before the sweep knows, which may then end the input
        report(outcome)
        gc.collect()  # a model may lie in circles of objects, and the next trial needs its memory
    os._exit(0)  # a framework's threads must not keep the process


def _carried_out(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """What came of a session, also where it failed."""
    try:
        return run_session(request, report)
    except (TerminatedError, KeyboardInterrupt):
        return {"interrupted": 0}
    except NotFiniteError as error:
        return {"failed": _divergence(error), "diverged": True}
    except StorageError as error:
        return {"storage": printable_line(str(error))}
    except Exception as error:  # noqa: BLE001 - whatever a framework raises is what came of this trial
        return {"failed": _reason(error)}


def _divergence(error: NotFiniteError) -> str:
    """What diverged, without the advice for a run of its own: a trial's settings are the sweep's."""
    return printable_line(str(error).partition("; try ")[0])


def _reason(error: Exception) -> str:
    """Why a trial failed, in a line."""
    if isinstance(error, MemoryError):
        return f"out of memory{f': {error}' if str(error) else ''}"
    return printable_line(str(error)) if isinstance(error, CharkitError) else describe_error(error)


if __name__ == "__main__":
    main()
