"""The tutorials' notebooks run in a real kernel, show what they promise, and were committed as they ran."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guide.pages import example_files

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
Notebook = dict[str, dict[str, Any]]


def cells(path: Path) -> Notebook:
    """The cells by their ids."""
    return {cell["id"]: cell for cell in json.loads(path.read_text("utf-8"))["cells"]}


def shown(cell: dict[str, Any]) -> str:
    """What a cell shows as text."""
    outputs = [
        output.get("data", {"text/plain": output.get("text", "")}).get("text/plain", "")
        for output in cell["outputs"]
    ]
    return "\n".join("".join(content) for content in outputs)


def _poems(notebook: Notebook) -> None:
    assert len(re.findall(r"validation \d\.\d{4}", shown(notebook["train"]))) == 4
    assert any("image/png" in output.get("data", {}) for output in notebook["plot"]["outputs"])
    assert shown(notebook["sample"]).count("--- temperature") == 3
    assert len(re.findall(r"\d+ of \d+ couplets rhyme", shown(notebook["count"]))) == 3


def _names(notebook: Notebook) -> None:
    assert "different names, such as" in shown(notebook["write"])
    assert shown(notebook["sample"]).count(", ") == 9
    counted = re.search(r"(\d+) different names, (\d+) of them not in the list", shown(notebook["count"]))
    assert counted is not None
    assert 100 < int(counted[1]) <= 200
    assert 0 < int(counted[2]) < int(counted[1])
    first, second, last = shown(notebook["begin"]).splitlines()
    assert first.count("'Mi") == second.count("'Sal") == 4
    assert "'X' (1)" in last


def _source_code(notebook: Notebook) -> None:
    assert "decoder.py" in shown(notebook["files"])
    bits = dict(re.findall(r"^(.+): (\d\.\d\d) bits per character$", shown(notebook["score"]), re.MULTILINE))
    assert set(bits) == {"csv.py", "English", "held-out part of json"}
    assert float(bits["English"]) > float(bits["held-out part of json"])
    assert re.search(r"^8-gram +\d\.\d\d$", shown(notebook["baselines"]), re.MULTILINE)


def _comparing(notebook: Notebook) -> None:
    assert shown(notebook["compare"]).rpartition("done")[2].count("numpy and torch agree") == 1
    assert (
        len(re.findall(r"^step +\d+: [\d.]+ and [\d.]+, \S+ apart$", shown(notebook["losses"]), re.MULTILINE))
        == 4
    )
    assert "'report.html'" in shown(notebook["page"])


def _backend(notebook: Notebook) -> None:
    assert "charkit-mine: 12 files" in shown(notebook["new"])
    assert "write versions() in charkit_mine/backend.py" in shown(notebook["install"])
    assert re.search(r"^plain: all \d+ checks passed", shown(notebook["install-plain"]), re.MULTILINE)
    assert "the wrong gate order: weights read as i, g, f, o" in shown(notebook["mistake"])
    losses = re.findall(r"^loss (\d\.\d+), validation (\d\.\d+)", shown(notebook["train"]), re.MULTILINE)
    assert len(losses) == 2
    assert losses[0] == losses[1]
    written = {
        first.removeprefix("%%writefile charkit-plain/"): f"{text}\n"
        for first, _, text in ("".join(cell["source"]).partition("\n") for cell in notebook.values())
        if first.startswith("%%writefile")
    }
    assert written == example_files("backend-example")


def _novel(notebook: Notebook) -> None:
    assert re.search(r"^[\d,]+ characters, \d+ of them different$", shown(notebook["text"]), re.MULTILINE)
    for name, last in (("train", 200), ("resume", 600)):
        assert re.findall(r"step +(\d+) ", shown(notebook[name]))[-1] == str(last)
    assert any("image/png" in output.get("data", {}) for output in notebook["plot"]["outputs"])
    rows = re.findall(r"^(model|\d-gram|bzip2) +(\d\.\d\d)", shown(notebook["baselines"]), re.MULTILINE)
    bits = {name: float(value) for name, value in rows}
    assert bits["bzip2"] < bits["model"] < bits["2-gram"]


CHECKS: dict[str, Callable[[Notebook], None]] = {
    "backend": _backend,
    "comparing-frameworks": _comparing,
    "names": _names,
    "novel": _novel,
    "poems": _poems,
    "source-code": _source_code,
}


def test_every_notebook_has_its_check() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == {*CHECKS, "getting-started"}


@pytest.mark.parametrize("name", CHECKS)
def test_a_committed_tutorial_was_run(name: str) -> None:
    notebook = cells(FOLDER / f"{name}.ipynb")
    code = [cell for cell in notebook.values() if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code)
    assert all(output["output_type"] != "error" for cell in code for output in cell["outputs"])
    CHECKS[name](notebook)
    content = (FOLDER / f"{name}.ipynb").read_text("utf-8")
    assert not re.search(r"/(home|Users|tmp|var)/", content)
    assert len(content) < 200_000


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_cell_that_makes_a_run_can_run_again(path: Path) -> None:
    sources = ["".join(cell["source"]) for cell in cells(path).values() if cell["cell_type"] == "code"]
    making = [source for source in sources if re.search(r"\brun=|--run ", source)]
    assert [
        source for source in making if "overwrite=True" not in source and "--overwrite" not in source
    ] == []


@pytest.mark.together
@pytest.mark.parametrize("name", CHECKS)
def test_a_tutorial_runs(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "execute.py"), name, "--out", str(tmp_path)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    executed, committed = cells(tmp_path / f"{name}.ipynb"), cells(FOLDER / f"{name}.ipynb")
    CHECKS[name](executed)
    assert {id_: cell["source"] for id_, cell in executed.items()} == {
        id_: cell["source"] for id_, cell in committed.items()
    }
