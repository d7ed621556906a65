"""Where an exception out of a backend comes from: the plugin's own line, however deep it surfaced."""

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
#: A frame as Python prints one; frameworks that trace functions repeat those of the user in their message.
_PRINTED_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<name>\S+)')


def locate(error: BaseException, subject: Subject, again: Callable[[], None]) -> str:
    """The last line of the plugin that the exception passed, or where in charkit it surfaced, and after what.

    ``again`` repeats what raised, in order to see what ``numpy()`` returns before it does.
    """
    classes = _classes(subject)
    place = _in_plugin(error, [path for owner in classes for path in _sources(owner)])
    forgotten = _forgotten_init(error)
    if forgotten:
        return f"{forgotten}; first missed at {place}" if place else forgotten
    if place:
        return place + _never_set(error, classes)
    return f"{_copied_out(classes, again)}outside the plugin, at {_in_charkit(error)}"


def _classes(subject: Subject) -> list[type[Backend[Any]]]:
    """The backend's class and those of backends that it inherits from."""
    try:
        classes = {subject.backend_class(), *map(type, subject.made())}
    except Exception:  # noqa: BLE001 - without a class, nothing is known of its files
        return []
    bases = dict.fromkeys(base for cls in classes for base in cls.__mro__)
    return [base for base in bases if issubclass(base, Backend) and base is not Backend]


def _sources(owner: type) -> Iterator[Path]:
    """The folders of the top-level package in which a class is written, or the file of a lone module."""
    top = sys.modules.get(owner.__module__.partition(".")[0])
    file = getattr(top, "__file__", None)
    yield from map(Path, getattr(top, "__path__", None) or ([file] if file else []))


def _in_plugin(error: BaseException, sources: Iterable[Path]) -> str:
    """The last frame in the plugin's files, of the exception or of what caused it."""
    sources = set(sources)

    def own(file: str) -> bool:
        path = Path(file)
        return not sources.isdisjoint({path, *path.parents})

    for raised in _chain(error):
        frames = [(code.co_filename, line, code.co_name) for code, line in _frames(raised)]
        printed = [
            (found["file"], int(found["line"]), found["name"])
            for found in _PRINTED_FRAME.finditer(str(raised))
        ]
        for file, line, name in (*reversed(frames), *reversed(printed)):
            if own(file):
                return f"{file}:{line} in {name}"
    return ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception, its cause, the cause of that, and so on."""
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
    """What to do where an attribute is missing because ``Backend.__init__`` was not called."""
    backend = getattr(error, "obj", None)
    if (
        isinstance(error, AttributeError)
        and isinstance(backend, Backend)
        and not hasattr(backend, "precision")
    ):
        made = type(backend).__name__
        return f"{made}.__init__ does not call super().__init__(precision=..., device=..., threads=...) first"
    return ""


def _never_set(error: BaseException, classes: Iterable[type]) -> str:
    """Says so where an attribute of one of the plugin's own objects is missing."""
    owner, packages = type(getattr(error, "obj", None)), {one.__module__.partition(".")[0] for one in classes}
    if not isinstance(error, AttributeError) or owner.__module__.partition(".")[0] not in packages:
        return ""
    return f"; {owner.__name__}.__init__ sets no {error.name}"


def in_package(error: BaseException, module: str) -> str:
    """The last line of a module's top-level package that the exception or what caused it has passed, or nothing."""
    spec = find_spec(module.partition(".")[0])
    if spec is None:
        return ""
    files = spec.submodule_search_locations or ([spec.origin] if spec.origin else [])
    return _in_plugin(error, map(Path, files))


def _in_charkit(error: BaseException) -> str:
    """The innermost frame of charkit's own code, or else of any, with the text of its line."""
    frames = list(_frames(error))
    code, line = ([found for found in frames if _CHARKIT in Path(found[0].co_filename).parents] or frames)[-1]
    text = linecache.getline(code.co_filename, line).strip()
    return f"{code.co_filename}:{line} in {code.co_name}" + (f": {text}" if text else "")


def _copied_out(classes: list[type[Backend[Any]]], again: Callable[[], None]) -> str:
    """The first thing that ``numpy()`` returned that is no array of numbers, or else the last that it returned."""
    odd: list[str] = []
    last: list[str] = []

    def note(array: Any, tensor: Any) -> None:
        text = f"numpy() returned {_described(array)} for {_described(tensor)}; "
        last[:] = [text]
        if not (isinstance(array, np.ndarray) and array.dtype.kind in "biuf"):
            odd.append(text)

    with ExitStack() as stack:
        for owner in classes:
            if "numpy" in vars(owner):
                stack.enter_context(_observed(owner, note))
        with suppress(Exception, SystemExit):  # the exception that is being located
            again()
    return (odd or last or [""])[0]


@contextmanager
def _observed(owner: type[Backend[Any]], note: Callable[[Any, Any], None]) -> Iterator[None]:
    """Notes what the class's ``numpy`` returns and for what, while the context lasts."""
    original = vars(owner)["numpy"]

    def numpy(self: Backend[Any], tensor: Any) -> Any:
        array = original.__get__(self, type(self))(tensor)
        note(array, tensor)
        return array

    setattr(owner, "numpy", numpy)  # noqa: B010 - mypy allows no assignment to a method
    try:
        yield
    finally:
        setattr(owner, "numpy", original)  # noqa: B010


def _described(value: Any) -> str:
    """The type of a value, and of an array its dtype and shape."""
    kind = type(value).__name__
    try:
        return f"{kind} {value.dtype} {tuple(value.shape)}"
    except Exception:  # noqa: BLE001 - not an array, or one that can't say
        return kind
