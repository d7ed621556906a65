"""R6: a run or an import of a stranger executes nothing, and touches nothing outside; an audit hook watches."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import charkit
from faults.audited import trackers
from faults.crafted_runs import CANARY, CRAFTED
from faults.run_outcomes import make_run

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="the file behind a handle is found in /proc"
)
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, its text, the files of an import, and what lies outside of the run."""
    folder = tmp_path_factory.mktemp("whole")
    run = make_run(folder)
    charkit.export(run, folder / "import.safetensors")
    (folder / "import.py").unlink()
    (folder / "outside").mkdir()
    (folder / "outside" / "canary.sh").write_text(CANARY)
    return folder


def watched(whole: Path, tmp_path: Path, names: list[str], more: str = "") -> dict[str, list[str]]:
    """What commands did outside of crafted runs, by their names; ``more`` is code that the process runs first."""
    cases = tmp_path / "cases"
    (cases / "elsewhere").mkdir(parents=True)
    for name in ("whole", "again", *names):
        shutil.copytree(whole, cases / name)
        config = cases / name / "run" / "config.json"
        if name in CRAFTED:
            CRAFTED[name](cases / name / "run")
        assert config.is_symlink() or os.path.lexists(config)
    for name in ("whole", "again"):
        (cases / name / "run" / "tracking").mkdir()
    before = {path: path.read_bytes() for path in cases.glob("*/outside/**/*") if path.is_file()}
    code = f"{more}\nimport sys; from pathlib import Path; from faults.audited import main; main(Path(sys.argv[1]))"
    child = subprocess.run(
        [sys.executable, "-c", code, str(cases)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={
            **os.environ,
            "PYTHONPATH": str(TESTS),
            "CHARKIT_SCRATCH": str(tmp_path / "scratch"),
            "PYTHONUTF8": "1",
        },
        check=False,
        timeout=900,
    )
    assert child.returncode == 0, child.stderr[-3000:]
    findings: dict[str, list[str]] = json.loads(child.stdout)
    after = {path: path.read_bytes() for path in cases.glob("*/outside/**/*") if path.is_file()}
    for path in before.keys() | after.keys():
        if before.get(path) != after.get(path):
            findings.setdefault(path.relative_to(cases).parts[0], []).append(f"changed {path.name}")
    for path in cases.rglob("executed"):
        findings.setdefault(path.relative_to(cases).parts[0], []).append("executed")
    return findings


def test_nothing_outside_is_opened_written_or_executed(whole: Path, tmp_path: Path) -> None:
    names = list(CRAFTED)
    assert len(names) >= 30
    findings = watched(whole, tmp_path, names)
    assert findings.keys() == set(names)
    found = [f"{name}: {line}" for name, lines in findings.items() for line in lines]
    assert not found, "\n".join(found)


def test_planted_faults_are_found(whole: Path, tmp_path: Path) -> None:
    """A reader that follows links, as do trackers, and one that executes what it reads."""
    planted = """
import os, pickle
from contextlib import contextmanager
from charkit.runs import checkpoint_content
from charkit.system import folder_entries
from charkit.runs.folder_files import OpenFolder
folder_entries.FILE_FLAGS &= ~os.O_NOFOLLOW
OpenFolder._check_plain = lambda self, name, status: None
sound = checkpoint_content.parse_progress
def parse(content, config):
    if content[:1] != b"{":
        pickle.loads(content)
    return sound(content, config)
checkpoint_content.parse_progress = parse
from charkit_trackers import run_folder
@contextmanager
def entered(folder, name):
    folder.ensure_folder(name)
    with OpenFolder.at(folder.path / name) as entered:
        yield entered
run_folder._entered = entered
"""
    tracked = ["tracking is a link", "TensorBoard's folder is a link", "metrics.csv is a link"]
    names = ["metrics.jsonl is a link", "progress is a pickle", "modules inside", *tracked]
    findings = watched(whole, tmp_path, names, planted)
    assert "open ./outside/metrics.jsonl" in findings["metrics.jsonl is a link"]
    assert "changed metrics.jsonl" in findings["metrics.jsonl is a link"]
    assert any(line.startswith("pickle.find_class") for line in findings["progress is a pickle"])
    assert "changed metrics.csv" in findings["tracking is a link"]
    assert "open ./outside/metrics.csv" in findings["metrics.csv is a link"]
    if "tensorboard" in trackers():
        of_tensorboard = findings["TensorBoard's folder is a link"]
        assert any(line.startswith("changed events.out.tfevents.") for line in of_tensorboard)
    assert findings["modules inside"] == []
    assert findings["elsewhere"] == ["executed"]  # the folder that the commands are called in
