"""One installed plugin, from its metadata to its backend; whatever goes wrong on the way is one line of text."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pluggy

from charkit import hookspecs
from charkit.backend import Backend
from charkit.errors import BackendError, UnwrittenError, advice_to_install
from charkit.hookspecs import BackendInfo
from charkit.plugins.compatibility import (
    FrameworkMissingError,
    check_charkit,
    check_contract,
    check_requirements,
)
from charkit.plugins.declared import MOST_CHARACTERS, MOST_NAMES, devices_of, is_name
from charkit.plugins.failures import (
    describe_error,
    is_interruption,
    last_line_in,
    printable_line,
    represent,
    sources_of,
)
from charkit.plugins.supervision import supervised
from charkit.system.garbage_collection import lasting_objects

#: The plugins, and what of each has run in this process without ending it.
_RAN: set[tuple[Plugin, str]] = set()
#: Where a backend's class is: its module, and its name there.
_FACTORY = re.compile(r"\w+(\.\w+)*:\w+")


@dataclass(frozen=True)
class Plugin:
    """A backend's entry point, and the name and version of the distribution that provides it.

    Nothing is imported until it is needed: ``info`` imports the plugin module, and ``backend_class`` the framework.
    Both are cached once loaded, and raise BackendError if they can't be loaded.
    """

    entry_point: EntryPoint
    distribution: str
    version: str

    @classmethod
    def from_entry_point(cls, entry_point: EntryPoint) -> Plugin:
        """The plugin of an entry point in the group ``charkit.backends``."""
        owner = entry_point.dist
        # Metadata that lacks a field, or holds what a terminal would obey, must not hide the plugin.
        fields: Any = owner.metadata if owner else {}
        name, version = (str(fields[name]) if name in fields else "" for name in ("Name", "Version"))
        return cls(entry_point, printable_line(name) or "unknown", printable_line(version) or "unknown")

    @property
    def name(self) -> str:
        """The name of the backend."""
        return self.entry_point.name

    @property
    def label(self) -> str:
        """How messages name the backend, as in ``backend 'mine' (charkit-mine 1.0)``."""
        return f"backend {self.name!r} ({self.distribution} {self.version})"

    @cached_property
    def info(self) -> BackendInfo:
        """What the plugin says of its backend; importing its module imports no framework.

        Raises WrongVersionError for a plugin of another contract or charkit, BackendError for one that is broken.
        """
        new = self.entry_point.module not in sys.modules  # one that is loaded already was checked before
        if new:
            check_charkit(self.entry_point.dist, self.label)
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        with self._running("is broken", new=new):
            manager.register(self.entry_point.load(), name=self.name)
            manager.check_pending()
            answers = manager.hook.charkit_backend()
        if len(answers) != 1 or not isinstance(answers[0], BackendInfo):
            raise BackendError(
                f"{self.label} is broken: its plugin module must implement charkit_backend "
                f"with @hookimpl and return a BackendInfo; got {represent(answers, 80)}"
            )
        self._check_info(answers[0])
        return answers[0]

    @contextmanager
    def _running(
        self, problem: str, *, new: bool = False, passing: tuple[type[Exception], ...] = ()
    ) -> Iterator[None]:
        """Runs the plugin's code, supervised; raises BackendError, which names the plugin, for whatever it raises.

        ``problem`` says what an exception means; those of ``passing`` are passed on as they are. Code that never ran
        before is ``new``: it may end the process.
        """
        with supervised(self.label, new=new or (self, problem) not in _RAN):
            try:
                yield
            except passing:
                raise
            except BaseException as error:
                sources = self._sources()
                if is_interruption(error, sources):
                    raise
                where = last_line_in(error, sources)
                raise BackendError(
                    f"{self.label} {problem}: {describe_error(error)}{f', at {where}' if where else ''}"
                ) from error
        _RAN.add((self, problem))

    def _sources(self) -> list[Path]:
        """The files and folders of the plugin's module and, once that is known, of its backend."""
        modules = [self.entry_point.module]
        if "info" in vars(self):
            modules.append(self.info.factory.partition(":")[0])
        return [path for module in modules for path in sources_of(module)]

    def _check_info(self, info: BackendInfo) -> None:
        texts = (info.factory, info.summary, info.requires, info.verified)
        if type(info.api) is not int or not all(map(_is_short_text, texts)):
            raise BackendError(
                f"{self.label} is broken: its BackendInfo must have an integer api, and its factory, summary, "
                f"requires and verified must each be one printable line of at most {MOST_CHARACTERS} characters; "
                f"got {represent(info, 200)}"
            )
        if not _FACTORY.fullmatch(info.factory):
            raise BackendError(
                f"{self.label} is broken: its factory must be of the form 'package.module:Class'; got "
                f"{represent(info.factory, 80)}"
            )
        check_contract(info.api, self.label, self.distribution)
        if info.name != self.name:
            raise BackendError(
                f"{self.label} is broken: its hook returns name={represent(info.name)}, but its entry point "
                f"is named {self.name!r}"
            )

    @cached_property
    def backend_class(self) -> type[Backend[Any]]:
        """The backend's class; importing it imports the framework.

        Raises WrongVersionError, FrameworkMissingError where a module outside of the plugin is not installed, and
        BackendError with the original error for anything else that goes wrong.
        """
        module, _, attribute = self.info.factory.partition(":")
        new = module not in sys.modules
        if new:
            check_requirements(self.entry_point.dist, self.label, self.info.requires)
        try:
            running = self._running("is broken", new=new, passing=(ModuleNotFoundError,))
            with running, lasting_objects() if new else nullcontext():
                found = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            raise self._missing_module(error, module) from error
        with self._running("is broken", passing=(BackendError,)):
            return self._checked_class(found)

    def _missing_module(self, error: ModuleNotFoundError, module: str) -> BackendError:
        """The error for a module that isn't there: the plugin's own fault, or a framework to install."""
        if (error.name or "").split(".")[0] in {module.split(".", maxsplit=1)[0], hookspecs.PROJECT}:
            return BackendError(f"{self.label} is broken: {describe_error(error)}")
        advice = self.info.requires or f"pip install {error.name}"
        return FrameworkMissingError(
            f"{self.label} needs {error.name}, which is not installed; {advice_to_install(advice)}"
        )

    def _checked_class(self, found: Any) -> type[Backend[Any]]:
        if not (isinstance(found, type) and issubclass(found, Backend)):
            raise BackendError(f"{self.label} is broken: {self.info.factory} is not a subclass of Backend")
        missing = sorted(getattr(found, "__abstractmethods__", ()))
        missing += [key for key in ("name", "precisions") if not hasattr(found, key)]
        if missing:
            raise BackendError(f"{self.label} is incomplete: it lacks {', '.join(missing)}")
        if not is_name(found.name):
            raise BackendError(
                f"{self.label} is broken: its name must be a printable string; got {represent(found.name)}"
            )
        if found.name != self.name:
            raise BackendError(
                f"{self.label} is broken: {self.info.factory} has name={represent(found.name)}, but its entry point "
                f"is named {self.name!r}"
            )
        for declared in ("precisions", "capabilities"):
            names = getattr(found, declared)
            # Each letter of a string would be a member, and others can't be iterated, or not twice.
            if not isinstance(names, frozenset) or len(names) > MOST_NAMES or not all(map(is_name, names)):
                raise BackendError(
                    f"{self.label} is broken: its {declared} must be a frozenset of names; got {represent(names, 80)}"
                )
        return found

    def devices(self) -> list[str]:
        """The devices of this machine that the backend can use, its default first.

        Raises BackendError if there are none, or if the backend can't list them.
        """
        backend_class = self.backend_class
        with self._running("can't list its devices", passing=(BackendError,)):
            found = devices_of(backend_class)
        if not found:
            raise BackendError(f"{self.label} found no device that it can use on this machine")
        return found

    def instantiate(self, *, precision: str, device: str, threads: int | None) -> Backend[Any]:
        """Creates the backend, which must support the precision and the device (``creation.create`` checks that).

        Raises BackendError if that fails.
        """
        backend_class = self.backend_class
        with self._running("failed to start", passing=(UnwrittenError,)):
            made = backend_class(precision=precision, device=device, threads=threads)
            if not isinstance(made, Backend):
                raise TypeError(f"the class returned {represent(made)}, which is not a Backend")
            return made


def _is_short_text(text: object) -> bool:
    return isinstance(text, str) and len(text) <= MOST_CHARACTERS and text.isprintable()
