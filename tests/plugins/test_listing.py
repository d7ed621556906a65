"""``toolkit backends`` with the good and the bad installed together: each is a row, with what is wrong with it."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from charkit.hookspecs import CONTRACT_CHANGES
from charkit.plugins import probe
from plugin_support import InstalledSite, wait_until

Row = dict[str, Any]
#: Seconds for both listings on a busy machine; a quiet one takes 20.
PATIENCE_SECONDS = 400.0
#: What each distribution's row holds: its status, and parts of the reason.
EXPECTED: dict[str, tuple[str, list[str]]] = {
    "contested": (
        "conflicting",
        ["'contested' is claimed by charkit-contested 1.0 and charkit-usurper 1.0; uninstall all but one"],
    ),
    "contract-1-0": ("usable", []),
    "curious": ("usable", []),
    "exits": ("broken", ["its process ended with status 9 on import: out of beads"]),
    "fails-factory": ("broken", ["(charkit-fails-factory 1.0)", "OSError: libabacus.so.1: cannot open"]),
    "fails-plugin": ("broken", ["(charkit-fails-plugin 1.0)", "RuntimeError: the abacus has no beads"]),
    "crashes": ("usable", []),
    "forgets": ("usable", []),
    "good": ("usable", []),
    "hangs": ("timed out", ["did not respond within 10 s (it was at ", "charkit_hangs/plugin.py:"]),
    "incomplete": ("broken", ["incomplete: it lacks build_loss, differentiate"]),
    "killed": ("broken", ["killed by signal 9 (SIGKILL) on import"]),
    "later": (
        "wrong version",
        ["implements contract version 2, but this version of charkit supports 1; upgrade charkit"],
    ),
    "missing": (
        "framework missing",
        [
            "needs abacus-that-is-not-there[beads]>=3,<4, which is not installed; "
            "run: pip install 'abacus-that-is-not-there[beads]>=3,<4'"
        ],
    ),
    "older": (
        "wrong version",
        ["implements contract version 0", f"changes in version 1: {CONTRACT_CHANGES[1]}"],
    ),
    "other-charkit": ("wrong version", ["needs charkit>=99,<100, but charkit 0."]),
    "prints": ("usable", []),
    "rounds": ("usable", []),
    "segfaults": (
        "broken",
        ["killed by signal 11 (SIGSEGV) on import, at ", "charkit_segfaults/backend.py:"],
    ),
    "slow": ("timed out", ["did not respond within 10 s", "a slow backend can still be used"]),
    "too-old": ("wrong version", ["needs numpy>=99,<100, but numpy ", "; run: pip install 'numpy>=99,<100'"]),
    "usurper": ("conflicting", ["uninstall all but one"]),
}


class Listing(NamedTuple):
    """What ``toolkit backends`` printed: the rows of its JSON by distribution, and the text."""

    rows: dict[str, Row]
    text: str
    log: str


@pytest.fixture(scope="module")
def listing(everything: InstalledSite) -> Listing:
    """Both forms, made side by side, since each waits for those that hang."""
    processes = [everything.start("backends", "--json"), everything.start("backends")]
    try:
        (printed, log), (text, _) = (process.communicate(timeout=PATIENCE_SECONDS) for process in processes)
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0]
    assert printed.count("\n") == 1
    return Listing({row["distribution"]: row for row in json.loads(printed)["backends"]}, text, log)


def test_no_distribution_is_forgotten(listing: Listing, distributions: Path) -> None:
    names = {folder.name for folder in distributions.iterdir()}
    assert set(EXPECTED) == names
    assert {f"charkit-{name}" for name in names} | {"charkit"} <= set(listing.rows)


@pytest.mark.parametrize("name", EXPECTED)
def test_it_has_its_row(listing: Listing, name: str) -> None:
    status, words = EXPECTED[name]
    row = listing.rows[f"charkit-{name}"]
    assert (row["status"], row["version"]) == (status, "1.0"), row
    assert [word for word in words if word not in row["reason"]] == [], row["reason"]
    if status == "usable":
        assert (row["devices"], row["precisions"], row["reason"]) == (["cpu"], ["float32", "float64"], "")
        assert row["capabilities"] == ([] if name == "contract-1-0" else ["weight_decay"])
    else:
        assert (row["devices"], row["precisions"], row["capabilities"]) == ([], [], [])
        assert row["reason"]
        assert "\n" not in row["reason"]


@pytest.mark.parametrize("name", EXPECTED)
def test_the_table_says_the_same(listing: Listing, name: str) -> None:
    row = listing.rows[f"charkit-{name}"]
    in_table = [line for line in listing.text.splitlines() if f"charkit-{name} 1.0 " in line + " "]
    assert any(line.split() and row["name"] in line and row["status"] in line for line in in_table)
    if row["reason"]:
        assert sum(row["reason"] in line for line in listing.text.splitlines()) == 1


def test_a_line_says_who_has_a_capability(listing: Listing) -> None:
    (line,) = [line for line in listing.text.splitlines() if line.startswith("capability ")]
    having, _, lacking = line.removeprefix("capability weight_decay: ").partition("; not declared by ")
    assert {"good", "numpy", "rounds"} <= set(having.split(", "))
    assert lacking == "plain10"


def test_the_rest_is_untouched(listing: Listing) -> None:
    assert listing.rows["charkit"]["status"] == "usable"
    assert "from plugin.py" not in listing.text
    assert "depths" not in listing.text + listing.log


def test_a_longer_limit_gives_a_slow_one_its_time(
    tmp_path: Path, distributions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = InstalledSite(tmp_path / "site").install(distributions / "slow")
    monkeypatch.setenv("SLOW_SECONDS", "3")
    statuses = [
        next(row["status"] for row in site.json("backends", *limit)["backends"] if row["name"] == "slow")
        for limit in (("--limit=2",), ())
    ]
    assert statuses == ["timed out", "usable"]


def test_an_interruption_ends_it_at_once(
    tmp_path: Path, distributions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = InstalledSite(tmp_path / "site").install(distributions / "hangs")
    hangs = tmp_path / "hangs"
    monkeypatch.setenv("HANGS_SINCE", str(hangs))
    process = site.start("backends", "--limit=600")
    try:
        wait_until(hangs.exists)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, printed) == (130, "")


def test_the_process_itself_says_whether_time_was_up() -> None:
    """On a busy machine the other process learns late that it begins, and its clock would show less than the limit."""
    stack = (
        'Thread 0x7f (most recent call first):\n  File "/site/charkit_hangs/plugin.py", line 9 in <module>\n'
    )
    status, reason = probe.describe_failure(
        probe.Ended(1, "", "beads, ", f"Timeout (0:00:10)!\n{stack}"), 10.0
    )
    assert status == "timed out"
    assert reason.startswith("did not respond within 10 s (it was at /site/charkit_hangs/plugin.py:9); ")
    status, reason = probe.describe_failure(probe.Ended(1, "", "no license\n", ""), 10.0)
    assert (status, reason) == ("broken", "its process ended with status 1 on import: no license")


def test_a_trial_that_nobody_ends_ends_itself(everything: InstalledSite) -> None:
    outcome = everything.python("-m", "charkit.plugins.probe_worker", "hangs", "1")
    assert outcome.status == 1
    assert "charkit_hangs/plugin.py" in outcome.err
