"""``report.html``: one file that needs nothing else, from templates that escape whatever they are given."""

from __future__ import annotations

from importlib import resources

from charkit_comparison.page import charts, differences, formatting, method, tables, telling
from charkit_comparison.page.charts import Chart
from charkit_comparison.page.facts import Facts
from charkit_comparison.page.palette import Look


def page(facts: Facts) -> str:
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
        facts=facts,
        report=facts.report,
        charts=_charts(facts),
        differences=differences.differences(facts),
        tables=tables,
        telling=telling,
        method=method,
        formatting=formatting,
        style=Markup(style),
    )


def _charts(facts: Facts) -> dict[str, Chart | None]:
    return {
        "losses": charts.losses(facts),
        "validation": charts.validation(facts),
        "training": charts.speeds(facts.speeds.training, "training", "Training"),
        "sampling": charts.speeds(facts.speeds.sampling, "sampling", "Sampling"),
        "memory": charts.memory(facts),
        "learning": charts.learning(facts),
    }


def _corners(look: Look, x: float, y: float, radius: float) -> str:
    """A marker's corners, for the ``points`` of an SVG polygon."""
    return " ".join(f"{x + radius * right:.2f},{y - radius * up:.2f}" for right, up in look.marker)


def _dashes(look: Look, width: float) -> str:
    """A line's dashes, for ``stroke-dasharray``."""
    return " ".join(f"{width * length:g}" for length in look.dashes) or "none"
