"""Standard input as a text: what ``-`` stands for where a command takes one."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Sequence
from typing import BinaryIO, cast

from rich.console import Console

from charkit.errors import ConfigurationError, TextError
from charkit.system.pipes import readable
from charkit.text.files import check_encoding

NAME = "-"
_WAIT_SECONDS = 0.2
_PIECE_BYTES = 1 << 16


def is_meant(texts: Sequence[str] | None) -> bool:
    """Whether the texts are standard input. Raises ConfigurationError where others are given beside it."""
    if NAME not in (texts or ()):
        return False
    if texts != [NAME]:
        raise ConfigurationError("'-' reads the whole text from standard input; give no other text with it")
    return True


class _Input:
    """The bytes of standard input, which is waited for a moment at a time.

    A signal that arrives just before the system begins to wait does not end the wait; Python handles it after that one.
    """

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def read(self, size: int = -1) -> bytes:
        """So many bytes, or all of them; fewer at the end."""
        pieces: list[bytes] = []
        while size:
            while not readable([self._handle], _WAIT_SECONDS):
                pass
            piece = os.read(self._handle, _PIECE_BYTES if size < 0 else min(size, _PIECE_BYTES))
            if not piece:
                break
            pieces.append(piece)
            size -= len(piece) if size > 0 else 0
        return b"".join(pieces)


def stream(console: Console) -> BinaryIO:
    """The bytes of standard input. Raises TextError where it is closed. On a terminal, says how a text ends there."""
    if sys.stdin is None or sys.stdin.closed:
        raise TextError("standard input is closed; pipe the text into it, or give a file")
    if sys.stdin.isatty():
        console.print(
            "reading the text from the terminal; press Ctrl-D on an empty line to end the text", markup=False
        )
    try:
        return cast(BinaryIO, _Input(sys.stdin.fileno()))
    except OSError:  # something else than a file, put in its place in this process
        return sys.stdin.buffer


def text(console: Console, encoding: str, advice: str) -> str:
    """All of standard input, decoded as a file would be. Raises TextError, with the advice, if that is impossible."""
    check_encoding(encoding)
    raw = stream(console).read()
    try:
        return codecs.getincrementaldecoder(encoding)().decode(raw, final=True)
    except UnicodeDecodeError as error:
        # A decoder that drops a byte-order mark counts from after it, so count from the end.
        offset = len(raw) - len(error.object) + error.start
        raise TextError(
            f"standard input is not {encoding}: invalid byte 0x{error.object[error.start]:02x} at byte offset "
            f"{offset:,}; {advice}"
        ) from error
    except UnicodeError as error:  # UTF-16 without a byte-order mark, for one
        raise TextError(f"standard input is not {encoding}: {error}; {advice}") from error
