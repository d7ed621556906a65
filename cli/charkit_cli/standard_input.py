"""Standard input as a text: what ``-`` stands for where a command takes one."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Sequence
from typing import BinaryIO

from rich.console import Console

from charkit.errors import ConfigurationError, TextError
from charkit.text.files import check_encoding

NAME = "-"


def is_meant(texts: Sequence[str] | None) -> bool:
    """Whether the texts are standard input. Raises ConfigurationError where others are given beside it."""
    if NAME not in (texts or ()):
        return False
    if texts != [NAME]:
        raise ConfigurationError("- reads the whole text from standard input; give no other text with it")
    return True


def stream(console: Console) -> BinaryIO:
    """The bytes of standard input. Raises TextError where it is closed. On a terminal, says how a text ends there."""
    if sys.stdin is None or sys.stdin.closed:
        raise TextError("standard input is closed; pipe a text into it, or name a file")
    if sys.stdin.isatty():
        console.print("reading the text from the terminal; Ctrl-D on an empty line ends it", markup=False)
    return sys.stdin.buffer


def text(console: Console, encoding: str) -> str:
    """All of standard input, decoded. Raises TextError where it is not in the encoding."""
    check_encoding(encoding)
    raw = stream(console).read()
    try:
        return codecs.decode(raw, encoding)
    except UnicodeDecodeError as error:
        raise TextError(
            f"standard input is not {encoding}: invalid byte 0x{raw[error.start]:02x} at byte offset {error.start:,}; "
            "name its encoding with `encoding`, or save it as a file, which can be read as bytes"
        ) from error
