"""What a backend declares and reports: its precisions, devices, settings and versions."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from charkit import plugins
from charkit.backend import Backend
from charkit.charrnn import CharRNN
from charkit.errors import BackendError, UnwrittenError
from charkit.plugins.declared import device_memory_bytes_of, devices_of, notices_of, versions_of
from charkit.testing.cases import SEED, STEPPING, stepping_case
from charkit.testing.isolated.process import THREADS
from charkit.testing.oracle import Oracle
from charkit.testing.registry import check, check_precisions
from charkit.testing.subject import Subject
from charkit.testing.tolerances import BOUNDS, Mismatch, difference, require

_CLASS = "backend.py: the class that subclasses charkit.Backend"
_DEVICES = "backend.py: devices() lists only devices that this machine has; tensor() and compile() work on self.device"
_SETTINGS = "backend.py: super().__init__() sets precision and device, and nothing else changes them"

_DEV = Path("/dev")
#: Linux's device files for each kind of hardware; devices of other kinds are recognized by their memory alone.
_HARDWARE = {
    "cuda": ("nvidia*", "nvmap", "nvhost*", "dxg", "kfd"),  # the last for ROCm, which frameworks call cuda
    "rocm": ("kfd",),
    "hip": ("kfd",),
    "xpu": ("dri/*",),
    "mps": (),
    "metal": (),
}


@check("import")
def precisions_and_devices_are_declared(subject: Subject) -> None:
    """precisions is a frozenset of known names that includes float32, and devices() lists at least one device."""
    backend = subject.backend_class()
    precisions, known = backend.precisions, frozenset(BOUNDS)
    require(
        isinstance(precisions, frozenset) and precisions <= known and "float32" in precisions,
        expected=f"precisions: a frozenset that includes float32; the known names are {', '.join(sorted(known))}",
        got=repr(precisions),
        look_at=_CLASS,
    )
    expected = 'devices(): a list of names such as "cpu", the default first'
    devices = _reported(lambda: devices_of(backend), expected)
    require(len(devices) > 0, expected=expected, got="an empty list", look_at=_CLASS)
    require(
        isinstance(backend.bfloat16_rounds, str),
        expected="bfloat16_rounds: a string, possibly empty",
        got=repr(backend.bfloat16_rounds),
        look_at=_CLASS,
    )


@check_precisions("build")
def settings_are_kept(subject: Subject, precision: str) -> None:
    """In each declared precision, precision and device are as requested, and threads is a positive integer."""
    backend = _create(subject, precision)
    devices = [subject.device] if subject.device else type(backend).devices()
    kept = {name: getattr(backend, name, None) for name in ("precision", "device", "threads")}
    require(
        hasattr(backend, "precision"),
        expected="a backend with precision, device and threads",
        got="a backend without them",
        look_at=_missing_init(backend),
    )
    require(
        kept["precision"] == precision,
        expected=f"backend.precision = {precision!r}",
        got=repr(kept["precision"]),
        look_at=_SETTINGS,
    )
    require(
        kept["device"] in devices,
        expected=f"backend.device: {' or '.join(map(repr, devices))}",
        got=repr(kept["device"]),
        look_at=_SETTINGS,
    )
    threads = kept["threads"]
    require(
        type(threads) is int and threads >= 1,
        expected="threads: the number of CPU threads in use, at least 1",
        got=repr(threads),
        look_at=THREADS,
    )


def _create(subject: Subject, precision: str) -> Backend[Any]:
    """The backend. Raises Mismatch if its __init__ needs what Backend.__init__ would have set."""
    try:
        return subject.backend(precision)
    except (AttributeError, BackendError) as error:
        cause = error if isinstance(error, AttributeError) else error.__cause__
        backend = getattr(cause, "obj", None)
        if isinstance(backend, Backend) and not hasattr(backend, "precision"):
            expected = "a backend with precision, device and threads"
            raise Mismatch(expected, str(cause), _missing_init(backend)) from error
        raise


def _missing_init(backend: Backend[Any]) -> str:
    name = type(backend).__name__
    return f"{name}.__init__ does not call super().__init__(precision=..., device=..., threads=...) first"


@check("build")
def versions_are_reported(subject: Subject) -> None:
    """versions() names the libraries that compute, with the versions that are installed."""
    versions = _reported(
        lambda: versions_of(subject.backend("float32")),
        "versions(): a dictionary of library names and their versions, as text",
    )
    require(len(versions) > 0, expected="versions(): at least one library", got="none", look_at=_CLASS)
    repeated = versions_of(subject.backend("float32"))
    require(
        repeated == versions,
        expected=f"the same versions from every call, {versions}",
        got=repeated,
        look_at=_CLASS,
    )
    for name, version in versions.items():
        installed = _installed(name)
        require(
            not installed or _release(version) == _release(installed),
            expected=f"versions(): {name} {installed}, the installed version",
            got=f"{name} {version}",
            look_at="backend.py: versions() reads the version from the library, for example numpy.__version__",
        )


def _installed(name: str) -> str:
    """The version of the installed distribution of this name, or nothing if there is none that is in use.

    "build" may be an entry of the backend's own, although a distribution of that name is installed.
    """
    try:
        found = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):  # "blas" and "gpu" are no distributions
        return ""
    modules = [name.replace("-", "_"), *(found.read_text("top_level.txt") or "").split()]
    return found.version if any(module in sys.modules for module in modules) else ""


def _release(version: str) -> str:
    """The leading numbers: builds and development versions of one release may differ in the rest."""
    found = re.match(r"\d+(\.\d+)*", version)
    return found[0] if found else version


@check_precisions("build")
def notices_and_memory_are_reported(subject: Subject, precision: str) -> None:
    """notices() is a tuple of single lines, and device_memory_bytes() is a number of bytes or None."""
    backend = subject.backend(precision)
    _reported(lambda: notices_of(backend), "notices(): a tuple of lines of text")
    _reported(lambda: device_memory_bytes_of(backend), "device_memory_bytes(): a number of bytes, or None")


def _reported(read: Any, expected: str) -> Any:
    """What the backend reports. Raises Mismatch if the core would refuse it."""
    try:
        return read()
    except UnwrittenError:
        raise
    except BackendError as error:
        raise Mismatch(expected, str(error), _CLASS) from error


@check("training")
def devices_can_be_used(subject: Subject) -> None:
    """Each declared device exists: a step runs on it, and any device other than the CPU reports its memory."""
    default = subject.backend("float32")
    declared = type(default).devices() if subject.factory is None else [default.device]
    for device in declared:
        kind = device.partition(":")[0]
        require(
            _has_hardware(kind),
            expected=f"hardware for the declared device {device!r}",
            got=f"none of {', '.join(f'/dev/{file}' for file in _HARDWARE.get(kind, ())) or 'this kind on Linux'}",
            look_at=_DEVICES,
        )
        backend = default if device == default.device else _other(subject, device)
        _train(backend, device)
        require(
            backend.device == device,
            expected=f"a backend on {device!r}",
            got=f"backend.device = {backend.device!r}",
            look_at=_DEVICES,
        )
        memory = device_memory_bytes_of(backend)
        require(
            kind == "cpu" or bool(memory),
            expected=f"device_memory_bytes() above 0 after a training step on {device!r}",
            got=memory,
            look_at=f"{_DEVICES}; device_memory_bytes() returns the peak device memory used, in bytes",
        )


def _other(subject: Subject, device: str) -> Backend[Any]:
    """The backend on another of its devices."""
    return plugins.create(subject.name, precision="float32", device=device, threads=subject.threads)


def _train(backend: Backend[Any], device: str) -> None:
    """Takes a training step. Raises Mismatch unless it has the right loss."""
    case = stepping_case()  # the model of other checks, so that it compiles once
    batch_size, num_steps = case.symbols.shape
    network = CharRNN.from_config(
        case.model,
        STEPPING,
        backend,
        batch_size=batch_size,
        num_steps=num_steps,
        seed=SEED,
        weights=case.weights,
    )
    network.load_state(case.state)
    loss = network.train_step(case.symbols, case.targets).loss
    masked = replace(case, masks=network.masks(1, case.symbols.shape))
    expected = float(Oracle(case.model).nats(case.weights, *masked.batch)[0].mean())
    require(
        difference(loss, expected) <= BOUNDS["float32"]["forward"],
        expected=f"a loss of {expected:.9g} on {device!r}",
        got=f"{loss:.9g}",
        look_at=_DEVICES,
    )


def _has_hardware(kind: str) -> bool:
    """Whether the machine has hardware of this kind; True if that is unknown."""
    if not sys.platform.startswith("linux") or kind not in _HARDWARE:
        return True
    return any(any(_DEV.glob(file)) for file in _HARDWARE[kind])
