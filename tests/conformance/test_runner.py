"""Stages, results and the JSON of a verdict; what the kit does when it is used wrongly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import charkit
from charkit.errors import ConfigurationError
from charkit.testing import (
    STAGES,
    Check,
    CheckResult,
    Subject,
    all_checks,
    as_json,
    run_check,
    run_checks,
    verdict_passed,
)
from charkit_numpy.backend import NumpyBackend
from conformance import backend_faults, faults


def test_numpy_passes_and_is_reported_in_order() -> None:
    heard: list[CheckResult] = []
    results = run_checks("numpy", heard.append)
    assert results == heard
    assert [(result.stage, result.name) for result in results] == [
        (check.stage, check.name) for check in all_checks()
    ]
    assert list(dict.fromkeys(result.stage for result in results)) == list(STAGES)
    assert {result.status for result in results} == {"passed", "not declared"}
    assert all(result.got == "" for result in results if result.passed)


def test_what_a_backend_does_not_declare_is_neither_passed_nor_failed() -> None:
    results = run_checks("numpy", stages=["forward"])
    undeclared, *others = [result for result in results if result.status == "not declared"]
    assert undeclared.name == "bfloat16_is_not_float32"
    assert [result.name for result in others] == ["logits_are_not_rounded"]
    assert undeclared.got == "not declared: bfloat16 is not among the backend's precisions"
    assert not undeclared.passed
    assert verdict_passed(results)
    assert not verdict_passed([undeclared])
    assert as_json("numpy", results)["passed"] is True
    listed = {check["name"]: check for check in as_json("numpy", results)["checks"]}
    assert listed["bfloat16_is_not_float32"]["status"] == "not declared"
    assert listed["bfloat16_is_not_float32"]["passed"] is False


def test_a_check_of_a_capability_runs_only_where_it_is_declared() -> None:
    met: list[str] = []

    def run(subject: Subject, on_precision: Any) -> None:
        met.append(subject.name)

    check = Check("build", "juggles", "It juggles.", run, capability="juggling")
    result = run_check(check, Subject("numpy"))
    assert (result.status, met) == ("not declared", [])
    assert result.got == "not declared: capability juggling is not among the backend's capabilities"
    juggler = type("Juggler", (NumpyBackend,), {"capabilities": frozenset({"juggling"})})
    assert run_check(check, Subject("numpy", faults.make(juggler))).passed
    assert met == ["numpy"]


def test_a_check_runs_in_float32_first() -> None:
    precisions: list[str] = []
    check = next(check for check in all_checks() if check.name == "three_layers")
    assert run_check(check, Subject("numpy"), precisions.append).passed
    assert precisions == ["float32", "float64"]


def test_stages_on_a_failed_one_are_not_run() -> None:
    subject = Subject("numpy", faults.make(backend_faults.Raising))
    results = run_checks(subject, stages=["build", "forward", "loss", "gradients", "optimizer", "training"])
    got = {result.stage: result.got for result in results}
    assert got["loss"] == got["gradients"] == got["training"] == "not run: stage forward failed first"
    statuses = {
        stage: {result.status for result in results if result.stage == stage} - {"not declared"}
        for stage in STAGES
    }
    assert statuses["build"] == statuses["optimizer"] == {"passed"}
    assert statuses["loss"] == statuses["gradients"] == statuses["training"] == {"not run"}
    assert not verdict_passed([result for result in results if result.status != "failed"])


def test_stages_are_those_asked_for() -> None:
    assert {result.stage for result in run_checks("numpy", stages=["loss", "forward"])} == {"forward", "loss"}


@pytest.mark.parametrize("stages", [[], ["forwards"]])
def test_unknown_or_no_stages_are_refused(stages: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="one or more of import, build, forward"):
        run_checks("numpy", stages=stages)


@pytest.mark.parametrize(("stage", "shown"), [(None, "None"), (3, "3"), (["loss"], "['loss']"), ("", "''")])
def test_what_is_no_stage_is_shown(stage: Any, shown: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        charkit.verify("numpy", stages=["loss", stage])
    assert str(error.value).startswith("`stages` must be one or more of import, build, ")
    assert str(error.value).endswith(f"; given {shown}")


def test_one_stage_may_be_named_without_a_list() -> None:
    found = charkit.verify("numpy", stages="forward")
    assert {result.stage for result in found.checks} == {"forward"}
    assert found.passed
    assert found.verified_with == ""
    with pytest.raises(
        ConfigurationError, match=r"^`stages` must be one or more of import, build, .*; given forwards$"
    ):
        charkit.verify("numpy", stages="forwards")
    with pytest.raises(
        ConfigurationError, match=r"^`stages` takes names of stages, such as 'import'; given 5$"
    ):
        charkit.verify("numpy", stages=5)  # type: ignore[arg-type]


def test_a_right_backend_passes_where_numpy_raises_errors() -> None:
    with np.errstate(all="raise"):  # as a user sets it with np.seterr
        results = run_checks("numpy", stages=["loss", "gradients", "optimizer"])
    assert [result.name for result in results if result.status == "failed"] == []


def test_a_version_may_have_the_name_of_an_unrelated_distribution(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is not imported computes nothing: "kernels" is this backend's own entry."""

    class NamesItsKernels(NumpyBackend):
        def versions(self) -> dict[str, str]:
            return {**super().versions(), "kernels": "2024.1"}

    installed = tmp_path / "kernels-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: kernels\nVersion: 1.0\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    subject = Subject("numpy", faults.make(NamesItsKernels))
    assert _failed(subject) == []
    monkeypatch.setitem(sys.modules, "kernels", ModuleType("kernels"))
    assert _failed(subject) == ["versions_are_reported"]


def _failed(subject: Subject) -> list[str]:
    return [result.name for result in run_checks(subject, stages=["build"]) if result.status == "failed"]


def test_unknown_backend_fails_at_the_first_stage() -> None:
    first, *rest = run_checks("nobody")
    assert not first.passed
    assert "unknown backend 'nobody'" in first.got
    assert all(not result.passed for result in rest)


def test_lists_in_place_of_arrays_are_blamed_on_numpy() -> None:
    class ReturningLists(NumpyBackend):
        def numpy(self, tensor: Any) -> Any:
            return super().numpy(tensor).tolist()

    results = run_checks(Subject("numpy", faults.make(ReturningLists)), stages=["build"])
    for name in ("arrays_in_are_copies", "arrays_out_are_copies"):
        (result,) = [each for each in results if each.name == name]
        assert "a list of " in result.got
        assert "changed" not in result.got
        assert "read-only" not in result.got
        assert "numpy()" in result.look_at


def test_json_of_a_verdict() -> None:
    results = run_checks(Subject("numpy", faults.make(backend_faults.NotCopyingOut)), stages=["build"])
    verdict = json.loads(json.dumps(as_json("numpy", results)))
    assert verdict["backend"] == "numpy"
    assert verdict["passed"] is False
    failed = [check for check in verdict["checks"] if not check["passed"]]
    assert [(check["stage"], check["name"]) for check in failed] == [("build", "arrays_out_are_copies")]
    assert set(failed[0]) == {"stage", "name", "status", "passed", "expected", "got", "look_at"}
    assert failed[0]["look_at"].startswith("backend.py: numpy()")
    assert failed[0]["status"] == "failed"


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
