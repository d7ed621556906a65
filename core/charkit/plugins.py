"""Discovery of backends: what is installed, what is broken and why.

Looking is by metadata alone; a plugin is imported only when its backend is chosen, and no other with it.
``probe`` tries a backend in a child process, so that one that hangs, prints or dies is a row and no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from charkit import hookspecs
from charkit.backend import Backend
from charkit.errors import BackendError, nearest
from charkit.hookspecs import API_VERSION, ENTRY_POINT_GROUP, BackendInfo

INSTALL_HINT = "charkit's own are in its source folder: pip install . ./backends/NAME"


class FrameworkMissingError(BackendError):
    """The plugin is sound, but the framework that it needs is not installed."""


def installed() -> dict[str, list[EntryPoint]]:
    """Every claimed backend name with the entry points that claim it; more than one is a conflict."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name):
        found.setdefault(entry.name, []).append(entry)
    return found


def distribution(entry: EntryPoint) -> tuple[str, str]:
    """The name and version of the distribution that brings the entry point."""
    return (entry.dist.name, entry.dist.version) if entry.dist else ("unknown", "unknown")


def find(name: str) -> EntryPoint:
    """The one entry point of that name. Raises BackendError for an unknown or twice claimed name."""
    claims = installed()
    if name not in claims:
        known = ", ".join(claims) or "none"
        raise BackendError(
            f"unknown backend {name!r}{nearest(name, claims)}; installed are {known}; {INSTALL_HINT}"
        )
    if len(claims[name]) > 1:
        owners = " and ".join(" ".join(distribution(entry)) for entry in claims[name])
        raise BackendError(f"backend {name!r} is claimed by {owners}; uninstall one of them")
    return claims[name][0]


def load_info(name: str) -> BackendInfo:
    """Imports the plugin module of one backend, not its framework, and asks its hook."""
    entry = find(name)
    owner = " ".join(distribution(entry))
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(entry.load(), name=name)
        manager.check_pending()
        answers = manager.hook.charkit_backend()
    except (Exception, SystemExit) as error:
        raise BackendError(f"backend {name!r} ({owner}) is broken: {_cause(error)}") from error
    if len(answers) != 1 or not isinstance(answers[0], BackendInfo):
        raise BackendError(
            f"backend {name!r} ({owner}) is broken: its plugin module must implement charkit_backend "
            f"with @hookimpl and return a BackendInfo; got {answers!r:.80}"
        )
    return _checked(answers[0], name, owner)


def _checked(info: BackendInfo, name: str, owner: str) -> BackendInfo:
    if info.api != API_VERSION:
        whose = (
            "upgrade charkit"
            if info.api > API_VERSION
            else f"ask for a release of {owner.split(maxsplit=1)[0]} for it"
        )
        raise BackendError(
            f"backend {name!r} ({owner}) speaks contract version {info.api}, this charkit speaks {API_VERSION}; {whose}"
        )
    if info.name != name:
        raise BackendError(
            f"backend {name!r} ({owner}) is broken: its hook says name={info.name!r}, its entry point {name!r}"
        )
    return info


def backend_class(name: str) -> type[Backend[Any]]:
    """Imports the framework of one backend and returns its class.

    Raises FrameworkMissingError where a module outside the plugin is not installed, BackendError from the
    original error for anything else that went wrong.
    """
    info = load_info(name)
    owner = " ".join(distribution(find(name)))
    module, _, attribute = info.factory.partition(":")
    try:
        factory = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        own = (error.name or "").split(".")[0] in {module.split(".")[0], "charkit"}
        if own:
            raise BackendError(f"backend {name!r} ({owner}) is broken: {_cause(error)}") from error
        need = info.requires or f"pip install {error.name}"
        raise FrameworkMissingError(
            f"backend {name!r} ({owner}) needs {error.name}, which is not installed; {need}"
        ) from error
    except (Exception, SystemExit) as error:
        raise BackendError(f"backend {name!r} ({owner}) is broken: {_cause(error)}") from error
    if not (isinstance(factory, type) and issubclass(factory, Backend)):
        raise BackendError(
            f"backend {name!r} ({owner}) is broken: {info.factory} is not a subclass of Backend"
        )
    missing = sorted(getattr(factory, "__abstractmethods__", ()))
    missing += [key for key in ("name", "precisions") if not hasattr(factory, key)]
    if missing:
        raise BackendError(f"backend {name!r} ({owner}) is incomplete: it lacks {', '.join(missing)}")
    return factory


def create(
    name: str, *, precision: str = "float32", device: str | None = None, threads: int | None = None
) -> Backend[Any]:
    """Makes the backend ready, after checking that it has what is asked of it.

    Raises BackendError that names what is possible, and which installed backend has what this one lacks.
    """
    factory = backend_class(name)
    check_asked(name, factory, precision=precision, device=device, threads=threads)
    try:
        return factory(precision=precision, device=device or factory.devices()[0], threads=threads)
    except Exception as error:
        raise BackendError(f"backend {name!r} could not be made ready: {_cause(error)}") from error


def check_asked(
    name: str,
    factory: type[Backend[Any]],
    *,
    precision: str = "float32",
    device: str | None = None,
    threads: int | None = None,
) -> None:
    """Raises BackendError unless the backend has what is asked of it."""
    if precision not in factory.precisions:
        raise BackendError(
            f"backend {name!r} has no precision {precision!r}; it has {', '.join(sorted(factory.precisions))}"
            f"{_others('precisions', precision, name)}"
        )
    devices = factory.devices()
    if device is not None and device not in devices:
        raise BackendError(
            f"backend {name!r} has no device {device!r} here; it has {', '.join(devices)}"
            f"{_others('devices', device, name)}"
        )
    if threads is not None and threads < 1:
        raise BackendError(f"threads must be at least 1; given {threads}")


def _others(kind: str, wanted: str, name: str) -> str:
    """Names the other usable backends that have the wanted capability; looks only when an error is told."""
    from charkit.probe import probe_all

    able = [row.name for row in probe_all(leave_out=name) if wanted in getattr(row, kind)]
    return (
        f"; {', '.join(able)} has it: --backend {able[0]}" if able else "; no other installed backend has it"
    )


def _cause(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def each_name() -> Iterator[tuple[str, str, str]]:
    """Name, distribution and version of every installed backend; a conflict yields a row per claim."""
    for name, claims in installed().items():
        for entry in claims:
            yield (name, *distribution(entry))
