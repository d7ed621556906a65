"""``charkit.info()``: what a bug report needs, from Python; and bad input."""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit import system_info
from charkit.errors import ConfigurationError
from charkit.plugins import InstalledBackend, InstalledBackends

HOME = str(Path.home())
USABLE = InstalledBackend(
    "sound", "usable", "charkit-sound", "1.0", ["cpu"], ["float32"], ["weight_decay"], ""
)
BROKEN = InstalledBackend("odd", "broken", "charkit-odd", "2.0", [], [], [], f"no file {HOME}/secret")


@pytest.fixture(autouse=True)
def tried(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The calls that would try backends, which takes seconds."""
    calls = []

    def backends(**options: Any) -> InstalledBackends:
        calls.append(options)
        return InstalledBackends([USABLE, BROKEN])

    monkeypatch.setattr(system_info, "backends", backends)
    return calls


def test_versions_and_machine() -> None:
    found = charkit.info()
    assert found.charkit == version("charkit")
    assert found.python.startswith(platform.python_version())
    assert found.processors == os.cpu_count()
    assert found.libraries["numpy"] == version("numpy")
    assert "charkit" not in found.libraries
    assert all(blas.threads >= 1 for blas in found.blas)


def test_the_json_is_that_of_the_command() -> None:
    content = charkit.info().as_json()
    assert list(content) == [
        *("charkit", "python", "system", "processor", "bfloat16_instructions", "processors"),
        *("usable_processors", "memory_bytes", "encoding", "libraries", "blas", "environment", "backends"),
    ]
    assert list(content["backends"][0]) == [
        *("name", "status", "distribution", "version", "devices", "precisions", "reason"),
    ]


def test_only_the_libraries_asked_for_and_those_of_plugins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, group, required in (
        ("charkit-odd", "charkit.engines", "Odd_Beads>=1; extra == 'x'\nRequires-Dist: charkit"),
        ("charkit-damaged", "charkit.backends", "no >< requirement"),
        ("other", "console_scripts", "strings"),
        ("odd-beads", "", "strings"),
    ):
        metadata = tmp_path / f"{name.replace('-', '_')}-3.1.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 3.1\nRequires-Dist: {required}\n"
        )
        (metadata / "entry_points.txt").write_text(f"[{group}]\nodd = odd.plugin\n" if group else "")
    monkeypatch.syspath_prepend(tmp_path)
    found = charkit.info(libraries=["numpy", "no-such-library"]).libraries
    assert found["numpy"] == version("numpy")
    assert found["Odd_Beads"] == "3.1"
    assert not {"no-such-library", "charkit", "strings", "pydantic"} & set(found)


def test_no_secrets_and_no_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "hunter2")
    monkeypatch.setenv("LANG", f"{HOME}/language")
    found = charkit.info()
    assert found.environment["LANG"] == "~/language"
    assert [backend.reason for backend in found.backends] == ["", "no file ~/secret"]
    assert "hunter2" not in str(found) + found._repr_html_()
    assert charkit.info(variables=["TERM"]).environment.keys() <= {"TERM"}


def test_without_a_home_nothing_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    def unknown(_user: int) -> object:
        raise KeyError("no such user, as in a container")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert system_info._without_home("/usr/lib/x") == "/usr/lib/x"


def test_a_notebook_shows_it_as_a_table() -> None:
    html = charkit.info()._repr_html_()
    assert f">{version('charkit')}<" in html
    assert ">odd broken no file ~/secret<" in html


def test_the_limit_and_the_progress_are_those_of_backends(tried: list[dict[str, Any]]) -> None:
    charkit.info(limit_seconds=3, progress=print)
    assert tried == [{"limit_seconds": 3, "progress": print}]


@pytest.mark.parametrize("field", ["libraries", "variables"])
@pytest.mark.parametrize("given", ["numpy", b"numpy", 5, [""], [None]])
def test_what_is_no_list_of_names(field: str, given: Any, tried: list[dict[str, Any]]) -> None:
    with pytest.raises(ConfigurationError, match=f"`{field}` must be a list of names, as in"):
        charkit.info(**{field: given})
    assert tried == []


def test_an_unknown_number_of_processors_is_left_out() -> None:
    found = replace(charkit.info(), processors=None, usable_processors=4)
    assert found.describe_processors() == "4 usable"
    assert "4 usable" in found._repr_html_()
    assert replace(found, processors=8).describe_processors() == "4 of 8 usable"
