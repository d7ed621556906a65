"""The diagram and the table of the walls in ``docs/architecture.md``, from the list in ``tests/walls.py``."""

from __future__ import annotations

import re

from guide.pages import read
from walls import CORE_LIBRARIES, WALLS, Wall

_GENERATED = re.compile(r"(<!-- walls: [^>]*-->\n).*?(<!-- end of walls -->)", re.DOTALL)


def page() -> str:
    """The page as it is, with the diagram and the table as the walls are now."""
    return _GENERATED.sub(
        lambda marks: f"{marks[1]}\n{_diagram()}\n{_table()}\n{marks[2]}", read("architecture")
    )


def _diagram() -> str:
    """The walls as a Mermaid graph: an arrow for "may import", dotted for "only inside functions"."""
    lines = ["```mermaid", "graph TD"]
    names = {wall.part: f"p{number}" for number, wall in enumerate(WALLS)}
    lines += [f'  {name}["{part}"]' for part, name in names.items()]
    lines.append('  b["a backend"]')
    for wall in WALLS:
        lines += [f"  {names[wall.part]} --> {names[part]}" for part in _direct(wall.parts)]
        lines += [f"  {names[wall.part]} -.-> {names[part]}" for part in wall.late_parts]
    lines.append(f"  b --> {names['model']}")
    return "\n".join([*lines, "```", ""])


def _direct(parts: tuple[str, ...]) -> list[str]:
    """The parts that none of the others may import too."""
    behind = {part for wall in WALLS if wall.part in parts for part in wall.parts}
    return [part for part in parts if part not in behind]


def _table() -> str:
    """What each part consists of, and which libraries it may import."""
    rows = [f"| {wall.part} | {_code(wall.modules)} | {_libraries(wall)} |" for wall in WALLS]
    backend = (
        "| a backend | `charkit_NAME` | any (the NumPy backend: core libraries only; `plugin.py`: none) |"
    )
    head = ["| part | modules | libraries it may import |", "|---|---|---|"]
    core = f"The core libraries are {_code(CORE_LIBRARIES[:-1])} and `{CORE_LIBRARIES[-1]}`."
    return "\n".join([*head, *rows, backend, "", core, ""])


def _libraries(wall: Wall) -> str:
    if wall.anything:
        return "any"
    if wall.libraries[: len(CORE_LIBRARIES)] == CORE_LIBRARIES:
        more = _code(wall.libraries[len(CORE_LIBRARIES) :])
        libraries = f"core libraries{', ' if more else ''}{more}"
    else:
        libraries = _code(wall.libraries) or "none"
    return libraries + (f"; inside functions only: {_code(wall.late)}" if wall.late else "")


def _code(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
