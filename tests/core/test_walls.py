"""The wall check holds on this tree, and fails on each kind of breach planted in a small one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WALLS = Path(__file__).parent.parent / "walls.py"
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
        "cli/charkit_cli/train.py": "import rich\nimport numpy\nfrom charkit.config import merge\n",
        "cli/charkit_cli/export.py": "def late():\n    from charkit_formats import export_onnx\n",
        "formats/charkit_formats/__init__.py": "import numpy\nfrom charkit_formats.a import f\n",
        "formats/charkit_formats/a.py": (
            "from charkit.run import Run\n\ndef f():\n    import onnx\n    import_module('onnxruntime')\n"
        ),
        "reports/charkit_reports/__init__.py": "from charkit.comparison import Report\n",
        "reports/charkit_reports/a.py": (
            "if TYPE_CHECKING:\n    from matplotlib.axes import Axes\n\ndef f():\n    import jinja2\n"
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
    ("file", "source", "told"),
    [
        ("core/charkit/a.py", "import torch", "the core imports no framework"),
        ("core/charkit/a.py", "def f():\n    from jax import numpy", "the core imports no framework"),
        ("core/charkit/a.py", "import_module('tensorflow.keras')", "the core imports no framework"),
        ("core/charkit/a.py", "importlib.import_module('keras')", "the core imports no framework"),
        ("core/charkit/a.py", "from rich.table import Table", "the core knows nothing of a terminal"),
        ("core/charkit/a.py", "import typer", "the core knows nothing of a terminal"),
        ("core/charkit/a.py", "import charkit_cli.main", "the core imports neither"),
        ("core/charkit/testing/a.py", "import charkit_numpy", "the core imports neither"),
        ("core/charkit/testing/a.py", "import torch", "the core imports no framework"),
        ("cli/charkit_cli/a.py", "def f():\n    import torch", "the command line imports no framework"),
        ("cli/charkit_cli/a.py", "from charkit_numpy import lstm", "the command line imports no backend"),
        ("cli/charkit_cli/main.py", "import numpy", "main.py loads only"),
        ("cli/charkit_cli/main.py", "import pydantic", "main.py loads only"),
        ("cli/charkit_cli/main.py", "from rich import print", "main.py loads only"),
        ("cli/charkit_cli/main.py", "from charkit import config", "main.py loads only"),
        ("cli/charkit_cli/main.py", "import charkit.config", "main.py loads only"),
        ("cli/charkit_cli/main.py", "from . import train", "main.py loads only"),
        ("cli/charkit_cli/main.py", "class A:\n    import numpy", "main.py loads only"),
        ("formats/charkit_formats/b.py", "def f():\n    import torch", "the formats import no framework"),
        ("formats/charkit_formats/b.py", "import onnx", "onnx and onnxruntime inside functions only"),
        ("formats/charkit_formats/b.py", "from onnxruntime import a", "onnxruntime inside functions only"),
        ("formats/charkit_formats/b.py", "from rich import print", "the formats know nothing of a terminal"),
        ("formats/charkit_formats/b.py", "import charkit_cli.output", "neither the command line nor a"),
        ("formats/charkit_formats/b.py", "def f():\n    import charkit_numpy", "nor a backend"),
        ("core/charkit/a.py", "def f():\n    import charkit_formats", "the core imports neither"),
        ("core/charkit/a.py", "def f():\n    import charkit_reports", "the core imports neither"),
        ("reports/charkit_reports/b.py", "def f():\n    import torch", "the reports import no framework"),
        ("reports/charkit_reports/b.py", "import matplotlib", "inside functions only; it is heavy"),
        ("reports/charkit_reports/b.py", "from jinja2 import Template", "inside functions only; it is heavy"),
        ("reports/charkit_reports/b.py", "import rich", "the reports know nothing of a terminal"),
        (
            "reports/charkit_reports/b.py",
            "import charkit_cli.output",
            "neither the command line nor a backend",
        ),
        ("backends/torch/charkit_torch/lstm.py", "import charkit_reports", "of reports, nor of the formats"),
        ("cli/charkit_cli/main.py", "import charkit_formats", "main.py loads only"),
        ("backends/torch/charkit_torch/lstm.py", "import charkit_formats", "nor of the formats of others"),
        ("backends/numpy/charkit_numpy/tape.py", "import charkit_torch.lstm", "nothing of another backend"),
        ("backends/numpy/charkit_numpy/tape.py", "import torch", "the NumPy backend imports no framework"),
        ("backends/torch/charkit_torch/lstm.py", "import charkit_numpy", "nothing of another backend"),
        ("backends/torch/charkit_torch/a/b.py", "import charkit_numpy", "nothing of another backend"),
        ("backends/torch/charkit_torch/lstm.py", "import charkit_cli", "nothing of the command line"),
        ("backends/torch/charkit_torch/plugin.py", "def f():\n    import torch", "plugin.py imports only"),
        ("backends/torch/charkit_torch/plugin.py", "from .lstm import f", "plugin.py imports only"),
        ("backends/torch/charkit_torch/plugin.py", "from charkit import backend", "plugin.py imports only"),
        ("backends/numpy/charkit_numpy/plugin.py", "import numpy", "plugin.py imports only"),
    ],
)
def test_a_planted_import_is_found(tree: Path, file: str, source: str, told: str) -> None:
    path = tree / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    result = check(tree)
    assert result.returncode == 1, result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(f"{path}:")
    assert told in result.stderr


@pytest.mark.parametrize(
    "source",
    [
        "from charkit.a import f",
        "def late():\n    from charkit import a",
        "if TYPE_CHECKING:\n    from charkit.a import f",
        "import_module('charkit.a')",
    ],
)
def test_modules_that_import_each_other_are_found(tree: Path, source: str) -> None:
    (tree / "core/charkit/a.py").write_text("from charkit.testing import b\n")
    (tree / "core/charkit/testing/b.py").write_text(source)
    result = check(tree)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("these modules import each other in a circle: charkit.")
    assert "charkit.testing.b" in line


@pytest.mark.parametrize("part", [*PARTS, "plugin.py"])
def test_a_backend_without_one_of_its_files_is_found(tree: Path, part: str) -> None:
    (tree / "backends/torch/charkit_torch" / part).unlink()
    result = check(tree)
    assert result.returncode == 1
    assert f"charkit_torch/{part}: missing" in result.stderr


@pytest.mark.parametrize(
    "folder",
    ["core/charkit", "cli/charkit_cli", "formats/charkit_formats", "reports/charkit_reports", "backends"],
)
def test_a_tree_with_nothing_to_check_does_not_pass(tree: Path, folder: str) -> None:
    (tree / folder).rename(tree / "elsewhere")
    result = check(tree)
    assert result.returncode == 1
    assert f"{tree / folder}: holds no" in result.stderr
