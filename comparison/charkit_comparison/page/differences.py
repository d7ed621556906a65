"""The charts of differences: each variant's loss minus its reference's, and what rounding alone does."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10

import numpy as np

from charkit_comparison.agreement.rounding_control import BAND_FLOOR_UNITS
from charkit_comparison.page.view import Floats, LossGap, ReportView
from charkit_comparison.report_parts import Control
from charkit_pages import formatting
from charkit_pages.canvas import Canvas, PlottedLine
from charkit_pages.charts import Chart, LegendEntry, out_of_range_notices, responsive_chart
from charkit_pages.downsampling import bucket_extremes, bucket_maxima
from charkit_pages.formatting import counted
from charkit_pages.palette import BOUND, QUIET

#: Points of the thinned lines, about: in the narrow picture, and in the wide one.
_FEWEST, _MOST = 160, 400
#: The power of ten, in nats, at which the axis ends at the latest.
_HIGHEST = 3
#: How many times everything else a bound may be to be in the picture.
_FARTHEST_BOUND = 1e4
_BAND = "what rounding alone does"


def differences(view: ReportView) -> tuple[Chart, ...]:
    """A chart for each reference, on a logarithmic axis; so each precision has one of its own."""
    groups: dict[int, list[LossGap]] = {}
    for gap in view.gaps:
        groups.setdefault(gap.reference.style.index, []).append(gap)
    return tuple(_chart(view, group, number) for number, group in enumerate(groups.values(), start=1))


def _chart(view: ReportView, group: Sequence[LossGap], number: int) -> Chart:
    reference, first = group[0].reference, view.report.first_step
    control = view.control_of(reference)
    edge = np.asarray(control.band if control else (), np.float64)
    limit = edge * (control.factor if control else 1.0)
    lines = [gap.differences[bucket_maxima(gap.differences, _MOST)] for gap in group]
    shown = [*lines, edge, limit]
    bound = _bound_within(view.report.bound, shown)
    low, high = _decades([*shown, np.array([] if bound is None else [bound])])
    last = first + max(len(gap.differences) for gap in group) - 1

    def draw(canvas: Canvas) -> None:
        canvas.limits((first, last), (10.0**low, 10.0**high))
        canvas.logarithmic(low, high)
        for gap in group:
            chosen = bucket_maxima(gap.differences, canvas.buckets)
            values = np.maximum(gap.differences[chosen], 10.0**low)
            canvas.line(PlottedLine(gap.variant.style, first + chosen, values))
            if 0 < gap.largest <= 10.0**high:
                canvas.point(gap.variant.style, gap.step_of_largest, gap.largest)
        if control:
            chosen = bucket_extremes(edge, canvas.buckets)
            canvas.band(first + chosen, edge[chosen], _BAND)
            canvas.rule(first + chosen, limit[chosen], _limit_name(control), QUIET, (2, 2))
        if bound is not None:
            canvas.rule((first, last), (bound, bound), f"bound {formatting.bound(bound)}", BOUND, (5, 3))

    notes = _explanation(group, control) if number == 1 else []
    notes += _notes(group, control, any((line == 0).any() for line in lines), 10.0**high)
    if bound != view.report.bound:
        notes.append("The bound is far above the chart.")
    chart = responsive_chart(
        f"gap-{number}",
        f"Difference from {reference.label}",
        _description(group, control, first),
        draw,
        [gap.variant for gap in group],
        notes,
        x="step",
        y="nats per symbol, logarithmic",
    )
    remarks = tuple(f"at most {formatting.tiny(gap.largest)} (step {gap.step_of_largest:,})" for gap in group)
    return Chart(chart.title, chart.svgs, chart.series, chart.notes, remarks, _keys(control, bound))


def _bound_within(bound: float | None, values: Sequence[Floats]) -> float | None:
    """The bound, unless it is so far above all values that it would flatten them."""
    found = np.concatenate(values)
    top = found[np.isfinite(found)].max(initial=0.0)
    return bound if bound is not None and (bound <= _FARTHEST_BOUND * top or not top) else None


def _limit_name(control: Control) -> str:
    return f"limit: {control.factor:g} times the control"


def _keys(control: Control | None, bound: float | None) -> tuple[LegendEntry, ...]:
    keys = []
    if control:
        keys += [LegendEntry("band", f"{_BAND} (control)"), LegendEntry("limit", _limit_name(control))]
    if bound is not None:
        keys.append(LegendEntry("bound", f"bound {formatting.bound(bound)}"))
    return tuple(keys)


def _description(group: Sequence[LossGap], control: Control | None, first: int) -> str:
    """The chart's alternative text."""
    described = [f"{gap.variant.label} at most {formatting.tiny(gap.largest)}" for gap in group]
    if control and control.band:
        begin, end = formatting.tiny(control.band[0]), formatting.tiny(control.band[-1])
        described.append(
            f"{_BAND}: {begin} at step {first:,}, {end} at step {first + len(control.band) - 1:,}; "
            f"{_limit_name(control)}"
        )
    return "; ".join(described)


def _explanation(group: Sequence[LossGap], control: Control | None) -> list[str]:
    """What the charts of differences show; shown below the first of them."""
    notes = [
        "The reference is the backend whose losses are closest to those of all other backends of its precision (the "
        "first of them if several are equally close)."
    ]
    if control:
        runs = "a second training run" if control.trained == 1 else f"{control.trained} further training runs"
        largest = "" if control.trained == 1 else " Each step shows the largest change in any of them."
        notes.append(
            f"The shaded band shows how much rounding alone had changed the loss by each step, measured by {runs} of "
            f"{group[0].reference.label} from weights changed by one rounding unit.{largest} It is never narrower than "
            f"{counted(round(BAND_FLOOR_UNITS), 'rounding unit')} of the loss (or of 1 nat, if the loss is smaller). "
            "Where a difference exceeds the dotted line, individual steps are examined."
        )
    return [*notes, "A marker shows the largest difference of each variant."]


def _notes(group: Sequence[LossGap], control: Control | None, some_equal: bool, high: float) -> list[str]:
    notes = []
    if control is None:
        notes.append("There is no control, so it is unknown what rounding alone does here.")
    notes += out_of_range_notices([gap.variant for gap in group if not (gap.differences <= high).all()])
    if some_equal:
        notes.append(
            "Where two losses are identical down to the last bit, the line runs along the lower edge."
        )
    if any(len(gap.differences) > _FEWEST for gap in group):
        notes.append("Where several steps share a position, the largest of their differences is drawn.")
    return notes


def _decades(values: Sequence[Floats]) -> tuple[int, int]:
    """The decades that hold all of these values, with some room; what is further out runs off the chart."""
    found = np.concatenate(values)
    positive = found[np.isfinite(found) & (found > 0)]
    if not len(positive):
        return -12, 0
    low, high = floor(log10(positive.min())), ceil(log10(positive.max()) + 0.2)
    low -= bool((found == 0).any())
    return low, max(min(high, _HIGHEST), low + 2)
