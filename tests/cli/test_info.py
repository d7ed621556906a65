"""``toolkit info``: what a bug report needs, and nothing that is private."""

from __future__ import annotations

import os
import platform
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from charkit import system_info
from charkit_cli import info
from charkit_numpy.numba_support import SWITCH
from cli_support import Install, Toolkit

ROOT = Path(__file__).parents[2]
BROKEN = """
from pathlib import Path
from charkit.hookspecs import BackendInfo, hookimpl

@hookimpl
def charkit_backend():
    raise RuntimeError(f"no file {Path.home()}/secret/file")
"""


@pytest.fixture(autouse=True)
def _only_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries no framework, which would take seconds."""
    monkeypatch.setattr(system_info, "backends", _without_frameworks)


def _without_frameworks(**options: object) -> object:
    from charkit.plugins import installed
    from charkit.plugins.probe import probe_all

    few = [plugin for plugin in installed() if plugin.name not in {"torch", "tensorflow", "jax"}]
    return probe_all(few, limit_seconds=60)


def test_versions_backends_and_machine(toolkit: Toolkit) -> None:
    found = toolkit.json("info")
    assert found["charkit"] == version("charkit")
    assert found["python"].startswith(platform.python_version())
    assert found["libraries"]["numpy"] == version("numpy")
    assert found["processors"] == os.cpu_count()
    assert 1 <= found["usable_processors"] <= found["processors"]
    assert found["memory_bytes"] > 1 << 28
    [numpy] = found["backends"]
    assert (numpy["name"], numpy["status"], numpy["devices"]) == ("numpy", "usable", ["cpu"])
    said = toolkit.ok("info").out
    for expected in (
        f"charkit    {version('charkit')}\n",
        "backend    numpy usable (charkit ",
        "processors ",
    ):
        assert expected in said


def test_the_library_of_every_extra_is_among_those_that_are_looked_for() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    libraries = {
        each.partition(">=")[0] for name, extra in extras.items() if name != "testing" for each in extra
    }
    assert "numba" in libraries
    assert libraries <= set(info.LIBRARIES)


def test_the_switch_that_decides_the_last_bits_is_shown(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SWITCH, "0")
    assert toolkit.json("info")["environment"][SWITCH] == "0"
    assert f"variable   {SWITCH}=0\n" in toolkit.ok("info").out


def test_the_form_for_bugs_asks_for_it() -> None:
    assert '"toolkit info"' in (ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text("utf-8")


def test_no_secrets_and_no_home_directory(
    toolkit: Toolkit, install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("leaky", BROKEN)
    monkeypatch.setenv("HOME", str(tmp_path / "home-of-someone"))
    monkeypatch.setenv("API_TOKEN", "hunter2")
    monkeypatch.setenv("XLA_FLAGS", f"--dump={tmp_path}/home-of-someone/dump")
    found = toolkit.json("info")
    said = toolkit.ok("info").out + str(found)
    assert "hunter2" not in said
    assert "home-of-someone" not in said
    assert found["environment"]["XLA_FLAGS"] == "--dump=~/dump"
    assert "no file ~/secret/file" in said
