"""Every check fails on a planted fault, and the known mistakes are named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from charkit.testing import CheckResult, Subject, all_checks, run_check
from charkit_numpy.backend import NumpyBackend
from conformance import (
    backend_faults,
    capability_faults,
    failed_call_faults,
    faults,
    optimizer_faults,
)
from conformance.planted import FAULTS, TESTED_SEPARATELY
from conformance.planted_fault import Fault

CHECKS = {check.name: check for check in all_checks()}


def _pairs() -> Iterator[Any]:
    for fault in FAULTS:
        for check in fault.fails:
            yield pytest.param(fault, check, id=f"{fault.what}-{check}")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that never ends is given up soon."""
    monkeypatch.setattr("charkit.testing.checks.side_effects._TIMEOUT_SECONDS", 5.0)


def _judge(check: str, backend: type[NumpyBackend]) -> CheckResult:
    return run_check(CHECKS[check], Subject("numpy", faults.make(backend)))


@pytest.mark.parametrize(("fault", "check"), list(_pairs()))
def test_fault_is_found_and_named(fault: Fault, check: str) -> None:
    result = _judge(check, fault.backend)
    assert not result.passed
    assert result.expected
    assert result.got
    assert result.look_at
    assert fault.named in result.look_at
    named = re.match("it looks like .+?; see", result.look_at)
    assert named is None or (fault.named and fault.named in named[0]), "no other name than the expected one"


def test_every_check_fails_on_some_fault() -> None:
    caught = {check for fault in FAULTS for check in fault.fails} | TESTED_SEPARATELY.keys()
    assert caught == set(CHECKS)


def test_every_check_passes_on_plain_adam() -> None:
    """The optimizers that the faults are made from are right: what fails is the fault, not its frame."""
    without, right = (
        faults.optimizer(optimizer_faults.Adam),
        capability_faults.optimizer(capability_faults.AdamW),
    )
    for check in CHECKS.values():
        if check.stage == "optimizer":
            assert _judge(check.name, right).passed, check.name
            assert _judge(check.name, without).status == ("not declared" if check.capability else "passed")


def test_code_that_cleans_up_is_not_interrupted() -> None:
    assert _judge("calls_after_an_interruption", failed_call_faults.CleansUpInFunctions).passed


def test_unknown_backend_is_told() -> None:
    result = run_check(CHECKS["plugin_is_found"], Subject("numpi"))
    assert not result.passed
    assert "did you mean 'numpy'?" in result.got


def test_plugin_module_that_imports_a_framework(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin on the path whose plugin module imports a heavy package that is not its own."""
    (tmp_path / "heavyframework.py").write_text("")
    (tmp_path / "heavyplugin.py").write_text(
        "import heavyframework\n"
        "from charkit.hookspecs import BackendInfo, hookimpl\n"
        "@hookimpl\n"
        "def charkit_backend():\n"
        "    return BackendInfo('heavy', 'charkit_numpy.backend:NumpyBackend', 'imports too much')\n"
    )
    metadata = tmp_path / "heavyplugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: heavyplugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[charkit.backends]\nheavy = heavyplugin\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    result = _judge_plugin_module("heavy")
    assert not result.passed
    assert result.got == "it imports heavyframework"


def _judge_plugin_module(name: str) -> CheckResult:
    subject = Subject(name)
    try:
        return run_check(CHECKS["plugin_module_is_light"], subject)
    finally:
        subject.end()


def test_a_plugin_module_that_can_not_be_imported_elsewhere() -> None:
    result = _judge_plugin_module("not-installed")
    assert not result.passed
    assert "not-installed" in result.got
    assert result.look_at == "plugin.py and the entry point in pyproject.toml"


def test_gradients_that_change_the_weights() -> None:
    def wrap(inner: Any, weights: Any, *rest: Any) -> Any:
        result = inner(weights, *rest)
        weights["output.bias"] += 1e-3
        return result

    result = _judge("gradients_change_nothing", faults.gradients(wrap))
    assert not result.passed
    assert result.expected == "unchanged weights and state"


def test_a_line_of_a_file_and_a_port_are_no_devices() -> None:
    class Notices(NumpyBackend):
        def notices(self) -> tuple[str, ...]:
            return ("slow path, see kernels.py:35 or http://localhost:8080",)

    assert _judge("reports_match_the_device", Notices).passed


def test_exception_in_the_backend_is_a_failure_with_its_place() -> None:
    result = _judge("one_layer", backend_faults.Raising)
    assert not result.passed
    assert result.got == "ZeroDivisionError: planted in the LSTM"
    assert f"{Path(faults.__file__).name}:" in result.look_at
    assert "in broken" in result.look_at


def test_an_optimizer_that_changes_with_use_is_found() -> None:
    """The checks share an optimizer, so one that goes wrong after some updates is found by a later check."""

    class Tiring(optimizer_faults.Adam):
        def change(self, mean: Any, square: Any, rates: Any) -> Any:
            tired = next(self.calls) > 57  # one call for each of five arrays and each update
            return super().change(mean, square, rates) * (0.5 if tired else 1.0)

    subject = Subject("numpy", faults.make(faults.optimizer(Tiring)))
    results = [
        run_check(CHECKS[name], subject)
        for name in ("ten_steps_of_adam", "first_step_of_adam", "bias_corrections_come_from_the_rates")
    ]
    assert [result.passed for result in results] == [True, True, False]
    assert "whether or not it has been used before" in results[-1].expected
