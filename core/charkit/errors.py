"""Every error that charkit raises on purpose. Each message is one line that a user can act on.

A message says what was wrong, what was given, what is allowed, and what to do. It names parameters and
settings as Python has them, in backquotes; the command line translates those into its options.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any


class CharkitError(Exception):
    """Wrong use or bad input; the parent of every error raised on purpose.

    It can be copied and sent to another process, whatever arguments its constructor takes.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(
    kind: type[CharkitError], arguments: tuple[Any, ...], attributes: dict[str, Any]
) -> CharkitError:
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(attributes)
    return error


class ConfigurationError(CharkitError):
    """An unknown key, or a value that its field does not allow."""


class InputError(ConfigurationError):
    """An argument doesn't fit the network: an array's shape or type, a symbol outside the vocabulary, or a number."""


#: What to do about a text that can't be decoded, where both settings may be chosen.
DECODING_ADVICE = "read it as bytes with `vocabulary='byte'`, or name its encoding with `encoding`"


class TextError(CharkitError):
    """A text is missing, empty, unreadable, not in its stated encoding, or too short."""


class UndecodableError(TextError):
    """A text is not in its stated encoding, or is binary; ``problem`` says what is wrong without advice."""

    def __init__(self, problem: str, advice: str = DECODING_ADVICE) -> None:
        super().__init__(f"{problem}; {advice}")
        self.problem = problem


class UnknownSymbolsError(TextError):
    """A text or prime text contains symbols that the vocabulary lacks, listed in ``found``."""

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(f"{found}; {remedy}")
        self.found = found


class VocabularySizeError(TextError):
    """A text has more distinct characters than `max_vocabulary` allows.

    ``size`` is how many it has, and ``text_symbols`` how long it is; ``needed`` says what a model of them would take.
    """

    def __init__(self, size: int, limit: int, text_symbols: int, needed: str = "") -> None:
        super().__init__(
            f"the text has {size:,} distinct characters, but `max_vocabulary` allows {limit:,}{needed and '; '}"
            f"{needed}; name the encoding of the text with `encoding` if it was decoded wrongly, read it as bytes "
            f"with `vocabulary='byte'`, or allow that many with `max_vocabulary={size}`"
        )
        self.size = size
        self.limit = limit
        self.text_symbols = text_symbols


class BackendError(CharkitError):
    """A backend is unknown, broken, in conflict with another, or lacks a requested feature."""


class UnwrittenError(BackendError):
    """A backend's function is not written yet; ``todo`` says which, in which file, and what it does.

        raise UnwrittenError("write tensor() in charkit_mine/backend.py: copy the array in")

    The conformance kit stops at the first such error, so that an author writes one function at a time.
    """

    def __init__(self, todo: str) -> None:
        super().__init__(f"this backend is not finished; next, {todo}")


class RunError(CharkitError):
    """A directory is not a run, or the run is damaged, newer than this charkit, or in use."""


class StorageError(CharkitError):
    """The disk is full, or a file could not be written."""


class NotFiniteError(CharkitError):
    """The loss or the gradient is not finite."""


class EngineError(CharkitError):
    """An engine is unknown, missing or can't be reached, or its workers can't be used together."""


class ObserverError(CharkitError):
    """An observer is unknown, lacks its library, or can't be loaded."""


class TerminatedError(CharkitError):
    """A termination signal ended a call before there was anything to save; ``signal_number`` is SIGTERM or SIGHUP."""

    def __init__(self, message: str, signal_number: int = signal.SIGTERM) -> None:
        super().__init__(message)
        self.signal_number = signal_number


def nearest(given: str, known: Iterable[str]) -> str:
    """Returns `` (did you mean 'x'?)`` for the closest known name, or an empty string."""
    close = get_close_matches(str(given)[:100], list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def shown(value: object, limit: int = 80) -> str:
    """``repr`` of a value for a message: in one line whatever it holds, and cut short where it is long."""
    try:
        return _shortened(repr(value), limit)
    except (ValueError, RecursionError):  # an integer of thousands of digits, or lists nested as deep
        return f"a value of type {type(value).__name__} that is too large to show"


#: What pydantic says, and what our own messages say.
_SHORTER = {
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "above",
    "less than": "below",
    "a valid integer": "an integer",
    "a valid number": "a number",
    "a valid string": "a string",
    "a valid boolean": "true or false",
    "a valid tuple": "a list",
    "a valid list": "a list",
    "String should have at least 1 character": "must not be empty",
    "Tuple should have at least 1 item after validation, not 0": "must not be empty",
}


def reason_of(error: Exception) -> str:
    """Why it failed, in one line, without the number and the directory that the operating system's errors have."""
    if isinstance(error, OSError) and error.strerror:
        file = f"{Path(str(error.filename)).name}: " if error.filename else ""
        return f"{file}{error.strerror}"
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return " ".join(str(error).split()) or type(error).__name__


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 step, 1,200 steps."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def advice_to_install(hint: str) -> str:
    """What a plugin says of its installation, as the end of a message; a command is marked as one."""
    return f"run: {hint}" if hint.startswith("pip ") else hint


def plain_bounds(message: str) -> str:
    """A message of pydantic's as our own messages have it: "at least 1", "an integer", "must not be empty"."""
    for theirs, ours in _SHORTER.items():
        message = message.replace(theirs, ours)
    return message


def shown_name(name: str, limit: int = 80) -> str:
    """A name as it is if charkit could have it, such as ``rows[2].size``; else quoted, invisible characters escaped."""
    plain = name.isascii() and all(re.sub(r"\[\d+\]$", "", part).isidentifier() for part in name.split("."))
    return _shortened(name, limit) if plain else shown(name, limit)


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text):,} characters)"
