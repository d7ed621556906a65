"""What belongs to a process and to its user: settings that a backend leaves as they are, seen before and after."""

from __future__ import annotations

import gc
import hashlib
import locale
import logging
import os
import random
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

#: What a user's own code may warn of, and what NumPy warns of.
_CATEGORIES = (UserWarning, RuntimeWarning, FutureWarning)
#: The smallest float32 there is: half of the smallest normal number's last bit.
_DENORMAL = np.float32(1e-45)
_LEVEL_OF = "the level of the logger "


_OF_JAX = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_default_device",
    "jax_numpy_dtype_promotion",
    "jax_debug_nans",
    "jax_debug_infs",
    "jax_disable_jit",
    "jax_log_compiles",
)
#: Defaults of frameworks that plugins are tempted to change; asked only where the plugin has imported them.
_FRAMEWORKS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "torch": lambda torch: {
        "get_default_dtype()": torch.get_default_dtype(),
        "is_grad_enabled()": torch.is_grad_enabled(),
        "get_rng_state()": _digest(repr(torch.get_rng_state().tolist())),
        "get_float32_matmul_precision()": torch.get_float32_matmul_precision(),
        "backends.cudnn.allow_tf32": torch.backends.cudnn.allow_tf32,
        "backends.mkldnn.enabled": torch.backends.mkldnn.enabled,
        "get_default_device()": torch.get_default_device(),
        "is_inference_mode_enabled()": torch.is_inference_mode_enabled(),
        "is_anomaly_enabled()": torch.is_anomaly_enabled(),
        "are_deterministic_algorithms_enabled()": torch.are_deterministic_algorithms_enabled(),
    },
    "jax": lambda jax: {f"config.{name}": getattr(jax.config, name) for name in _OF_JAX},
    "tensorflow": lambda tensorflow: {
        "config.functions_run_eagerly()": tensorflow.config.functions_run_eagerly(),
    },
}


def set_the_users_defaults() -> None:
    """Defaults that a user of a framework may have set, on which no backend may depend."""
    if "torch" in sys.modules:
        torch: Any = sys.modules["torch"]
        torch.set_default_dtype(torch.float64)
    if "jax" in sys.modules:
        sys.modules["jax"].config.update("jax_enable_x64", True)


def surroundings() -> dict[str, str]:
    """The settings of the process by what they are called, as text that can be compared."""
    seen: dict[str, Any] = {
        "NumPy's random numbers (np.random)": _digest(repr(np.random.get_state())),
        "Python's random numbers (random)": _digest(repr(random.getstate())),
        "NumPy's treatment of floating-point errors (np.seterr)": np.geterr(),
        "NumPy's print options (np.set_printoptions)": np.get_printoptions(),
        "small numbers, which became zero (denormals are flushed)": bool(_DENORMAL * np.float32(1.0)),
        "the filters of warnings": ([_is_shown(category) for category in _CATEGORIES], warnings.filters),
        "logging": (logging.root.manager.disable, logging.root.level, len(logging.root.handlers)),
        "the garbage collector (gc)": (gc.isenabled(), gc.get_threshold()),
        "the recursion limit": sys.getrecursionlimit(),
        "the excepthook": sys.excepthook,
        "the current folder": os.getcwd(),
        "the files of the current folder": sorted(os.listdir()),
        "the locale": locale.setlocale(locale.LC_ALL),
        "standard output and error (sys.stdout, sys.stderr)": (id(sys.stdout), id(sys.stderr)),
    }
    signals = [one for one in signal.valid_signals() if isinstance(one, signal.Signals)]
    seen |= {f"the handler of {one.name}": signal.getsignal(one) for one in signals}
    seen |= {f"the environment variable {name}": value for name, value in os.environ.items()}
    seen |= {f"{_LEVEL_OF}{name}": logger.level for name, logger in _loggers().items()}
    for name, ask in _FRAMEWORKS.items():
        if name in sys.modules:
            seen |= {f"{name}.{setting}": value for setting, value in ask(sys.modules[name]).items()}
    if hasattr(os, "sched_getaffinity"):
        seen["the processors that the process may use"] = sorted(os.sched_getaffinity(0))
    return {name: str(value) for name, value in seen.items()}


#: threadpoolctl sets it when it is imported. It says nothing of threads: several OpenMP libraries may be loaded.
_OF_NO_THREADS = "KMP_DUPLICATE_LIB_OK"


def thread_variables() -> dict[str, str]:
    """The environment variables that say how many threads a program has, and how these wait."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.endswith("_NUM_THREADS")
        or (name.startswith(("OMP_", "GOMP_", "KMP_")) and name != _OF_NO_THREADS)
    }


def pools() -> dict[str, str]:
    """How many threads the libraries for linear algebra and OpenMP that are loaded have, by file."""
    return {
        f"the threads of {os.path.basename(one['filepath'])}": str(one["num_threads"])
        for one in threadpool_info()
    }


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What is not as it was. A logger that is new has whatever level it has."""
    return [
        name
        for name in before | after
        if before.get(name) != after.get(name) and (name in before or not name.startswith(_LEVEL_OF))
    ]


def changes_of_pools(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Of which libraries the threads are not as many as before; one that is new has as many as it has."""
    return [name for name in before if after.get(name, before[name]) != before[name]]


def _loggers() -> dict[str, logging.Logger]:
    """The loggers of this process by name."""
    known = logging.root.manager.loggerDict.items()
    return {name: logger for name, logger in known if isinstance(logger, logging.Logger)}


def _is_shown(category: type[Warning]) -> bool:
    """Whether a warning of the user's own code is shown; none is, here."""
    with warnings.catch_warnings(record=True) as shown:
        warnings.warn_explicit("a probe", category, "probe.py", 1, registry={})
    return bool(shown)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
