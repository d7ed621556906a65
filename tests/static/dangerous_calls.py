"""Finds what a file that is read could be made to execute: a check of syntax trees, which imports nothing.

Run as ``python tests/static/dangerous_calls.py [ROOT]``. Prints each finding as ``file:line: what`` and ends with
status 1 if there is one. Everything that is shipped is checked: the packages, the backends, the skeleton of a new one,
and the hook of the build.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

#: Folders of everything that is shipped or built.
SHIPPED = (
    "core",
    "cli",
    "formats",
    "comparison",
    "sweep",
    "pages",
    "reports",
    "trackers",
    "backends",
    "engines",
    "hatch_build.py",
)
#: Modules that make objects, or code, of what they read.
MODULES = frozenset(
    {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}
)
#: Functions that execute what they are given, by the last part of their name where any module's is meant.
BUILTINS = frozenset({"eval", "exec", "compile"})
SHELLS = frozenset({"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"})
#: Loaders of YAML that make any object; ``safe_load`` does not.
YAML = frozenset(
    {"yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "yaml.Loader", "yaml.UnsafeLoader"}
)


def findings(root: Path) -> Iterator[str]:
    """Each dangerous call or import in what is shipped. A folder without files is an error, so that none is missed."""
    for shipped in SHIPPED:
        path = root / shipped
        files = [path] if path.is_file() else sorted(path.rglob("*.py"))
        if not files:
            raise SystemExit(f"{path}: holds no Python file to check")
        for file in files:
            for line, what in dangers(file.read_text("utf-8")):
                yield f"{file.relative_to(root)}:{line}: {what}"


def dangers(source: str) -> Iterator[tuple[int, str]]:
    """The line and the name of each danger in a source."""
    tree = ast.parse(source)
    names = dict(_names(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((node.lineno, f"imports {module}") for module in _modules(node) if module in MODULES)
        elif isinstance(node, ast.Call):
            what = _danger(node, names)
            if what is not None:
                yield node.lineno, what


def _names(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What each imported name stands for: ``import numpy as np`` makes ``np`` stand for ``numpy``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (
                    alias.asname or alias.name.partition(".")[0],
                    alias.name if alias.asname else alias.name.partition(".")[0],
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [(node.module or "").partition(".")[0]]
    return [alias.name.partition(".")[0] for alias in node.names]


def _danger(call: ast.Call, names: dict[str, str]) -> str | None:
    """What is dangerous in a call; None if nothing is."""
    name = _full_name(call.func, names)
    module = _constant(call.args[:1]) if name in {"importlib.import_module", "__import__"} else None
    dangers = {
        f"imports {module}": module in MODULES,
        f"calls {name}": name.removeprefix("builtins.") in BUILTINS
        or name in SHELLS | YAML
        or name.endswith("read_pickle")
        or name.startswith(tuple(f"{module}." for module in MODULES)),
        "starts a shell (shell=...)": _may_be(call, "shell", True),
        "calls numpy.load with allow_pickle": name == "numpy.load" and _may_be(call, "allow_pickle", True),
        "calls torch.load without weights_only=True": name == "torch.load"
        and (_keyword(call, "weights_only") is None or _may_be(call, "weights_only", False)),
        f"calls {name} with safe_mode off": _may_be(call, "safe_mode", False),
    }
    return next((what for what, is_there in dangers.items() if is_there), None)


def _full_name(function: ast.expr, names: dict[str, str]) -> str:
    """The dotted name of what is called, with imported names in full; empty for anything else."""
    parts: list[str] = []
    while isinstance(function, ast.Attribute):
        parts.insert(0, function.attr)
        function = function.value
    if not isinstance(function, ast.Name):
        return ""
    return ".".join([names.get(function.id, function.id), *parts])


def _constant(arguments: list[ast.expr]) -> object:
    return arguments[0].value if arguments and isinstance(arguments[0], ast.Constant) else None


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def _may_be(call: ast.Call, name: str, value: bool) -> bool:
    """Whether a keyword is given and is ``value``, or is not a constant, so that it could be."""
    given = _keyword(call, name)
    return given is not None and (not isinstance(given, ast.Constant) or given.value is value)


if __name__ == "__main__":
    sys.exit(
        "\n".join(findings(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2])) or None
    )
