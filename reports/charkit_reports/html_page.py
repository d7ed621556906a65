"""``report.html``: one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from charkit.version import version
from charkit_pages.formatting import counted, names
from charkit_pages.template import render
from charkit_reports import charts, tables
from charkit_reports.reading import RunRecords
from charkit_reports.run_view import RunView, run_views

#: What a page of charkit's begins with, so that it may be replaced by a newer one.
GENERATOR = "charkit report"
_MOST_NAMES = 4


def render_html(runs: Sequence[RunRecords], *, refresh_seconds: int | None = None) -> str:
    """The page's HTML. ``refresh_seconds``: how often it is read again, where it is served while a run trains."""
    views = run_views(runs)
    return render(
        "charkit_reports",
        "runs.html.jinja",
        views=views,
        title=_title(views),
        now=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        refresh_seconds=refresh_seconds,
        generator=GENERATOR,
        version=version(),
        curves=charts.curves(views),
        speed=charts.speed(views),
        tables=tables,
    )


def _title(views: Sequence[RunView]) -> str:
    labels = [view.label for view in views]
    return names(labels) if len(labels) <= _MOST_NAMES else counted(len(labels), "run")


def render_problem(message: str, refresh_seconds: int) -> str:
    """The page in place of a report, where a run can't be read just now."""
    return render(
        "charkit_reports", "problem.html.jinja", message=message, refresh_seconds=refresh_seconds, parts=()
    )
