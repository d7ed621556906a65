"""charkit works with what Windows has: tried here by hiding the rest from it. See ``like_windows/sitecustomize.py``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cli_support import TINY

FOLDER = Path(__file__).with_name("like_windows")
ROOT = Path(__file__).parents[2]
#: Parts that need a library of an extra.
_OPTIONAL = {
    *("own_layers", "backend_template", "http_transport.py", "filesystem_transport.py", "kernels.py"),
    *("mlflow.py", "tensorboard.py", "wandb.py"),
}
#: What the distribution ``charkit`` installs.
with (ROOT / "pyproject.toml").open("rb") as _file:
    PARENTS = [
        str(Path(package).parent)
        for package in tomllib.load(_file)["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    ]
MODULES = sorted(
    ".".join(path.relative_to(ROOT / parent).with_suffix("").parts).removesuffix(".__init__")
    for parent in PARENTS
    for path in (ROOT / parent).rglob("*.py")
    if not _OPTIONAL & set(path.parts) and path.name != "__main__.py"
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what plays Windows needs /proc and FIONREAD")


def python(*arguments: str | Path, status: int = 0) -> str:
    """Runs Python so; what it prints."""
    path = os.pathsep.join([str(FOLDER), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "TMPDIR": str(Path.cwd().parent)}
    child = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, env=environment, check=False
    )
    assert child.returncode == status, child.stderr
    return child.stdout if status == 0 else child.stderr


def toolkit(*arguments: str | Path, status: int = 0) -> str:
    return python("-m", "charkit_cli", *arguments, status=status)


def weights(run: str) -> bytes:
    folder = Path(run) / "checkpoints"
    return max(folder.glob("*/model.safetensors")).read_bytes()


def test_every_module_can_be_imported() -> None:
    assert len(MODULES) > 100
    assert {"charkit.runs.lock", "charkit_cli.main", "charkit.testing.memory"} <= set(MODULES)
    program = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint('all')"
    assert python("-c", program, *[name for name in MODULES if name != "charkit.testing.pytest"]) == "all\n"


def test_what_is_hidden_is_hidden() -> None:
    program = """
from charkit.system import file_locks, folder_entries, pipes, processes, signals, processors, memory
assert file_locks._FCNTL is None
assert not folder_entries.HAS_HANDLES
assert not hasattr(pipes.select, "poll")
assert not hasattr(processes.os, "killpg")
assert signals.HANGUP is None
assert processors.allowed_processors() is None
assert memory.peak_resident_bytes() == 200 << 20 and memory.resident_bytes() == 100 << 20
assert memory.total_bytes() == 8 << 30
print(processes.own_group())
"""
    assert python("-c", program) == "{'creationflags': 512}\n"


def test_a_run_is_trained_resumed_replaced_checked_scored_and_sampled(text_file: Path) -> None:
    """And has the numbers that it has elsewhere."""
    toolkit("train", text_file, *TINY, "--max-steps=6", "--run=r")
    toolkit("train", "--resume", "r", "--max-steps=12")
    environment = {**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    command = [
        sys.executable,
        "-m",
        "charkit_cli",
        "train",
        str(text_file),
        *TINY,
        "--max-steps=12",
        "--run=elsewhere",
    ]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    assert weights("r") == weights("elsewhere")
    toolkit("train", text_file, *TINY, "--max-steps=4", "--run=r", "--overwrite")
    assert json.loads(toolkit("check", "r", "--json"))["whole"] is True
    assert json.loads(toolkit("evaluate", "r", "--json"))["loss"] > 0
    assert len(toolkit("sample", "r", "--length=30", "--seed=1").strip("\n")) >= 20
    toolkit("export", "r", "--out=lstm.safetensors")
    toolkit("import", "lstm.safetensors", "--out=back")
    assert sorted(path.name for path in Path.cwd().iterdir() if path.name[0] == ".") == []


def test_two_trainings_of_one_run_are_refused(text_file: Path) -> None:
    toolkit("train", text_file, *TINY, "--max-steps=4", "--run=r")
    program = """
import sys
import tomllib
from pathlib import Path
from charkit.runs.lock import RunLock, is_held
from charkit.runs.folder_files import OpenFolder
with RunLock.take(Path("r")):
    with OpenFolder.at(Path("r")) as folder:
        assert is_held(folder)
    Path("r").rename("moved")  # a run can be renamed while it is locked
    Path("moved").rename("r")
    import subprocess
    command = [sys.executable, "-m", "charkit_cli", "train", "--resume", "r", "--max-steps=8"]
    other = subprocess.run(command, capture_output=True, text=True)
    print(other.returncode, other.stderr)
with OpenFolder.at(Path("r")) as folder:
    assert not is_held(folder)
"""
    said = python("-c", program)
    assert said.startswith("2 ")
    assert "is being trained by process" in said


def test_backends_are_probed_and_compared_in_processes_of_their_own(text_file: Path) -> None:
    listed = json.loads(toolkit("backends", "--json"))["backends"]
    assert ("numpy", "usable") in [(one["name"], one["status"]) for one in listed]
    options = ["--backends=numpy", "--max-steps=4", "--rounds=1", "--out=report", "--json", *TINY[1:5]]
    report = json.loads(toolkit("compare", text_file, *options))
    assert [one["status"] for one in report["variants"]] == ["done"]
    assert Path("report/report.html").is_file()


def test_a_sweep_is_trained_and_resumed(text_file: Path) -> None:
    Path("spec.toml").write_text(
        f"""
name = "s"
text = "{text_file.as_posix()}"
[fixed]
recipe = "classic"
"model.lstm_size" = 4
"model.num_layers" = 1
"data.batch_size" = 2
"data.num_steps" = 5
"training.max_steps" = 4
[axes]
seed = [0, 1]
""",
        "utf-8",
    )
    result = json.loads(toolkit("sweep", "spec.toml", "--parallel=2", "--json"))
    assert [trial["status"] for trial in result["trials"]] == ["finished", "finished"]
    resumed = json.loads(toolkit("sweep", "--resume", "s", "--json"))
    assert [trial["loss"] for trial in resumed["trials"]] == [trial["loss"] for trial in result["trials"]]


def test_a_run_on_workers_is_tracked_and_reported(text_file: Path) -> None:
    options = ["--workers=2", "--shards=2", "--track=csv", "--max-steps=4", "--run=r"]
    toolkit("train", text_file, *TINY, *options)
    toolkit("report", "r", "--out=report")
    assert list(Path("report").glob("*.html"))
    toolkit("prepare", text_file, "--out=prepared")
    toolkit("train", "prepared", *TINY, "--max-steps=4", "--run=again")


def test_an_observer_that_hangs_ends_some_time_after_the_process_that_trained() -> None:
    Path("hangs.py").write_text("""
import pathlib, sys, time
from charkit.observers import worker
worker.GRACE_SECONDS = 0.1
worker._end_after(int(sys.argv[1]))
pathlib.Path("started").touch()
time.sleep(10)
print("it goes on")
""")
    train = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "hangs.py", str(os.getpid())])
while not os.path.exists("started"):
    time.sleep(0.01)
"""
    assert python("-c", train) == ""  # the pipe is read until the observer has ended, too


def test_a_link_in_a_run_is_refused(text_file: Path) -> None:
    toolkit("train", text_file, *TINY, "--max-steps=4", "--run=r")
    Path("r/metrics.jsonl").rename("metrics.jsonl")
    Path("r/metrics.jsonl").symlink_to("../metrics.jsonl")
    assert "is a symbolic link" in toolkit("train", "--resume", "r", "--max-steps=6", status=2)


@pytest.mark.parametrize(
    ("source", "refused"),
    [
        ("import fcntl", "No module named 'fcntl'"),
        ("from importlib import import_module\nimport_module('resource')", "No module named 'resource'"),
        ("import os\nos.pread(0, 1, 0)", "no attribute 'pread'"),
        ("import os\nos.stat('.', dir_fd=os.O_DIRECTORY)", "no attribute 'O_DIRECTORY'"),
        ("import os\nos.rename('one', 'two')", "File exists: 'two'"),
        ("import os\nfile = open('one')\nos.replace('one', 'three')", "the file is in use: 'one'"),
        ("import os\nos.open('.', os.O_RDONLY)", "Permission denied: '.'"),
        ("import subprocess\nsubprocess.Popen(['true'], start_new_session=True)", "not supported on Windows"),
        ("import signal\nsignal.SIGHUP", "no attribute 'SIGHUP'"),
    ],
)
def test_a_module_that_calls_what_windows_lacks_is_found(source: str, refused: str) -> None:
    for name in ("one", "two"):
        Path(name).touch()
    Path("charkit_planted.py").write_text(source)
    assert refused in python("-c", "import charkit_planted", status=1)
