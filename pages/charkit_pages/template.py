"""Renders a page from the template of a package, which extends ``layout.html.jinja`` and uses the macros here.

Whatever is put into a template is escaped, except the SVG of charts and charkit's own style sheet.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

from charkit_pages import formatting
from charkit_pages.palette import SeriesStyle


def render(package: str, template: str, **context: Any) -> str:
    """The page's HTML. ``template`` is in the folder ``templates`` of ``package``; ``context`` is what it shows."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package), jinja2.PackageLoader("charkit_pages")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["svg"] = Markup  # only what ``charts`` has drawn, which escapes its text itself
    environment.globals |= {
        "corners": _corners,
        "dashes": _dashes,
        "formatting": formatting,
        "style": Markup(style_sheet()),  # noqa: S704 - charkit's own file
    }
    return environment.get_template(template).render(**context)


def style_sheet() -> str:
    """The style sheet of every page."""
    return resources.files("charkit_pages").joinpath("templates", "page.css").read_text("utf-8")


def _corners(style: SeriesStyle, x: float, y: float, radius: float) -> str:
    """A marker's corners, for the ``points`` of an SVG polygon."""
    return " ".join(f"{x + radius * right:.2f},{y - radius * up:.2f}" for right, up in style.marker)


def _dashes(style: SeriesStyle, width: float) -> str:
    """A line's dashes, for ``stroke-dasharray``."""
    return " ".join(f"{width * length:g}" for length in style.dashes) or "none"
