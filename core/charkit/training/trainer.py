"""The training loop, the same for every backend: carried state, schedule, validation, saving, events."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from math import isfinite

from charkit import events
from charkit.charrnn import CharRNN
from charkit.config import OptimizerConfig, TrainingConfig
from charkit.distributed.pool import StepAbandonedError
from charkit.errors import NotFiniteError
from charkit.evaluation import evaluate
from charkit.network import StepResult
from charkit.plugins.supervision import training_process
from charkit.runs.checkpoint_content import Checkpoint, TrainingProgress
from charkit.runs.records import METRICS, SAMPLES, SCHEDULE
from charkit.runs.run import Run
from charkit.text.batches import Batches
from charkit.text.corpus import Corpus
from charkit.training.clock import Clock
from charkit.training.divergence import divergence_error
from charkit.training.history import History
from charkit.training.interrupts import StopRequest
from charkit.training.patience import Patience
from charkit.training.result import StoppedBecause, TrainResult
from charkit.training.samples import draw_sample
from charkit.training.saving import Saving
from charkit.training.schedule import learning_rate_at
from charkit.training.session_end import SessionEnd
from charkit.training.steps import StepRunner, training_steps, upcoming_steps

#: Steps whose results may wait in the framework: so many losses are checked together.
COLLECT_STEPS = 100


class _ValidationStoppedError(Exception):
    """Training was requested to stop while the validation split was scored; the next session scores it."""


class Trainer:
    """One session of training, which continues a run from its checkpoint until it ends or is stopped."""

    def __init__(
        self,
        run: Run,
        model: CharRNN,
        corpus: Corpus,
        batches: Batches,
        progress: TrainingProgress,
        on_event: events.EventHandler,
        run_step: StepRunner,
    ) -> None:
        self.run, self.model, self.corpus, self.batches = run, model, corpus, batches
        self.training: TrainingConfig = progress.training
        self.optimizer: OptimizerConfig = progress.optimizer
        self.clock = Clock(progress.elapsed_seconds)
        self._emit, self._run_step = on_event, run_step
        self._progress = progress
        self._patience = Patience(progress)
        self._gained_at: int | None = None  # the last step whose loss was below the best one that is saved
        self._unreported = (progress.unreported_steps, progress.unreported_loss)
        self._norm = progress.gradient_norm
        self._pending: list[StepResult] = []
        self._last_metrics: events.StepMetrics | None = None

    def run_until_stopped(self, stop_request: StopRequest, stop_at: int | None = None) -> TrainResult:
        """Trains until the end of the run, a limit, the step ``stop_at``, or a request to stop.

        Raises NotFiniteError, StorageError, MemoryError.
        """
        self.clock.start()
        self._end = SessionEnd(self._progress, self.batches, self.corpus, self.clock, stop_at)
        with (
            training_process(self.model.backend.name, str(self.run.path)) as self._check_process,
            Saving(
                self.run, self.corpus.name, self._progress, self.clock, self._emit, self._divergence
            ) as self._saving,
        ):
            reason = self._after_step(stop_request) if self._progress.validation_due else None
            reason = reason or self._train(stop_request)
        return self._result(reason)

    def _train(self, stop_request: StopRequest) -> StoppedBecause:
        first, last = self.model.step + 1, self._end.at_most
        steps = upcoming_steps(
            self.model, self.batches, first, last, self._learning_rate, self.training.reset_probability
        )
        try:
            with closing(steps):
                for result in training_steps(self.model, steps, self._run_step):
                    self._check_process()
                    self._pending.append(result)
                    self.clock.count()
                    reason = self._after_step(stop_request)
                    if reason is not None:
                        return reason
        except StepAbandonedError:
            assert stop_request.reason is not None
            self._save_if_new()
            return stop_request.reason
        return "epochs"

    def _learning_rate(self, step: int) -> float:
        return learning_rate_at(step, self._end.plan, self.optimizer, self.training)

    def _after_step(self, stop_request: StopRequest) -> StoppedBecause | None:
        step = self.model.step
        self._saving.report_ended()
        self._end.saved(self._saving.write_seconds)
        if self._end.look_due:
            self._collect()
            self._plan_again(step)
        due = self._validation_due(step)
        ended = self._end.reason(step, validates=due)
        due = due or (ended is not None and self._has_validation)
        spent_before = self.clock.paused_seconds
        if due or ended or step % self.training.log_every == 0:
            self._collect()
            try:
                if due:
                    self._validate(stop_request)
            except _ValidationStoppedError:
                self._save(validation_due=True, last=True)
                return stop_request.reason
            self._report(self._progress.validation_loss if due else None)
        elif len(self._pending) >= COLLECT_STEPS:
            self._collect()
        last = max(step, self._end.expected_last_step)
        self._emit(events.Advanced(step, self.epoch, last, self._end.seconds_left(step)))
        if due or ended:
            self._draw_sample()
        before_saving = self.clock.now()
        if due:
            self._compare()
        reason = ended or ("patience" if due and self._patience.is_out else None) or stop_request.reason
        if due or reason is not None or self._saving.due(step):
            self._save(last=reason is not None)
        if due:
            spent = self.clock.paused_seconds - spent_before + self.clock.now() - before_saving
            self._end.validated(spent)
        return reason

    def _plan_again(self, step: int) -> None:
        """Records the plan of the schedule where the time limit has it end elsewhere than was planned."""
        plan = self._end.look(step)
        if self._end.plan_is_checked:
            self._progress = self._progress.model_copy(update={"plan_is_estimate": False})
        if plan is None:
            return
        self._progress = self._progress.model_copy(update={"plan": plan})
        record = {"from_step": plan.step, "fraction": plan.fraction, "last_step": plan.last_step}
        self._saving.record(SCHEDULE, {"step": step, **record, "elapsed_seconds": self.clock.elapsed()})
        self._emit(events.SchedulePlanned(step, plan.last_step))

    @property
    def epoch(self) -> int:
        """The epoch of the last step, counted from 1."""
        return max(0, self.model.step - 1) // self.batches.count + 1

    # ---- reports ------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        """Takes the losses out of the framework; raises NotFiniteError for one that is not finite."""
        for result in self._pending:
            self._check_finite("loss", result.loss, result.step)
            self._check_finite("gradient", result.gradient_norm, result.step)
            self._unreported = (self._unreported[0] + 1, self._unreported[1] + result.loss)
            self._norm = result.gradient_norm
        self._pending.clear()

    def _check_finite(self, what: str, value: float, step: int) -> None:
        if not isfinite(value):
            self._saving.finish()  # which says what the last good checkpoint is
            raise self._divergence(f"the {what} is not finite at step {step:,}")

    def _divergence(self, what: str) -> NotFiniteError:
        backend = self.model.backend.name
        return divergence_error(what, self.run.path, self._saving.saved_step, backend, self.optimizer)

    def _report(self, validation_loss: float | None) -> None:
        step = self.model.step
        report = events.StepMetrics(
            step=step,
            epoch=self.epoch,
            loss=self._unreported[1] / self._unreported[0],
            validation_loss=validation_loss,
            learning_rate=self._learning_rate(step),
            gradient_norm=self._norm,
            characters_per_second=self.clock.lap() * self.batches.characters_per_step,
            elapsed_seconds=self.clock.elapsed(),
        )
        self._unreported = (0, 0.0)
        self._last_metrics = report
        self._saving.record(METRICS, asdict(report))
        self._emit(report)

    # ---- validation ---------------------------------------------------------------------------------------

    def _validation_due(self, step: int) -> bool:
        return self._has_validation and (self._is_regular(step) or self._progress.validation_due)

    def _is_regular(self, step: int) -> bool:
        return step % (self.training.eval_every or self.batches.count) == 0

    @property
    def _has_validation(self) -> bool:
        start, stop = self.corpus.split("validation")
        return stop > start

    def _validate(self, stop_request: StopRequest) -> None:
        """Scores the validation split."""

        def report_progress(fraction: float) -> None:
            if stop_request.reason is not None and fraction < 1:
                raise _ValidationStoppedError
            self._emit(events.Validating(fraction))

        with self.clock.paused():
            loss = evaluate(
                self.model,
                self.corpus.symbols,
                self.corpus.vocabulary,
                *self.corpus.split("validation"),
                release=self.corpus.release,
                progress=report_progress,
            ).loss
        self._check_finite("validation loss", loss, self.model.step)
        self._progress = self._progress.model_copy(update={"validation_loss": loss})

    def _compare(self) -> None:
        """Compares the validation loss of this step with that of the best checkpoint, and counts it for patience."""
        self._saving.finish()  # the save in flight may be that of the best checkpoint, and may fail
        loss, (best, _) = self._progress.validation_loss, self._saving.best
        assert loss is not None, "the split was scored"
        if best is None or loss < best:
            self._gained_at = self.model.step
        if self._is_regular(self.model.step):
            self._patience.count(loss)

    def _draw_sample(self) -> None:
        step, seed, length = self.model.step, self.training.seed, self.training.sample_length
        if length == 0:
            return
        with self.clock.paused():
            sample = draw_sample(self.model, self.corpus, seed=seed, step=step, length=length)
        self._saving.record(SAMPLES, {"step": step, "epoch": self.epoch, **sample.record()})
        self._emit(events.Sampled(step, sample.text, sample.prime, sample.temperature, sample.seed))

    # ---- saving -------------------------------------------------------------------------------------------

    def _save(self, *, validation_due: bool = False, last: bool = False) -> None:
        """Begins to save this step; ``last``: the session ends with it, which waits for it."""
        self._collect()
        self._saving.finish()  # before the next snapshot is taken, so that no two are in memory
        step, best = self.model.step, self._gained_at == self.model.step
        best_loss, best_step = (self._progress.validation_loss, step) if best else self._saving.best
        self._progress = self._progress.model_copy(
            update={
                "step": step,
                "best_validation_loss": best_loss,
                "best_step": best_step,
                "lowest_validation_loss": self._patience.lowest,
                "validations_without_gain": self._patience.without_gain,
                "unreported_steps": self._unreported[0],
                "unreported_loss": self._unreported[1],
                "gradient_norm": self._norm,
                "validation_due": validation_due,
                "elapsed_seconds": self.clock.elapsed(),
            }
        )
        self._saving.start(self._checkpoint(), best=best)
        if last:
            self._saving.finish(last=True)

    def _save_if_new(self) -> None:
        """Saves this step as the last of the session, unless its save was the last one."""
        self._saving.finish()
        if self._saving.saved_step != self.model.step:
            self._save(last=True)

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(self.model.snapshot(), self._progress)

    def _result(self, reason: StoppedBecause) -> TrainResult:
        return TrainResult(
            run=self.run.path,
            step=self.model.step,
            epoch=self.epoch,
            loss=self._last_metrics.loss if self._last_metrics else None,
            validation_loss=self._progress.validation_loss,
            best_validation_loss=self._progress.best_validation_loss,
            characters_per_second=self.clock.average() * self.batches.characters_per_step,
            stopped_because=reason,
            history=History.from_dicts(self.run.records(METRICS)),
        )
