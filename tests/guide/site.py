"""What the documentation's site has beyond its files: parts that are generated while it is built.

A page says where each part goes, by a line ``<!-- generated: NAME -->``. The part replaces that line and everything
up to ``<!-- end of generated -->``: what a reader of the file sees instead, who would otherwise find nothing there.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from guide import command_reference, python_reference, settings_reference

PARTS: dict[str, Callable[[], str]] = {
    "commands": command_reference.part,
    "events": python_reference.events,
    "python": python_reference.part,
    "settings": settings_reference.part,
}
_MARK = re.compile(r"^<!-- generated: (\w+) -->$.*?^<!-- end of generated -->$", re.MULTILINE | re.DOTALL)
_MERMAID = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NODE = re.compile(r'^ *(\w+)\["(.+)"\]$', re.MULTILINE)
_ARROW = re.compile(r"^ *(\w+) (-->|-\.->) (\w+)$", re.MULTILINE)


def with_generated(text: str, page: str) -> str:
    """The page with its generated parts, and with diagrams as tables. Raises KeyError for an unknown part."""
    filled = _MARK.sub(lambda found: PARTS[found[1]](), text)
    return _MERMAID.sub(lambda found: _as_table(found[1], page), filled)


def _as_table(diagram: str, page: str) -> str:
    """A diagram of nodes and arrows as a table, since drawing it would take a program from the network."""
    names = dict(_NODE.findall(diagram))
    arrows = _ARROW.findall(diagram)
    if not names or not arrows:
        raise ValueError(f"{page}: no nodes and arrows in the diagram")
    lines = ["| part | may import | only inside functions |", "|---|---|---|"]
    for node, name in names.items():
        solid, dotted = (
            ", ".join(names[end] for start, kind, end in arrows if start == node and kind == of)
            for of in ("-->", "-.->")
        )
        lines.append(f"| {name} | {solid} | {dotted} |")
    return "\n".join(lines)
