"""How fast everyone was, paired by round, and which rounds count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest

import numpy as np

from charkit_comparison import Report
from charkit_comparison.page.variant import Variant
from charkit_comparison.report import Outcome, Round

#: The share of its threads for which a variant may lack a processor before its round is called busy.
LACKING = 0.05
#: Quiet rounds that are enough to leave the busy ones out.
ENOUGH_ROUNDS = 2


@dataclass(frozen=True)
class Pace:
    """How fast a variant was: each round, their median, and its time beside the fastest's in the same round.

    ``values`` are of all rounds; the rest is of those that count.
    """

    variant: Variant
    values: tuple[float, ...]
    median: float | None
    times_as_long: float | None  # the median of the rounds; 1 for the fastest
    spread: tuple[float, float] | None  # the smallest and the largest of the rounds


@dataclass(frozen=True)
class Gain:
    """A framework's own layers, and how many times as fast charkit's backend on the same framework trains."""

    own: Variant
    backend: Variant
    times_as_fast: float  # the median of the rounds
    spread: tuple[float, float]


class Speeds:
    """Training and sampling speeds of a report, from the rounds in which nobody else kept the machine busy."""

    def __init__(self, report: Report, variants: Sequence[Variant]) -> None:
        self._report, self._variants = report, variants

    @cached_property
    def busy(self) -> tuple[int, ...]:
        """The rounds, counted from 1, in which a variant had not the processors that it was given threads for."""
        turns = zip_longest(*(variant.outcome.rounds for variant in self._variants))
        return tuple(
            number
            for number, turn in enumerate(turns, start=1)
            if any(one is not None and self._lacking(one) > LACKING * self._report.threads for one in turn)
        )

    @cached_property
    def most_taken(self) -> float:
        """The most processors that other programs took in a busy round, on average over a turn."""
        rounds = [one for variant in self._variants for one in variant.outcome.rounds]
        return max((one.other_processors or 0.0 for one in rounds), default=0.0)

    @cached_property
    def leaves_out(self) -> bool:
        """Whether the busy rounds are left out, because enough others remain."""
        made = max((len(variant.outcome.rounds) for variant in self._variants), default=0)
        return bool(self.busy) and made - len(self.busy) >= ENOUGH_ROUNDS

    def _lacking(self, turn: Round) -> float:
        """Processors that a variant lacked for its threads."""
        cores = self._report.machine.cores
        return min(self._report.threads, cores) + (turn.other_processors or 0.0) - cores

    @cached_property
    def training(self) -> tuple[Pace, ...]:
        """Training speeds."""
        return self._paces(lambda one: one.characters_per_second)

    @cached_property
    def sampling(self) -> tuple[Pace, ...]:
        """Sampling speeds."""
        return self._paces(lambda one: one.sampling_characters_per_second)

    @cached_property
    def gains(self) -> tuple[Gain, ...]:
        """Each framework's own layers beside charkit's backend on it in the same precision and environment."""
        found = []
        for own in self._variants:
            for backend in self._variants:
                if own.outcome.kind != "own layers" or not _same_place(own.outcome, backend.outcome):
                    continue
                theirs, ours = (self._of(one, lambda r: r.characters_per_second) for one in (own, backend))
                ratios = _paired(ours, theirs)
                if ratios:
                    found.append(Gain(own, backend, float(np.median(ratios)), (min(ratios), max(ratios))))
        return tuple(found)

    def _paces(self, of: Callable[[Round], float | None]) -> tuple[Pace, ...]:
        speeds = [self._of(variant, of) for variant in self._variants]
        medians = [_median([value for value in values if value]) for values in speeds]
        able = [place for place, median in enumerate(medians) if median is not None]
        fastest = max(able, key=lambda place: medians[place] or 0.0, default=None)
        paces = []
        for variant, values, median in zip(self._variants, speeds, medians, strict=True):
            ratios = [] if fastest is None else _paired(speeds[fastest], values)
            every = (of(one) for one in variant.outcome.rounds)
            paces.append(
                Pace(
                    variant,
                    tuple(value for value in every if value),
                    median,
                    _median(ratios),
                    (min(ratios), max(ratios)) if ratios else None,
                )
            )
        return tuple(paces)

    def _of(self, variant: Variant, of: Callable[[Round], float | None]) -> list[float | None]:
        """One value for each round; none for a round that does not count."""
        left_out = self.busy if self.leaves_out else ()
        rounds = enumerate(variant.outcome.rounds, start=1)
        return [None if number in left_out else of(one) for number, one in rounds]


def _same_place(own: Outcome, backend: Outcome) -> bool:
    """Whether the second is charkit's backend where the first is what its users would write."""
    return backend.kind == "backend" and all(
        getattr(own, key) == getattr(backend, key) for key in ("backend", "precision", "device", "python")
    )


def _paired(fastest: Sequence[float | None], values: Sequence[float | None]) -> list[float]:
    """How many times as long as the fastest, round by round, so that a busy moment weighs on both."""
    return [first / value for first, value in zip(fastest, values, strict=False) if first and value]


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None
