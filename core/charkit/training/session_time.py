"""The time that a session may take: which step is the last that it leaves time for, judged by the measured speed."""

from __future__ import annotations

from collections import deque

from charkit.training.clock import Clock

#: The speed is looked at first after this share of the limit, and then again after each further share.
FIRST_LOOK = 0.03
LOOK_EVERY = 0.02
#: The first steps of a session are no measure of its speed: frameworks compile in them.
COMPILING_STEPS = 2
#: Looks that the speed is measured over, a tenth of the limit: a machine that becomes busy shows soon.
LOOKS = 5
#: An end of the schedule is moved where it is off by this share of the time left and by this share of the limit.
TOLERATED_OF_THE_REST = 0.05
TOLERATED_OF_THE_LIMIT = 0.01
#: The share of the limit that is left over, so that an end which is tolerated still comes before the limit.
MARGIN = TOLERATED_OF_THE_LIMIT
#: What scoring a symbol takes, of training on one, until it was measured: no gradient, but fewer streams.
SCORING_COST = 1.0


class SessionTime:
    """The limit of one session, and what it has spent its time on so far.

    ``validation_every`` is how many steps there are between validations, None for a run without any, and
    ``validation_steps`` how many training steps have as many symbols as the validation split.
    """

    def __init__(
        self,
        clock: Clock,
        limit_seconds: float,
        *,
        validation_every: int | None,
        validation_steps: float,
    ) -> None:
        self._clock = clock
        self._limit = limit_seconds
        self._validation_every = validation_every
        self._validation_steps = validation_steps
        self._next_look = FIRST_LOOK * limit_seconds
        # Of the last one, with its sample and what its save kept training waiting.
        self._validation_seconds: float | None = None
        self._save_seconds = 0.0
        self._all_validations_seconds = 0.0
        # Steps, and the seconds without validations, at each look.
        self._marks: deque[tuple[int, float]] = deque(maxlen=LOOKS + 1)
        self._seconds_per_step: float | None = None

    @property
    def seconds_left(self) -> float:
        """Seconds until the limit."""
        return max(0.0, self._limit - self._clock.session_seconds())

    @property
    def is_up(self) -> bool:
        """Whether the limit is reached."""
        return self._clock.session_seconds() >= self._limit

    def is_up_after(self, validations: int) -> bool:
        """Whether another step and so many validations would probably go beyond the limit."""
        coming = (self._seconds_per_step or 0.0) + validations * self._last_validation() + self._save_seconds
        return self.is_up or (self._clock.steps > 0 and self.seconds_left < coming)

    def validated(self, seconds: float) -> None:
        """Notes what a validation took, with its sample and what training waited for its save."""
        self._validation_seconds = seconds
        self._all_validations_seconds += seconds
        self._next_look = FIRST_LOOK * self._limit  # at once, if that is past: there is something new to see

    def saved(self, seconds: float) -> None:
        """Notes what writing a checkpoint took in the background: for the last one of a session, training waits."""
        self._save_seconds = seconds

    @property
    def look_due(self) -> bool:
        """Whether it is time to ask for ``last_step``, once all steps so far have been computed."""
        if self._clock.steps < COMPILING_STEPS:
            return False
        return not self._marks or self._clock.session_seconds() >= self._next_look

    def last_step(self, step: int, at_most: int) -> int | None:
        """The last step, from ``step`` to ``at_most``, that there is time for; None before the speed is known.

        Everything counts that is still to come: steps, validations with their samples and saves, and the validation and
        the save at the end.
        """
        now = self._clock.session_seconds()
        self._mark(now)
        self._next_look = max(now + LOOK_EVERY * self._limit, FIRST_LOOK * self._limit)
        if self._seconds_per_step is None:
            self._next_look = max(now, FIRST_LOOK * self._limit)
            return None
        left = (1.0 - MARGIN) * self._limit - now - self._save_seconds
        low, high = step, at_most  # there is time for low, if only just
        while low < high:
            middle = (low + high + 1) // 2
            if self._seconds_until(step, middle) <= left:
                low = middle
            else:
                high = middle - 1
        return low

    def is_off(self, step: int, planned: int, possible: int) -> bool:
        """Whether a planned last step is so far from the possible one that the schedule should end there instead."""
        assert self._seconds_per_step is not None, "there is a possible last step, so the speed is known"
        tolerated = max(
            1,
            TOLERATED_OF_THE_REST * (possible - step),
            TOLERATED_OF_THE_LIMIT * self._limit / max(1e-9, self._seconds_per_step),
        )
        return abs(planned - possible) > tolerated

    def _mark(self, now: float) -> None:
        mark = (self._clock.steps, now - self._all_validations_seconds)
        if self._marks and mark[0] > self._marks[0][0]:
            steps, seconds = (new - old for new, old in zip(mark, self._marks[0], strict=True))
            self._seconds_per_step = seconds / steps
        self._marks.append(mark)

    def _seconds_until(self, step: int, last: int) -> float:
        """An estimate of what the steps after ``step`` take, up to ``last`` and the validation there."""
        assert self._seconds_per_step is not None, "the speed is known"
        every = self._validation_every
        validations = 0 if every is None else last // every - step // every
        if every is None or last % every:
            validations += 1
        return (last - step) * self._seconds_per_step + validations * self._last_validation()

    def _last_validation(self) -> float:
        if self._validation_seconds is not None:
            return self._validation_seconds
        return SCORING_COST * self._validation_steps * (self._seconds_per_step or 0.0)
