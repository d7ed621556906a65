"""Engines that plugins bring: which one a name means, and what is said of one that can't be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import charkit
from charkit.distributed.discovery import engine_names, find_engine
from cli_support import TINY, Toolkit

#: Installs an engine: its name, the source of its plugin module, and that of its backend module.
Install = Callable[..., None]

PLUGIN = """
from charkit.distributed.hookspecs import EngineInfo
from charkit.hookspecs import hookimpl

@hookimpl
def charkit_engine():
    return EngineInfo("{name}", "{name}_engine:{name}", "made up"{more})
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs engines by metadata, in a folder on the path."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def install_it(name: str, engine: str, plugin: str = PLUGIN, more: str = "") -> None:
        (site / f"{name}_plugin.py").write_text(
            plugin.replace("{name}", name).replace("{more}", more), "utf-8"
        )
        (site / f"{name}_engine.py").write_text(engine, "utf-8")
        metadata = site / f"{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[charkit.engines]\n{name} = {name}_plugin\n")

    return install_it


def test_an_installed_engine_is_found(install: Install) -> None:
    install(
        "whole", "from charkit.distributed.local_engine import LocalEngine\nclass whole(LocalEngine): ..."
    )
    assert find_engine("whole").__name__ == "whole"
    assert engine_names()[0] == "local"
    assert "whole" in engine_names()


@pytest.mark.parametrize(
    ("name", "engine", "more", "expected"),
    [
        ("exits", "raise SystemExit(3)", {}, "is broken: SystemExit: 3, at "),
        ("stops", "raise KeyboardInterrupt", {}, "is broken: KeyboardInterrupt, at "),
        (
            "fails",
            "raise OSError('lib.so:\\n  no such file')",
            {},
            "is broken: OSError: lib.so: no such file, at ",
        ),
        ("lists", "lists = list", {}, "is broken: lists_engine:lists is not a subclass of Engine; "),
        ("empty", "", {}, "is broken: AttributeError: "),
        (
            "wants",
            "import absent_library",
            {},
            "needs absent_library, which is not installed; run: pip install absent_",
        ),
        (
            "hints",
            "import absent_library",
            {"more": ", requires='ask for it'"},
            "needs absent_library, which is not installed; ask for it",
        ),
        ("inner", "import inner_engine.absent", {}, "is broken: ModuleNotFoundError: "),
        (
            "older",
            "import charkit.absent",
            {},
            "is broken: ModuleNotFoundError: No module named 'charkit.absent'",
        ),
        ("early", "", {"plugin": "raise SystemExit(4)"}, "is broken: SystemExit: 4, at "),
        ("nohook", "", {"plugin": ""}, "is broken: its module must implement charkit_engine"),
    ],
)
def test_what_is_said_of_one_that_can_not_be_used(
    install: Install, name: str, engine: str, more: dict[str, str], expected: str
) -> None:
    install(name, engine, **more)
    with pytest.raises(charkit.EngineError) as caught:
        find_engine(name)
    assert str(caught.value).startswith(f"engine {name!r} ({name}) {expected}")
    if "is broken" in expected:
        assert str(caught.value).endswith("; reinstall it, or choose another `engine`")


def test_an_unknown_engine_is_named_with_those_there_are_and_how_to_install_more(
    toolkit: Toolkit, text_file: Path
) -> None:
    with pytest.raises(charkit.EngineError) as caught:
        find_engine("loca")
    message = str(caught.value)
    assert message.startswith("unknown engine 'loca' (did you mean 'local'?); installed engines: ")
    assert message.endswith(
        "; to install one of charkit's own engines, run this in charkit's source directory: "
        "pip install . ./engines/NAME"
    )
    said = toolkit.error("train", text_file, *TINY, "--workers", "2", "--engine", "loca")
    assert said.startswith("unknown engine 'loca'")
