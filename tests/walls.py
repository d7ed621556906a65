"""Checks the walls between the parts: who may import whom. Reads sources and imports none of them.

Run as ``python tests/walls.py [ROOT]``. Tells each breach as ``file:line: what`` and ends with status 1 if
there is one. Imports inside functions count too, and so do literal names given to ``import_module``.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

FRAMEWORKS = frozenset(
    {"torch", "torchvision", "tensorflow", "keras", "jax", "jaxlib", "flax", "optax", "haiku", "equinox"}
    | {"mlx", "mxnet", "paddle", "tinygrad", "theano", "chainer", "onnx", "onnxruntime", "lightning"}
)
#: What the formats may import, inside functions.
OF_FORMATS = frozenset({"onnx", "onnxruntime"})
OF_REPORTS = frozenset({"matplotlib", "jinja2", "markupsafe"})
TERMINAL = frozenset({"typer", "click", "rich"})
PACKAGES = ("core/charkit", "cli/charkit_cli", "formats/charkit_formats", "reports/charkit_reports")
PARTS = ("lstm.py", "output.py", "loss.py", "optimizer.py", "plugin.py", "backend.py")


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
    found = [*_core(root), *_cli(root), *_formats(root), *_reports(root)]
    if not backends:
        found.append(f"{root / 'backends'}: holds no backend to check")
    for folder in backends:
        found += _backend(folder)
    return [*found, *_circles([*(root / package for package in PACKAGES), *backends])]


def _core(root: Path) -> Iterator[str]:
    for found in _imports(root / "core" / "charkit"):
        if found.top in FRAMEWORKS:
            yield _told(found, "the core imports no framework")
        if found.top in TERMINAL:
            yield _told(found, "the core knows nothing of a terminal")
        if found.top.startswith("charkit_"):
            yield _told(found, "the core imports neither the command line nor a backend")


def _cli(root: Path) -> Iterator[str]:
    for found in _imports(root / "cli" / "charkit_cli"):
        if found.top in FRAMEWORKS:
            yield _told(found, "the command line imports no framework")
        known = {"charkit_cli", "charkit_formats", "charkit_reports"}
        if (
            found.top.startswith("charkit_")
            and found.top not in known
            and not found.is_within(("charkit_own_layers.ways",))
        ):
            yield _told(found, "the command line imports no backend; the core finds it by name")
        light = found.top in sys.stdlib_module_names or found.is_within(("typer", "charkit.errors"))
        if found.file.name == "main.py" and found.at_module_level and not light:
            yield _told(found, "main.py loads only the standard library, typer and charkit.errors")


def _formats(root: Path) -> Iterator[str]:
    for found in _imports(root / "formats" / "charkit_formats"):
        if found.top in FRAMEWORKS - OF_FORMATS:
            yield _told(found, "the formats import no framework; they write what one reads")
        if found.top in OF_FORMATS and found.at_module_level:
            yield _told(
                found, "the formats import onnx and onnxruntime inside functions only; they may be absent"
            )
        if found.top in TERMINAL:
            yield _told(found, "the formats know nothing of a terminal")
        if found.top.startswith("charkit_") and found.top != "charkit_formats":
            yield _told(found, "the formats import neither the command line nor a backend")


def _reports(root: Path) -> Iterator[str]:
    for found in _imports(root / "reports" / "charkit_reports"):
        if found.top in FRAMEWORKS:
            yield _told(found, "the reports import no framework")
        if found.top in OF_REPORTS and found.at_module_level:
            yield _told(found, "the reports import what draws a page inside functions only; it is heavy")
        if found.top in TERMINAL:
            yield _told(found, "the reports know nothing of a terminal")
        if found.top.startswith("charkit_") and found.top != "charkit_reports":
            yield _told(found, "the reports import neither the command line nor a backend")


def _backend(folder: Path) -> Iterator[str]:
    for part in PARTS:
        if not (folder / part).is_file():
            yield f"{folder / part}: missing; every backend has {', '.join(PARTS)}"
    for found in _imports(folder):
        if found.top in {"charkit_cli", "charkit_formats", "charkit_reports"}:
            yield _told(
                found, "a backend knows nothing of the command line, of reports, nor of the formats of others"
            )
        elif found.top.startswith("charkit_") and found.top != folder.name:
            yield _told(found, "a backend imports nothing of another backend")
        if folder.name == "charkit_numpy" and found.top in FRAMEWORKS:
            yield _told(found, "the NumPy backend imports no framework")
        light = found.top in sys.stdlib_module_names or found.is_within(("charkit.hookspecs",))
        if found.file == folder / "plugin.py" and not light:
            yield _told(found, "plugin.py imports only the standard library and charkit.hookspecs")


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


def _told(found: Import, rule: str) -> str:
    return f"{found.file}:{found.line}: imports {found.target}; {rule}"


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
