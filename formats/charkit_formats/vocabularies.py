"""The vocabulary of an imported model: which symbol has which index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from charkit.errors import RunError, shown
from charkit.strict_json import parse_json
from charkit.text.vocabulary import Vocabulary
from charkit_formats.errors import FormatError
from charkit_formats.tensors import TensorFile

#: What a file with a vocabulary may have at most: every character there is takes less than half of it.
MOST_BYTES = 64 << 20
_KINDS = (
    'a vocabulary.json from charkit, a JSON list of the characters in the order of their indices (["a", "b"]), '
    'or a JSON object that maps characters to indices ({"a": 0, "b": 1})'
)
_FORMS = f"give {_KINDS}"


def find_vocabulary(given: Path | None, file: TensorFile) -> Vocabulary:
    """The vocabulary from the file that was given, from the one beside the tensors, or from their metadata.

    Raises FormatError where there is none, or it can't be read.
    """
    beside = file.path.with_name(f"{file.path.stem}.vocabulary.json")
    if given is not None or beside.exists():
        path = beside if given is None else given
        return read_vocabulary(_content(path), f"the vocabulary {str(path)!r}")
    if "vocabulary" in file.metadata:
        return read_vocabulary(file.metadata["vocabulary"], f"the vocabulary inside {str(file.path)!r}")
    raise FormatError(
        f"there is no vocabulary in its metadata, and {str(beside)!r} doesn't exist; name a file with `vocabulary`: "
        f"{_KINDS}"
    )


def _content(path: Path) -> str:
    try:
        status = path.stat()
        if status.st_size > MOST_BYTES or (status.st_size == 0 and not path.is_file() and not path.is_dir()):
            raise FormatError(
                f"the vocabulary {str(path)!r} is not a regular file, or has more than {MOST_BYTES:,} bytes; {_FORMS}"
            )
        return path.read_text("utf-8-sig")  # some editors begin a file with a byte-order mark
    except UnicodeDecodeError as error:
        raise FormatError(f"the vocabulary {str(path)!r} is not UTF-8; {_FORMS}") from error
    except OSError as error:
        raise FormatError(f"can't read the vocabulary {str(path)!r}: {error.strerror}; {_FORMS}") from error


def read_vocabulary(text: str, label: str) -> Vocabulary:
    """Reads charkit's own form, a list of characters, or an object from character to index.

    ``label`` names the source in errors. Raises FormatError for anything else. The order of the indices is
    kept: they need not be sorted.
    """
    try:
        stored = parse_json(text)
    except ValueError as error:
        raise FormatError(f"{label} can't be read: {error}; {_FORMS}") from error
    if isinstance(stored, dict) and "kind" in stored:
        try:
            return Vocabulary.from_json(text)
        except RunError as error:
            raise FormatError(f"{label} can't be used: {error}") from error
    return Vocabulary("char", tuple(_symbols(stored, label)))


def _symbols(stored: Any, label: str) -> list[str]:
    symbols = _by_index(stored, label) if isinstance(stored, dict) else stored
    if not isinstance(symbols, list) or not symbols:
        raise FormatError(f"{label} is neither a non-empty list nor a non-empty object; {_FORMS}")
    seen: set[str] = set()
    for index, symbol in enumerate(symbols):
        if not isinstance(symbol, str) or len(symbol) != 1:
            raise FormatError(
                f"{label} can't be used: {shown(symbol)} at index {index} is not one character; {_FORMS}"
            )
        if 0xD800 <= ord(symbol) <= 0xDFFF:
            raise FormatError(
                f"{label} can't be used: U+{ord(symbol):04X} is half of a surrogate pair; {_FORMS}"
            )
        if symbol in seen:
            raise FormatError(f"{label} can't be used: {symbol!r} is listed twice; {_FORMS}")
        seen.add(symbol)
    return symbols


def _by_index(stored: dict[str, Any], label: str) -> list[str]:
    """The keys in the order of their values, which must be 0, 1, 2 and so on, each once."""
    by_index = {index: symbol for symbol, index in stored.items() if type(index) is int}
    if sorted(by_index) != list(range(len(stored))):
        raise FormatError(
            f"{label} can't be used: its indices must be the numbers from 0 to {len(stored) - 1}, each used exactly "
            f"once; {_FORMS}"
        )
    return [by_index[index] for index in range(len(stored))]
