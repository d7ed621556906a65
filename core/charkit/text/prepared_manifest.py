"""The manifest of a prepared text: what was encoded, how, and into what. It may come from a stranger."""

from __future__ import annotations

import codecs
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from charkit.config import first_problem
from charkit.errors import TextError, counted
from charkit.strict_json import parse_json
from charkit.text.encoded_file import dtype_of
from charkit.text.files import check_encoding
from charkit.text.locations import is_safe_name
from charkit.text.vocabulary import Kind, Vocabulary

FORMAT = 1
#: The files of a prepared text. A directory that has the first is a prepared text, not a directory of texts.
MANIFEST, VOCABULARY, SYMBOLS = "charkit-text.json", "vocabulary.json", "symbols.bin"

Count = Annotated[int, Field(ge=0, lt=2**63)]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class SourceRecord(_Part):
    """What was encoded: the SHA-256 and the number of the raw bytes of all files, and how many files."""

    sha256: Hash
    bytes: Count
    files: Count


class Reading(_Part):
    """The settings that decided how bytes became symbols, by their names in the section data."""

    vocabulary: Kind
    encoding: str = Field(min_length=1, max_length=100)
    newlines: Literal["lf", "keep"]


class ChangesRecord(_Part):
    """How often reading changed the text."""

    crlf: Count
    cr: Count
    byte_order_marks: Count


class SymbolsRecord(_Part):
    """The encoded symbols: little-endian unsigned integers."""

    count: int = Field(ge=1, lt=2**63)
    type: Literal["uint8", "uint16", "uint32"]
    bytes: Count
    sha256: Hash


class FileRecord(_Part):
    """A file's size and SHA-256."""

    bytes: Count
    sha256: Hash


class Manifest(_Part):
    """The content of MANIFEST."""

    format: int = Field(ge=1)
    charkit: str = Field(max_length=100)
    name: str
    source: SourceRecord
    reading: Reading
    changes: ChangesRecord
    symbols: SymbolsRecord
    vocabulary: FileRecord


def read_manifest(content: bytes) -> Manifest:
    """Reads a manifest. Raises TextError."""
    try:
        found = parse_json(content)
        if isinstance(found, dict) and type(found.get("format")) is int and found["format"] > FORMAT:
            raise TextError(
                f"it is in format {found['format']}, but this version of charkit reads format {FORMAT}; "
                "use a later version of charkit"
            )
        return Manifest.model_validate(found)
    except ValidationError as error:
        raise TextError(f"{MANIFEST}: {first_problem(error)}") from error
    except ValueError as error:
        raise TextError(f"{MANIFEST}: {error}") from error


def check_manifest(manifest: Manifest, vocabulary: Vocabulary) -> None:
    """Raises TextError unless manifest and vocabulary are about the same text, as charkit writes them."""
    symbols, kind = manifest.symbols, manifest.reading.vocabulary
    dtype = dtype_of(vocabulary)
    if vocabulary.kind != kind:
        raise TextError(
            f"{VOCABULARY} is of kind {vocabulary.kind}, but {MANIFEST} says {kind}; prepare the text again"
        )
    if vocabulary.size < 2:
        raise TextError(
            f"{VOCABULARY} has {counted(vocabulary.size, 'symbol')}; it must have at least 2; prepare the text again"
        )
    if list(vocabulary.symbols) != sorted(vocabulary.symbols):
        raise TextError(f"{VOCABULARY} does not list its symbols in order; prepare the text again")
    size = symbols.count * dtype.itemsize
    if (symbols.type, symbols.bytes) != (dtype.name, size):
        raise TextError(
            f"{MANIFEST}: {counted(symbols.count, 'symbol')} from a vocabulary of {vocabulary.size:,} must take "
            f"{counted(size, 'byte')} as {dtype.name}; the manifest says "
            f"{counted(symbols.bytes, 'byte')} as {symbols.type}; prepare the text again"
        )
    if not is_safe_name(manifest.name):
        raise TextError(f"{MANIFEST}: the name is not one that charkit would choose; prepare the text again")
    if kind == "char":
        check_encoding(manifest.reading.encoding)


def same_encoding(one: str, other: str) -> bool:
    """Whether two names, such as utf8 and utf-8, are of one encoding; not where Python lacks one of them."""
    try:
        return codecs.lookup(one).name == codecs.lookup(other).name
    except (LookupError, ValueError):  # the second of a name with a NUL
        return False
