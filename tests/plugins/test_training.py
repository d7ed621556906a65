"""``toolkit train`` with the good and the bad installed together: one line for a bad one, and nothing made."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from cli_support import TINY, snapshot, wait_for, weights_of
from plugin_support import InstalledSite
from support import SMALL_TEXT

SHORT = (*TINY, "--max-steps=4")


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("fails-plugin", "backend 'fails-plugin' (charkit-fails-plugin 1.0) is broken: RuntimeError: the abacus"),
        ("fails-factory", "backend 'fails-factory' (charkit-fails-factory 1.0) is broken: OSError: libabacus.so.1"),
        (
            "contested",
            "backend 'contested' is claimed by charkit-contested 1.0 and charkit-usurper 1.0; uninstall all but one",
        ),
        ("later", "backend 'later' (charkit-later 1.0) implements contract version 2, but this version of charkit "),
        ("older", "backend 'older' (charkit-older 1.0) implements contract version 0, but this version of charkit "),
        ("incomplete", "backend 'incomplete' (charkit-incomplete 1.0) is incomplete: it lacks build_loss, diff"),
        ("missing", "backend 'missing' (charkit-missing 1.0) needs abacus-that-is-not-there[beads]>=3,<4, which"),
        ("too-old", "backend 'too-old' (charkit-too-old 1.0) needs numpy>=99,<100, but numpy "),
        ("other-charkit", "backend 'other-charkit' (charkit-other-charkit 1.0) needs charkit>=99,<100, but charkit "),
    ],
)  # fmt: skip
def test_a_bad_one_is_one_line(everything: InstalledSite, text_file: Path, backend: str, words: str) -> None:
    assert everything.error("train", text_file, *SHORT, "--backend", backend).startswith(words)


@pytest.mark.parametrize(
    ("backend", "status", "first"),
    [
        ("exits", 9, ["out of beads"]),
        ("segfaults", -signal.SIGSEGV, []),
        ("killed", -signal.SIGKILL, []),
    ],
)
def test_one_that_ends_the_process_leaves_a_line(
    everything: InstalledSite, text_file: Path, backend: str, status: int, first: list[str]
) -> None:
    outcome = everything("train", text_file, *SHORT, "--backend", backend)
    assert (outcome.status, outcome.out) == (status, "")
    assert outcome.err.splitlines() == [
        *first,
        f"error: this process ended while backend '{backend}' (charkit-{backend} 1.0) was loading; "
        "to find out why, run toolkit backends, which tries each backend in its own process",
    ]
    assert snapshot(Path.cwd()) == {}


@pytest.mark.parametrize(
    ("number", "status", "last"),
    [(signal.SIGINT, 130, "interrupted\n"), (signal.SIGTERM, 143, "terminated\n")],
)
def test_one_that_hangs_says_where_and_can_be_stopped(
    everything: InstalledSite, text_file: Path, number: signal.Signals, status: int, last: str
) -> None:
    child = everything.start("train", text_file, *SHORT, "--backend", "hangs")
    try:
        words = wait_for(child, "backend 'hangs' (charkit-hangs 1.0) is still loading after ")
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
    finally:
        child.kill()
    assert "charkit_hangs/plugin.py:" in words[-1]
    assert len(words) == 1
    assert (child.returncode, out, err) == (status, "", last)
    assert snapshot(Path.cwd()) == {}


def test_one_that_is_slow_says_so_and_trains(
    everything: InstalledSite, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW_SECONDS", "7")
    outcome = everything.ok("train", text_file, *SHORT, "--backend", "slow")
    assert outcome.err.count("is still loading") == 1
    assert "charkit_slow/backend.py:" in outcome.err.splitlines()[0]


@pytest.mark.parametrize("backend", ["numpy", "good", "prints"])
def test_the_others_are_as_good_as_ever(everything: InstalledSite, text_file: Path, backend: str) -> None:
    expected = InstalledSite(Path("nothing_installed"))
    expected.ok("train", text_file, *SHORT, "--run=expected")
    result = everything.json("train", text_file, *SHORT, "--run=found", "--backend", backend)
    assert result["step"] == 4
    assert weights_of(Path("found")) == weights_of(Path("expected"))
    sampled = [
        site("sample", "found", "--prime=The ", "--length=30", "--seed=1", "--backend", name)
        for site, name in ((expected, "numpy"), (everything, backend))
    ]
    assert [outcome.status for outcome in sampled] == [0, 0], sampled
    assert sampled[1].out == sampled[0].out != ""


def test_what_one_prints_is_not_lost(everything: InstalledSite) -> None:
    Path("small.txt").write_text(SMALL_TEXT, "utf-8")
    outcome = everything.ok("train", "small.txt", *SHORT, "--backend", "prints", "--json")
    for place in ("plugin.py", "the depths of plugin.py", "backend.py", "devices()", "__init__()"):
        assert f"{{}} from {place}\n" in outcome.err
