"""A run that every tracker has recorded in two sessions, with secrets around that none of them may record."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from cli_support import TINY
from support import SMALL_TEXT

#: In the environment and in the path of the text, which the command's arguments have.
SECRET = "hunter2-hunter2"  # noqa: S105 - it is none
TRACKERS = ("csv", "tensorboard", "mlflow", "wandb")


class Tracked(NamedTuple):
    """The run, MLflow's store, and what the two commands printed on standard error."""

    run: Path
    store: Path
    printed: tuple[str, str]


@pytest.fixture(scope="session")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    """``toolkit train`` for 20 steps, and a resumed session up to 40, with four trackers."""
    folder = tmp_path_factory.mktemp("tracked")
    text = folder / SECRET / "small.txt"
    text.parent.mkdir()
    text.write_text(SMALL_TEXT, "utf-8")
    store = folder / "mlflow-store"
    environment = {
        **os.environ,
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_TRACKING_URI": store.as_uri(),
        "WANDB_MODE": "offline",
        "WANDB_API_KEY": SECRET + "x" * 40,
        "MY_PASSWORD": SECRET,
    }
    tracks = [argument for name in TRACKERS for argument in ("--track", name)]

    def toolkit(*arguments: str) -> str:
        command = [sys.executable, "-m", "charkit_cli", "train", *arguments, *tracks]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    first = toolkit(str(text), *TINY, "--eval-every=7", "--max-steps=20")
    second = toolkit("--resume", "runs/small-1", "--max-steps=40", "--threads=1")
    return Tracked(folder / "runs" / "small-1", store, (first, second))
