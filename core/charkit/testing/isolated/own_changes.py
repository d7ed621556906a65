"""Finds the settings of the process that a plugin's own modules change while they are imported.

Importing a framework may change settings, which is not the plugin's doing. So the settings are compared wherever the
plugin's code begins or ends, and wherever it imports something else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from charkit.testing.isolated.process_settings import changed_settings

#: Reads the settings, by description.
Read = Callable[[], dict[str, str]]


@contextmanager
def noting_own_changes(packages: set[str], read: Read) -> Iterator[list[str]]:
    """Lists the settings that modules of these packages change for good while they are imported within the context.

    The list is filled at the end.
    """
    finder, changed = _Finder(packages, read), list[str]()
    sys.meta_path.insert(0, finder)
    try:
        yield changed
    finally:
        sys.meta_path.remove(finder)
        changed += finder.changed()


class _Finder(MetaPathFinder):
    """Finds what the other finders find, and has the settings compared before and after it is executed."""

    def __init__(self, packages: set[str], read: Read) -> None:
        self._packages, self._read = packages, read
        #: How many modules of the plugin are being executed, and how many others within them.
        self._own = self._other = 0
        self._last: dict[str, str] = {}
        #: The value before the plugin's first change of it; None if there was none.
        self._before: dict[str, str | None] = {}

    def changed(self) -> list[str]:
        """The settings that the plugin changed and that are not what they were."""
        now = self._current() if self._before else {}
        return [name for name, value in self._before.items() if now.get(name) != value]

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top = name.partition(".")[0]
        is_own = top in self._packages
        if self._other or not (is_own or self._own) or top == "charkit" or top in sys.stdlib_module_names:
            return None  # the other finders go on
        spec = next(
            filter(None, (self._found_by(finder, name, path, target) for finder in sys.meta_path)), None
        )
        loader: Any = None if spec is None else spec.loader
        if loader is None or isinstance(loader, type) or not hasattr(loader, "exec_module"):
            return spec
        if not is_own:
            self._compare()  # the module may change settings as soon as it is created
        execute = loader.exec_module
        loader.exec_module = lambda module: (self._execute_own if is_own else self._execute_other)(
            execute, module
        )
        return spec

    def _found_by(
        self, finder: Any, name: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        found: ModuleSpec | None = None if finder is self else finder.find_spec(name, path, target)
        return found

    def _execute_own(self, execute: Callable[[ModuleType], None], module: ModuleType) -> None:
        if not self._own:
            self._last = self._current()
        self._own += 1
        try:
            execute(module)
        finally:
            self._own -= 1
            if not self._own:
                self._compare()

    def _execute_other(self, execute: Callable[[ModuleType], None], module: ModuleType) -> None:
        self._other += 1
        try:
            execute(module)
        finally:
            self._other -= 1
            self._last = self._current()

    def _current(self) -> dict[str, str]:
        """The settings now. What is imported to read them is not the plugin's."""
        self._other += 1
        try:
            return self._read()
        finally:
            self._other -= 1

    def _compare(self) -> None:
        """Notes what the plugin's code has changed since the last comparison."""
        now = self._current()
        for name in changed_settings(self._last, now):
            self._before.setdefault(name, self._last.get(name))
        self._last = now
