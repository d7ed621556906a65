"""The notebook of the docs: it runs in a real kernel, shows what it promises, and was committed as it ran."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NAME = "getting-started.ipynb"
Notebook = dict[str, dict[str, Any]]


def cells(path: Path) -> Notebook:
    """The cells by their ids."""
    return {cell["id"]: cell for cell in json.loads(path.read_text("utf-8"))["cells"]}


def shown(cell: dict[str, Any], kind: str) -> str:
    """What a cell shows as one kind of content, such as text/html; a stream is text/plain."""
    outputs = [
        output.get("data", {"text/plain": output.get("text", "")}).get(kind, "") for output in cell["outputs"]
    ]
    return "\n".join("".join(content) for content in outputs)


def check(notebook: Notebook) -> None:
    """Looks for what the notebook promises in its outputs."""
    assert all(
        output["output_type"] != "error" for cell in notebook.values() for output in cell.get("outputs", ())
    )
    progress = notebook["train"]
    assert len(progress["outputs"]) == 1
    assert "runs/tables: numpy float32 on cpu" in shown(progress, "text/html")
    assert len(re.findall(r"validation \d\.\d{4}", shown(progress, "text/html"))) == 5
    assert "100%" in shown(progress, "text/plain")
    assert "<table>" in shown(notebook["result"], "text/html")
    png = base64.b64decode(shown(notebook["plot"], "image/png"))
    assert png.startswith(b"\x89PNG")
    assert shown(notebook["history"], "text/html").count("<tr>") == 1 + 5
    assert re.search(r"^7 times \d+ is \d+\.$", shown(notebook["sample"], "text/plain"), re.MULTILINE)
    assert float_after("loss", notebook["evaluate"]) < 1 < float_after("loss", notebook["evaluate-string"])
    assert "numpy and torch agree" in shown(notebook["compare"], "text/plain")


def float_after(name: str, cell: dict[str, Any]) -> float:
    """The figure of an evaluation."""
    found = re.search(rf"{name}=([0-9.]+)", shown(cell, "text/plain"))
    assert found is not None
    return float(found[1])


@pytest.mark.together
def test_the_notebook_runs(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, str(FOLDER / "execute.py"), "getting-started", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    executed = cells(tmp_path / NAME)
    check(executed)
    committed = cells(FOLDER / NAME)
    assert {name: cell["source"] for name, cell in executed.items()} == {
        name: cell["source"] for name, cell in committed.items()
    }


def test_the_committed_notebook_was_run() -> None:
    check(cells(FOLDER / NAME))
    content = (FOLDER / NAME).read_text("utf-8")
    assert not re.search(r"/(home|Users|tmp|var)/", content)
    assert str(FOLDER.parents[1]) not in content
    assert len(content) < 200_000
