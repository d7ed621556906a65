"""Creates a backend by name, after checking that it has what is asked of it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from numbers import Integral
from types import MappingProxyType
from typing import Any

from charkit.backend import Backend
from charkit.errors import BackendError, counted, shown
from charkit.machine import most_threads
from charkit.plugins.compatibility import enumerated
from charkit.plugins.discovery import find, installed
from charkit.plugins.plugin import Plugin
from charkit.plugins.probe import InstalledBackend, probe_all
from charkit.system.memory import keep_freed_memory

#: No capabilities are required.
NOTHING_REQUIRED: Mapping[str, str] = MappingProxyType({})
_NO_ALTERNATIVE = "; no other installed backend supports it"
_ABOUT_GPUS = "; a GPU needs a framework that was installed with GPU support"


def create(
    name: str,
    *,
    precision: str = "float32",
    device: str | None = None,
    threads: int | None = None,
    required: Mapping[str, str] = NOTHING_REQUIRED,
) -> Backend[Any]:
    """Creates the installed backend of that name, ready to compute.

    ``device`` defaults to the backend's first, ``threads`` to the framework's own choice. ``required`` are the
    capabilities that the settings need, as returned by ``charkit.capabilities.required``. Raises BackendError, which
    lists what is supported and which installed backends have what this one lacks.
    """
    plugin = find(name)
    found = check_options(plugin, precision=precision, device=device, threads=threads)
    check_capabilities(name, plugin.backend_class.capabilities, required)
    keep_freed_memory()
    return plugin.instantiate(
        precision=precision,
        device=found or plugin.devices()[0],
        threads=None if threads is None else int(threads),  # frameworks take no integers of NumPy's
    )


def check_options(
    plugin: Plugin, *, precision: str = "float32", device: str | None = None, threads: int | None = None
) -> str | None:
    """The device as the backend names it, None for None.

    Raises BackendError unless the backend has the precision and the device, and ``threads`` is a number of them.
    """
    check_precision(plugin.name, plugin.backend_class.precisions, precision)
    found = None if device is None else check_device(plugin.name, plugin.devices(), device)
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, Integral)):
        raise BackendError(f"`threads` must be an integer; given {shown(threads)}")
    if threads is not None and threads < 1:
        raise BackendError(f"`threads` must be at least 1; given {threads}")
    if threads is not None and threads > most_threads():
        raise BackendError(
            f"`threads` must be at most {most_threads()} on a machine with "
            f"{counted(os.cpu_count() or 1, 'processor')}; given {threads}"
        )
    return found


def check_precision(name: str, precisions: Collection[str], precision: str) -> None:
    """Raises BackendError unless the precision is among those of the backend with that name."""
    if precision not in precisions:
        raise BackendError(
            f"backend {name!r} doesn't support precision {precision!r}; it supports {', '.join(sorted(precisions))}"
            f"{_alternatives('precisions', precision, name)}"
        )


def check_device(name: str, devices: Collection[str], device: str) -> str:
    """The device as the backend names it: ``cuda`` is ``cuda:0``, as frameworks have it.

    Raises BackendError unless it is among those that the backend with that name finds here.
    """
    found = "cuda:0" if device == "cuda" else device
    if found not in devices:
        others = _alternatives("devices", found, name)
        if (
            found.lower().startswith(("cuda", "gpu"))
            and set(devices) == {"cpu"}
            and others == _NO_ALTERNATIVE
        ):
            others += _ABOUT_GPUS
        raise BackendError(
            f"backend {name!r} has no device {device!r} here; it has {', '.join(devices)}{others}"
        )
    return found


def check_capabilities(
    name: str,
    declared: Collection[str],
    required: Mapping[str, str],
    others: Collection[InstalledBackend] | None = None,
) -> None:
    """Raises BackendError unless the backend of that name declares the capabilities that the settings need.

    ``others`` are the installed backends, where they have been tried already; they are tried now where not.
    """
    for capability, setting in required.items():
        if capability not in declared:
            lacks = missing_capability(name, declared, capability, setting)
            raise BackendError(f"{lacks}{_alternatives('capabilities', capability, name, others)}")


def missing_capability(name: str, declared: Collection[str], capability: str, setting: str) -> str:
    """A line that says which setting needs the capability, and what the backend declares."""
    has = ", ".join(sorted(declared)) or "none"
    return f"{setting} needs the capability {capability}; backend {name!r} declares {has}"


def _alternatives(
    field: str, wanted: str, name: str, others: Collection[InstalledBackend] | None = None
) -> str:
    """The other usable backends that have what is wanted. Tries them, so only an error in the making calls it."""
    if others is None:
        others = probe_all([plugin for plugin in installed() if plugin.name != name])
    able = [other.name for other in others if other.name != name and wanted in getattr(other, field)]
    if not able:
        return _NO_ALTERNATIVE
    return f"; {enumerated(able)} support{'s' if len(able) == 1 else ''} it; use `backend={able[0]!r}`, for example"
