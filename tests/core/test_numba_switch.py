"""Whether the NumPy backend compiles its time steps with Numba: if it is installed, unless the environment says no."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from charkit.errors import BackendError
from charkit_numpy import fused
from charkit_numpy.backend import NumpyBackend


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "version", lambda name: "0.99.0")


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(fused, "version", version)


def backend(precision: str = "float32") -> NumpyBackend:
    return NumpyBackend(precision=precision, device="cpu", threads=1)


@pytest.mark.parametrize("value", [None, "1"])
@pytest.mark.usefixtures("installed")
def test_an_installed_numba_is_used_and_reported(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is None:
        monkeypatch.delenv("CHARKIT_NUMBA", raising=False)
    else:
        monkeypatch.setenv("CHARKIT_NUMBA", value)
    assert backend().versions()["numba"] == "0.99.0"
    assert "Numba 0.99.0" in backend().notices()[0]
    assert "numba" not in backend("float64").versions()
    assert backend("float64").notices() == ()


@pytest.mark.usefixtures("installed")
def test_the_environment_can_say_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARKIT_NUMBA", "0")
    assert "numba" not in backend().versions()
    assert backend().notices() == ()


@pytest.mark.usefixtures("missing")
def test_without_numba_numpy_alone_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHARKIT_NUMBA", raising=False)
    assert "numba" not in backend().versions()
    monkeypatch.setenv("CHARKIT_NUMBA", "1")
    with pytest.raises(BackendError, match="CHARKIT_NUMBA is 1, but Numba isn't installed; install it"):
        backend()


@pytest.mark.parametrize("value", ["", "2", "yes"])
def test_another_value_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARKIT_NUMBA", value)
    with pytest.raises(BackendError, match=f"CHARKIT_NUMBA must be 0 or 1; given '{value}'"):
        backend()
