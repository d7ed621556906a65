"""Judges whether what a process uses stays flat: by its growth between the halves of a run, after a warm-up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

#: The first measurements, which do not count: caches fill, libraries allocate once. A share of all.
WARM_UP_SHARE = 0.25
#: By how much the median of the second half may exceed that of the first. Allocators and caches of a process move by
#: about 100 kB; over more steps, the same bound finds smaller leaks.
ALLOWED = {"memory": 1_000_000, "files": 1, "threads": 1}
#: Fewer measurements than these don't make two halves.
LEAST_MEASUREMENTS = 6


def growth(measurements: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """By how much the median of each use grew from the first half to the second, after the warm-up."""
    if len(measurements) < LEAST_MEASUREMENTS:
        raise ValueError(f"{len(measurements)} measurements; at least {LEAST_MEASUREMENTS} make two halves")
    settled = measurements[max(1, round(WARM_UP_SHARE * len(measurements))) :]
    middle = len(settled) // 2
    return {
        use: median(one[use] for one in settled[-middle:]) - median(one[use] for one in settled[:middle])
        for use in ALLOWED
    }


def growing(measurements: Sequence[Mapping[str, float]]) -> list[str]:
    """The uses that grew beyond what is allowed, each in words; none where all are flat."""
    grown = growth(measurements)
    return [
        f"{use} grew by {grown[use]:,.0f} between the halves; at most {ALLOWED[use]:,} is allowed"
        for use in ALLOWED
        if grown[use] > ALLOWED[use]
    ]


def report(measurements: Sequence[Mapping[str, float]]) -> str:
    """The growth and the speed of both halves in one line. Speed is not judged: it depends on other work as well."""
    middle = len(measurements) // 2
    first, mid, last = measurements[0], measurements[middle], measurements[-1]
    speeds = [
        (after["step"] - before["step"]) / max(1e-9, after["processor_seconds"] - before["processor_seconds"])
        for before, after in ((first, mid), (mid, last))
    ]
    grown = ", ".join(f"{use} {number:+,.0f}" for use, number in growth(measurements).items())
    return (
        f"{last['step']:,.0f} steps in {last['seconds']:,.0f} s: {grown} between the halves; "
        f"{speeds[0]:,.0f} steps per second of the processor in the first half and {speeds[1]:,.0f} in the second; "
        f"{last['memory'] / 1e6:,.0f} MB at the end"
    )
