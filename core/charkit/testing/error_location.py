"""Locates the line of a plugin that an exception comes from, however deep inside a framework it was raised."""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

from charkit.backend import Backend
from charkit.testing.subject import Subject

_CHARKIT = Path(__file__).parent.parent
#: A frame as Python prints it; frameworks that trace functions repeat the user's frames in their message.
_PRINTED_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<name>\S+)')


def locate_error(error: BaseException, subject: Subject, repeat: Callable[[], None]) -> str:
    """The last line of the plugin that the exception passed, or the line of charkit that could not work with a result.

    ``repeat`` runs what raised once more, to record what ``numpy()`` returns before it raises.
    """
    classes = _classes(subject)
    line = _line_in_plugin(error, [path for owner in classes for path in _sources(owner)])
    forgotten = _forgotten_init(error)
    if forgotten:
        return f"{forgotten}; first missed at {line}" if line else forgotten
    if line:
        return line + _unset_attribute(error, classes)
    return f"{_returned_by_numpy(classes, repeat)}outside the plugin, at {_line_in_charkit(error)}"


def _classes(subject: Subject) -> list[type[Backend[Any]]]:
    """The backend's class and the backend classes that it inherits from."""
    try:
        classes = {subject.backend_class(), *map(type, subject.created_backends())}
    except Exception:  # noqa: BLE001 - without a class its files are unknown
        return []
    bases = dict.fromkeys(base for cls in classes for base in cls.__mro__)
    return [base for base in bases if issubclass(base, Backend) and base is not Backend]


def _sources(owner: type) -> Iterator[Path]:
    """The folders of the top-level package that defines a class, or the file of a single module."""
    top = sys.modules.get(owner.__module__.partition(".")[0])
    file = getattr(top, "__file__", None)
    yield from map(Path, getattr(top, "__path__", None) or ([file] if file else []))


def _line_in_plugin(error: BaseException, sources: Iterable[Path]) -> str:
    """The last frame in the plugin's files, of the exception or of its causes."""
    sources = set(sources)

    def is_in_plugin(file: str) -> bool:
        path = Path(file)
        return not sources.isdisjoint({path, *path.parents})

    for raised in _chain(error):
        frames = [(code.co_filename, line, code.co_name) for code, line in _frames(raised)]
        printed = [
            (found["file"], int(found["line"]), found["name"])
            for found in _PRINTED_FRAME.finditer(str(raised))
        ]
        for file, line, name in (*reversed(frames), *reversed(printed)):
            if is_in_plugin(file):
                return f"{file}:{line} in {name}"
    return ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and its causes, transitively."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _frames(error: BaseException) -> Iterator[tuple[CodeType, int]]:
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame.f_code, trace.tb_lineno
        trace = trace.tb_next


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
    return f"; {owner.__name__}.__init__ sets no {error.name}"


def line_in_package(error: BaseException, module: str) -> str:
    """The last line of a module's top-level package that the exception or its causes passed, or nothing."""
    spec = find_spec(module.partition(".")[0])
    if spec is None:
        return ""
    files = spec.submodule_search_locations or ([spec.origin] if spec.origin else [])
    return _line_in_plugin(error, map(Path, files))


def _line_in_charkit(error: BaseException) -> str:
    """The innermost frame of charkit, or else of all, with the text of its line."""
    frames = list(_frames(error))
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
        with suppress(Exception, SystemExit):  # the exception that is being located
            repeat()
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
        return f"{kind} {value.dtype} {tuple(value.shape)}"
    except Exception:  # noqa: BLE001 - no array, or one under tracing
        return kind
