"""Every error that charkit raises on purpose. Each message is one line that a user can act on.

A message says what was wrong, what was given, what is allowed, and what to do. It names parameters and
settings as Python has them, in backquotes; the command line translates those into its options.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable
from difflib import get_close_matches


class CharkitError(Exception):
    """Wrong use or bad input; the parent of every error raised on purpose."""


class ConfigurationError(CharkitError):
    """An unknown key, or a value that its field does not allow."""


class InputError(ConfigurationError):
    """An array that does not fit the network: its shape, its type, or a symbol outside of the vocabulary."""


class TextError(CharkitError):
    """A text that is missing, empty, unreadable, not what its encoding says, or too short."""


class UnknownSymbolsError(TextError):
    """A text or prime text holds symbols that the vocabulary lacks; ``found`` says which."""

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(f"{found}; {remedy}")
        self.found = found


class BackendError(CharkitError):
    """A backend is unknown, broken, in conflict, or lacks what was asked of it."""


class UnwrittenError(BackendError):
    """A backend's function is still to be written; ``todo`` says which, in which file, and what it does.

        raise UnwrittenError("write tensor() in charkit_mine/backend.py: copy the array in")

    The conformance kit stops at the first one, so that an author writes one function at a time.
    """

    def __init__(self, todo: str) -> None:
        super().__init__(f"this backend is not finished; next, {todo}")


class RunError(CharkitError):
    """A run directory is not a run, is damaged, is newer than this charkit, or is in use."""


class StorageError(CharkitError):
    """The disk is full, or a file could not be written."""


class NotFiniteError(CharkitError):
    """The loss or the gradient stopped being a number."""


class EngineError(CharkitError):
    """An engine is unknown, missing or can't be reached, or its workers can't be used together."""


class TerminatedError(CharkitError):
    """A termination signal ended a call that had nothing to save yet; ``signal_number`` is SIGTERM or SIGHUP."""

    def __init__(self, message: str, signal_number: int = signal.SIGTERM) -> None:
        super().__init__(message)
        self.signal_number = signal_number


def nearest(given: str, known: Iterable[str]) -> str:
    """Returns `` (did you mean 'x'?)`` for the closest known name, or an empty string."""
    close = get_close_matches(given, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
