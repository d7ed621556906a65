"""The report's charts: lines over steps or seconds, and bars with a dot for each round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from charkit_comparison.page import formatting
from charkit_comparison.page.canvas import Canvas, Row, Series, bar_canvas, line_canvas
from charkit_comparison.page.facts import Facts, Floats
from charkit_comparison.page.speeds import Pace
from charkit_comparison.page.thinning import extremes
from charkit_comparison.page.variant import Variant


@dataclass(frozen=True)
class Key:
    """What is drawn beside the variants' lines, for the legend."""

    kind: Literal["band", "limit", "bound"]
    text: str


@dataclass(frozen=True)
class Chart:
    """A chart as ``<svg>`` elements: the wide one, and the one for a telephone unless one does for both."""

    title: str
    svgs: tuple[str, ...]
    variants: tuple[Variant, ...]  # for the legend
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()  # one beside each variant in the legend, or none at all
    keys: tuple[Key, ...] = ()


def losses(facts: Facts) -> Chart | None:
    """The training loss of all on each other."""
    able = [one for one in facts.variants if one.outcome.losses]
    if not able:
        return None
    first = facts.report.first_step
    lines = [np.asarray(one.outcome.losses, np.float64) for one in able]
    low, high, leaving = _window(lines)

    def draw(canvas: Canvas) -> None:
        canvas.limits((first, first + max(map(len, lines)) - 1), (low, high))
        for one, line in zip(able, lines, strict=True):
            chosen = extremes(line, canvas.buckets)
            canvas.line(Series(one.look, first + chosen, line[chosen], turn=(able.index(one), len(able))))

    told = "; ".join(
        f"{one.label} from {formatting.loss(line[0])} to {formatting.loss(line[-1])}"
        for one, line in zip(able, lines, strict=True)
    )
    notes = _on_each_other(able)
    notes += leaving_notes([able[place] for place in leaving])
    return both("loss", "Training loss", told, draw, able, notes, x="step", y="nats per symbol")


def validation(facts: Facts) -> Chart | None:
    """The validation loss after each round."""
    return _validated(facts, "validation", "Validation loss", "step", lambda one: _points(one, "step"))


def learning(facts: Facts) -> Chart | None:
    """The validation loss against seconds, start-up included."""
    return _validated(
        facts,
        "learning",
        "Validation loss against time",
        "seconds",
        lambda one: _points(one, "elapsed_seconds"),
    )


def _points(variant: Variant, of: str) -> tuple[Floats, Floats]:
    points = variant.outcome.validations
    return (
        np.array([getattr(point, of) for point in points], np.float64),
        np.array([point.loss for point in points], np.float64),
    )


def _validated(
    facts: Facts, name: str, title: str, x: str, points: Callable[[Variant], tuple[Floats, Floats]]
) -> Chart | None:
    able = [one for one in facts.variants if one.outcome.validations]
    if not able:
        return None
    lines = [points(one) for one in able]
    low, high, leaving = _window([line for _, line in lines])
    timed = x == "seconds"
    begin = 0.0 if timed else float(facts.report.first_step - 1)
    end = max(float(along.max()) for along, _ in lines)

    def draw(canvas: Canvas) -> None:
        canvas.limits((begin, begin + (end - begin) * 1.03), (low, high))
        for place, (one, (along, line)) in enumerate(zip(able, lines, strict=True)):
            turn = (0, 1) if timed else (place, len(able))
            canvas.line(Series(one.look, along, line, turn, markers=True))
            started = (one.outcome.import_seconds or 0) + (one.outcome.first_step_seconds or 0)
            if timed and started:
                canvas.stroke(one.look, started)

    told = "; ".join(
        f"{one.label} {formatting.loss(line[-1])} "
        + (f"after {formatting.seconds(float(along[-1]))} seconds" if timed else f"at step {along[-1]:,.0f}")
        for one, (along, line) in zip(able, lines, strict=True)
    )
    notes = _on_each_other(able) if not timed else []
    notes += [
        f"{one.label} was not validated."
        for one in facts.variants
        if one.outcome.losses and not one.outcome.validations
    ]
    if timed:
        notes.append(
            "The short strokes on the axis of time end each variant's start-up: import and first step."
        )
    notes += leaving_notes([able[place] for place in leaving])
    return both(name, title, told, draw, able, notes, x=x, y="nats per symbol")


def speeds(paces: Sequence[Pace], name: str, title: str) -> Chart | None:
    """Each round's speed as a dot and the median as a bar."""
    able = [pace for pace in paces if pace.median is not None]
    rows = [
        Row(pace.variant, pace.median or 0.0, formatting.speed(pace.median), pace.values) for pace in able
    ]
    return _bars(rows, name, title, "characters per second")


def memory(facts: Facts) -> Chart | None:
    """The peak memory of each process."""
    rows = [
        Row(one, one.outcome.peak_memory_bytes / 1e6, formatting.megabytes(one.outcome.peak_memory_bytes), ())
        for one in facts.variants
        if one.outcome.peak_memory_bytes is not None
    ]
    return _bars(rows, "memory", "Peak memory", "MB")


def _bars(rows: Sequence[Row], name: str, title: str, unit: str) -> Chart | None:
    if not rows:
        return None
    told = "; ".join(f"{row.variant.label} {row.told}" for row in rows)
    with bar_canvas(rows, unit) as canvas:
        svg = canvas.svg(f"chart-{name}", title, f"{title}, {unit}: {told}")
    return Chart(title, (svg,), ())


def both(
    name: str,
    title: str,
    told: str,
    draw: Callable[[Canvas], None],
    variants: Sequence[Variant],
    notes: Sequence[str],
    *,
    x: str,
    y: str,
) -> Chart:
    """The wide picture and the narrow one."""
    svgs = []
    for kind in ("wide", "narrow"):
        with line_canvas(kind == "narrow", x, y) as canvas:
            draw(canvas)
            svgs.append(canvas.svg(f"chart-{name}-{kind}", title, f"{title}, {y}, by {x}: {told}", kind))
    return Chart(title, tuple(svgs), tuple(variants), tuple(notes))


def _on_each_other(variants: Sequence[Variant]) -> list[str]:
    if len(variants) < 2:
        return []
    return ["Where lines coincide, their colors alternate."]


def leaving_notes(variants: Sequence[Variant]) -> list[str]:
    """Says who can't be seen to the end: too large for the picture, or no number."""
    return [f"{one.label} leaves the picture." for one in variants]


def _window(lines: Sequence[Floats]) -> tuple[float, float, list[int]]:
    """The axis of a loss: from the smallest to the largest, and who leaves it.

    Who rises to more than five times the others' height would flatten them all, and leaves the picture instead.
    """
    tops, bottoms = [], []
    for line in lines:
        finite = line[np.isfinite(line)]
        tops.append(float(line.max()) if len(finite) == len(line) else np.inf)
        bottoms.append(float(finite.min()) if len(finite) else np.inf)
    limit = 5 * max(min(tops), 1e-12)
    kept = [top for top in tops if top <= limit]
    high = max(kept) if kept and np.isfinite(min(tops)) else 1.0
    low = min([bottom for bottom in bottoms if -limit <= bottom <= high], default=0.0)
    margin = (high - low) * 0.05 or max(abs(high) * 0.05, 1e-3)
    return low - margin, high + margin, [place for place, top in enumerate(tops) if top > limit]
