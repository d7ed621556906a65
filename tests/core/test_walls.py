"""The wall check holds on this tree, and fails on each kind of breach planted in a small one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WALLS = Path(__file__).parent.parent / "walls.py"
TRAINER = "charkit.training.trainer"
PARTS = ("lstm.py", "output.py", "loss.py", "optimizer.py", "backend.py")


def check(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(WALLS), str(root)], capture_output=True, text=True, check=False
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small source tree that keeps the rules."""
    sources = {
        "core/charkit/__init__.py": "import numpy\nimport pluggy\n",
        "core/charkit/testing/__init__.py": "from charkit import backend\nimport pytest\n",
        "cli/charkit_cli/__init__.py": "",
        "cli/charkit_cli/train.py": "import rich\nimport numpy\nfrom charkit.settings import merge\n",
        "cli/charkit_cli/export.py": "def late():\n    from charkit_formats import export_onnx\n",
        "formats/charkit_formats/__init__.py": "import numpy\nfrom charkit_formats.a import f\n",
        "formats/charkit_formats/a.py": (
            "from charkit.runs.run import Run\n\ndef f():\n    import onnx\n    import_module('onnxruntime')\n"
        ),
        "comparison/charkit_comparison/__init__.py": "from charkit.snapshot import Snapshot\n",
        "comparison/charkit_comparison/a.py": "from charkit_pages import table\n",
        "pages/charkit_pages/__init__.py": "",
        "reports/charkit_reports/__init__.py": "from charkit_pages import table\n",
        "trackers/charkit_trackers/__init__.py": "import wandb\nfrom charkit import hookimpl\n",
        "pages/charkit_pages/table.py": (
            "if TYPE_CHECKING:\n    from matplotlib.axes import Axes\n\ndef f():\n    import jinja2\n"
        ),
        "sweep/charkit_sweep/__init__.py": (
            "from charkit.api import train\nfrom charkit_pages import table\n\ndef f():\n    import optuna\n"
        ),
        "cli/charkit_cli/main.py": (
            "import sys\nimport typer\nfrom charkit.errors import nearest\n\ndef late():\n    import rich\n"
        ),
    }
    for name, framework in (("numpy", "numpy"), ("torch", "torch")):
        folder = f"backends/{name}/charkit_{name}"
        sources |= {f"{folder}/{part}": f"import {framework}\n" for part in PARTS}
        sources[f"{folder}/plugin.py"] = (
            "from __future__ import annotations\nfrom charkit.hookspecs import hookimpl\n"
        )
    for file, source in sources.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(source)
    return tmp_path


def test_the_walls_hold_here() -> None:
    result = check(WALLS.parent.parent)
    assert result.returncode == 0, result.stderr


def test_a_tree_that_keeps_the_rules_passes(tree: Path) -> None:
    result = check(tree)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("core/charkit/sampling.py", "import torch", "model may not"),
        ("core/charkit/sampling.py", "def f():\n    from jax import numpy", "model may not"),
        ("core/charkit/sampling.py", "import_module('tensorflow.keras')", "model may not"),
        ("core/charkit/sampling.py", "importlib.import_module('keras')", "model may not"),
        ("core/charkit/sampling.py", "from rich.table import Table", "model may not"),
        ("core/charkit/sampling.py", "import typer", "model may not"),
        ("core/charkit/sampling.py", "import charkit_cli.main", "model may not"),
        ("core/charkit/testing/a.py", "import charkit_numpy", "conformance kit may not"),
        ("core/charkit/testing/a.py", "import torch", "conformance kit may not"),
        ("core/charkit/sampling.py", "from charkit.testing import checks", "model may not"),
        ("core/charkit/text/a.py", "from charkit.training import steps", "text may not"),
        ("core/charkit/training/a.py", "from charkit import api", "training may not"),
        ("cli/charkit_cli/a.py", "def f():\n    import torch", "command line may not"),
        ("cli/charkit_cli/a.py", "from charkit_numpy import lstm", "command line may not"),
        ("cli/charkit_cli/main.py", "import numpy", "entry point may"),
        ("cli/charkit_cli/main.py", "import pydantic", "entry point may"),
        ("cli/charkit_cli/main.py", "from rich import print", "entry point may"),
        ("cli/charkit_cli/main.py", "from charkit import config", "entry point may"),
        ("cli/charkit_cli/main.py", "import charkit.config", "entry point may"),
        ("cli/charkit_cli/main.py", "from . import train", "entry point may"),
        ("cli/charkit_cli/main.py", "class A:\n    import numpy", "entry point may"),
        ("formats/charkit_formats/b.py", "def f():\n    import torch", "formats may not"),
        ("formats/charkit_formats/b.py", "import onnx", "formats may only do so inside a function"),
        (
            "formats/charkit_formats/b.py",
            "from onnxruntime import a",
            "formats may only do so inside a function",
        ),
        ("formats/charkit_formats/b.py", "from rich import print", "formats may not"),
        ("formats/charkit_formats/b.py", "import charkit_cli.terminal_output", "formats may not"),
        ("formats/charkit_formats/b.py", "def f():\n    import charkit_numpy", "formats may not"),
        ("core/charkit/sampling.py", "def f():\n    import charkit_formats", "model may not"),
        ("core/charkit/sampling.py", "def f():\n    import charkit_comparison", "model may not"),
        (
            "core/charkit/__init__.py",
            "from charkit_formats import export",
            "may only do so inside a function",
        ),
        (
            "core/charkit/comparison.py",
            "from charkit_comparison import a",
            "may only do so inside a function",
        ),
        ("core/charkit/api.py", "def f():\n    import charkit_cli.terminal_output", "interface may not"),
        ("core/charkit/loaded_run.py", "def f():\n    import charkit_formats", "loaded runs may not"),
        ("core/charkit/training/a.py", "def f():\n    import charkit_comparison", "training may not"),
        ("core/charkit/training/a.py", "def f():\n    from charkit import compare", "training may not"),
        ("core/charkit/text/a.py", "def f():\n    import charkit", "text may not"),
        ("comparison/charkit_comparison/b.py", "def f():\n    import torch", "comparison may not"),
        ("comparison/charkit_comparison/b.py", "def f():\n    import matplotlib", "comparison may not"),
        ("pages/charkit_pages/b.py", "import matplotlib", "pages may only do so inside a function"),
        ("pages/charkit_pages/b.py", "from jinja2 import Template", "pages may only do so inside a function"),
        ("pages/charkit_pages/b.py", "import charkit_comparison", "pages may not"),
        ("reports/charkit_reports/b.py", "import charkit_comparison", "run reports may not"),
        ("trackers/charkit_trackers/b.py", "import charkit_cli", "trackers may not"),
        ("trackers/charkit_trackers/b.py", "from charkit.runs.run import Run", "trackers may not"),
        ("core/charkit/training/a.py", "from charkit.observers import process", "training may not"),
        ("comparison/charkit_comparison/b.py", "import rich", "comparison may not"),
        (
            "comparison/charkit_comparison/b.py",
            "import charkit_cli.terminal_output",
            "comparison may not",
        ),
        ("backends/torch/charkit_torch/lstm.py", "import charkit_comparison", "may not: WALLS"),
        ("sweep/charkit_sweep/b.py", "import optuna", "sweeps may only do so inside a function"),
        ("sweep/charkit_sweep/b.py", "import charkit_cli.terminal_output", "sweeps may not"),
        ("sweep/charkit_sweep/b.py", "import rich", "sweeps may not"),
        ("comparison/charkit_comparison/b.py", "import charkit_sweep", "comparison may not"),
        ("core/charkit/training/a.py", "def f():\n    import charkit_sweep", "training may not"),
        ("cli/charkit_cli/main.py", "import charkit_formats", "entry point may"),
        ("backends/torch/charkit_torch/lstm.py", "import charkit_formats", "may not: WALLS"),
        ("backends/numpy/charkit_numpy/tape.py", "import charkit_torch.lstm", "may not: WALLS"),
        ("backends/numpy/charkit_numpy/tape.py", "import torch", "charkit_numpy may not"),
        ("backends/torch/charkit_torch/lstm.py", "import charkit_numpy", "may not: WALLS"),
        ("backends/torch/charkit_torch/a/b.py", "import charkit_numpy", "may not: WALLS"),
        ("backends/torch/charkit_torch/lstm.py", "import charkit_cli", "may not: WALLS"),
        ("backends/torch/charkit_torch/plugin.py", "def f():\n    import torch", ".plugin may not"),
        ("backends/torch/charkit_torch/plugin.py", "from .lstm import f", ".plugin may not"),
        ("backends/torch/charkit_torch/plugin.py", "from charkit import backend", ".plugin may not"),
        ("backends/numpy/charkit_numpy/plugin.py", "import numpy", ".plugin may not"),
        ("backends/torch/charkit_torch/lstm.py", "from benchmarks import turns", "no package may"),
        ("backends/torch/charkit_torch/lstm.py", "def f():\n    import tests.support", "no package may"),
        ("comparison/charkit_comparison/own_layers/a.py", "from benchmarks import turns", "no package may"),
        ("engines/ray/charkit_ray/actor.py", "import benchmarks.turns", "no package may"),
        ("core/charkit/text/batches.py", f"import_module(name={TRAINER!r})", "text may not"),
        ("core/charkit/text/batches.py", f"importlib.import_module(name={TRAINER!r})", "text may not"),
        (
            "core/charkit/text/batches.py",
            f"from importlib import import_module as im; im({TRAINER!r})",
            "text may not",
        ),
        (
            "core/charkit/text/batches.py",
            f"load = importlib.import_module; load({TRAINER!r})",
            "text may not",
        ),
        (
            "core/charkit/text/batches.py",
            "import_module(NAME)",
            "name the module in quotes, or list this file",
        ),
        ("core/charkit/text/batches.py", "import_module(name=NAME)", "name the module in quotes"),
        (
            "core/charkit/text/batches.py",
            "def f():\n    __import__(f'charkit.{x}')",
            "name the module in quotes",
        ),
        ("backends/torch/charkit_torch/lstm.py", "import_module(NAME)", "name the module in quotes"),
    ],
)
def test_a_planted_import_is_found(tree: Path, file: str, source: str, expected: str) -> None:
    path = tree / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    result = check(tree)
    assert result.returncode == 1, result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(f"{path}:")
    assert expected in result.stderr


def test_a_module_of_the_core_that_no_part_lists_is_found(tree: Path) -> None:
    path = tree / "core/charkit/unlisted.py"
    path.write_text("import numpy\nimport pydantic\n")
    result = check(tree)
    assert result.returncode == 1
    assert result.stderr == f"{path}: lies in no part; add it to WALLS in tests/walls.py\n"


def test_the_interface_may_import_the_other_packages_when_they_are_asked_for(tree: Path) -> None:
    for name, other in (("__init__", "charkit_formats"), ("comparison", "charkit_comparison")):
        (tree / f"core/charkit/{name}.py").write_text(f"def f():\n    import_module({other!r})\n")
    assert check(tree).returncode == 0


def test_a_listed_module_may_import_by_a_computed_name(tree: Path) -> None:
    (tree / "core/charkit/plugins").mkdir()
    (tree / "core/charkit/plugins/plugin.py").write_text("import_module(module)\n")
    assert check(tree).returncode == 0


@pytest.mark.parametrize(
    "source",
    [
        "from charkit.sampling import f",
        "def late():\n    from charkit import sampling",
        "if TYPE_CHECKING:\n    from charkit.sampling import f",
        "import_module('charkit.sampling')",
    ],
)
def test_modules_that_import_each_other_are_found(tree: Path, source: str) -> None:
    (tree / "core/charkit/sampling.py").write_text("from charkit import symbol_sampling\n")
    (tree / "core/charkit/symbol_sampling.py").write_text(source)
    result = check(tree)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("these modules import each other in a circle: charkit.")
    assert "charkit.symbol_sampling" in line


@pytest.mark.parametrize("part", [*PARTS, "plugin.py"])
def test_a_backend_without_one_of_its_files_is_found(tree: Path, part: str) -> None:
    (tree / "backends/torch/charkit_torch" / part).unlink()
    result = check(tree)
    assert result.returncode == 1
    assert f"charkit_torch/{part}: missing" in result.stderr


@pytest.mark.parametrize(
    "folder",
    [
        "core/charkit",
        "cli/charkit_cli",
        "formats/charkit_formats",
        "comparison/charkit_comparison",
        "pages/charkit_pages",
        "sweep/charkit_sweep",
        "reports/charkit_reports",
        "trackers/charkit_trackers",
        "backends",
    ],
)
def test_a_tree_with_nothing_to_check_does_not_pass(tree: Path, folder: str) -> None:
    (tree / folder).rename(tree / "elsewhere")
    result = check(tree)
    assert result.returncode == 1
    assert f"{tree / folder}: holds no" in result.stderr
