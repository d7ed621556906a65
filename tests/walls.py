"""Checks the walls between the parts: who may import whom. Reads sources and imports none of them.

Run as ``python tests/walls.py [ROOT]``. Prints each breach as ``file:line: what`` and ends with status 1 if
there is one. Imports inside functions count too, and so do literal names given to ``import_module``, by whatever name
it was imported; other names may be given to it in the modules of ``COMPUTED_IMPORTS`` only.
``WALLS`` is the list; ``docs/architecture.md`` draws it.
"""

# Over 300 lines: the list of walls and its check are one file, which runs by itself without charkit installed.

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

#: What the core may import of others.
CORE_LIBRARIES = ("numpy", "packaging", "pluggy", "pydantic", "safetensors", "threadpoolctl")


@dataclass(frozen=True)
class Wall:
    """What the modules of a part may import besides the standard library and each other.

    ``modules`` are dotted names of packages and modules; the longest name that fits a module decides its part. The
    core's own name is that of its ``__init__`` alone, so that each of its modules and folders is listed in a part.
    ``parts`` are the other parts that it may import, all of them above it in ``WALLS``. ``late`` libraries and
    ``late_parts`` may be imported inside functions only: they are heavy, may be absent, or, as for the interface,
    are what it offers to users. Where ``anything`` is set, what is installed besides charkit isn't looked at; what is
    not installed (``NOT_INSTALLED``) may not be imported there either.
    """

    part: str
    modules: tuple[str, ...]
    parts: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    late_parts: tuple[str, ...] = ()
    anything: bool = False


def _core(*names: str) -> tuple[str, ...]:
    return tuple(f"charkit.{name}" for name in names)


WALLS = (
    Wall("operating system", _core("system")),
    Wall(
        "errors",
        (
            *_core(
                "argument_checks",
                "errors",
                "hookspecs",
                "keyword_suggestions",
                "object_hints",
                "path_hints",
                "synonyms",
            ),
            *_core("distributed.hookspecs", "version"),
        ),
        libraries=("pluggy",),
    ),
    Wall(
        "foundation",
        (
            *_core(
                "backend",
                "capabilities",
                "config",
                "cpu_contention",
                "durations",
                "events",
                "html_tables",
                "machine",
            ),
            *_core("randomness", "recipe", "recipe_listing", "recipe_rule"),
            *_core("strict_json", "tensor_file"),
            *_core("settings", "weights", "training.interrupts"),
            *_core("runs.debris", "runs.folder_files", "runs.files_by_path", "runs.identity", "runs.limits"),
            *_core("runs.lock", "runs.new_folders", "runs.temporary_names"),
        ),
        ("operating system", "errors"),
        CORE_LIBRARIES,
    ),
    Wall(
        "text",
        _core("text"),
        ("operating system", "errors", "foundation"),
        CORE_LIBRARIES,
        late_parts=("remote texts",),
    ),
    Wall(
        "remote texts",
        _core("text.remote", "text.transport", "text.http_transport", "text.filesystem_transport"),
        ("errors", "foundation", "text"),
        (*CORE_LIBRARIES, "fsspec", "aiohttp"),  # of the extra `remote`; the other modules load them late
    ),
    Wall("plugins", _core("plugins"), ("operating system", "errors", "foundation"), CORE_LIBRARIES),
    Wall(
        "system information",
        _core("system_info"),
        ("operating system", "errors", "foundation", "plugins"),
        CORE_LIBRARIES,
    ),
    Wall(
        "model",
        (
            *_core(
                "charrnn",
                "inference",
                "input_checks",
                "symbol_sampling",
                "tensor_conversion",
                "network",
                "network_file",
            ),
            *_core(
                "backend_choice",
                "batch_halves",
                "evaluation",
                "network_state",
                "notices",
                "one_thread",
                "sampling",
                "snapshot",
            ),
        ),
        ("operating system", "errors", "foundation", "text", "plugins"),
        CORE_LIBRARIES,
    ),
    Wall(
        "runs",
        _core("runs"),
        ("operating system", "errors", "foundation", "text", "plugins", "model"),
        CORE_LIBRARIES,
    ),
    Wall(
        "quality",
        _core("quality"),
        ("errors", "foundation", "text", "plugins", "model"),
        CORE_LIBRARIES,
        late=("compression", "jinja2", "markupsafe"),  # zstd in Python 3.14; the page of surprisal
    ),
    Wall("plots", _core("training.plot"), libraries=("numpy", "matplotlib")),
    Wall(
        "results",
        _core("trained_run", "training.history", "training.result"),
        ("errors", "foundation", "runs"),
        CORE_LIBRARIES,
        late=("matplotlib", "pandas"),
        late_parts=("plots", "loaded runs"),  # a result draws its history and loads its run
    ),
    # In a notebook progress appears by itself, and only there the core reaches for what draws it.
    Wall(
        "notebook",
        _core("notebook", "progress_printer"),
        ("foundation", "text"),
        late_parts=("command line",),
    ),
    Wall(
        "loaded runs",
        _core("loaded_run", "run_scoring", "scored_text"),
        ("errors", "foundation", "text", "plugins", "model", "runs", "quality", "results", "notebook"),
        CORE_LIBRARIES,
        late=("matplotlib",),
    ),
    Wall(
        "observers",
        _core("observers"),
        ("operating system", "errors", "foundation", "plugins"),
        CORE_LIBRARIES,
    ),
    Wall(
        "distributed",
        _core("distributed"),
        ("operating system", "errors", "foundation", "plugins", "model"),
        CORE_LIBRARIES,
    ),
    Wall(
        "training",
        _core("training"),
        ("errors", "foundation", "text", "plugins", "model", "runs", "results", "distributed"),
        CORE_LIBRARIES,
    ),
    Wall(
        "interface",
        (*_core("api", "comparison", "reproduction"), "charkit"),
        (
            *("errors", "foundation", "text", "plugins", "model", "runs", "quality", "results", "notebook"),
            *("system information", "loaded runs", "observers", "training"),
        ),
        CORE_LIBRARIES,
        late_parts=("conformance kit", "formats", "comparison", "sweeps", "run reports"),
    ),
    Wall(
        "conformance kit",
        _core("testing"),
        ("operating system", "errors", "foundation", "text", "plugins", "model", "runs", "training"),
        (*CORE_LIBRARIES, "pytest"),
        late=("scipy",),  # if installed, in the second process only, because of its BLAS
    ),
    Wall(
        "formats",
        ("charkit_formats",),
        ("errors", "foundation", "text", "plugins", "model", "runs", "training", "interface"),
        CORE_LIBRARIES,
        late=("onnx", "onnxruntime", "google.protobuf"),  # whose errors onnx raises
    ),
    Wall("pages", ("charkit_pages",), libraries=("numpy",), late=("matplotlib", "jinja2", "markupsafe")),
    Wall(
        "run reports",
        ("charkit_reports",),
        ("errors", "foundation", "text", "plugins", "model", "runs", "results", "pages"),
        CORE_LIBRARIES,
    ),
    Wall(
        "comparison",
        ("charkit_comparison", "charkit_comparison.own_layers.registry"),
        (
            "operating system",
            "errors",
            "foundation",
            "text",
            "plugins",
            "model",
            "runs",
            "training",
            "conformance kit",
            "notebook",
            "pages",
        ),
        CORE_LIBRARIES,
    ),
    Wall(
        "sweeps",
        ("charkit_sweep",),
        (
            *(
                "operating system",
                "errors",
                "foundation",
                "text",
                "plugins",
                "model",
                "runs",
                "results",
                "loaded runs",
                "training",
            ),
            *("interface", "notebook", "pages"),
        ),
        CORE_LIBRARIES,
        late=("matplotlib", "markupsafe", "optuna", "pandas"),
    ),
    Wall(
        "frameworks' own layers",
        ("charkit_comparison.own_layers",),
        ("errors", "foundation", "comparison"),
        anything=True,
    ),
    # An observer is a plugin: it knows what the core offers to any, and its own library.
    Wall(
        "trackers",
        ("charkit_trackers",),
        ("errors", "foundation", "interface"),
        ("mlflow", "tensorboardX", "wandb"),
    ),
    Wall(
        "translation", ("charkit_cli.message_translation",), ("operating system",), late_parts=("foundation",)
    ),
    Wall("streams", ("charkit_cli.streams", "charkit_cli.printable"), ("operating system",)),
    Wall(
        "parsing",
        ("charkit_cli.typer_classes", "charkit_cli.completion", "charkit_cli.unknown_options"),
        ("errors",),
        ("typer",),
        late_parts=("foundation", "plugins"),  # the recipes and backends that completion offers
    ),
    Wall(
        "command line",
        ("charkit_cli",),
        (
            "operating system",
            *("errors", "foundation", "text", "plugins", "model", "runs", "quality", "results", "training"),
            *("loaded runs", "interface", "conformance kit", "formats", "comparison", "translation"),
            *("system information", "sweeps", "pages", "run reports", "parsing", "streams"),
        ),
        (*CORE_LIBRARIES, "typer", "click", "rich"),
        late=("IPython",),
    ),
    Wall(
        "entry point",
        ("charkit_cli.main", "charkit_cli.__main__", "charkit.__main__"),
        ("operating system", "errors", "translation", "streams", "parsing"),
        ("typer",),
        late=("rich",),
        late_parts=("command line",),
    ),
)
PACKAGES = (
    *(
        "core/charkit",
        "pages/charkit_pages",
        "trackers/charkit_trackers",
        "comparison/charkit_comparison",
        "sweep/charkit_sweep",
        "reports/charkit_reports",
        "formats/charkit_formats",
    ),
    "cli/charkit_cli",
)
#: The folders of the source tree that no package may import, since they are not installed with it.
NOT_INSTALLED = ("benchmarks", "tests")
#: The modules that import others by names which can't be read here, and where those names come from.
COMPUTED_IMPORTS = {
    "charkit": "the table of public names, whose modules are imported above it for type checkers",
    "charkit.training": "the table of public names in the same file",
    "charkit.testing": "the table of public names in the same file",
    "charkit.plugins.plugin": "a plugin, which names the module of its backend",
    "charkit.distributed.discovery": "a plugin, which names the module of its engine",
    "charkit.distributed.services": "the driver, which names the service of its workers",
    "charkit_comparison.processes.worker": "the registry of the frameworks' own layers",
    "charkit_formats.onnx_check": "a module inside onnxruntime, by the name of the one that was imported",
    "charkit_cli.main": "the list of commands, each of which is a module of the command line",
}
#: The target of an import whose name is not a literal.
COMPUTED = "a computed name"
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
    engines = sorted(folder for folder in root.glob("engines/*/charkit_*") if folder.is_dir())
    packages = [*(root / package for package in PACKAGES), *backends, *engines]
    found = [] if backends else [f"{root / 'backends'}: holds no backend to check"]
    for folder in backends:
        for name in BACKEND_FILES:
            if not (folder / name).is_file():
                found.append(f"{folder / name}: missing; every backend has {', '.join(BACKEND_FILES)}")
    walls = (*WALLS, *(wall for folder in backends for wall in _walls_of_backend(folder.name)))
    walls += tuple(wall for folder in engines for wall in _walls_of_engine(folder.name))
    for package in packages:
        for each in _imports(package):
            module = _module(package, each.file)
            wall = _wall(module, walls)
            if wall is not None:
                found += _breach(each, module, wall, walls)
            elif (line := f"{each.file}: lies in no part; add it to WALLS in tests/walls.py") not in found:
                found.append(line)
    return [*found, *_circles(packages)]


def _walls_of_backend(package: str) -> tuple[Wall, ...]:
    """A backend knows the core and itself; its plugin module loads nothing, since a listing imports it."""
    kernels = (
        f"{package}.kernels"  # NumPy's compiled loops, which need Numba and are loaded when they are used
    )
    return (
        Wall(f"{package}.plugin", (f"{package}.plugin",), ("errors",)),
        *((Wall(kernels, (kernels,), libraries=("numpy", "numba")),) if package == "charkit_numpy" else ()),
        Wall(
            package,
            (package,),
            ("errors", "foundation", "model", f"{package}.plugin"),
            CORE_LIBRARIES,
            late_parts=(kernels,) if package == "charkit_numpy" else (),
            anything=package != "charkit_numpy",
        ),
    )


def _walls_of_engine(package: str) -> tuple[Wall, ...]:
    """An engine knows what an engine is; its plugin module loads nothing, since a listing imports it."""
    return (
        Wall(f"{package}.plugin", (f"{package}.plugin",), ("errors",)),
        Wall(
            package,
            (package,),
            ("errors", "foundation", "distributed", f"{package}.plugin"),
            CORE_LIBRARIES,
            anything=True,
        ),
    )


def _wall(module: str, walls: Iterable[Wall]) -> Wall | None:
    """The wall that has the longest name which the module lies in, or None for a module that no part lists."""
    names = ((name, wall) for wall in walls for name in wall.modules)
    fitting = [
        (len(name), wall)
        for name, wall in names
        if module == name or (name != "charkit" and module.startswith(f"{name}."))
    ]
    return max(fitting, key=lambda found: found[0])[1] if fitting else None


def _breach(found: Import, module: str, wall: Wall, walls: Iterable[Wall]) -> Iterator[str]:
    """What the import in a module breaks, if anything."""
    where = f"{found.file}:{found.line}: imports {found.target}"
    if found.target == COMPUTED:
        if module not in COMPUTED_IMPORTS:
            yield f"{where}; name the module in quotes, or list this file in COMPUTED_IMPORTS in tests/walls.py"
        return
    if found.top in NOT_INSTALLED:
        yield f"{where}; no package may: {found.top} is not installed with it"
        return
    if found.top.partition("_")[0] == "charkit":
        other = _wall(found.target, walls) or _wall(found.target.rpartition(".")[0], walls)
        name = other.part if other else ""
        late, allowed = name in wall.late_parts, name in (wall.part, *wall.parts)
    else:
        late = found.is_within(wall.late)
        allowed = wall.anything or found.top in sys.stdlib_module_names or found.is_within(wall.libraries)
    if late and found.at_module_level:
        yield f"{where}; {wall.part} may only do so inside a function"
    elif not (late or allowed):
        yield f"{where}; {wall.part} may not: WALLS in tests/walls.py has what it may"


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
        importers = _importers(tree)
        for node in ast.walk(tree):
            for target in _targets(node, home, importers):
                yield Import(target, file, node.lineno, id(node) not in later)  # type: ignore[attr-defined]


def _runs_later(part: ast.AST) -> bool:
    """Whether the part of a module does not run when the module loads: a function, or what only types need."""
    match part:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
    return False


def _importers(tree: ast.Module) -> set[str]:
    """What a file calls the functions that import a module by name: ``import_module``, and other names it has."""
    names = {"import_module", "__import__"}
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module="importlib", names=aliases):
                names |= {alias.asname for alias in aliases if alias.asname and alias.name in names}
            case ast.Assign(value=ast.Name() | ast.Attribute() as value, targets=targets):
                if _last_name(value) in names:
                    names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def _last_name(node: ast.expr) -> str:
    """``f`` of the expressions ``f`` and ``a.b.f``; empty for another one."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _targets(node: ast.AST, home: tuple[str, ...], importers: set[str]) -> list[str]:
    """The dotted names that a node imports, in a file of the package ``home`` with these ``importers``."""
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom():
            above = home[: len(home) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            return [f"{module}.{alias.name}" for alias in node.names]
        case ast.Call(func=func) if _last_name(func) in importers:
            given = [*node.args[:1], *(each.value for each in node.keywords if each.arg == "name")]
            match given:
                case [ast.Constant(value=str(name))]:
                    return [name]
            return [COMPUTED]
    return []


if __name__ == "__main__":
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent
    sys.exit("\n".join(breaches(root)) or None)
