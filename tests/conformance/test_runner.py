"""Stages, results and the JSON of a verdict; what the kit does when it is used wrongly."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from charkit.errors import ConfigurationError
from charkit.testing import STAGES, CheckResult, Subject, all_checks, as_json, run_checks
from conformance import faults


def test_numpy_passes_and_is_reported_in_order() -> None:
    heard: list[CheckResult] = []
    results = run_checks("numpy", heard.append)
    assert results == heard
    assert [(result.stage, result.name) for result in results] == [
        (check.stage, check.name) for check in all_checks()
    ]
    assert list(dict.fromkeys(result.stage for result in results)) == list(STAGES)
    assert all(result.passed and result.got == "" for result in results)


def test_stages_on_a_failed_one_are_told_as_not_run() -> None:
    subject = Subject("numpy", faults.make(faults.Raising))
    results = run_checks(subject, stages=["build", "forward", "loss", "gradients", "optimiser", "training"])
    got = {result.stage: result.got for result in results}
    assert got["loss"] == got["gradients"] == got["training"] == "not run: stage forward failed first"
    assert all(result.passed for result in results if result.stage in {"build", "optimiser"})
    assert not any(result.passed for result in results if result.stage in {"loss", "gradients", "training"})


def test_stages_are_those_asked_for() -> None:
    assert {result.stage for result in run_checks("numpy", stages=["loss", "forward"])} == {"forward", "loss"}


@pytest.mark.parametrize("stages", [[], ["forwards"]])
def test_unknown_or_no_stages_are_refused(stages: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="stages are import, build, forward"):
        run_checks("numpy", stages=stages)


def test_unknown_backend_fails_at_the_first_stage() -> None:
    first, *rest = run_checks("nobody")
    assert not first.passed
    assert "unknown backend 'nobody'" in first.got
    assert all(not result.passed for result in rest)


def test_json_of_a_verdict() -> None:
    results = run_checks(Subject("numpy", faults.make(faults.NotCopyingOut)), stages=["build"])
    verdict = json.loads(json.dumps(as_json("numpy", results)))
    assert verdict["backend"] == "numpy"
    assert verdict["passed"] is False
    failed = [check for check in verdict["checks"] if not check["passed"]]
    assert [(check["stage"], check["name"]) for check in failed] == [("build", "arrays_out_are_copies")]
    assert set(failed[0]) == {"stage", "name", "passed", "expected", "got"}


def test_a_verdict_on_nothing_is_no_pass() -> None:
    assert as_json("numpy", [])["passed"] is False


def test_every_stage_has_checks() -> None:
    assert {check.stage for check in all_checks()} == set(STAGES)


def test_the_kit_without_pytest() -> None:
    """charkit.testing runs where pytest is not installed, and brings in no backend by itself."""
    code = (
        "import sys; sys.modules['pytest'] = None; import charkit.testing; charkit.testing.all_checks();"
        "assert not any(name.startswith('charkit_') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
