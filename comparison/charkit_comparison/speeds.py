"""How fast each variant was, paired by round, and which rounds count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest

import numpy as np

from charkit_comparison.report_parts import Outcome, Round

#: The share of its threads for which a variant may lack a processor before its round counts as contended.
MAX_MISSING_SHARE = 0.05
#: Rounds without contention that are enough to leave the others out.
MIN_QUIET_ROUNDS = 2


@dataclass(frozen=True)
class VariantSpeed:
    """The speed of a variant in each round, their median, and its time beside the fastest's in the same round.

    ``values`` are of all rounds; the rest is of those that count.
    """

    variant: Outcome
    values: tuple[float, ...]  # characters per second
    median: float | None
    times_as_long: float | None  # the median of the rounds; 1 for the fastest
    spread: tuple[float, float] | None  # the smallest and the largest of the rounds


@dataclass(frozen=True)
class Speedup:
    """A framework's own layers, and how many times as fast charkit's backend on the same framework trains."""

    own: Outcome
    backend: Outcome
    times_as_fast: float  # the median of the rounds
    spread: tuple[float, float]


class Speeds:
    """Training and sampling speeds, from the rounds in which no other program kept the machine busy."""

    def __init__(self, variants: Sequence[Outcome], threads: int, cores: int) -> None:
        self._variants, self._threads, self._cores = variants, threads, cores

    @cached_property
    def contended_rounds(self) -> tuple[int, ...]:
        """The rounds, counted from 1, in which a variant had fewer processors than threads."""
        turns = zip_longest(*(variant.rounds for variant in self._variants))
        most = MAX_MISSING_SHARE * self._threads
        return tuple(
            number
            for number, turn in enumerate(turns, start=1)
            if any(one is not None and self._missing_processors(one) > most for one in turn)
        )

    @cached_property
    def most_contention(self) -> float:
        """The most processors that other programs kept busy during a turn, on average."""
        rounds = [one for variant in self._variants for one in variant.rounds]
        return max((one.other_processors or 0.0 for one in rounds), default=0.0)

    @cached_property
    def skips_contended(self) -> bool:
        """Whether the contended rounds are left out, because enough others remain."""
        made = max((len(variant.rounds) for variant in self._variants), default=0)
        return bool(self.contended_rounds) and made - len(self.contended_rounds) >= MIN_QUIET_ROUNDS

    def _missing_processors(self, turn: Round) -> float:
        """How many processors a variant lacked for its threads."""
        return min(self._threads, self._cores) + (turn.other_processors or 0.0) - self._cores

    @cached_property
    def training(self) -> tuple[VariantSpeed, ...]:
        """Training speeds."""
        return self._speeds(lambda one: one.characters_per_second)

    @cached_property
    def sampling(self) -> tuple[VariantSpeed, ...]:
        """Sampling speeds."""
        return self._speeds(lambda one: one.sampling_characters_per_second)

    @cached_property
    def speedups(self) -> tuple[Speedup, ...]:
        """Each framework's own layers beside charkit's backend on it in the same precision and environment."""
        found = []
        for own in self._variants:
            for backend in self._variants:
                if own.kind != "own layers" or not _is_counterpart(own, backend):
                    continue
                theirs, ours = (
                    self._counted(one, lambda turn: turn.characters_per_second) for one in (own, backend)
                )
                ratios = _paired_ratios(ours, theirs)
                if ratios:
                    found.append(Speedup(own, backend, float(np.median(ratios)), (min(ratios), max(ratios))))
        return tuple(found)

    def _speeds(self, speed_of: Callable[[Round], float | None]) -> tuple[VariantSpeed, ...]:
        counted = [self._counted(variant, speed_of) for variant in self._variants]
        medians = [_median([value for value in values if value]) for values in counted]
        measured = [index for index, median in enumerate(medians) if median is not None]
        fastest = max(measured, key=lambda index: medians[index] or 0.0, default=None)
        speeds = []
        for variant, values, median in zip(self._variants, counted, medians, strict=True):
            ratios = [] if fastest is None else _paired_ratios(counted[fastest], values)
            every = (speed_of(one) for one in variant.rounds)
            speeds.append(
                VariantSpeed(
                    variant,
                    tuple(value for value in every if value),
                    median,
                    _median(ratios),
                    (min(ratios), max(ratios)) if ratios else None,
                )
            )
        return tuple(speeds)

    def _counted(self, variant: Outcome, speed_of: Callable[[Round], float | None]) -> list[float | None]:
        """One value for each round; None for a round that does not count."""
        left_out = self.contended_rounds if self.skips_contended else ()
        rounds = enumerate(variant.rounds, start=1)
        return [None if number in left_out else speed_of(one) for number, one in rounds]


def _is_counterpart(own: Outcome, backend: Outcome) -> bool:
    """Whether the second is charkit's backend on the framework, precision, device and Python of the first."""
    return backend.kind == "backend" and all(
        getattr(own, key) == getattr(backend, key) for key in ("backend", "precision", "device", "python")
    )


def _paired_ratios(fastest: Sequence[float | None], values: Sequence[float | None]) -> list[float]:
    """How many times as long as the fastest, round by round, so that contention affects both."""
    return [first / value for first, value in zip(fastest, values, strict=False) if first and value]


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None
