"""Settings of the process and its user, read before and after a backend is used: it must not change them."""

# Over 300 lines: a table of what is read, and of what users change.

from __future__ import annotations

import ctypes
import faulthandler
import gc
import hashlib
import locale
import logging
import multiprocessing
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import threadpool_info

from charkit.system.processors import allowed_processors

ValueT = TypeVar("ValueT")
#: The option of Linux's prctl that names the calling thread.
_PR_SET_NAME = 15
#: Warnings of user code and of NumPy.
_CATEGORIES = (UserWarning, RuntimeWarning, FutureWarning)
#: The smallest float32 there is: half of the smallest normal number's last bit.
_DENORMAL = np.float32(1e-45)
FILES = "the files in the current directory"
_GARBAGE_COLLECTOR = "the garbage collector (gc)"
_LOGGER_LEVEL = "the level of the logger "


_JAX_SETTINGS = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_default_device",
    "jax_numpy_dtype_promotion",
    "jax_debug_nans",
    "jax_debug_infs",
    "jax_disable_jit",
    "jax_log_compiles",
)


def _torch_precision_modules(torch: Any) -> list[Any]:
    """What has a setting of the precision of float32 products in the newer releases of PyTorch."""
    modules = (getattr(torch.backends.mkldnn, "matmul", None), torch.backends.cuda.matmul)
    return [
        module
        for module in (*modules, torch.backends.mkldnn, torch.backends)
        if hasattr(module, "fp32_precision")
    ]


def _torch_precisions(torch: Any) -> list[str]:
    """PyTorch's settings of the precision of float32 products, of which releases have one or several."""
    found = [str(module.fp32_precision) for module in _torch_precision_modules(torch)]
    with suppress(RuntimeError):  # raised if they were set one by one
        found.append(torch.get_float32_matmul_precision())
    return found


def _torch_allows_tf32(torch: Any) -> bool | None:
    try:
        return bool(torch.backends.cudnn.allow_tf32)
    except RuntimeError:  # convolutions and recurrent layers were set one by one
        return None


def _torch_autocast(torch: Any) -> bool:
    try:
        return bool(torch.is_autocast_enabled("cpu"))
    except TypeError:  # before PyTorch 2.4
        return bool(torch.is_autocast_cpu_enabled())


#: Framework settings that plugins tend to change; read only if the plugin has imported the framework.
_FRAMEWORK_SETTINGS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "torch": lambda torch: {
        "get_default_dtype()": torch.get_default_dtype(),
        "get_num_interop_threads()": torch.get_num_interop_threads(),
        "is_grad_enabled()": torch.is_grad_enabled(),
        'is_autocast_enabled("cpu")': _torch_autocast(torch),
        "get_rng_state()": _digest(repr(torch.get_rng_state().tolist())),
        "get_float32_matmul_precision() (or fp32_precision)": _torch_precisions(torch),
        "backends.cudnn.allow_tf32": _torch_allows_tf32(torch),
        "backends.mkldnn.enabled": torch.backends.mkldnn.enabled,
        "get_default_device()": torch.get_default_device(),
        "is_inference_mode_enabled()": torch.is_inference_mode_enabled(),
        "is_anomaly_enabled()": torch.is_anomaly_enabled(),
        "are_deterministic_algorithms_enabled()": torch.are_deterministic_algorithms_enabled(),
    },
    "jax": lambda jax: {
        **{f"config.{name} (for all threads)": value for name, value in jax.config.values.items()},
        **{f"config.{name}": getattr(jax.config, name) for name in _JAX_SETTINGS},
    },
    "tensorflow": lambda tensorflow: {
        "config.functions_run_eagerly()": tensorflow.config.functions_run_eagerly(),
    },
}


def set_user_defaults() -> None:
    """Sets framework defaults as a user may have set them; no backend may depend on them."""
    if "torch" in sys.modules:
        torch: Any = sys.modules["torch"]
        torch.set_default_dtype(torch.float64)
    if "jax" in sys.modules:
        sys.modules["jax"].config.update("jax_enable_x64", True)


#: The modes of a framework that are on.
_MODES = ExitStack()
_TORCH_MODES = (
    'torch.set_float32_matmul_precision("medium"), torch.autocast("cpu") and torch.inference_mode()'
)


#: Unlike ``torch.use_deterministic_algorithms``, the second imports nothing.
_TORCH_SWITCHES = 'torch.set_grad_enabled(False) and torch.set_deterministic_debug_mode("error")'


def _switch_torch(torch: Any, *, on: bool) -> None:
    torch.set_grad_enabled(not on)
    torch.set_deterministic_debug_mode("error" if on else "default")


def _enter_torch_modes(torch: Any) -> None:
    torch.set_float32_matmul_precision("medium")
    _MODES.callback(_restore_torch_precisions, torch)
    _MODES.enter_context(torch.autocast("cpu"))
    _MODES.enter_context(torch.inference_mode())


def _restore_torch_precisions(torch: Any) -> None:
    torch.set_float32_matmul_precision("highest")
    for module in _torch_precision_modules(torch):
        module.fp32_precision = "none"


def _set_torch_precision(torch: Any, name: str) -> None:
    """Sets the precision that single devices and operations have unless they have their own."""
    if hasattr(torch.backends, "fp32_precision"):  # from PyTorch 2.9 on
        torch.backends.fp32_precision = name


#: Further defaults that a user may have set, by the call that sets them: what sets and what restores each.
_USER_DEFAULTS: dict[str, dict[str, tuple[Callable[[Any], object], Callable[[Any], object]]]] = {
    "torch": {
        # Nothing can be computed on the device "meta".
        'torch.set_default_device("meta")': (
            lambda torch: torch.set_default_device("meta"),
            lambda torch: torch.set_default_device(None),
        ),
        _TORCH_SWITCHES: (
            lambda torch: _switch_torch(torch, on=True),
            lambda torch: _switch_torch(torch, on=False),
        ),
        # On some processors float32 products then have operands in bfloat16.
        _TORCH_MODES: (_enter_torch_modes, lambda _torch: _MODES.close()),
        'torch.backends.fp32_precision = "bf16"': (
            lambda torch: _set_torch_precision(torch, "bf16"),
            lambda torch: _set_torch_precision(torch, "none"),
        ),
    }
}


def under_user_defaults(work: Callable[[], ValueT]) -> Iterator[tuple[str, ValueT | Exception, list[str]]]:
    """Does the work under each further default of a loaded framework.

    Yields the default, the result or error, and the settings that the work has changed, the default itself among them.
    If there are none, they are those that differ once the default has been restored.
    """
    for name, defaults in _USER_DEFAULTS.items():
        for default, (change, restore) in defaults.items() if name in sys.modules else ():
            framework = sys.modules[name]
            initial = process_settings()
            change(framework)
            before = process_settings()
            try:
                outcome: ValueT | Exception = work()
            except Exception as error:  # noqa: BLE001 - whatever a backend raises is its result
                outcome = error
            finally:
                changed = changed_settings(before, process_settings())
                restore(framework)
            yield default, outcome, changed or changed_settings(initial, process_settings())


def set_user_settings() -> None:
    """Gives settings of Python and NumPy values that are not the defaults, as a user may have.

    What a backend changes for a while must become these again, not the defaults. None of them changes a result.
    """
    gc.disable()
    gc.set_threshold(gc.get_threshold()[0] + 1)
    np.seterr(divide="ignore")
    np.set_printoptions(precision=7)
    sys.setrecursionlimit(sys.getrecursionlimit() + 100)
    sys.excepthook = partial(sys.__excepthook__)
    signal.signal(signal.SIGINT, partial(signal.default_int_handler))
    logging.root.setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", "a warning that the user doesn't want to see")


def set_later_user_settings() -> None:
    """Changes settings once more, as a user may between two calls. They must not become what they were before.

    None of them changes a result.
    """
    gc.set_threshold(gc.get_threshold()[0] + 1)
    np.seterr(over="ignore")
    sys.setrecursionlimit(sys.getrecursionlimit() + 100)
    sys.setswitchinterval(2 * sys.getswitchinterval())
    signal.signal(signal.SIGINT, partial(signal.default_int_handler))
    logging.root.setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", "another warning that the user doesn't want to see")


def start_thread_with_undecodable_name() -> None:
    """Starts a thread whose name is not UTF-8: Linux cuts names to 15 bytes, possibly inside a character."""
    named = threading.Event()

    def wait() -> None:
        with suppress(AttributeError, OSError, TypeError):  # other systems have no prctl
            ctypes.CDLL(None).prctl(_PR_SET_NAME, b"r\xe9sum\xe9")
        named.set()
        threading.Event().wait()

    threading.Thread(target=wait, daemon=True).start()
    named.wait()


def settings_that_imports_keep() -> dict[str, str]:
    """Those of ``process_settings`` that no import of a framework changes."""
    settings: dict[str, Any] = {
        "NumPy's handling of floating-point errors (np.seterr)": np.geterr(),
        "NumPy's print options (np.set_printoptions)": np.get_printoptions(),
        "the start method of multiprocessing": multiprocessing.get_start_method(allow_none=True),
        "the recursion limit": sys.getrecursionlimit(),
        "the thread switch interval (sys.setswitchinterval)": sys.getswitchinterval(),
    }
    return {name: str(value) for name, value in settings.items()}


def process_settings() -> dict[str, str]:
    """The settings of the process by description, as text for comparison."""
    settings: dict[str, Any] = {
        **settings_that_imports_keep(),
        "NumPy's random state (np.random)": _digest(repr(np.random.get_state())),
        "Python's random state (random)": _digest(repr(random.getstate())),
        "the handling of subnormal numbers (flushing to zero)": bool(_DENORMAL * np.float32(1.0)),
        "the warning filters": ([_is_shown(category) for category in _CATEGORIES], warnings.filters),
        "the settings of the root logger (logging)": (
            logging.root.manager.disable,
            logging.root.level,
            len(logging.root.handlers),
        ),
        _GARBAGE_COLLECTOR: (gc.isenabled(), gc.get_threshold()),
        "the stack size of new threads (threading.stack_size)": _stack_size(),
        "NumPy's buffer size and error callback": (np.getbufsize(), np.geterrcall()),
        "faulthandler": faulthandler.is_enabled(),
        "the hooks for uncaught exceptions (such as sys.excepthook)": (
            sys.excepthook,
            threading.excepthook,
            sys.unraisablehook,
        ),
        "the current directory": os.getcwd(),
        FILES: sorted(os.listdir()),
        "the locale": locale.setlocale(locale.LC_ALL),
        "standard output and error (sys.stdout, sys.stderr)": (id(sys.stdout), id(sys.stderr)),
    }
    signals = [number for number in signal.valid_signals() if isinstance(number, signal.Signals)]
    settings |= {f"the handler for {number.name}": signal.getsignal(number) for number in signals}
    settings |= {f"the environment variable {name}": value for name, value in os.environ.items()}
    settings |= {f"{_LOGGER_LEVEL}{name}": logger.level for name, logger in _loggers().items()}
    for name, read in _FRAMEWORK_SETTINGS.items():
        if name in sys.modules:
            settings |= {f"{name}.{setting}": value for setting, value in read(sys.modules[name]).items()}
    processors = allowed_processors()
    if processors is not None:
        settings["the processors that the process may use"] = processors
    return {name: str(value) for name, value in settings.items()}


def _stack_size() -> int:
    """The stack size of new threads. To read it is to set it to the default."""
    size = threading.stack_size()
    threading.stack_size(size)
    return size


def settings_during_imports() -> dict[str, str]:
    """Those of ``process_settings`` that charkit and other processes leave alone while a plugin is imported."""
    settings = process_settings()
    del settings[FILES], settings[_GARBAGE_COLLECTOR]  # it is paused then
    return settings


#: Set by threadpoolctl on import. It allows several OpenMP libraries, and does not concern threads.
_UNRELATED_VARIABLE = "KMP_DUPLICATE_LIB_OK"


def thread_variables() -> dict[str, str]:
    """The environment variables that set how many threads a program has, and how they wait."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.endswith("_NUM_THREADS")
        or (name.startswith(("OMP_", "GOMP_", "KMP_")) and name != _UNRELATED_VARIABLE)
    }


def thread_pools() -> dict[str, str]:
    """The number of threads of each loaded BLAS or OpenMP library, by file, and of the MKL that is part of PyTorch."""
    pools = {os.path.basename(pool["filepath"]): pool["num_threads"] for pool in threadpool_info()}
    if "torch" in sys.modules:
        pools |= _mkl_of_torch(sys.modules["torch"])
    return {f"the number of threads of {name}": str(number) for name, number in pools.items()}


def _mkl_of_torch(torch: Any) -> dict[str, int]:
    """The number of MKL's threads for the calling thread, 0 if it has no number of its own.

    To read it is to set it. Empty if PyTorch has no MKL that can be asked.
    """
    try:
        set_local = ctypes.CDLL(torch._C.__file__).MKL_Set_Num_Threads_Local
    except (AttributeError, OSError):
        return {}
    number = int(set_local(0))
    set_local(number)
    return {"PyTorch's MKL": number}


def changed_settings(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """The settings that differ. The level of a new logger is no change."""
    return [
        name
        for name in before | after
        if before.get(name) != after.get(name) and (name in before or not name.startswith(_LOGGER_LEVEL))
    ]


def changed_thread_pools(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """The libraries whose number of threads differs. A newly loaded library is no change."""
    return [name for name in before if after.get(name, before[name]) != before[name]]


def _loggers() -> dict[str, logging.Logger]:
    """The loggers of this process by name."""
    known = logging.root.manager.loggerDict.items()
    return {name: logger for name, logger in known if isinstance(logger, logging.Logger)}


def _is_shown(category: type[Warning]) -> bool:
    """Whether a warning of user code would be shown, or raised; this probe is neither."""
    with warnings.catch_warnings(record=True) as shown:
        try:
            warnings.warn_explicit("a probe", category, "probe.py", 1, registry={})
        except category:
            return True
    return bool(shown)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
