"""A backend is found that follows the user's defaults in PyTorch, needs others, or sets PyTorch's threads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from charkit.testing import CheckResult, Subject, all_checks, run_check

torch: Any = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
_MODES = 'torch.set_float32_matmul_precision("medium"), torch.autocast("cpu") and torch.inference_mode()'

_BACKEND = """
import torch
from charkit_torch.backend import TorchBackend
from charkit_torch.user_settings import exact_products, without_modes


class Following(TorchBackend):
    name = "following"

    def __init__(self, *, precision, device, threads):
        super().__init__(precision=precision, device=device, threads=threads)
        if precision == "float32":
            self._dtype = torch.get_default_dtype()


class OnDefaultDevice(TorchBackend):
    name = "on-default-device"

    def build_loss(self, model):
        inner = super().build_loss(model)
        return lambda logits, targets: inner(logits, targets) + torch.zeros(targets.shape, dtype=self._dtype)


class NeedsGradients(TorchBackend):
    name = "needs-gradients"

    def compile(self, function, *, consumes=()):
        inner = super().compile(function, consumes=consumes)

        def compiled(*arguments):
            if not torch.is_grad_enabled():
                raise RuntimeError("element 0 of tensors does not require grad")
            return inner(*arguments)

        return compiled


class EnablesGradients(TorchBackend):
    name = "enables-gradients"

    def compile(self, function, *, consumes=()):
        inner = super().compile(function, consumes=consumes)

        def compiled(*arguments):
            torch.set_grad_enabled(False)
            try:
                return inner(*arguments)
            finally:
                torch.set_grad_enabled(True)

        return compiled


class OnDefaultDeviceWithManySymbols(TorchBackend):
    name = "on-default-device-with-many-symbols"

    def build_lstm(self, model):
        inner = super().build_lstm(model)

        def lstm(*arguments):
            features, state = inner(*arguments)
            many = model.vocabulary_size > 4 * model.lstm_size
            return features + torch.zeros(1, dtype=self._dtype) if many else features, state

        return lstm


class WithProductsOfTheUser(TorchBackend):
    name = "with-products-of-the-user"

    def compile(self, function, *, consumes=()):
        def compiled(*arguments):
            with without_modes("cpu"), torch.no_grad():
                return function(*arguments)

        return compiled


class UntilAnyCallEnds:
    # Exact products in a backend that does not count the calls inside.
    before = None

    def __enter__(self):
        if self.before is None:
            type(self).before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")

    def __exit__(self, *error):
        if self.before is not None:
            torch.set_float32_matmul_precision(self.before)
        type(self).before = None


class ExactUntilAnyCallEnds(TorchBackend):
    name = "exact-until-any-call-ends"

    def compile(self, function, *, consumes=()):
        def compiled(*arguments):
            with without_modes("cpu"), torch.no_grad(), UntilAnyCallEnds():
                return function(*arguments)

        return compiled


class PutsPrecisionBack(TorchBackend):
    name = "puts-precision-back"

    def compile(self, function, *, consumes=()):
        inner = super().compile(function, consumes=consumes)

        def compiled(*arguments):
            matmul = torch.backends.mkldnn.matmul
            before = matmul.fp32_precision
            try:
                return inner(*arguments)
            finally:
                matmul.fp32_precision = before

        return compiled


class WithAutocastOfTheUser(TorchBackend):
    name = "with-autocast-of-the-user"

    def compile(self, function, *, consumes=()):
        def compiled(*arguments):
            with torch.no_grad(), exact_products():
                return function(*arguments)

        return compiled


class WithModesOfTheUser(TorchBackend):
    name = "with-modes-of-the-user"

    def tensor(self, array):
        return torch.tensor(array, dtype=self._dtype if array.dtype.kind == "f" else None, device=self._device)


class OneOperation(TorchBackend):
    name = "one-operation"

    def __init__(self, *, precision, device, threads):
        super().__init__(precision=precision, device=device, threads=threads)
        try:
            torch.set_num_interop_threads(1)
        except RuntimeError:  # PyTorch has started them
            pass
"""
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
}


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installs the backends for this process and its children."""
    (tmp_path / "charkit_of_users.py").write_text(_BACKEND, "utf-8")
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
        ("needs-gradients", "torch.set_grad_enabled(False)", "RuntimeError"),
        ("enables-gradients", "torch.set_grad_enabled(False)", "changed: torch.is_grad_enabled()"),
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
