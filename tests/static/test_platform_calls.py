"""What not every operating system has is called in one package, and the check of that finds what is planted."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "platform_calls", Path(__file__).with_name("platform_calls.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = _load()


def test_every_folder_that_is_shipped_is_checked() -> None:
    others = (path.relative_to(ROOT).parts[0] for path in ROOT.glob("*/*/pyproject.toml"))
    shipped = {folder for folder in others if folder[0] != "." and folder != "tests"}
    with (ROOT / "pyproject.toml").open("rb") as file:
        wheel = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]
    shipped |= {Path(package).parts[0] for package in wheel["packages"]}
    assert {"core", "backends", "engines"} <= shipped <= set(check.SHIPPED)


def test_only_one_package_calls_what_not_every_system_has() -> None:
    assert list(check.findings(ROOT)) == []
    assert any(check.platform_calls((ROOT / check.SEAM / "folder_entries.py").read_text("utf-8")))


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import fcntl", "imports fcntl"),
        ("def f():\n    import resource", "imports resource"),
        ("from pwd import getpwuid", "imports pwd"),
        ("import select", "imports select"),
        ("import selectors", "imports selectors"),
        ("import os\nos.killpg(1, 9)", "uses os.killpg"),
        ("from os import pread", "imports os.pread"),
        ("import os\nflags = os.O_NOFOLLOW", "uses os.O_NOFOLLOW"),
        ("import signal\nsignal.SIGHUP", "uses signal.SIGHUP"),
        ("import os\nos.stat(name, dir_fd=3)", "passes dir_fd"),
        ("import subprocess\nsubprocess.Popen(command, start_new_session=True)", "passes start_new_session"),
    ],
)
def test_what_is_planted_is_found(source: str, what: str) -> None:
    assert [found for _, found in check.platform_calls(source)] == [what]


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.replace(a, b)",
        "import os\ngetattr(os, 'pread', None)",
        "import signal\nsignal.signal(signal.SIGINT, handler)",
        "entry_points.select(group=name)",
        "from charkit.system.pipes import readable",
    ],
)
def test_what_every_system_has_is_left_alone(source: str) -> None:
    assert list(check.platform_calls(source)) == []


def test_a_folder_that_is_missing_is_no_pass(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="holds no Python file"):
        list(check.findings(tmp_path))
