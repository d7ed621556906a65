"""Runs the trials of a sweep: as many sessions side by side as are allowed, each where the decisions send it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from charkit.errors import StorageError
from charkit.system.pipes import readable
from charkit.training.interrupts import IN_WORDS, StopRequest
from charkit_sweep import journal
from charkit_sweep.decisions import SweepState, TrialState, is_done, next_assignment
from charkit_sweep.estimate import Estimate
from charkit_sweep.folder import SweepFolder
from charkit_sweep.journal import Entry, Failed, Reached
from charkit_sweep.keys import as_one
from charkit_sweep.result import SweepProgress, SweepStoppedBecause, SweepTrial
from charkit_sweep.session_process import OUTCOMES, SessionProcess
from charkit_sweep.shown_trials import shown_trial, trial_as_saved

#: How often the sweep looks at its clock and for signals while its trials report nothing.
_LOOK_SECONDS = 0.2

SweepEventHandler = Callable[[SweepProgress], None]


@dataclass
class _Session:
    """A trial that is being trained."""

    process: SessionProcess
    step: int
    has_trained: bool = False
    loss: float | None = None
    outcome: dict[str, Any] | None = None


class Scheduler:
    """One session of a sweep, from where its journal stands to its end, or until it is stopped."""

    def __init__(
        self,
        folder: SweepFolder,
        state: SweepState,
        parallel: int,
        time_limit_seconds: float | None,
        on_event: SweepEventHandler,
    ) -> None:
        self.folder, self.state = folder, state
        self._parallel, self._on_event = parallel, on_event
        self._deadline = None if time_limit_seconds is None else time.monotonic() + time_limit_seconds
        self._estimate = Estimate(self._deadline)
        self._sessions: dict[int, _Session] = {}
        self._idle: list[SessionProcess] = []
        self._pending = [trial.number for trial in state.having("running")]
        self._full_disk = ""
        self._stopping: SweepStoppedBecause | None = None

    def run(self, stop_request: StopRequest) -> SweepStoppedBecause:
        """Trains until there is nothing left, the time is up, or it is requested to stop; then all is saved.

        Where nothing is left, the sweep is done, as a run is that a signal or the limit reaches in its last step.

        Raises StorageError when the disk takes no more, with the trials saved as far as they could be.
        """
        try:
            self._emit("begun", self._describe_begin())
            while True:
                self._look(stop_request)
                self._start_sessions()
                if not self._sessions:
                    break
                self._read_reports()
        finally:
            for session in self._sessions.values():
                session.process.close()
            for process in self._idle:
                process.end()
        if self._full_disk:
            raise StorageError(self._full_disk)
        return "done" if self._stopping is None or is_done(self.state) else self._stopping

    # ---- stopping -----------------------------------------------------------------------------------------

    def _look(self, stop_request: StopRequest) -> None:
        """Stops all trials once that is requested, or the time is up."""
        if self._stopping is not None:
            return
        reason = stop_request.signal_reason
        if reason is not None:
            self._stop(reason, f"{IN_WORDS[reason]}: stopping once all trials are saved")
        elif self._deadline is not None and time.monotonic() >= self._deadline:
            self._stop("time_limit", "the time limit was reached: stopping once all trials are saved")

    def _stop(self, reason: SweepStoppedBecause, message: str) -> None:
        self._stopping = reason
        for session in self._sessions.values():
            session.process.stop()
        self._emit("stopping", message)

    # ---- sessions -----------------------------------------------------------------------------------------

    def _start_sessions(self) -> None:
        while self._stopping is None and not self._full_disk and len(self._sessions) < self._parallel:
            if self._pending:
                trial = self.state.trials[self._pending.pop(0) - 1]
            else:
                assignment = next_assignment(self.state)
                if assignment is None:
                    return
                self._note(assignment)
                trial = self.state.trials[assignment.trial - 1]
            process = self._process(self.folder.spec.backend(trial.values))
            process.begin(self._request(trial))
            self._sessions[trial.number] = _Session(process, trial.step)
            self._emit("started", self._describe_start(trial), trial)

    def _process(self, backend: str) -> SessionProcess:
        """A process for a trial: an idle one that has the backend already, or a new one in place of another."""
        found = next((process for process in self._idle if process.backend == backend), None)
        if found is not None:
            self._idle.remove(found)
            return found
        if len(self._idle) + len(self._sessions) >= self._parallel:
            self._idle.pop().end()
        return SessionProcess(backend)

    def _request(self, trial: TrialState) -> dict[str, Any]:
        """What the trial's process is asked for."""
        spec = self.folder.spec
        return {
            "run": os.fspath(self.folder.run_path(trial.number)),
            "until": self.state.until(trial.level),
            "recipe": spec.recipe_source(trial.values),
            "backend": spec.backend(trial.values),
            "device": self.folder.device,
            "threads": self.folder.threads,
            "settings": spec.settings(trial.values),
        }

    def _read_reports(self) -> None:
        by_pipe = {session.process.fileno(): number for number, session in self._sessions.items()}
        for pipe in sorted(readable(by_pipe.keys(), _LOOK_SECONDS), key=by_pipe.__getitem__):
            number = by_pipe[pipe]
            for report in self._sessions[number].process.read():
                self._take(number, report)
                if number not in self._sessions:
                    break

    def _take(self, number: int, report: dict[str, Any]) -> None:
        """Takes what a session reports: its progress, or its outcome, with which it ends."""
        session = self._sessions[number]
        if OUTCOMES & report.keys():
            if "reached" in report and not session.has_trained:
                self._note_found_step(number, int(report["reached"]))
            del self._sessions[number]
            if "reached" in report:
                self._idle.append(session.process)
            else:  # what failed may have left anything in its process
                session.process.close()
            self._end(number, report, was_stopped=session.process.was_stopped)
        elif "started" in report:
            self._note_found_step(number, int(report["started"]))
            session.has_trained = True
            self._estimate.started(number, int(report["total_steps"]))
        elif "step" in report:
            session.step, session.loss = int(report["step"]), report["loss"]
            self._emit("advanced", "", self.state.trials[number - 1])

    def _note_found_step(self, number: int, step: int) -> None:
        """Notes the step at which a session found its run: an earlier session of the sweep got that far."""
        session = self._sessions[number]
        self._estimate.found(number, max(0, step - session.step))
        session.step = max(session.step, step)

    def _end(self, number: int, outcome: dict[str, Any], *, was_stopped: bool) -> None:
        """Notes in the journal what came of a session; one that was stopped goes on when the sweep is resumed."""
        if "storage" in outcome:
            self._full_disk = self._full_disk or outcome["storage"]
            for session in self._sessions.values():
                session.process.stop()
            return
        if "interrupted" in outcome:
            if not was_stopped:
                self._note(Failed(trial=number, reason="its process received SIGTERM", diverged=False))
                self._emit_end(number)
            return
        if "failed" in outcome:
            self._note(Failed(trial=number, reason=outcome["failed"], diverged=bool(outcome.get("diverged"))))
        else:
            self._note(
                Reached(
                    trial=number,
                    step=outcome["reached"],
                    **{key: outcome[key] for key in ("loss", "last_loss", "ended", "seconds")},
                )
            )
        self._emit_end(number)

    def _note(self, entry: Entry) -> None:
        journal.append(self.folder.path, [entry])
        self.state = self.state.after(entry)

    # ---- events -------------------------------------------------------------------------------------------

    def _emit_end(self, number: int) -> None:
        trial = self.state.trials[number - 1]
        assert trial.status != "running"
        self._emit(trial.status, self._describe_end(trial), trial_as_saved(self.folder, trial))

    def _emit(self, what: Any, message: str, trial: TrialState | None = None) -> None:
        steps = {number: session.step for number, session in self._sessions.items()}
        fraction, left = self._estimate.fraction_and_seconds_left(self.state, steps)
        state, best = self.state, self.state.best
        self._on_event(
            SweepProgress(
                what=what,
                message=message,
                trial=None if trial is None else self._shown(trial),
                planned_trials=state.spec.most_trials,
                running=tuple(self._shown(state.trials[number - 1]) for number in sorted(self._sessions)),
                waiting=max(0, state.spec.most_trials - len(state.trials)),
                stopped=len(state.having("stopped")),
                finished=len(state.having("finished")),
                failed=len(state.having("failed")),
                best=None if best is None else self._shown(best),
                fraction=fraction,
                seconds_left=left,
            )
        )

    def _shown(self, trial: TrialState) -> SweepTrial:
        """A trial for a user; one in hand with the step that it has come to."""
        session = self._sessions.get(trial.number)
        if session is None:
            return shown_trial(self.folder, trial)
        return shown_trial(self.folder, trial, step=session.step, is_running=True)

    def _describe_begin(self) -> str:
        spec = self.state.spec
        count = f"{spec.most_trials:,} trial{'s' if spec.most_trials > 1 else ''}, {spec.search} search"
        *early, last = ("", *(f"{step:,}" for step in spec.rungs))
        rungs = f", rung at step {last}" if last else ""
        if len(early) > 1:
            rungs = f", rungs at steps {', '.join(early[1:])} and {last}"
        begun = f"; {len(self.state.trials):,} already started" if self.state.trials else ""
        each = f"{self.folder.threads} thread{'s' if self.folder.threads > 1 else ''}"
        return f"{self.folder.path}: {count}{rungs}; {self._parallel} at a time, {each} each{begun}"

    def _describe_start(self, trial: TrialState) -> str:
        until = self.state.until(trial.level)
        to = "the end" if until is None else f"step {until:,}"
        start = f"from step {trial.step:,} to {to}" if trial.step else f"to {to}"
        return f"training trial {trial.number} {start}: {describe_values(trial)}"

    def _describe_end(self, trial: TrialState) -> str:
        if trial.status == "failed":
            return f"trial {trial.number} failed: {trial.reason}"
        best = self.state.best
        is_best = " (best)" if best is not None and best.number == trial.number else ""
        return f"trial {trial.number} {trial.status} at step {trial.step:,}: loss {trial.loss:.4f}{is_best}"


def describe_values(trial: TrialState | SweepTrial) -> str:
    """The values of a trial in a row, each with the last part of its key."""
    shown = {key.rpartition(".")[2]: as_one(value) for key, value in trial.values.items()}
    return ", ".join(f"{key} {value}" for key, value in shown.items())
