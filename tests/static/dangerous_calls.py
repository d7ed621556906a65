"""Finds what a file that is read could be made to execute: a check of syntax trees, which imports nothing.

Run as ``python tests/static/dangerous_calls.py [ROOT]``. Prints each finding as ``file:line: what`` and ends with status
1 if there is one. Everything that is shipped is checked: the packages, the backends with the skeleton of a new one, and
the hook of the build.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

#: Folders of everything that is shipped or built.
SHIPPED = ("core", "cli", "formats", "comparison", "backends", "hatch_build.py")
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
    if name in {"importlib.import_module", "__import__"} and _constant(call.args[:1]) in MODULES:
        return f"imports {_constant(call.args[:1])}"
    if name.removeprefix("builtins.") in BUILTINS:
        return f"calls {name}"
    if name in SHELLS or name in YAML:
        return f"calls {name}"
    if _is_true(call, "shell"):
        return "starts a shell (shell=...)"
    if name.endswith("read_pickle") or name.startswith(tuple(f"{module}." for module in MODULES)):
        return f"calls {name}"
    if name == "numpy.load" and _is_true(call, "allow_pickle"):
        return "calls numpy.load with allow_pickle"
    if name == "torch.load" and not _is_literally_true(call, "weights_only"):
        return "calls torch.load without weights_only=True"
    if _is_true(call, "safe_mode", means=False):
        return f"calls {name} with safe_mode off"
    return None


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


def _is_true(call: ast.Call, name: str, *, means: bool = True) -> bool:
    """Whether a keyword is given and is, or could be, true; with ``means=False``, false."""
    value = _keyword(call, name)
    return value is not None and not (isinstance(value, ast.Constant) and value.value is not means)


def _is_literally_true(call: ast.Call, name: str) -> bool:
    value = _keyword(call, name)
    return isinstance(value, ast.Constant) and value.value is True


if __name__ == "__main__":
    sys.exit(
        "\n".join(findings(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2])) or None
    )
