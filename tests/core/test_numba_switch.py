"""Whether the NumPy backend compiles its time steps with Numba: if it is installed, unless the environment says no."""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

import charkit
import charkit_numpy
from charkit.errors import BackendError
from charkit_numpy import numba_support
from charkit_numpy.backend import NumpyBackend
from support import SMALL


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba_support, "version", lambda name: "0.99.0")
    monkeypatch.setattr(numba_support, "requires", lambda name: ["llvmlite<2", "numpy>=1.22"])


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(numba_support, "version", version)


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
    with pytest.raises(
        BackendError, match="CHARKIT_NUMBA is 1, but Numba isn't installed; install a suitable"
    ):
        backend()


def test_an_old_numba_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba_support, "version", lambda name: "0.60.0")
    monkeypatch.delenv("CHARKIT_NUMBA", raising=False)
    assert "numba" not in backend().versions()
    monkeypatch.setenv("CHARKIT_NUMBA", "1")
    with pytest.raises(BackendError, match=re.escape("Numba 0.60.0 is older than 0.64; install a suitable")):
        backend()


@pytest.mark.usefixtures("installed")
def test_a_numba_for_other_releases_of_numpy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba_support, "requires", lambda name: ["numpy<1.25,>=1.22"])
    monkeypatch.delenv("CHARKIT_NUMBA", raising=False)
    assert "numba" not in backend().versions()
    monkeypatch.setenv("CHARKIT_NUMBA", "1")
    with pytest.raises(BackendError, match=re.escape("Numba 0.99.0 doesn't support NumPy ")):
        backend()


@pytest.mark.usefixtures("installed")
def test_a_numba_that_can_not_be_imported_is_one_line(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARKIT_NUMBA", "1")
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "charkit_numpy.kernels", raising=False)
    monkeypatch.delattr(charkit_numpy, "kernels", raising=False)
    numba_support.load_kernels.cache_clear()
    with pytest.raises(BackendError, match=re.escape("can't import Numba 0.99.0: ")) as raised:
        charkit.train(text_file, backend="numpy", max_steps=2, **SMALL)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("value", ["", "2", "yes"])
def test_another_value_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARKIT_NUMBA", value)
    with pytest.raises(BackendError, match=f"CHARKIT_NUMBA must be 0 or 1; given '{value}'"):
        backend()
