"""Checks the walls between the parts: who may import whom. Reads sources and imports none of them.

Run as ``python tests/walls.py [ROOT]``. Prints each breach as ``file:line: what`` and ends with status 1 if
there is one. Imports inside functions count too, and so do literal names given to ``import_module``.
``WALLS`` is the list; ``docs/architecture.md`` draws it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

#: What the core is made of; ``charkit.api`` and the package itself are its front, which nothing else in it imports.
CORE_LIBRARIES = ("numpy", "packaging", "pluggy", "pydantic", "safetensors", "threadpoolctl")


@dataclass(frozen=True)
class Wall:
    """What the modules of a part may import besides the standard library.

    A part is a dotted name: a package, or a module of one; the longest name that fits a module is its part. ``late``
    may be imported inside functions only, because it is heavy or may be absent. Where ``anything`` is set, what is
    installed besides charkit isn't looked at: a backend may import its framework.
    """

    part: str
    charkit: tuple[str, ...]
    libraries: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    anything: bool = False


_BASE = ("charkit.backend", "charkit.config", "charkit.errors", "charkit.hookspecs", "charkit.version")
_MODEL = tuple(
    f"charkit.{name}"
    for name in (
        *("capabilities", "charrnn", "contention", "conversion", "drawing", "evaluation", "html", "inputs"),
        *("memory", "network", "network_file", "randomness", "sampling", "snapshot", "weights"),
    )
)
_INSIDE = (*_BASE, *_MODEL, "charkit.text", "charkit.runs", "charkit.plugins", "charkit.training")

WALLS = (
    Wall("charkit.api", (*_INSIDE,), CORE_LIBRARIES),
    Wall("charkit.text", ("charkit.config", "charkit.errors", "charkit.text"), CORE_LIBRARIES),
    Wall(
        "charkit.runs", (*_BASE, *_MODEL, "charkit.text", "charkit.runs", "charkit.plugins"), CORE_LIBRARIES
    ),
    Wall(
        "charkit.plugins",
        (*_BASE, "charkit.html", "charkit.plugins", "charkit.training.interrupts"),
        CORE_LIBRARIES,
    ),
    Wall("charkit.training", _INSIDE, CORE_LIBRARIES),
    Wall("charkit.testing", (*_INSIDE, "charkit.testing"), (*CORE_LIBRARIES, "pytest")),
    Wall("charkit", (*_INSIDE, "charkit.api"), CORE_LIBRARIES),
    Wall("charkit_comparison.own_layers", (*_INSIDE, "charkit_comparison"), anything=True),
    Wall(
        "charkit_comparison",
        (*_INSIDE, "charkit.testing", "charkit_comparison"),
        CORE_LIBRARIES,
        late=("matplotlib", "jinja2", "markupsafe"),
    ),
    Wall("charkit_formats", (*_INSIDE, "charkit_formats"), CORE_LIBRARIES, late=("onnx", "onnxruntime")),
    Wall("charkit_cli.main", ("charkit.errors",), ("typer",), late=("charkit", "charkit_cli", "rich")),
    Wall(
        "charkit_cli",
        (*_INSIDE, "charkit.api", "charkit.testing", "charkit_comparison", "charkit_formats", "charkit_cli"),
        (*CORE_LIBRARIES, "typer", "click", "rich"),
    ),
)
PACKAGES = ("core/charkit", "comparison/charkit_comparison", "formats/charkit_formats", "cli/charkit_cli")
#: The files that every backend has.
BACKEND_FILES = ("lstm.py", "output.py", "loss.py", "optimizer.py", "plugin.py", "backend.py")


class Import(NamedTuple):
    """One import: the dotted name of what is imported, where, and whether it runs when the module loads."""

    target: str
    file: Path
    line: int
    at_module_level: bool

    @property
    def top(self) -> str:
        """The distribution's own module, which the dotted name begins with."""
        return self.target.partition(".")[0]

    def is_within(self, modules: Iterable[str]) -> bool:
        """Whether it is one of the modules or lies inside one."""
        return any(self.target == module or self.target.startswith(f"{module}.") for module in modules)


def breaches(root: Path) -> list[str]:
    """Every breach in the source tree, as a line of text."""
    backends = sorted(folder for folder in root.glob("backends/*/charkit_*") if folder.is_dir())
    packages = [*(root / package for package in PACKAGES), *backends]
    found = [] if backends else [f"{root / 'backends'}: holds no backend to check"]
    for folder in backends:
        for name in BACKEND_FILES:
            if not (folder / name).is_file():
                found.append(f"{folder / name}: missing; every backend has {', '.join(BACKEND_FILES)}")
    walls = (*WALLS, *(wall for folder in backends for wall in _walls_of_backend(folder.name)))
    for package in packages:
        for each in _imports(package):
            found += _breach(each, _wall(_module(package, each.file), walls))
    return [*found, *_circles(packages)]


def _walls_of_backend(package: str) -> tuple[Wall, ...]:
    """A backend knows the core and itself; its plugin module loads nothing, since a listing imports it."""
    return (
        Wall(f"{package}.plugin", ("charkit.hookspecs",)),
        Wall(
            package,
            (*_INSIDE, package),
            CORE_LIBRARIES,
            anything=package != "charkit_numpy",
        ),
    )


def _wall(module: str, walls: Iterable[Wall]) -> Wall:
    """The wall of a module: the one of the longest name that it lies in."""
    return max(
        (wall for wall in walls if f"{module}.".startswith(f"{wall.part}.")), key=lambda wall: len(wall.part)
    )


def _breach(found: Import, wall: Wall) -> Iterator[str]:
    """What the import breaks, if anything."""
    known = found.top in sys.stdlib_module_names or found.is_within((*wall.charkit, *wall.libraries))
    if known or (wall.anything and found.top.partition("_")[0] != "charkit"):
        return
    where = f"{found.file}:{found.line}: imports {found.target}"
    if not found.is_within(wall.late):
        yield f"{where}; {wall.part} may not: WALLS in tests/walls.py has what it may"
    elif found.at_module_level:
        yield f"{where}; {wall.part} may only do so inside a function"


def _circles(packages: Iterable[Path]) -> Iterator[str]:
    """A circle of modules that import each other, if there is one; imports for types alone count too."""
    modules = {_module(package, file) for package in packages for file in package.rglob("*.py")}
    imports: dict[str, set[str]] = {}
    for package in packages:
        for found in _imports(package):
            module = _module(package, found.file)
            imports.setdefault(module, set()).update(_imported(found.target, modules) - {module})
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        yield f"these modules import each other in a circle: {' <- '.join(error.args[1])}"


def _module(package: Path, file: Path) -> str:
    """The dotted name of a file of a package."""
    name = ".".join(file.relative_to(package.parent).with_suffix("").parts)
    return name.removesuffix(".__init__")


def _imported(target: str, modules: set[str]) -> set[str]:
    """The module that an import names, or of which it names a part; none where it is not one of these."""
    named = target if target in modules else target.rpartition(".")[0]
    return {named} & modules


def _imports(package: Path) -> Iterator[Import]:
    """Every import in the package's files. A package without files is an error, so that nothing passes unseen."""
    files = sorted(package.rglob("*.py"))
    if not files:
        raise SystemExit(f"{package}: holds no Python file to check")
    for file in files:
        tree = ast.parse(file.read_text("utf-8"), str(file))
        later = {id(node) for part in ast.walk(tree) if _runs_later(part) for node in ast.walk(part)}
        home = file.relative_to(package.parent).parent.parts
        for node in ast.walk(tree):
            for target in _targets(node, home):
                yield Import(target, file, node.lineno, id(node) not in later)  # type: ignore[attr-defined]


def _runs_later(part: ast.AST) -> bool:
    """Whether the part of a module does not run when the module loads: a function, or what only types need."""
    match part:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
    return False


def _targets(node: ast.AST, home: tuple[str, ...]) -> list[str]:
    """The dotted names that a node imports, in a file of the package ``home``."""
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom():
            above = home[: len(home) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            return [f"{module}.{alias.name}" for alias in node.names]
        case ast.Call(
            func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            return [name]
    return []


if __name__ == "__main__":
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent
    sys.exit("\n".join(breaches(root)) or None)
