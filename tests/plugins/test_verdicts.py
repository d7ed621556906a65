"""``toolkit verify`` on faults that a listing does not show: each is located and named."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from plugin_support import InstalledSite


def failures(site: InstalledSite, backend: str, *arguments: str) -> list[dict[str, Any]]:
    """The checks that fail."""
    outcome = site("verify", "--backend", backend, "--json", *arguments)
    assert outcome.status == 1, outcome
    verdict = json.loads(outcome.out)
    assert verdict["passed"] is False
    return [check for check in verdict["checks"] if check["status"] == "failed"]


def test_float32_where_float64_was_asked(everything: InstalledSite) -> None:
    failed = failures(everything, "rounds")
    assert {check["stage"] for check in failed} == {"build"}
    weights = next(check for check in failed if check["name"] == "weights_out_equal_weights_in")
    assert "float64" in weights["expected"]
    assert weights["got"].startswith("in float64: an array of dtype float32 ")


def test_a_dropped_state(everything: InstalledSite) -> None:
    failed = failures(everything, "forgets", "--stage=build", "--stage=forward", "--stage=loss")
    assert {check["stage"] for check in failed} == {"forward"}
    assert "state_is_carried" in {check["name"] for check in failed}
    text = everything("verify", "--backend", "forgets", "--stage=forward").out
    assert "it looks like a dropped state: the returned state is zero" in text


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("incomplete", "it lacks build_loss, differentiate"),
        ("too-old", "needs numpy>=99,<100, but numpy "),
        ("missing", "needs abacus-that-is-not-there[beads]>=3,<4"),
        ("older", "implements contract version 0"),
        ("fails-factory", "OSError: libabacus.so.1"),
    ],
)
def test_one_that_cannot_be_had_fails_at_the_first_stage(
    everything: InstalledSite, backend: str, words: str
) -> None:
    outcome = everything("verify", "--backend", backend, "--json", "--stage=import")
    checks = json.loads(outcome.out)["checks"]
    (found,) = [check for check in checks if check["name"] == "plugin_is_found"]
    assert (outcome.status, found["status"]) == (1, "failed")
    assert words in found["got"]
    place = "plugin.py and the entry point" if backend == "older" else "backend.py: the class"
    assert place in found["look_at"]
    assert {check["got"] for check in checks if check["status"] == "not run"} == {
        "not run: the backend's class can't be loaded"
    }


def test_a_good_one_passes(everything: InstalledSite) -> None:
    verdict = everything.json(
        "verify", "--backend", "good", "--stage=import", "--stage=build", "--stage=forward"
    )
    assert verdict["passed"] is True


def test_a_verdict_is_one_object_whatever_a_plugin_prints(everything: InstalledSite) -> None:
    assert everything.json("verify", "--backend", "prints", "--stage=import")["passed"] is True


def test_one_that_crashes_in_a_check_leaves_a_line(everything: InstalledSite) -> None:
    outcome = everything("verify", "--backend", "crashes", "--stage=build", "--stage=forward")
    assert outcome.status == -signal.SIGSEGV
    assert outcome.out.startswith("ok    build")  # what had passed stands
    assert outcome.err.splitlines()[-1] == (
        "error: this process ended in stage forward, check one_layer (float32), without an exception: crashes or "
        "its framework crashed or exited, or the system killed the process, as it does when memory runs out"
    )


def test_one_whose_module_raises_is_traced_to_its_line(everything: InstalledSite) -> None:
    (failed, *_) = failures(everything, "fails-factory", "--stage=import")
    assert "OSError: libabacus.so.1" in failed["got"]
    text = everything("verify", "--backend", "fails-factory", "--stage=import").out
    assert "charkit_fails_factory/backend.py:" in text
