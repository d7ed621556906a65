"""Character-level LSTM language models with the same numbers on every numerical framework.

Names load when they are first used, so that a plugin can import ``charkit.hookspecs`` without NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charkit.api import train as train
    from charkit.backend import Backend as Backend
    from charkit.charrnn import CharRNN as CharRNN
    from charkit.errors import CharkitError as CharkitError
    from charkit.hookspecs import BackendInfo as BackendInfo
    from charkit.hookspecs import hookimpl as hookimpl
    from charkit.loaded_run import LoadedRun as LoadedRun
    from charkit.loaded_run import load_run as load_run

_HOMES = {
    "Backend": "charkit.backend",
    "BackendInfo": "charkit.hookspecs",
    "CharRNN": "charkit.charrnn",
    "CharkitError": "charkit.errors",
    "LoadedRun": "charkit.loaded_run",
    "hookimpl": "charkit.hookspecs",
    "load_run": "charkit.loaded_run",
    "train": "charkit.api",
}
__all__ = [
    "Backend",
    "BackendInfo",
    "CharRNN",
    "CharkitError",
    "LoadedRun",
    "hookimpl",
    "load_run",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from charkit.version import version

        return version()
    if name not in _HOMES:
        raise AttributeError(f"module 'charkit' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
