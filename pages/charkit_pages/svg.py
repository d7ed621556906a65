"""From a matplotlib figure to SVG that lives inside a page: the page's fonts and colors, and nothing of its own.

matplotlib's file is taken apart and put together again. Its identifiers get the picture's name in front, because a
page holds several pictures; its style sheet and its metadata are removed; placeholder colors become
the page's variables.
Text stays text, so that it can be read aloud, found and copied.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from charkit_pages.palette import VARIABLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_SETTINGS: Any = {  # matplotlib types the names of its settings, differently in each release
    "svg.fonttype": "none",  # text, not outlines
    "svg.hashsalt": "charkit",  # the same report gives the same page
    "text.parse_math": False,  # a dollar sign in a label is a dollar sign
    "axes.unicode_minus": True,
    "path.simplify": True,
}


@contextmanager
def drawing() -> Iterator[None]:
    """Uses matplotlib's defaults and the settings above, whatever the user's are; restores those at the end."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        # Only matplotlib's measure of a text is off then; the reader's own fonts show it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure; one unit of its picture is one point of matplotlib's."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width / 72, height / 72), dpi=72)


def inline(figure: Figure, name: str, title: str, description: str, kind: str = "") -> str:
    """The figure as an ``<svg>`` element. ``name`` is unique in the page; ``description`` is its alternative text."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    root = ElementTree.fromstring(file.getvalue())  # noqa: S314 - what matplotlib has just written
    for parent in (root, *root.iter(f"{_SVG}defs")):
        for child in list(parent):
            if child.tag in {f"{_SVG}metadata", f"{_SVG}style"}:  # the style sheet would reach the whole page
                parent.remove(child)
    for element in root.iter():
        _clean(element, name)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-label", description)
    root.set("class", f"chart {kind}".strip())
    title_element = ElementTree.Element("title")
    title_element.text = title
    root.insert(0, title_element)
    return ElementTree.tostring(root, encoding="unicode")


def _clean(element: ElementTree.Element, name: str) -> None:
    element.tag = element.tag.removeprefix(_SVG)
    if not (element.text or "").strip():
        element.text = None
    element.tail = None
    link = element.attrib.pop(_LINK, None)
    if link is not None:
        element.set("href", f"#{name}-{link.removeprefix('#')}")
    if "id" in element.attrib:
        element.set("id", f"{name}-{element.get('id')}")
    if "clip-path" in element.attrib:
        element.set("clip-path", element.get("clip-path", "").replace("url(#", f"url(#{name}-"))
    if "style" in element.attrib:
        element.set("style", _style(element.get("style", "")))
    if "d" in element.attrib:
        element.set("d", _short_path(element.get("d", "")))
    if element.tag == "text":
        turned = re.fullmatch(r"rotate\(-?0(\.0*)? .*\)", element.get("transform", ""))
        if turned:
            del element.attrib["transform"]


def _style(style: str) -> str:
    """The style with the page's font and colors in the place of matplotlib's."""
    style = re.sub(r"font-family:[^;]*;?\s*", "", style)
    style = re.sub(r"font: ([\d.]+px)[^;]*", r"font-size: \1", style)  # as older releases write it
    return re.sub(r"#0[12]00[0-9a-f]{2}", lambda found: VARIABLES[found[0]], style).strip("; ")


def _short_path(path: str) -> str:
    """The path rounded to a hundredth of a point, which is too small to see."""
    return re.sub(r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", path.replace("\n", ""))
