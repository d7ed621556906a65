"""Backends that are unknown, broken, in conflict or lack something; made-up distributions play the plugins."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pytest

import charkit
from charkit.plugins import find
from charkit.plugins.probe import probe
from cli_support import TINY, Install, Toolkit, lines_of

PLUGIN = """
from charkit.hookspecs import BackendInfo, hookimpl

@hookimpl
def charkit_backend():
    return BackendInfo({info})
"""
HOOK = "from charkit import hookimpl\n@hookimpl\ndef charkit_backend():\n"
#: The NumPy backend under another name, with a device and a precision that no other has.
SOUND = """
from charkit_numpy.backend import NumpyBackend

class Sound(NumpyBackend):
    name = "sound"
    precisions = frozenset({"float32", "bfloat16"})

    @classmethod
    def devices(cls):
        return ["cpu", "abacus:0"]
"""


def plugin(name: str, *, factory: str = "MODULE.backend:Sound", more: str = "") -> str:
    """The source of a plugin module."""
    return PLUGIN.format(info=f'name="{name}", factory="{factory}", summary="made up"{more}')


def sound_as(name: str) -> str:
    """The source of a backend that works, under that name."""
    return SOUND.replace('name = "sound"', f'name = "{name}"')


@pytest.fixture
def sound(install: Install) -> None:
    """A backend that works."""
    install("sound", plugin("sound"), SOUND)


def test_unknown_backend_names_those_there_are_and_how_to_install_the_first_party_ones(
    toolkit: Toolkit, text_file: Path, sound: None
) -> None:
    message = toolkit.error("train", text_file, "--backend", "soun")
    assert message.startswith("unknown backend 'soun' (did you mean 'sound'?); installed backends: ")
    names = message.split("installed backends: ")[1].split("; ")[0].split(", ")
    assert {"numpy", "sound"} <= set(names)
    assert "pip install . ./backends/" in message


def test_a_plugin_is_as_good_as_a_first_party_backend(toolkit: Toolkit, text_file: Path, sound: None) -> None:
    toolkit.ok("train", text_file, *TINY, "--max-steps", "2", "--backend", "sound", "--run", "r")
    toolkit.ok("sample", "r", "--backend", "sound", "--device", "abacus:0", "--length", "5")


@pytest.mark.parametrize(
    ("source", "backend", "words"),
    [
        (
            plugin("odd", more=', requires="pip install abacus"'),
            "import abacus_that_is_not_there",
            ["needs abacus_that_is_not_there, which is not installed; run: pip install abacus"],
        ),
        (plugin("odd"), "import abacus_that_is_not_there", ["pip install abacus_that_is_not_there"]),
        (plugin("odd"), "import charkit.nothing", ["is broken: ModuleNotFoundError"]),
        (plugin("odd"), "raise OSError('lib.so:\\n  no such file')", ["broken: OSError: lib.so: no such file"]),
        (plugin("odd"), "raise SystemExit(3)", ["broken: SystemExit: 3"]),
        (plugin("odd"), "", ["broken: AttributeError"]),
        (plugin("odd"), "Sound = int", ["MODULE.backend:Sound is not a subclass of Backend"]),
        (plugin("odd", factory="MODULE.elsewhere:Sound"), "", ["broken: ModuleNotFoundError"]),
        (plugin("odd", factory="nonsense"), "", ["broken"]),
        (
            plugin("odd"),
            "from charkit import Backend\nclass Sound(Backend):\n    def build_lstm(self, model): ...\n",
            ["is incomplete: it lacks build_loss, build_optimizer, build_output", "name, precisions"],
        ),
        (
            plugin("odd"),
            sound_as("odd") + "    capabilities = 'weight_decay'\n",
            ["is broken: its capabilities must be a frozenset of names; got 'weight_decay'"],
        ),
        (plugin("odd", more=", api=2"), SOUND, ["version 2, but this version of charkit supports 1; upgrade"]),
        (plugin("odd", more=", api=0"), SOUND, ["implements contract version 0", "the author of charkit-odd for"]),
        (plugin("odd"), SOUND, ["MODULE.backend:Sound has name='sound', but its entry point is named 'odd'"]),
        (plugin("even"), SOUND, ["its hook returns name='even', but its entry point is named 'odd'"]),
        ("import nothing_of_that_name", "", ["broken: ModuleNotFoundError: No module named 'nothing_of_that_name'"]),
        ("syntax error", "", ["broken: SyntaxError"]),
        ("", "", ["must implement charkit_backend", "@hookimpl"]),
        (plugin("odd").replace("charkit_backend", "charkit_backened"), "", ["broken"]),
        (HOOK + "    return 7\n", "", ["return a BackendInfo; got [7]"]),
        (HOOK + "    1 / 0\n", "", ["broken: ZeroDivisionError: division by zero"]),
    ],
)  # fmt: skip
def test_broken_backend(
    toolkit: Toolkit, text_file: Path, install: Install, source: str, backend: str, words: list[str]
) -> None:
    install("odd", source, backend)
    message = toolkit.error("train", text_file, *TINY, "--backend", "odd")
    assert message.startswith("backend 'odd' (charkit-odd 1.0)")
    for each in words:
        assert each.replace("MODULE", "charkit_odd") in message


def test_a_broken_backend_breaks_nothing_else(toolkit: Toolkit, text_file: Path, install: Install) -> None:
    install("odd", "raise RuntimeError('I was loaded')")
    toolkit.ok("train", text_file, *TINY, "--max-steps", "2")
    toolkit.ok("train", "--help")
    assert "charkit_odd.plugin" not in sys.modules


def test_a_name_claimed_twice_names_both(
    toolkit: Toolkit, text_file: Path, sound: None, install: Install
) -> None:
    install("sound", plugin("sound"), SOUND, distribution="charkit-louder")
    message = toolkit.error("train", text_file, "--backend", "sound")
    assert message.startswith("backend 'sound' is claimed by ")
    assert "charkit-sound 1.0" in message
    assert "charkit-louder 1.0" in message
    assert message.endswith("uninstall all but one")


def test_a_capability_that_is_lacking_names_who_has_it(
    toolkit: Toolkit, text_file: Path, sound: None, run: Path
) -> None:
    message = toolkit.error("train", text_file, "--precision", "bfloat16")
    assert message.startswith(
        "backend 'numpy' doesn't support precision 'bfloat16'; it supports float32, float64; "
    )
    assert "sound" in message
    message = toolkit.error("sample", run, "--device", "abacus:0")
    assert (
        message
        == "backend 'numpy' has no device 'abacus:0' here; it has cpu; sound supports it; use --backend sound, for "
        "example"
    )
    message = toolkit.error("evaluate", run, "--device", "cuda:99")
    assert message.endswith(
        "no other installed backend supports it; a GPU needs a framework that was installed with GPU support"
    )
    message = toolkit.error("evaluate", run, "--device", "abacus:1")
    assert message.endswith("no other installed backend supports it")


def test_cuda_is_the_first_device_of_that_kind(toolkit: Toolkit, text_file: Path, install: Install) -> None:
    install("sound", plugin("sound"), SOUND.replace("abacus:0", "cuda:0"))
    toolkit.ok(
        "train", text_file, *TINY, "--max-steps=2", "--backend=sound", "--device=cuda", "--run=on-a-gpu"
    )
    assert lines_of(Path("on-a-gpu/sessions.jsonl"))[0]["device"] == "cuda:0"
    message = toolkit.error("train", text_file, "--device=cuda")
    assert (
        message
        == "backend 'numpy' has no device 'cuda' here; it has cpu; sound supports it; use --backend sound, for example"
    )
    verified = charkit.verify("sound", device="cuda", stages=["build"])
    kept = [check.status for check in verified.checks if check.name == "settings_are_kept"]
    assert kept == ["passed"]


def test_backends_lists_each_with_its_state(toolkit: Toolkit, sound: None, install: Install) -> None:
    install("absent", plugin("absent"), "import abacus_that_is_not_there")
    install("noisy", plugin("noisy"), "print('{}')\nimport os\nos.write(1, b'{}')\n" + sound_as("noisy"))
    install("dies", plugin("dies"), "import os\nos.write(2, b'out of beads')\nos._exit(9)")
    install("loud", plugin("loud"), sound_as("loud"))
    install("loud", plugin("loud"), sound_as("loud"), distribution="charkit-louder")
    rows = toolkit.json("backends")["backends"]
    keys = ["name", "status", "distribution", "version", "devices", "precisions", "capabilities", "reason"]
    assert all(list(row) == [*keys, "summary", "verified"] for row in rows)
    by_name = {(row["name"], row["distribution"]): row for row in rows}
    assert by_name["numpy", "charkit"]["status"] == "usable"
    assert by_name["sound", "charkit-sound"] == {
        "name": "sound",
        "status": "usable",
        "distribution": "charkit-sound",
        "version": "1.0",
        "devices": ["cpu", "abacus:0"],
        "precisions": ["bfloat16", "float32"],
        "capabilities": ["weight_decay"],
        "reason": "",
        "summary": "made up",
        "verified": "",
    }
    assert by_name["noisy", "charkit-noisy"]["status"] == "usable"
    assert by_name["absent", "charkit-absent"]["status"] == "framework missing"
    assert "pip install abacus_that_is_not_there" in by_name["absent", "charkit-absent"]["reason"]
    assert by_name["dies", "charkit-dies"]["status"] == "broken"
    assert "status 9" in by_name["dies", "charkit-dies"]["reason"]
    assert "out of beads" in by_name["dies", "charkit-dies"]["reason"]
    assert (
        by_name["loud", "charkit-loud"]["status"]
        == by_name["loud", "charkit-louder"]["status"]
        == "conflicting"
    )


def test_backends_shows_what_each_was_verified_with(toolkit: Toolkit, sound: None, install: Install) -> None:
    stated = "charkit 0.1.0, abacus 3.2"
    install("stated", plugin("stated", more=f', verified="{stated}"'), sound_as("stated"))
    rows = {row["name"]: row["verified"] for row in toolkit.json("backends")["backends"]}
    assert (rows["stated"], rows["sound"]) == (stated, "")
    assert rows["numpy"].startswith("charkit 0.1.0, numpy ")
    lines = toolkit.ok("backends").out.splitlines()
    assert lines[lines.index("stated: made up") + 1] == f"  verified with {stated}"
    assert lines[lines.index("sound: made up") + 1] == "  doesn't state what it was verified with"


def test_backends_as_a_table_in_a_pipe_wraps_nothing(toolkit: Toolkit, install: Install) -> None:
    install("odd", plugin("odd"), f"raise OSError({'a long story ' * 20!r})")
    printed = toolkit.ok("backends").out
    assert "\x1b" not in printed
    assert any("a long story " * 19 in line for line in printed.splitlines())
    assert any(
        "numpy" in line and "usable" in line and "float32, float64" in line for line in printed.splitlines()
    )


@pytest.mark.parametrize("before", ["", "import os\nos.dup2(os.open(os.devnull, os.O_WRONLY), 2)\n"])
def test_a_backend_that_hangs_is_a_row(install: Install, before: str) -> None:
    install("slow", plugin("slow"), f"{before}import time\ntime.sleep(60)")
    row = probe(find("slow"), limit_seconds=2.0)
    assert row.status == "timed out"
    assert re.match(r"did not respond within 2 s \(it was at .*/charkit_slow/backend\.py:\d+\); ", row.reason)


def test_a_backend_that_never_stops_talking_is_a_row(install: Install) -> None:
    install("chatty", plugin("chatty"), "import os\nwhile True:\n    os.write(1, b'beads, ' * 1000)")
    row = probe(find("chatty"), limit_seconds=2.0)
    assert row.status == "timed out"
    assert row.reason.startswith("did not respond within 2 s")


def test_what_a_backend_starts_is_not_waited_for_and_does_not_stay(install: Install, tmp_path: Path) -> None:
    beats = tmp_path / "beats"
    beats.touch()
    start = (
        f"import subprocess\nsubprocess.Popen(['sh', '-c', 'while echo >> {beats}; do sleep 0.1; done'])\n"
    )
    install("parent", plugin("parent"), start + sound_as("parent"))
    started = time.monotonic()
    row = probe(find("parent"), limit_seconds=20.0)
    assert (row.status, row.reason) == ("usable", "")
    assert time.monotonic() - started < 15
    ended = beats.stat().st_size
    assert ended > 0
    time.sleep(1)
    assert beats.stat().st_size == ended, "what it started is still there"


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("    @classmethod\n    def devices(cls):\n        raise OSError('no driver')", "can't list its devices"),
        (
            "    @classmethod\n    def devices(cls):\n        return []",
            "found no device that it can use on this machine",
        ),
        ("    def __init__(self, **options):\n        raise OSError('no driver')", "failed to start: OSError"),
    ],
)  # fmt: skip
def test_a_backend_whose_device_is_not_ready_is_one_line(
    toolkit: Toolkit, text_file: Path, install: Install, method: str, words: str
) -> None:
    source = "from charkit_numpy.backend import NumpyBackend\nclass Sound(NumpyBackend):\n    name = 'odd'\n"
    install("odd", plugin("odd"), source + method + "\n")
    message = toolkit.error("train", text_file, *TINY, "--backend", "odd")
    assert message.startswith("backend 'odd' (charkit-odd 1.0) ")
    assert words in message
