"""File names that are not UTF-8 work everywhere: as texts, as runs, in records and on the screen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli_support import TINY, Toolkit, lines_of
from support import SMALL_TEXT

#: "café" in Latin-1, as Python has a file name of these bytes.
NAME = os.fsdecode(b"caf\xe9")


@pytest.fixture(autouse=True)
def _file_system_takes_any_bytes(tmp_path: Path) -> None:
    try:
        (tmp_path / f"{NAME}-tried").touch()
    except OSError:  # as on macOS
        pytest.skip("this file system has UTF-8 names only")


@pytest.mark.parametrize("where", ["text", "run", "folder"])
def test_a_name_that_is_not_utf_8_works(toolkit: Toolkit, where: str) -> None:
    folder = Path(f"{NAME}-folder") if where == "folder" else Path()
    folder.mkdir(exist_ok=True)
    text = folder / (f"{NAME}.txt" if where == "text" else "small.txt")
    text.write_text(SMALL_TEXT, "utf-8")
    run = folder / (NAME if where == "run" else "run")
    toolkit.ok("train", text, *TINY, "--max-steps", "3", "--run", run)
    toolkit.ok("train", "--resume", run, "--max-steps", "5", "--threads", "1")
    toolkit.ok("train", text, *TINY, "--max-steps", "1", "--run", run, "--overwrite")
    assert json.loads((run / "config.json").read_text("utf-8"))["config"]["data"]["text"] == [
        str(text.resolve())
    ]
    assert len(lines_of(run / "sessions.jsonl")) == 1
    assert (run / "README.md").read_text("utf-8").startswith("# ")
    toolkit.ok("evaluate", run)
    toolkit.ok("sample", run, "--length", "3")
    toolkit.ok("export", run, "--out", folder / f"{NAME}.safetensors")
    toolkit.ok("import", folder / f"{NAME}.safetensors", "--out", folder / f"{NAME}-imported")


def test_the_run_is_named_after_what_can_be_read_of_it(toolkit: Toolkit) -> None:
    Path(f"{NAME}.txt").write_text(SMALL_TEXT, "utf-8")
    toolkit.ok("train", f"{NAME}.txt", *TINY, "--max-steps", "1")
    assert os.listdir("runs") == ["caf-1"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", f"{NAME}-absent.txt"),
        ("train", ".", "--glob", NAME),
        ("train", "--resume", NAME),
        ("train", "--config", NAME),
        ("train", "--recipe", f"{NAME}.toml"),
        ("train", "--set", f"model.lstm_size={NAME}"),
        ("sample", NAME),
        ("evaluate", NAME),
        ("export", NAME, "--out", f"{NAME}.safetensors"),
        ("import", NAME, "--out", "run"),
        (NAME,),
    ],
    ids=ascii,
)
def test_a_refusal_is_one_line_in_any_encoding(toolkit: Toolkit, arguments: tuple[str, ...]) -> None:
    message = toolkit.error(*arguments)
    assert "\\udce9" in message
    message.encode()


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_it_prints_them_in_a_process_of_its_own(encoding: str) -> None:
    Path(f"{NAME}.txt").write_text(SMALL_TEXT, "utf-8")
    command = [
        sys.executable,
        "-m",
        "charkit_cli",
        "train",
        f"{NAME}.txt",
        *TINY,
        "--max-steps",
        "1",
        "--run",
        NAME,
    ]
    child = subprocess.run(
        command,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        timeout=120,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    assert b"Traceback" not in child.stderr
    assert b"next: toolkit sample" in child.stdout
