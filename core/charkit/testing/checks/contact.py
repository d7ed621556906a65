"""Stages import and build: the backend is found, complete, honest about itself, and moves arrays rightly."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np

from charkit.backend import Array, Backend, float_dtype
from charkit.config import OptimizerConfig
from charkit.errors import BackendError
from charkit.testing.cases import make_case, weights_of
from charkit.testing.judge import BOUNDS, Mismatch, difference, require
from charkit.testing.registry import check, check_precisions
from charkit.testing.subject import Subject

_HOOK = "plugin.py and the entry point in pyproject.toml"
_CLASS = "backend.py: the class that subclasses charkit.Backend"
_TENSOR = "backend.py: tensor() copies in; floating point takes the precision, int32 and bool stay"
_NUMPY = "backend.py: numpy() copies out an array that the caller owns"

#: Run in a process of its own: which modules does looking at the plugin import?
_LOOK = """
import json, sys
from charkit import plugins
before = set(sys.modules)
info = plugins.load_info(sys.argv[1])
own = {plugins.find(sys.argv[1]).module.split(".")[0], "charkit"}
after = {name.split(".")[0] for name in set(sys.modules) - before}
print(json.dumps(sorted(after - own - sys.stdlib_module_names)))
"""


@check("import")
def plugin_is_found(subject: Subject) -> None:
    """The backend is found by its name, its hook answers, and its class can be imported."""
    try:
        subject.backend_class()
    except BackendError as error:
        expected = f"an installed backend named {subject.name!r} whose class can be imported"
        raise Mismatch(expected, str(error), _HOOK) from error


@check("import")
def plugin_module_is_light(subject: Subject) -> None:
    """Looking at the plugin imports charkit and the plugin's own package, and no framework."""
    if subject.factory is not None:
        return  # not a plugin: there is no plugin module to look at
    command = [sys.executable, "-c", _LOOK, subject.name]
    child = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    expected = "no import of a framework from the plugin module"
    last = (child.stderr.strip().splitlines() or ["it said nothing"])[-1]
    require(child.returncode == 0, expected=expected, got=last, look_at=_HOOK)
    modules = json.loads(child.stdout.splitlines()[-1])
    require(not modules, expected=expected, got=f"it imports {', '.join(modules)}", look_at="plugin.py")


@check("import")
def class_is_complete(subject: Subject) -> None:
    """The class implements every abstract method of the contract and says its name."""
    backend = subject.backend_class()
    require(issubclass(backend, Backend), expected="a subclass of Backend", got=backend, look_at=_CLASS)
    missing = sorted(backend.__abstractmethods__)
    require(not missing, expected="no abstract method left", got=", ".join(missing), look_at=_CLASS)
    name = getattr(backend, "name", None)
    require(name == subject.name, expected=f"name = {subject.name!r}", got=repr(name), look_at=_CLASS)


@check("import")
def precisions_and_devices_are_declared(subject: Subject) -> None:
    """Precisions are a frozenset of known names with float32, and there is a device."""
    backend = subject.backend_class()
    precisions, devices = backend.precisions, backend.devices()
    known = frozenset(BOUNDS)
    require(
        isinstance(precisions, frozenset) and precisions <= known and "float32" in precisions,
        expected=f"precisions: a frozenset with float32, out of {', '.join(sorted(known))}",
        got=repr(precisions),
        look_at=_CLASS,
    )
    require(
        isinstance(devices, list) and len(devices) > 0 and all(isinstance(one, str) for one in devices),
        expected='devices(): a list of names such as "cpu", the default first',
        got=repr(devices),
        look_at=_CLASS,
    )


@check("build")
def versions_are_told(subject: Subject) -> None:
    """The libraries that decide the numbers are named with their versions, and the threads are a number."""
    backend = subject.backend("float32")
    versions = backend.versions()
    require(
        len(versions) > 0 and all(isinstance(one, str) for one in [*versions, *versions.values()]),
        expected="versions(): library names and their versions, as text",
        got=repr(versions),
        look_at=_CLASS,
    )
    require(
        isinstance(backend.threads, int) and backend.threads >= 1,
        expected="threads: the number of processor threads in use, at least 1",
        got=repr(backend.threads),
        look_at=_CLASS,
    )


@check_precisions("build")
def parts_are_built(subject: Subject, precision: str) -> None:
    """Every declared precision can be made, and its four builders, differentiate and compile give functions."""
    backend, model = subject.backend(precision), make_case().model
    kept = getattr(backend, "precision", None)
    require(
        kept == precision,
        expected=f"backend.precision = {precision!r}",
        got=repr(kept),
        look_at="backend.py: __init__ calls super().__init__ first",
    )
    forward: Any = lambda *arguments: arguments  # noqa: E731 - stands for a forward pass that is never run
    made = {
        "build_lstm": backend.build_lstm(model),
        "build_output": backend.build_output(model),
        "build_loss": backend.build_loss(model),
        "build_optimizer": backend.build_optimizer(OptimizerConfig()),
        "differentiate": backend.differentiate(forward),
        "compile": backend.compile(forward),
    }
    for name, part in made.items():
        look_at = f"backend.py: {name}"
        require(callable(part), expected=f"{name}() returns a function", got=repr(part), look_at=look_at)


@check_precisions("build")
def weights_out_equal_weights_in(subject: Subject, precision: str) -> None:
    """Weights come out as they went in, rounded once to the precision, in canonical shape."""
    backend = subject.backend(precision)
    dtype = float_dtype(precision)
    for name, array in weights_of(make_case().model).items():
        out = backend.numpy(backend.tensor(array))
        require(
            out.shape == array.shape and out.dtype == dtype and np.array_equal(out, array.astype(dtype)),
            expected=f"{name} as it went in, {dtype} {array.shape}",
            got=f"{out.dtype} {out.shape}" + _off(out, array),
            look_at=f"{_TENSOR}; or {_NUMPY}",
        )


def _off(out: Array, array: Array) -> str:
    return f", off by {difference(out, array):.1e}" if out.shape == array.shape else ""


@check_precisions("build")
def arrays_keep_type_and_shape(subject: Subject, precision: str) -> None:
    """Symbols stay int32, masks bool, scalars 0-d; a slice that is not contiguous arrives whole."""
    backend = subject.backend(precision)
    dtype = float_dtype(precision)
    arrays: dict[str, tuple[Array, Any]] = {
        "symbols": (np.arange(6, dtype=np.int32).reshape(2, 3), np.int32),
        "masks": (np.array([[True, False, True]]), np.bool_),
        "a float64 scalar": (np.asarray(0.1), dtype),
        "a float32 array": (np.array([0.1, 0.2], np.float32), dtype),
        "a transposed slice": (np.arange(24, dtype=np.float32).reshape(4, 6)[::2, 1::2].T, dtype),
    }
    for name, (array, wanted) in arrays.items():
        out = backend.numpy(backend.tensor(array))
        require(
            isinstance(out, np.ndarray)
            and out.shape == array.shape
            and out.dtype == wanted
            and np.array_equal(out, array.astype(wanted)),
            expected=f"{name}: {np.dtype(wanted)} {array.shape} {array.tolist()}",
            got=f"{getattr(out, 'dtype', type(out))} {np.shape(out)} {np.asarray(out).tolist()}",
            look_at=f"{_TENSOR}; or {_NUMPY}",
        )


@check_precisions("build")
def arrays_in_are_copies(subject: Subject, precision: str) -> None:
    """An array that is written to after it was handed over leaves the tensor as it was."""
    backend = subject.backend(precision)
    for dtype in (float_dtype(precision), np.dtype(np.int32), np.dtype(np.bool_)):
        for size in (6, 16384):  # large and aligned ones are where frameworks share memory
            array = _aligned(size, dtype)
            array[:] = 1
            tensor = backend.tensor(array)
            array[:] = 0
            require(
                bool(np.all(backend.numpy(tensor) == 1)),
                expected=f"a {dtype} tensor of {size} that keeps its values",
                got="it changed with the array that it was made from",
                look_at=_TENSOR,
            )


def _aligned(size: int, dtype: np.dtype[Any]) -> Array:
    """An array whose first byte lies on a 64-byte boundary, where some frameworks take it over uncopied."""
    buffer = np.empty(size * dtype.itemsize + 64, np.uint8)
    start = -buffer.ctypes.data % 64
    return buffer[start : start + size * dtype.itemsize].view(dtype)


@check_precisions("build")
def arrays_out_are_copies(subject: Subject, precision: str) -> None:
    """An array that came out can be written to, and the tensor stays as it was."""
    backend = subject.backend(precision)
    for array in (np.ones((3, 5)), np.ones((2, 3), np.int32), np.ones(4, np.bool_)):
        tensor = backend.tensor(array)
        out = backend.numpy(tensor)
        require(out.flags.writeable, expected="a writeable array", got="a read-only one", look_at=_NUMPY)
        out[:] = 0
        require(
            bool(np.all(backend.numpy(tensor) == 1)),
            expected=f"a {array.dtype} tensor that keeps its values",
            got="it changed with the array that came out of it",
            look_at=_NUMPY,
        )
