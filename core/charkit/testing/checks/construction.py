"""Stage import: the backend is found by its name, its plugin module is light, and its class is complete."""

from __future__ import annotations

from charkit import plugins
from charkit.backend import Backend
from charkit.errors import BackendError
from charkit.testing.error_location import line_in_package
from charkit.testing.isolated.process import ProcessEndedError, shared_training_processes
from charkit.testing.registry import check
from charkit.testing.subject import Subject
from charkit.testing.tolerances import Mismatch, require

_HOOK = "plugin.py and the entry point in pyproject.toml"
_CLASS = "backend.py: the class that subclasses charkit.Backend"


@check("import")
def plugin_is_found(subject: Subject) -> None:
    """The backend is found by its name, its hook returns a BackendInfo, and its class can be imported."""
    try:
        subject.backend_class()
    except BackendError as error:
        expected = f"an installed backend named {subject.name!r} whose class can be imported"
        raise Mismatch(expected, str(error), _look_at(subject, error)) from error


def _look_at(subject: Subject, error: BackendError) -> str:
    """Where to look: the line of the plugin that raises, if any, and what can't be used, the hook or the class."""
    try:
        plugin = plugins.find(subject.name)
        line = line_in_package(error, plugin.entry_point.module)
    except BackendError:
        return _HOOK  # there is no such plugin
    place = _CLASS
    try:
        _ = plugin.info
    except BackendError:
        place = _HOOK
    return f"{line}; {place}" if line else place


@check("import")
def plugin_module_is_light(subject: Subject) -> None:
    """Importing the plugin module loads no framework: only charkit, the plugin's package and the standard library."""
    if subject.factory is not None:
        return  # not an installed plugin
    expected = "no import of a framework or any other library in the plugin module"
    try:
        modules = shared_training_processes(subject).one_thread.plugin_imports()
    except ProcessEndedError as error:
        raise Mismatch(expected, error.got, _HOOK) from error
    require(not modules, expected=expected, got=f"it imports {', '.join(modules)}", look_at="plugin.py")


@check("import")
def class_is_complete(subject: Subject) -> None:
    """The class implements every abstract method of the contract and has the plugin's name."""
    backend = subject.backend_class()
    require(issubclass(backend, Backend), expected="a subclass of Backend", got=backend, look_at=_CLASS)
    missing = sorted(backend.__abstractmethods__)
    require(
        not missing, expected="no abstract methods left unimplemented", got=", ".join(missing), look_at=_CLASS
    )
    name = getattr(backend, "name", None)
    require(name == subject.name, expected=f"name = {subject.name!r}", got=repr(name), look_at=_CLASS)
