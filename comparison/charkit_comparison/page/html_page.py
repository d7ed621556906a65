"""``report.html``: one file that needs nothing else, from templates that escape whatever they are given."""

from __future__ import annotations

from importlib import resources

from charkit_comparison import formatting
from charkit_comparison.page import (
    agreement_tables,
    charts,
    descriptions,
    differences,
    method_section,
    speed_tables,
)
from charkit_comparison.page.charts import Chart
from charkit_comparison.page.palette import VariantStyle
from charkit_comparison.page.view import ReportView


def render_html(view: ReportView) -> str:
    """The page's HTML."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("charkit_comparison.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["svg"] = Markup  # only what ``charts`` has drawn, which escapes its text itself
    environment.globals |= {"corners": _corners, "dashes": _dashes}
    style = resources.files("charkit_comparison.page").joinpath("templates", "page.css").read_text("utf-8")
    return environment.get_template("page.html.jinja").render(
        view=view,
        report=view.report,
        charts=_charts(view),
        differences=differences.differences(view),
        agreement_tables=agreement_tables,
        speed_tables=speed_tables,
        descriptions=descriptions,
        method_section=method_section,
        formatting=formatting,
        style=Markup(style),  # noqa: S704 - charkit's own file
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


def _corners(style: VariantStyle, x: float, y: float, radius: float) -> str:
    """A marker's corners, for the ``points`` of an SVG polygon."""
    return " ".join(f"{x + radius * right:.2f},{y - radius * up:.2f}" for right, up in style.marker)


def _dashes(style: VariantStyle, width: float) -> str:
    """A line's dashes, for ``stroke-dasharray``."""
    return " ".join(f"{width * length:g}" for length in style.dashes) or "none"
