"""Loading of backends: from a name to a backend that is ready, or to one line that says what is wrong.

A plugin is imported only when its backend is chosen, and no other with it. What the plugin requires is compared with
what is installed before its framework is imported. ``discovery`` finds it by metadata; ``supervision`` keeps watch
while it is loaded; ``probe`` tries it in a child process, so that one that hangs, prints or dies is a row and no more.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint
from types import MappingProxyType
from typing import Any

import pluggy

from charkit import hookspecs
from charkit.backend import Backend
from charkit.errors import BackendError, UnwrittenError
from charkit.hookspecs import API_VERSION, CONTRACT_CHANGES, BackendInfo
from charkit.plugins.declared import devices_of
from charkit.plugins.discovery import distribution, find, named
from charkit.plugins.probe import BackendRow, probe_all
from charkit.plugins.requirements import Unmet, install_command, unmet
from charkit.plugins.supervision import supervised

#: The names of charkit's own plugins, for hints on what could be installed; they are found like any other.
OWN = ("torch", "tensorflow", "jax")
#: No capabilities are required.
NOTHING: Mapping[str, str] = MappingProxyType({})


class FrameworkMissingError(BackendError):
    """The plugin is sound, but the framework that it needs is not installed."""


class WrongVersionError(BackendError):
    """The plugin, its framework and this charkit may each be sound, but their versions don't fit together."""


def load_info(name: str) -> BackendInfo:
    """Imports the plugin module of one backend, not its framework, and asks its hook."""
    entry = find(name)
    who = named(entry)
    new = entry.module not in sys.modules  # what is loaded already was looked at before
    if new:
        _refuse_other_charkit(entry)
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    with supervised(who, new=new):
        try:
            manager.register(entry.load(), name=name)
            manager.check_pending()
            answers = manager.hook.charkit_backend()
        except (Exception, SystemExit) as error:
            raise BackendError(f"{who} is broken: {_cause(error)}") from error
    if len(answers) != 1 or not isinstance(answers[0], BackendInfo):
        raise BackendError(
            f"{who} is broken: its plugin module must implement charkit_backend "
            f"with @hookimpl and return a BackendInfo; got {answers!r:.80}"
        )
    return _checked(answers[0], entry)


def _checked(info: BackendInfo, entry: EntryPoint) -> BackendInfo:
    who = named(entry)
    texts = (info.factory, info.verified)
    if type(info.api) is not int or not all(isinstance(text, str) for text in texts):
        raise BackendError(
            f"{who} is broken: its BackendInfo must have a whole number as api, and texts as factory and verified; "
            f"got {info!r:.200}"
        )
    if info.api != API_VERSION:
        raise WrongVersionError(f"{who} speaks contract version {info.api}, {_since(info.api, entry)}")
    if info.name != entry.name:
        raise BackendError(
            f"{who} is broken: its hook says name={info.name!r}, its entry point {entry.name!r}"
        )
    return info


def _since(api: int, entry: EntryPoint) -> str:
    """What to do about a plugin of another contract version, and what its author has to change."""
    speaks = f"this charkit speaks {API_VERSION}"
    if api > API_VERSION:
        return f"{speaks}; upgrade charkit"
    changes = "; ".join(f"{version}: {what}" for version, what in CONTRACT_CHANGES.items() if version > api)
    return (
        f"{speaks}; ask for a release of {distribution(entry)[0]} for it; what changed in version {changes}"
    )


def backend_class(name: str) -> type[Backend[Any]]:
    """Imports the framework of one backend and returns its class.

    Raises WrongVersionError, or FrameworkMissingError where a module outside the plugin is not installed, and
    BackendError from the original error for anything else that went wrong.
    """
    info = load_info(name)
    entry = find(name)
    who = named(entry)
    module, _, attribute = info.factory.partition(":")
    new = module not in sys.modules
    if new:
        _refuse_unmet(entry, info.requires)
    with supervised(who, new=new):
        try:
            factory = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            own = (error.name or "").split(".")[0] in {module.split(".")[0], "charkit"}
            if own:
                raise BackendError(f"{who} is broken: {_cause(error)}") from error
            need = info.requires or f"pip install {error.name}"
            raise FrameworkMissingError(
                f"{who} needs {error.name}, which is not installed; {need}"
            ) from error
        except (Exception, SystemExit) as error:
            raise BackendError(f"{who} is broken: {_cause(error)}") from error
    if not (isinstance(factory, type) and issubclass(factory, Backend)):
        raise BackendError(f"{who} is broken: {info.factory} is not a subclass of Backend")
    missing = sorted(getattr(factory, "__abstractmethods__", ()))
    missing += [key for key in ("name", "precisions") if not hasattr(factory, key)]
    if missing:
        raise BackendError(f"{who} is incomplete: it lacks {', '.join(missing)}")
    if not isinstance(factory.capabilities, frozenset):  # a text would have every part of it as a member
        raise BackendError(
            f"{who} is broken: its capabilities must be a frozenset of names; got {factory.capabilities!r:.80}"
        )
    return factory


def _unmet(entry: EntryPoint) -> list[Unmet]:
    """What the plugin's distribution requires and what is installed does not meet."""
    try:
        return unmet(entry.dist) if entry.dist else []
    except ValueError as error:
        raise BackendError(
            f"{named(entry)} is broken: its requirements can't be read: {_cause(error)}"
        ) from error


def _refuse_other_charkit(entry: EntryPoint) -> None:
    """Raises WrongVersionError for a plugin of another charkit, before anything of it is imported."""
    for need in _unmet(entry):
        if need.name.lower() == hookspecs.PROJECT:
            raise WrongVersionError(
                f"{named(entry)} needs {need}, and charkit {need.installed} is installed; "
                f"install a charkit that fits, or a release of {distribution(entry)[0]} for this one"
            )


def _refuse_unmet(entry: EntryPoint, hint: str) -> None:
    """Raises an error for requirements that are missing, or else for those in a version out of range."""
    needs = _unmet(entry)
    missing = [need for need in needs if need.installed is None]
    if missing:
        are = "are" if len(missing) > 1 else "is"
        raise FrameworkMissingError(
            f"{named(entry)} needs {_and(missing)}, which {are} not installed; {hint or install_command(missing)}"
        )
    if needs:
        found = _and(f"{need.name} {need.installed}" for need in needs)
        are = "are" if len(needs) > 1 else "is"
        raise WrongVersionError(
            f"{named(entry)} needs {_and(needs)}, and {found} {are} installed; {install_command(needs)}"
        )


def _and(things: Iterable[object]) -> str:
    *before, last = map(str, things)
    return f"{', '.join(before)} and {last}" if before else last


def create(
    name: str,
    *,
    precision: str = "float32",
    device: str | None = None,
    threads: int | None = None,
    required: Mapping[str, str] = NOTHING,
) -> Backend[Any]:
    """Makes the backend ready, after checking that it has what is asked of it.

    ``required`` are the capabilities that the settings need, as ``charkit.capabilities.required`` returns them.
    Raises BackendError that names what is possible, and which installed backend has what this one lacks.
    """
    factory = backend_class(name)
    check_asked(name, factory, precision=precision, device=device, threads=threads)
    check_capabilities(name, factory.capabilities, required)
    device = device or devices(name, factory)[0]
    who = named(find(name))
    with supervised(who, new=False):
        try:
            return factory(precision=precision, device=device, threads=threads)
        except UnwrittenError:
            raise
        except (Exception, SystemExit) as error:
            raise BackendError(f"{who} could not be made ready: {_cause(error)}") from error


def devices(name: str, factory: type[Backend[Any]]) -> list[str]:
    """The devices of this machine that the backend can use. Raises BackendError where it can't say."""
    who = named(find(name))
    with supervised(who, new=False):
        try:
            found = devices_of(factory)
        except BackendError:
            raise
        except (Exception, SystemExit) as error:
            raise BackendError(f"{who} can't say what devices there are: {_cause(error)}") from error
    if not found:
        raise BackendError(f"{who} finds no device on this machine that it can use")
    return found


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
    if device is not None and device not in (there := devices(name, factory)):
        raise BackendError(
            f"backend {name!r} has no device {device!r} here; it has {', '.join(there)}"
            f"{_others('devices', device, name)}"
        )
    if threads is not None and threads < 1:
        raise BackendError(f"threads must be at least 1; given {threads}")


def check_capabilities(
    name: str,
    declared: Collection[str],
    required: Mapping[str, str],
    rows: Collection[BackendRow] | None = None,
) -> None:
    """Raises BackendError unless the backend declares what the settings need.

    ``rows`` are those of the installed backends, where they have been tried already.
    """
    for capability, setting in required.items():
        if capability not in declared:
            others = _others("capabilities", capability, name, rows)
            raise BackendError(f"{lacking(name, declared, capability, setting)}{others}")


def lacking(name: str, declared: Collection[str], capability: str, setting: str) -> str:
    """Says in words that a setting needs a capability that a backend does not declare."""
    has = ", ".join(sorted(declared)) or "none"
    return f"{setting} needs the capability {capability}; backend {name!r} declares {has}"


def _others(kind: str, wanted: str, name: str, rows: Collection[BackendRow] | None = None) -> str:
    """Names the other usable backends that have what is wanted; looks only when an error is reported."""
    rows = probe_all(leave_out=name) if rows is None else rows
    able = [row.name for row in rows if row.name != name and wanted in getattr(row, kind)]
    if not able:
        return "; no other installed backend has it"
    return f"; {_and(able)} {'has' if len(able) == 1 else 'have'} it: --backend {able[0]}"


def _cause(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
