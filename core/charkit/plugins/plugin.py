"""One installed plugin, from its metadata to its backend; whatever goes wrong on the way is one line of text."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint
from typing import Any

import pluggy

from charkit import hookspecs
from charkit.backend import Backend
from charkit.errors import BackendError, UnwrittenError
from charkit.hookspecs import BackendInfo
from charkit.plugins.compatibility import (
    FrameworkMissingError,
    check_charkit,
    check_contract,
    check_requirements,
    describe_error,
)
from charkit.plugins.declared import devices_of
from charkit.plugins.supervision import supervised


@dataclass(frozen=True)
class Plugin:
    """A backend's entry point, and the name and version of the distribution that brings it.

    Nothing of it is imported until it is asked for: ``info`` imports the plugin module, and ``backend_class`` the
    framework. Both are kept once they are there, and raise BackendError as long as they are not.
    """

    entry_point: EntryPoint
    distribution: str
    version: str

    @classmethod
    def from_entry_point(cls, entry_point: EntryPoint) -> Plugin:
        """The plugin of an entry point in the group ``charkit.backends``."""
        owner = entry_point.dist
        return cls(entry_point, owner.name if owner else "unknown", owner.version if owner else "unknown")

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
        with supervised(self.label, new=new):
            try:
                manager.register(self.entry_point.load(), name=self.name)
                manager.check_pending()
                answers = manager.hook.charkit_backend()
            except (Exception, SystemExit) as error:
                raise BackendError(f"{self.label} is broken: {describe_error(error)}") from error
        if len(answers) != 1 or not isinstance(answers[0], BackendInfo):
            raise BackendError(
                f"{self.label} is broken: its plugin module must implement charkit_backend "
                f"with @hookimpl and return a BackendInfo; got {answers!r:.80}"
            )
        self._check_info(answers[0])
        return answers[0]

    def _check_info(self, info: BackendInfo) -> None:
        texts = (info.factory, info.verified)
        if type(info.api) is not int or not all(isinstance(text, str) for text in texts):
            raise BackendError(
                f"{self.label} is broken: its BackendInfo must have a whole number as api, and texts as factory and "
                f"verified; got {info!r:.200}"
            )
        check_contract(info.api, self.label, self.distribution)
        if info.name != self.name:
            raise BackendError(
                f"{self.label} is broken: its hook says name={info.name!r}, its entry point {self.name!r}"
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
        with supervised(self.label, new=new):
            try:
                found = getattr(import_module(module), attribute)
            except ModuleNotFoundError as error:
                raise self._missing_module(error, module) from error
            except (Exception, SystemExit) as error:
                raise BackendError(f"{self.label} is broken: {describe_error(error)}") from error
        return self._checked_class(found)

    def _missing_module(self, error: ModuleNotFoundError, module: str) -> BackendError:
        """The error for a module that isn't there: the plugin's own fault, or a framework to install."""
        if (error.name or "").split(".")[0] in {module.split(".", maxsplit=1)[0], hookspecs.PROJECT}:
            return BackendError(f"{self.label} is broken: {describe_error(error)}")
        advice = self.info.requires or f"pip install {error.name}"
        return FrameworkMissingError(f"{self.label} needs {error.name}, which is not installed; {advice}")

    def _checked_class(self, found: Any) -> type[Backend[Any]]:
        if not (isinstance(found, type) and issubclass(found, Backend)):
            raise BackendError(f"{self.label} is broken: {self.info.factory} is not a subclass of Backend")
        missing = sorted(getattr(found, "__abstractmethods__", ()))
        missing += [key for key in ("name", "precisions") if not hasattr(found, key)]
        if missing:
            raise BackendError(f"{self.label} is incomplete: it lacks {', '.join(missing)}")
        if not isinstance(found.capabilities, frozenset):  # each letter of a string would be a member
            raise BackendError(
                f"{self.label} is broken: its capabilities must be a frozenset of names; "
                f"got {found.capabilities!r:.80}"
            )
        return found

    def devices(self) -> list[str]:
        """The devices of this machine that the backend can use, its default first.

        Raises BackendError where there are none, or it can't say.
        """
        backend_class = self.backend_class
        with supervised(self.label, new=False):
            try:
                found = devices_of(backend_class)
            except BackendError:
                raise
            except (Exception, SystemExit) as error:
                raise BackendError(
                    f"{self.label} can't say what devices there are: {describe_error(error)}"
                ) from error
        if not found:
            raise BackendError(f"{self.label} finds no device on this machine that it can use")
        return found

    def instantiate(self, *, precision: str, device: str, threads: int | None) -> Backend[Any]:
        """Creates the backend, which must have the precision and the device (``creation.create`` checks that).

        Raises BackendError where it fails.
        """
        backend_class = self.backend_class
        with supervised(self.label, new=False):
            try:
                return backend_class(precision=precision, device=device, threads=threads)
            except UnwrittenError:
                raise
            except (Exception, SystemExit) as error:
                raise BackendError(
                    f"{self.label} could not be made ready: {describe_error(error)}"
                ) from error
