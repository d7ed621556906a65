"""The tables about speed and resources: speeds, start-up, memory, learning against time, and versions."""

from __future__ import annotations

from collections.abc import Sequence

from charkit_comparison.page.agreement_tables import validation_steps
from charkit_comparison.page.view import ReportView
from charkit_comparison.speeds import VariantSpeed
from charkit_pages import formatting
from charkit_pages.table import Cells, Table, make_table, name_cell


def speeds(view: ReportView, measured: Sequence[VariantSpeed], caption: str) -> Table:
    """Median, time relative to the fastest, its spread, and each round."""
    rows = []
    for one in measured:
        spread = formatting.NOTHING
        if one.spread is not None:
            spread = " to ".join(map(formatting.ratio, one.spread))
        rows.append(
            (
                name_cell(view.variant(one.variant.label)),
                formatting.speed(one.median),
                formatting.ratio(one.times_as_long),
                spread,
                " · ".join(map(formatting.speed, one.values)) or formatting.NOTHING,
            )
        )
    columns = ("variant", "median", "relative time", "range over the rounds", "each round")
    return make_table(f"{caption}, characters per second", columns, rows)


def speedups(view: ReportView) -> Table:
    """How charkit's backends compare with what users of the same framework would have written."""
    rows: list[Cells] = [
        (
            name_cell(view.variant(speedup.own.label)),
            name_cell(view.variant(speedup.backend.label)),
            formatting.ratio(speedup.times_as_fast),
            " to ".join(map(formatting.ratio, speedup.spread)),
        )
        for speedup in view.speeds.speedups
    ]
    columns = (
        "own layers",
        "charkit's backend",
        "speedup of charkit's backend in training",
        "range over the rounds",
    )
    return make_table(
        "charkit compared with what users of the same framework would write",
        columns,
        rows,
        ("charkit's backend",),
    )


def startup(view: ReportView) -> Table:
    """Seconds of import and first step."""
    rows = [
        (
            name_cell(one),
            formatting.seconds(one.outcome.import_seconds),
            formatting.seconds(one.outcome.first_step_seconds),
        )
        for one in view.variants
    ]
    columns = ("variant", "from import until the model is ready", "first step, including compilation")
    return make_table("Startup time, seconds", columns, rows)


def memory(view: ReportView) -> Table:
    """Peak memory."""
    rows = [
        (
            name_cell(one),
            formatting.megabytes(one.outcome.peak_memory_bytes),
            formatting.megabytes(one.outcome.device_memory_bytes),
        )
        for one in view.variants
    ]
    return make_table("Peak memory, MB", ("variant", "resident, whole process", "on the device"), rows)


def learning(view: ReportView) -> Table:
    """The validation losses, and when each variant reached them."""
    steps = validation_steps(view)
    rows: list[Cells] = []
    for one in view.variants:
        found = {
            point.step: f"{formatting.loss(point.loss)} at {formatting.seconds(point.elapsed_seconds)} s"
            for point in one.outcome.validations
        }
        rows.append((name_cell(one), *(found.get(step, formatting.NOTHING) for step in steps)))
    columns = ("variant", *(f"after step {step:,}" for step in steps))
    return make_table("Validation loss, and when it was reached", columns, rows)


def versions(view: ReportView) -> Table:
    """The device, threads and versions of each variant."""
    rows: list[Cells] = []
    for one in view.variants:
        outcome = one.outcome
        found = ", ".join(f"{name} {version}" for name, version in outcome.versions.items())
        threads = formatting.NOTHING if outcome.threads is None else str(outcome.threads)
        rows.append(
            (
                name_cell(one),
                formatting.one_line(outcome.device) or formatting.NOTHING,
                threads,
                formatting.one_line(found) or formatting.NOTHING,
                formatting.one_line(outcome.python) or "this one",
            )
        )
    columns = ("variant", "device", "threads", "versions", "interpreter")
    return make_table("Devices and versions", columns, rows, ("device", "versions", "interpreter"))
