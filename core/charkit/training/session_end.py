"""Where a session of training ends, and with it the schedule: by steps, by epochs, or when its time is up.

The time decides only through plans. A plan is recorded with the run, and the learning rate of every step follows from
it, so that a run which was interrupted goes on along the same curve, on a machine of any speed.
"""

from __future__ import annotations

from charkit.config import TrainingConfig
from charkit.durations import duration_seconds
from charkit.runs.checkpoint_content import SchedulePlan, TrainingProgress
from charkit.runs.planned_end import planned_last_step, total_steps
from charkit.text.batches import Batches
from charkit.text.corpus import Corpus
from charkit.training.clock import Clock
from charkit.training.result import StoppedBecause
from charkit.training.schedule import plan_until, replanned
from charkit.training.session_time import SessionTime


class SessionEnd:
    """The end of one session, and the plan of the schedule, which moves as far as the time limit needs."""

    def __init__(
        self,
        progress: TrainingProgress,
        batches: Batches,
        corpus: Corpus,
        clock: Clock,
        stop_at: int | None = None,
    ) -> None:
        self._training: TrainingConfig = progress.training
        self._clock = clock
        #: The session ends after this step, and the run goes on in another: the schedule is that of the whole run.
        self._stop_at = stop_at
        self._max_steps_or_epochs = total_steps(self._training, batches.count)
        #: No plan of this session goes beyond this step. An estimate may prove too short.
        self.at_most = (
            self._max_steps_or_epochs
            if progress.plan_is_estimate
            else planned_last_step(progress, batches.count)
        )
        self.plan: SchedulePlan = progress.plan or plan_until(self.at_most, self._training)
        self._expected = self.at_most
        #: Whether a look has confirmed the plan or replaced it.
        self.plan_is_checked = False
        self._time: SessionTime | None = None
        if self._training.time_limit is not None:
            start, stop = corpus.split("validation")
            self._time = SessionTime(
                clock,
                duration_seconds(self._training.time_limit),
                validation_every=(self._training.eval_every or batches.count) if stop > start else None,
                validation_steps=(stop - start) / batches.characters_per_step,
            )

    @property
    def last_step(self) -> int:
        """The last step of the session as it is planned now."""
        return min(self.at_most, self.plan.last_step)

    @property
    def expected_last_step(self) -> int:
        """The last step that the session will probably reach; with a constant rate it is no more than that."""
        expected = min(self.last_step, self._expected)
        return expected if self._stop_at is None else min(expected, self._stop_at)

    @property
    def look_due(self) -> bool:
        """Whether ``look`` should be called, once all steps so far have been computed."""
        return self._time is not None and self._time.look_due

    def look(self, step: int) -> SchedulePlan | None:
        """Compares the plan with the speed after a step; returns the new plan if the schedule has to end elsewhere."""
        assert self._time is not None, "a look is due only with a time limit"
        possible = self._time.last_step(step, self.at_most)
        if possible is None:
            return None
        self._expected, self.plan_is_checked = possible, True
        if self._training.schedule == "constant" or not self._time.is_off(step, self.last_step, possible):
            return None
        self.plan = replanned(self.plan, step, possible)
        return self.plan

    def validated(self, seconds: float) -> None:
        """Notes what a validation took, with its sample and what training waited for its save."""
        if self._time is not None:
            self._time.validated(seconds)

    def saved(self, seconds: float) -> None:
        """Notes what writing a checkpoint took in the background."""
        if self._time is not None:
            self._time.saved(seconds)

    def reason(self, step: int, *, validates: bool = False) -> StoppedBecause | None:
        """Why the session ends after this step; None if it goes on. ``validates``: a validation is due anyway."""
        if step >= self._max_steps_or_epochs:
            return "max_steps" if step == self._training.max_steps else "epochs"
        if step >= self.last_step:
            return "time_limit"
        if self._stop_at is not None and step >= self._stop_at:
            return "stop_at"
        if self._time is None:
            return None
        if self._training.schedule == "constant":
            # There is another step only if the last validation still fits.
            return "time_limit" if self._time.is_up_after(1 + validates) else None
        # The fall of the learning rate was planned to end before; it may take its time.
        return "time_limit" if self._time.is_up else None

    def seconds_left(self, step: int) -> float | None:
        """An estimate of the seconds until the end; None before there is one."""
        if self.reason(step) is not None:
            return 0.0
        by_steps = self._clock.left(self.expected_last_step - step)
        if self._time is None:
            return by_steps
        if by_steps is None or self.expected_last_step < self.at_most:
            return self._time.seconds_left
        return min(by_steps, self._time.seconds_left)
