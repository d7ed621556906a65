"""``report.html``: one file that needs nothing else. Its only script sorts the table; its policy admits no other."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from typing import TYPE_CHECKING, Any

from charkit.version import version
from charkit_pages import formatting
from charkit_pages.template import render
from charkit_sweep.page import charts
from charkit_sweep.page.view import SweepView, label_of

if TYPE_CHECKING:
    from markupsafe import Markup

_PACKAGE = "charkit_sweep.page"


@dataclass(frozen=True)
class _Cell:
    """A cell of the table: what is shown, and the number that it is sorted by, where it is one."""

    text: str
    number: float | None = None


def render_html(view: SweepView) -> str:
    """The page's HTML."""
    script = _own_file("sort.js").strip()
    return render(
        _PACKAGE,
        "sweep.html.jinja",
        view=view,
        result=view.result,
        version=version(),
        best=view.result.best,
        columns=_columns(view),
        rows=_rows(view),
        curves=charts.curves(view),
        against_axes=charts.against_axes(view),
        parallel_coordinates=charts.parallel_coordinates(view),
        command=view.folder.command,
        own_style=_own_file("sweep.css"),
        script=script,
        script_hash=b64encode(sha256(script.encode()).digest()).decode(),
    )


def _own_file(name: str) -> Markup:
    """A style sheet or a script of the page's own, which nothing from outside is put into."""
    from markupsafe import Markup

    text = resources.files(_PACKAGE).joinpath("templates", name).read_text("utf-8")
    return Markup(text)  # noqa: S704 - charkit's own file


def _columns(view: SweepView) -> list[str]:
    return ["trial", *(axis.name for axis in view.axes), "loss", "last loss", "step", "status", "seconds"]


def _rows(view: SweepView) -> list[list[_Cell]]:
    """The trials by their loss."""
    return [
        [
            _Cell(str(one.number), one.number),
            *(_value(one.values[axis.key]) for axis in view.axes),
            _Cell(formatting.loss(one.loss), one.loss),
            _Cell(formatting.loss(one.last_loss), one.last_loss),
            _Cell(f"{one.step:,}", one.step),
            _Cell(f"{one.status}{f': {one.reason}' if one.reason else ''}"),
            _Cell(formatting.seconds(one.seconds), one.seconds),
        ]
        for one in view.result.ranked
    ]


def _value(value: Any) -> _Cell:
    return _Cell(formatting.one_line(label_of(value)), value if isinstance(value, int | float) else None)
