"""``report.html``: one file that needs nothing else, from templates that escape whatever they are given."""

from __future__ import annotations

from charkit_comparison.page import (
    agreement_tables,
    charts,
    descriptions,
    differences,
    method_section,
    speed_tables,
)
from charkit_comparison.page.view import ReportView
from charkit_pages.charts import Chart
from charkit_pages.template import render


def render_html(view: ReportView) -> str:
    """The page's HTML."""
    return render(
        "charkit_comparison.page",
        "page.html.jinja",
        view=view,
        report=view.report,
        charts=_charts(view),
        differences=differences.differences(view),
        agreement_tables=agreement_tables,
        speed_tables=speed_tables,
        descriptions=descriptions,
        method_section=method_section,
    )


def _charts(view: ReportView) -> dict[str, Chart | None]:
    return {
        "losses": charts.losses(view),
        "validation": charts.validation(view),
        "training": charts.speeds(view, view.speeds.training, "training", "Training"),
        "sampling": charts.speeds(view, view.speeds.sampling, "sampling", "Sampling"),
        "memory": charts.memory(view),
        "learning": charts.learning(view),
    }
