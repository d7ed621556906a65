"""Locates the line of a plugin that an exception comes from, however deep inside a framework it was raised."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from charkit.backend import Backend
from charkit.plugins.failures import frames_of, is_interruption, last_line_in, lines_in, sources_of
from charkit.testing.subject import Subject

_CHARKIT = Path(__file__).parent.parent


def locate_error(error: BaseException, subject: Subject, repeat: Callable[[], None]) -> str:
    """The last line of the plugin that the exception passed, with its caller in the plugin, or the line of charkit that
    could not work with a result.

    ``repeat`` runs what raised once more, to record what ``numpy()`` returns before it raises.
    """
    classes = _classes(subject)
    line = _last_line_and_caller(error, sources_of_subject(subject))
    forgotten = _forgotten_init(error)
    if forgotten:
        return f"{forgotten}; the call is needed before {line}" if line else forgotten
    if line:
        return line + _unset_attribute(error, classes)
    return f"{_returned_by_numpy(classes, repeat)}the error was raised outside the plugin, at {_line_in_charkit(error)}"


def _last_line_and_caller(error: BaseException, sources: Iterable[Path]) -> str:
    """The plugin's last line that the exception passed, and where its function was called, since it may be a helper.

    The caller is the nearest in another file, or else in another function.
    """
    frames = lines_in(error, sources)
    if not frames:
        return ""
    file, line, name = frames[0]
    callers = [frame for frame in frames if frame[0] != file] or [
        frame for frame in frames if frame[2] != name
    ]
    if not callers:
        return f"{file}:{line} in {name}"
    caller, number, function = callers[0]
    return f"{file}:{line} in {name}, called from {Path(caller).name}:{number} in {function}"


def sources_of_subject(subject: Subject) -> list[Path]:
    """The files and folders of the backend's class and of the backends that it inherits from."""
    return [path for owner in _classes(subject) for path in sources_of(owner.__module__)]


def _classes(subject: Subject) -> list[type[Backend[Any]]]:
    """The backend's class and the backend classes that it inherits from."""
    try:
        classes = {subject.backend_class(), *map(type, subject.created_backends())}
    except Exception:  # noqa: BLE001 - without a class its files are unknown
        return []
    bases = dict.fromkeys(base for cls in classes for base in cls.__mro__)
    return [base for base in bases if issubclass(base, Backend) and base is not Backend]


def _forgotten_init(error: BaseException) -> str:
    """Advice if an attribute is missing because ``Backend.__init__`` was not called, or nothing."""
    backend = getattr(error, "obj", None)
    if (
        isinstance(error, AttributeError)
        and isinstance(backend, Backend)
        and not hasattr(backend, "precision")
    ):
        made = type(backend).__name__
        return f"{made}.__init__ does not call super().__init__(precision=..., device=..., threads=...) first"
    return ""


def _unset_attribute(error: BaseException, classes: Iterable[type]) -> str:
    """Names the class if an attribute of one of the plugin's own objects is missing."""
    owner, packages = type(getattr(error, "obj", None)), {cls.__module__.partition(".")[0] for cls in classes}
    if not isinstance(error, AttributeError) or owner.__module__.partition(".")[0] not in packages:
        return ""
    return f"; {owner.__name__}.__init__ does not set {error.name}"


def line_in_package(error: BaseException, module: str) -> str:
    """The last line of a module's top-level package that the exception or its causes passed, or nothing."""
    return last_line_in(error, sources_of(module))


def _line_in_charkit(error: BaseException) -> str:
    """The innermost frame of charkit, or else of all, with the text of its line."""
    frames = list(frames_of(error))
    code, line = ([found for found in frames if _CHARKIT in Path(found[0].co_filename).parents] or frames)[-1]
    text = linecache.getline(code.co_filename, line).strip()
    return f"{code.co_filename}:{line} in {code.co_name}" + (f": {text}" if text else "")


def _returned_by_numpy(classes: list[type[Backend[Any]]], repeat: Callable[[], None]) -> str:
    """Describes the first result of ``numpy()`` that is no array of numbers, or else its last result."""
    invalid: list[str] = []
    last: list[str] = []

    def record(array: Any, tensor: Any) -> None:
        text = f"numpy() returned {_type_and_shape(array)} for {_type_and_shape(tensor)}; "
        last[:] = [text]
        if not (isinstance(array, np.ndarray) and array.dtype.kind in "biuf"):
            invalid.append(text)

    with ExitStack() as stack:
        for owner in classes:
            if "numpy" in vars(owner):
                stack.enter_context(_recording_numpy(owner, record))
        try:
            repeat()
        except BaseException as error:  # the exception that is being located
            if is_interruption(error, [path for owner in classes for path in sources_of(owner.__module__)]):
                raise
    return (invalid or last or [""])[0]


@contextmanager
def _recording_numpy(owner: type[Backend[Any]], record: Callable[[Any, Any], None]) -> Iterator[None]:
    """Records the results and arguments of the class's ``numpy`` while the context lasts."""
    original = vars(owner)["numpy"]

    def numpy(self: Backend[Any], tensor: Any) -> Any:
        array = original.__get__(self, type(self))(tensor)
        record(array, tensor)
        return array

    setattr(owner, "numpy", numpy)  # noqa: B010 - mypy allows no assignment to a method
    try:
        yield
    finally:
        setattr(owner, "numpy", original)  # noqa: B010


def _type_and_shape(value: Any) -> str:
    """The type of a value, and for an array its dtype and shape."""
    kind = type(value).__name__
    try:
        return f"{kind} (dtype {value.dtype}, shape {tuple(value.shape)})"
    except Exception:  # noqa: BLE001 - no array, or one under tracing
        return kind
