"""Planted faults in what a backend says of itself, and in what it was made with."""

from __future__ import annotations

from typing import Any

from charkit_numpy.backend import NumpyBackend

BackendClass = type[NumpyBackend]


def _saying(**methods: Any) -> BackendClass:
    """A backend of which each named method returns the given value."""
    return type(
        "Faulty",
        (NumpyBackend,),
        {name: lambda self, value=value: value for name, value in methods.items()},
    )


def _declaring(devices: Any) -> BackendClass:
    return type("Faulty", (NumpyBackend,), {"devices": classmethod(lambda cls: devices)})


def _made_with(**attributes: Any) -> BackendClass:
    """A backend whose constructor sets these attributes to other values than it was asked for."""

    class Faulty(NumpyBackend):
        def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
            super().__init__(precision=precision, device=device, threads=threads)
            vars(self).update(attributes)

    return Faulty


class NoInit(NumpyBackend):
    """Sets everything that it needs itself, and does not call ``Backend.__init__``."""

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        right = NumpyBackend(precision=precision, device=device, threads=threads)
        vars(self).update(
            {
                name: value
                for name, value in vars(right).items()
                if name not in {"precision", "device", "threads"}
            }
        )


class NoInitButUsed(NumpyBackend):
    """Uses in its constructor what ``Backend.__init__``, which it does not call, would have set."""

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        self._blas_threads_each = self.threads // 2


class OddRounding(NumpyBackend):
    bfloat16_rounds = None  # type: ignore[assignment]


_TELLS = ("notices_and_memory_are_reported",)
_KEPT = ("settings_are_kept",)
_DECLARED = ("precisions_and_devices_are_declared",)
_INIT = "super().__init__"

#: What it is, the backend, the checks that must fail, and what the finding must say.
FAULTS: tuple[tuple[str, BackendClass, tuple[str, ...], str], ...] = (
    ("notices as a string", _saying(notices="a slow path"), _TELLS, ""),
    ("notices as a list", _saying(notices=["a slow path"]), _TELLS, ""),
    ("a two-line notice", _saying(notices=("slow\npath",)), _TELLS, ""),
    ("an empty notice", _saying(notices=("",)), _TELLS, ""),
    ("memory as text", _saying(device_memory_bytes="12 MB"), _TELLS, ""),
    ("memory as a float", _saying(device_memory_bytes=1.5), _TELLS, ""),
    ("memory as a bool", _saying(device_memory_bytes=True), _TELLS, ""),
    ("negative memory", _saying(device_memory_bytes=-1), _TELLS, ""),
    ("versions as numbers", _saying(versions={"numpy": 2.0}), ("versions_are_reported",), ""),
    ("versions as a list", _saying(versions=["numpy 2"]), ("versions_are_reported",), ""),
    ("an empty name among the versions", _saying(versions={"numpy": ""}), ("versions_are_reported",), ""),
    ("bfloat16_rounds set to None", OddRounding, _DECLARED, ""),
    ("devices as a string", _declaring("cpu"), _DECLARED, ""),
    ("devices as a tuple", _declaring(("cpu",)), _DECLARED, ""),
    ("a device without a name", _declaring(["cpu", ""]), _DECLARED, ""),
    ("a duplicate device", _declaring(["cpu", "cpu"]), _DECLARED, ""),
    ("devices as numbers", _declaring([0]), _DECLARED, ""),
    ("a different precision", _made_with(precision="float16"), _KEPT, _INIT),
    ("a different device", _made_with(device="cuda:7"), _KEPT, _INIT),
    ("threads as a bool", _made_with(threads=True), _KEPT, ""),
    ("threads set to None", _made_with(threads=None), _KEPT, ""),
    ("threads set to 0", _made_with(threads=0), _KEPT, ""),
    ("no call to super().__init__", NoInit, _KEPT, _INIT),
    (
        "no call to super().__init__, although the attributes that it sets are used",
        NoInitButUsed,
        _KEPT,
        _INIT,
    ),
)
