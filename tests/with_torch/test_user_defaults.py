"""A backend is found that follows the user's defaults in PyTorch, needs others, or sets PyTorch's threads."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from charkit.testing import CheckResult, Subject, all_checks, run_check

torch: Any = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
_MODES = 'torch.set_float32_matmul_precision("medium"), torch.autocast("cpu") and torch.inference_mode()'
_SWITCHES = 'torch.set_grad_enabled(False) and torch.set_deterministic_debug_mode("error")'

_PLUGIN = """
from charkit.hookspecs import BackendInfo, hookimpl


@hookimpl
def charkit_backend():
    return BackendInfo({name!r}, "charkit_of_users:{factory}", "made for a test")
"""
_BACKENDS = {
    "following": "Following",
    "on-default-device": "OnDefaultDevice",
    "needs-gradients": "NeedsGradients",
    "enables-gradients": "EnablesGradients",
    "on-default-device-with-many-symbols": "OnDefaultDeviceWithManySymbols",
    "with-products-of-the-user": "WithProductsOfTheUser",
    "exact-until-any-call-ends": "ExactUntilAnyCallEnds",
    "puts-precision-back": "PutsPrecisionBack",
    "with-autocast-of-the-user": "WithAutocastOfTheUser",
    "with-modes-of-the-user": "WithModesOfTheUser",
    "one-operation": "OneOperation",
    "without-a-deterministic-way": "WithoutADeterministicWay",
    "leaves-one-thread-in-mkl": "LeavesOneThreadInMkl",
    "remembers-the-threads": "RemembersTheThreads",
}


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installs the backends for this process and its children."""
    shutil.copyfile(Path(__file__).with_name("backends_of_users.py"), tmp_path / "charkit_of_users.py")
    entries = ["[charkit.backends]"]
    for name, factory in _BACKENDS.items():
        module = f"charkit_{factory.lower()}"
        (tmp_path / f"{module}.py").write_text(_PLUGIN.format(name=name, factory=factory), "utf-8")
        entries.append(f"{name} = {module}")
    metadata = tmp_path / "charkit_of_users-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: charkit-of-users\nVersion: 1.0\n", "utf-8"
    )
    (metadata / "entry_points.txt").write_text("\n".join(entries) + "\n", "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def _judge(check: str, backend: str) -> CheckResult:
    (wanted,) = (one for one in all_checks() if one.name == check)
    subject = Subject(backend)
    try:
        return run_check(wanted, subject)
    finally:
        subject.end()


def test_the_default_of_the_user_is_not_followed() -> None:
    result = _judge("user_defaults_do_not_matter", "following")
    assert result.got == "float64 arrays"
    assert "tensor()" in result.look_at


@pytest.mark.parametrize(
    ("backend", "default", "got"),
    [
        ("on-default-device", 'torch.set_default_device("meta")', "RuntimeError"),
        ("on-default-device-with-many-symbols", 'torch.set_default_device("meta")', "RuntimeError"),
        ("needs-gradients", _SWITCHES, "RuntimeError"),
        ("without-a-deterministic-way", _SWITCHES, "RuntimeError: put_ does not have a deterministic"),
        ("enables-gradients", _SWITCHES, "changed: torch.is_grad_enabled()"),
        ("with-products-of-the-user", _MODES, "different results: training"),
        (
            "exact-until-any-call-ends",
            _MODES,
            "different results: prediction after another call has ended (64 units)",
        ),
        (
            "puts-precision-back",
            'torch.backends.fp32_precision = "bf16"',
            "changed: torch.get_float32_matmul_precision() (or fp32_precision)",
        ),
        ("with-autocast-of-the-user", _MODES, "TypeError: Got unsupported ScalarType BFloat16"),
        ("with-modes-of-the-user", _MODES, "RuntimeError: "),
    ],
)
def test_further_defaults_of_the_user_are_not_followed(backend: str, default: str, got: str) -> None:
    if ("products" in backend or "exact" in backend) and not _rounds_products():
        pytest.skip("this processor multiplies float32 in float32 whatever the setting")
    if "precision" in backend and not hasattr(torch.backends, "fp32_precision"):
        pytest.skip("this release of PyTorch has one setting for all devices")
    result = _judge("user_defaults_do_not_matter", backend)
    assert result.expected == f"the same results and settings with the user's {default} in effect"
    assert result.got.startswith(got)


@pytest.mark.parametrize(
    ("backend", "changed"),
    [
        ("leaves-one-thread-in-mkl", "the number of threads of PyTorch's MKL"),
        ("one-operation", r"torch\.get_num_interop_threads\(\)"),
        ("remembers-the-threads", "the number of threads of lib(gomp|omp|iomp5)"),
    ],
)
def test_numbers_of_threads_that_change_are_found(backend: str, changed: str) -> None:
    if "mkl" in backend and not torch.backends.mkl.is_available():
        pytest.skip("this build of PyTorch has no MKL")
    result = _judge("process_settings_are_unchanged", backend)
    assert re.match(f"changed: {changed}", result.got)


def _rounds_products() -> bool:
    """Whether the user's setting has an effect on this processor."""
    matrix = torch.linspace(0, 1, 64 * 64).reshape(64, 64)
    exact = matrix @ matrix
    torch.set_float32_matmul_precision("medium")
    try:
        return not torch.equal(matrix @ matrix, exact)
    finally:
        torch.set_float32_matmul_precision("highest")


def test_settings_of_products_come_back() -> None:
    from charkit_torch.user_settings import exact_products

    torch.set_float32_matmul_precision("medium")
    try:
        with exact_products():
            with exact_products():
                assert _are_exact()
            assert _are_exact()
        after = torch.get_float32_matmul_precision()
    finally:
        torch.set_float32_matmul_precision("highest")
    assert after == "medium"
    with exact_products():
        assert torch.get_float32_matmul_precision() == "highest"


def _are_exact() -> bool:
    matrix = torch.linspace(0, 1, 64 * 64).reshape(64, 64)
    return bool((matrix @ matrix - (matrix.double() @ matrix.double())).abs().max() < 1e-4)


def test_an_interruption_puts_the_settings_of_products_back() -> None:
    from charkit_torch.user_settings import exact_products

    torch.set_float32_matmul_precision("medium")
    try:
        with pytest.raises(KeyboardInterrupt), exact_products():
            raise KeyboardInterrupt
        assert torch.get_float32_matmul_precision() == "medium"
        with exact_products():
            assert _are_exact()
    finally:
        torch.set_float32_matmul_precision("highest")
