"""Turns whatever a plugin's code raises into one line that names the plugin and the line of it that failed.

A plugin may raise what no caller expects: SystemExit, GeneratorExit, a KeyboardInterrupt of its own, an exception that
can't be printed. Only an interruption by the user passes as it is.
"""

from __future__ import annotations

import dis
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any

from charkit.backend import Backend
from charkit.errors import BackendError, CharkitError, TerminatedError
from charkit.training import interrupts

_CHARKIT = Path(__file__).parent.parent
#: The modules of the core that work with what a backend returns: what fails in them failed on the backend's results.
_COMPUTING = frozenset(
    _CHARKIT / f"{name}.py"
    for name in (
        *("charrnn", "evaluation", "inference", "network", "network_state"),
        *("symbol_sampling", "tensor_conversion"),
    )
)
_RAISE = dis.opmap["RAISE_VARARGS"]
#: A frame as Python prints it; frameworks that trace functions repeat the user's frames in their message.
_PRINTED_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<name>\S+)')
#: Characters of an exception's text that are shown; some repeat the arrays that they were called with.
_SHOWN_CHARACTERS = 600


@contextmanager
def backend_errors(backend: Backend[Any]) -> Iterator[None]:
    """Raises BackendError for an exception of the backend's code, or of the core's on what it returned.

    Exceptions that come from elsewhere, such as an event handler, pass as they are, and so do CharkitError and
    MemoryError.
    """
    try:
        yield
    except (CharkitError, MemoryError):
        raise
    except BaseException as error:
        sources = sources_of_class(type(backend))
        if is_interruption(error, sources):
            raise
        where = last_line_in(error, sources)
        if not where and not _failed_on_results(error):
            raise
        raise BackendError(
            f"backend {backend.name!r} failed while running: {describe_error(error)}"
            f"{f', at {where}' if where else ''}; report this to its author, or choose another `backend`"
        ) from error


def is_interruption(error: BaseException, sources: Iterable[Path]) -> bool:
    """Whether the exception is the user's Ctrl-C or a termination, and not one that the plugin raised itself.

    ``sources`` are the plugin's files and folders. A signal interrupts a line of it anywhere; only a KeyboardInterrupt
    of its own comes from its statement ``raise``.
    """
    if isinstance(error, TerminatedError) or type(error).__module__ == interrupts.__name__:
        return True
    if not isinstance(error, KeyboardInterrupt):
        return False
    trace = _innermost(error)
    if trace is None or not is_inside(trace.tb_frame.f_code.co_filename, sources):
        return True
    return trace.tb_frame.f_code.co_code[trace.tb_lasti] != _RAISE


def sources_of_class(backend: type[Backend[Any]]) -> list[Path]:
    """The files and folders of a backend's class and of the backends that it inherits from."""
    classes = [base for base in backend.__mro__ if issubclass(base, Backend) and base is not Backend]
    return [path for module in {base.__module__ for base in classes} for path in sources_of(module)]


def sources_of(module: str) -> list[Path]:
    """The folders of a module's top-level package, or the file of a single module; none where they are unknown."""
    top = module.partition(".")[0]
    loaded = sys.modules.get(top)
    if loaded is not None:
        folders, file = getattr(loaded, "__path__", None), getattr(loaded, "__file__", None)
    else:
        try:
            spec = find_spec(top)
        except (ImportError, ValueError):
            return []
        folders, file = (spec.submodule_search_locations, spec.origin) if spec else (None, None)
    return [Path(folder) for folder in folders or ([file] if file else [])]


def last_line_in(error: BaseException, sources: Iterable[Path]) -> str:
    """The last frame in these files or folders, of the exception or of its causes, as ``FILE:LINE in NAME``."""
    return next((f"{file}:{line} in {name}" for file, line, name in lines_in(error, sources)), "")


def lines_in(error: BaseException, sources: Iterable[Path]) -> list[tuple[str, int, str]]:
    """The frames in these files or folders, innermost first: file, line and name.

    Those of the exception, or of the first of its causes that has any, and then those that its text lists.
    """
    sources = set(sources)
    for raised in _chain(error):
        frames = [(code.co_filename, line, code.co_name) for code, line in frames_of(raised)]
        printed = [
            (found["file"], int(found["line"]), found["name"])
            for found in _PRINTED_FRAME.finditer(_text_of(raised))
        ]
        found = [frame for frame in (*reversed(frames), *reversed(printed)) if is_inside(frame[0], sources)]
        if found:
            return found
    return []


def frames_of(error: BaseException) -> Iterator[tuple[CodeType, int]]:
    """The frames that the exception passed, outermost first, each with its line."""
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame.f_code, trace.tb_lineno
        trace = trace.tb_next


def describe_error(error: BaseException) -> str:
    """The error's type and text in one line."""
    text = printable_line(_text_of(error))
    shown = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__


def printable_line(text: str) -> str:
    """The text in one line, with a replacement character for each that a terminal would obey."""
    return "".join(one if one.isprintable() else "\ufffd" for one in " ".join(text.split()))


def represent(value: object, most_characters: int = 120) -> str:
    """``repr(value)``, cut; where the value's own fails, its type."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a plugin's object may raise anything
        text = f"<{type(value).__name__}, whose repr() fails>"
    return printable_line(text[:most_characters])


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a plugin's exception may raise anything when it is printed
        return ""


def _failed_on_results(error: BaseException) -> bool:
    """Whether the innermost frame of charkit is in the part of it that works with a backend's results."""
    files = [Path(code.co_filename) for code, _ in frames_of(error)]
    ours = [file for file in files if _CHARKIT in file.parents]
    return bool(ours) and ours[-1] in _COMPUTING


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and its causes, transitively."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _innermost(error: BaseException) -> TracebackType | None:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace


def is_inside(file: str, sources: Iterable[Path]) -> bool:
    """Whether the file is one of these files or in one of these folders."""
    path = Path(file)
    return not {path, *path.parents}.isdisjoint(sources)
