"""Where the kit says that an exception comes from: the plugin's own line, whatever lies between."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charkit.testing import Subject, all_checks, run_check
from charkit.testing.runner import CheckResult
from charkit_numpy.backend import NumpyBackend
from conformance import faults

CHECKS = {check.name: check for check in all_checks()}
#: A framework that runs a function somewhere inside itself, as one that traces does.
FRAMEWORK = "def traced(function, *arguments):\n    return [function(*arguments) for _ in range(1)][0]\n"
BACKEND = """
from charkit_numpy.backend import NumpyBackend
from odd_plugin.parts.lstm import build
import odd_framework

class OddBackend(NumpyBackend):
    def build_lstm(self, model):
        return build(super().build_lstm(model))
    def compile(self, function, *, consumes=()):
        return lambda *arguments: odd_framework.traced(function, *arguments)
"""
LSTM = """
import odd_framework

def build(inner):
    def run(*arguments):
        raise_here = arguments[0]["no such weight"]
    return lambda *arguments: odd_framework.traced(run, *arguments)
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, str]], Any]]:
    """Writes the files of made-up packages and imports the first one's module ``backend``."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(files: dict[str, str]) -> Any:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        importlib.invalidate_caches()
        return importlib.import_module("odd_plugin.backend").OddBackend

    yield write
    for module in [name for name in sys.modules if name.startswith("odd_")]:
        del sys.modules[module]


def judge(check: str, backend: type[NumpyBackend]) -> CheckResult:
    result = run_check(CHECKS[check], Subject("numpy", faults.make(backend)))
    assert result.status == "failed"
    return result


def test_the_plugins_line_is_found_below_a_framework_and_in_a_package_of_its_package(write: Any) -> None:
    backend = write(
        {
            "odd_framework.py": FRAMEWORK,
            "odd_plugin/__init__.py": "",
            "odd_plugin/backend.py": BACKEND,
            "odd_plugin/parts/__init__.py": "",
            "odd_plugin/parts/lstm.py": LSTM,
        }
    )
    result = judge("one_layer", backend)
    assert result.got == "KeyError: 'no such weight'"
    assert result.look_at.endswith(
        "odd_plugin/parts/lstm.py:6 in run, called from backend.py:10 in <lambda>".replace(
            "/", str(Path("/"))
        )
    )


def test_the_line_is_found_in_what_caused_the_exception(write: Any) -> None:
    made = "    def __init__(self, **keywords):\n        raise OSError('no beads')\n"
    files = {
        "odd_plugin/__init__.py": "",
        "odd_plugin/backend.py": (
            "from charkit_numpy.backend import NumpyBackend\nclass OddBackend(NumpyBackend):\n" + made
        ),
    }
    backend = write(files)

    def make(precision: str) -> Any:
        try:
            return backend(precision=precision, device="cpu", threads=None)
        except OSError as error:
            raise RuntimeError("failed to start") from error

    class OfThatClass(Subject):
        def backend_class(self) -> Any:
            return backend

    result = run_check(CHECKS["one_layer"], OfThatClass("odd", make))
    assert result.got == "RuntimeError: failed to start"
    assert result.look_at.endswith("backend.py:4 in __init__")


def test_the_line_is_found_in_a_message_that_repeats_the_frames(write: Any) -> None:
    framework = (
        "def traced(function, file):\n    def run(*arguments):\n"
        "        raise TypeError(f'in user code:\\n\\n    File \"{file}\", line 7, in scan  *\\n    x = y')\n"
        "    return run\n"
    )
    backend = (
        "from charkit_numpy.backend import NumpyBackend\nimport odd_framework\n"
        "class OddBackend(NumpyBackend):\n    def compile(self, function, *, consumes=()):\n"
        "        return odd_framework.traced(function, __file__)\n"
    )
    files = {
        "odd_framework.py": framework,
        "odd_plugin/__init__.py": "",
        "odd_plugin/backend.py": backend,
    }
    look_at = judge("one_layer", write(files)).look_at
    assert look_at.endswith(f"{Path('odd_plugin') / 'backend.py'}:7 in scan")


def test_without_a_line_of_the_plugin_it_says_what_numpy_returned_and_for_what() -> None:
    class Box:
        """What a framework wraps values in while it differentiates."""

    def wrap(inner: Any, *arguments: Any) -> Any:
        gradients, _, state = inner(*arguments)
        return gradients, Box(), state

    class Boxing(faults.gradients(wrap)):  # type: ignore[misc]
        def numpy(self, tensor: Any) -> Any:
            return np.array(tensor)

    before = Boxing.numpy
    result = judge("one_step", Boxing)
    returned = "numpy() returned ndarray (dtype object, shape ()) for Box"
    assert f"{returned}; the error was raised outside the plugin, at " in result.look_at
    assert "charkit" in result.look_at.partition("outside the plugin")[2]
    assert Boxing.numpy is before


def test_a_forgotten_init_is_named() -> None:
    class Forgetting(NumpyBackend):
        def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
            self.own = precision

    wanted = (
        "Forgetting.__init__ does not call super().__init__(precision=..., device=..., threads=...) first"
    )
    assert judge("settings_are_kept", Forgetting).look_at == wanted
    missed = judge("weights_out_equal_weights_in", Forgetting).look_at
    assert missed.startswith(f"{wanted}; the call is needed before ")
    assert missed.endswith(" in tensor")


def test_an_attribute_that_was_never_set_is_named_with_its_class(write: Any) -> None:
    """The line that misses it is not the line to change."""
    backend = write(
        {
            "odd_plugin/__init__.py": "",
            "odd_plugin/backend.py": "from charkit_numpy.backend import NumpyBackend\n"
            "class OddBackend(NumpyBackend):\n"
            "    def build_lstm(self, model):\n"
            "        return self._lstm(model)\n",
        }
    )
    result = run_check(CHECKS["parts_are_built"], Subject("numpy", faults.make(backend)))
    assert result.look_at.endswith("backend.py:4 in build_lstm; OddBackend.__init__ does not set _lstm")


def test_a_gradient_that_is_no_tensor_is_traced_to_who_returned_it() -> None:
    def copied(self: NumpyBackend, tensor: Any) -> Any:
        return tensor.copy()

    def wrap(inner: Any, weights: Any, *rest: Any) -> Any:
        gradients, nats, after = inner(weights, *rest)
        return dict(zip(gradients, sorted(gradients), strict=True)), nats, after

    made = type("Faulty", (faults.gradients(wrap),), {"numpy": copied})
    result = run_check(CHECKS["gradients_of_one_layer"], Subject("numpy", faults.make(made)))
    assert re.fullmatch(r"the gradient of \S+: a tensor of the framework", result.expected)
    assert result.got == "in float32: an object of type str"
    assert result.look_at.startswith("backend.py: differentiate()")
