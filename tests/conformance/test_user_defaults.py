"""What the kit makes of a user's defaults and of a call in another thread, in this process and on NumPy."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charkit import plugins
from charkit.testing.isolated import process_settings
from charkit.testing.isolated.reports import report_user_defaults
from charkit.testing.kept_errors import variable_with
from charkit.testing.overlap import results_beside_another_call
from charkit_numpy.backend import NumpyBackend

HERE = Path(__file__)
_LOCK = threading.Lock()


class Mode:
    """A default that a user may set, in a framework of which NumPy plays the part."""

    is_on = False

    def set(self, _numpy: Any) -> None:
        self.is_on = True

    def restore(self, _numpy: Any) -> None:
        self.is_on = False


@pytest.fixture
def mode(monkeypatch: pytest.MonkeyPatch) -> Mode:
    mode = Mode()
    monkeypatch.setattr(process_settings, "_USER_DEFAULTS", {"numpy": {"mode": (mode.set, mode.restore)}})
    return mode


def _report() -> dict[str, str]:
    return report_user_defaults(plugins.create("numpy", precision="float32", device="cpu", threads=2))


def test_a_default_that_changes_nothing(mode: Mode) -> None:
    assert _report() == {"mode": ""}
    assert not mode.is_on


def test_a_default_that_changes_results(mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_in = NumpyBackend.tensor

    def rounding(backend: NumpyBackend, array: Any) -> Any:
        rounds = mode.is_on and array.dtype == np.float64
        return copy_in(backend, array.astype(np.float16) if rounds else array)

    monkeypatch.setattr(NumpyBackend, "tensor", rounding)
    found = _report()["mode"]
    assert found.startswith("different results: training (64 units), evaluation (64 units), ")
    assert "prediction while another call is running (64 units)" in found


def test_a_default_under_which_calls_fail(mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_in = NumpyBackend.tensor

    def failing(backend: NumpyBackend, array: Any) -> Any:
        if mode.is_on:
            raise RuntimeError("not on this device")
        return copy_in(backend, array)

    monkeypatch.setattr(NumpyBackend, "tensor", failing)
    assert _report() == {"mode": "RuntimeError: not on this device"}


def test_a_setting_that_shows_its_change_once_the_default_is_restored(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of one that follows the default until it is set itself."""
    own = dict[str, bool]()
    copy_in = NumpyBackend.tensor

    def putting_back(backend: NumpyBackend, array: Any) -> Any:
        if mode.is_on:
            own["setting"] = True
        return copy_in(backend, array)

    monkeypatch.setattr(NumpyBackend, "tensor", putting_back)
    monkeypatch.setattr(
        process_settings, "process_settings", lambda: {"setting": str(own.get("setting", mode.is_on))}
    )
    assert _report() == {"mode": "changed: setting"}


class UntilAnyCallEnds(NumpyBackend):
    """Sets something for its calls, and puts it back as soon as one of them ends."""

    name = "until-any-call-ends"
    is_set = False

    def compile(self, function: Any, *, consumes: Any = ()) -> Any:
        def compiled(*arguments: Any) -> Any:
            type(self).is_set = True
            try:
                return function(*arguments)
            finally:
                type(self).is_set = False

        return compiled


class OneAtATime(UntilAnyCallEnds):
    """Lets a call begin only when the other has ended."""

    name = "one-at-a-time"

    def compile(self, function: Any, *, consumes: Any = ()) -> Any:
        compiled = super().compile(function)

        def locked(*arguments: Any) -> Any:
            with _LOCK:
                return compiled(*arguments)

        return locked


@pytest.mark.parametrize(
    ("factory", "after"), [(UntilAnyCallEnds, False), (OneAtATime, True)], ids=["side by side", "in turns"]
)
def test_results_beside_another_call(factory: type[UntilAnyCallEnds], after: bool) -> None:
    backend = factory(precision="float32", device="cpu", threads=1)
    results = results_beside_another_call(
        backend, lambda _argument: factory.is_set, backend.tensor(np.zeros(1))
    )
    assert results == {"while another call is running": True, "after another call has ended": after}


def test_the_variable_that_keeps_an_error() -> None:
    def fail() -> None:
        failure = ValueError("kept")
        raise failure

    with pytest.raises(ValueError, match="kept") as caught:
        fail()
    found = [variable_with(caught.value, [folder]) for folder in (HERE, HERE.parent / "elsewhere")]
    assert found[0].startswith(f"the variable failure at {HERE}:")
    assert found[1] == ""
