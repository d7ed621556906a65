"""Preparing a text: encoding it once, so that it is trained on from any machine without being read again."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Literal

from charkit.argument_checks import as_path, as_paths, binary_file
from charkit.config import DataConfig, build
from charkit.errors import ConfigurationError, StorageError, TextError, counted
from charkit.html_tables import table_of_fields
from charkit.keyword_suggestions import suggesting_keywords
from charkit.runs.debris import is_left_over
from charkit.runs.files_by_path import sync, to_json
from charkit.runs.folder_files import OpenFolder
from charkit.runs.lock import NAME as LOCK
from charkit.runs.lock import RunLock
from charkit.runs.new_folders import new_folder
from charkit.runs.temporary_names import temporary_of
from charkit.text.corpus import Corpus, copy_prepared, corpus_of_prepared, open_source
from charkit.text.encoded_file import SymbolsFile, dtype_of
from charkit.text.encoding import Wanted, check_size
from charkit.text.files import CHUNK_BYTES
from charkit.text.locations import is_url
from charkit.text.prepared import LocalFolder, PreparedText, local_folder
from charkit.text.prepared_manifest import FORMAT, MANIFEST, SYMBOLS, VOCABULARY, FileRecord, Manifest
from charkit.text.reading_progress import ProgressCallback, ProgressMeter, own_errors
from charkit.text.sources import (
    SourceText,
    find_text,
    reading_settings,
    reading_without_effect,
    text_of_stream,
    with_reading_of_prepared,
)
from charkit.text.verified import remember_verified
from charkit.version import version

_FILES = frozenset({MANIFEST, VOCABULARY, SYMBOLS, LOCK})


@dataclass(frozen=True)
class Preparation:
    """A prepared text: its path and contents. ``sha256`` and ``source_bytes`` are those of the raw files."""

    path: Path
    symbols: int
    vocabulary_size: int
    symbols_bytes: int
    sha256: str
    source_bytes: int
    #: How many files were read, and their names; there are none of a folder that was prepared before.
    file_count: int
    files: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        return table_of_fields(
            [
                ("path", str(self.path)),
                ("symbols", f"{self.symbols:,} ({counted(self.symbols_bytes, 'byte')})"),
                ("vocabulary", f"{self.vocabulary_size:,} symbols"),
                *([("files", f"{self.file_count:,}")] if self.file_count else []),
                ("source", counted(self.source_bytes, "byte")),
                ("SHA-256 of the source", self.sha256),
                *(("note", line) for line in self.notices),
            ]
        )


@suggesting_keywords
def prepare(
    text: str | PathLike[str] | Sequence[str | PathLike[str]] | None,
    out: str | PathLike[str],
    *,
    stream: BinaryIO | None = None,
    settings: Mapping[str, Any] | None = None,
    glob: str | Sequence[str] | None = None,
    vocabulary: Literal["char", "byte"] | None = None,
    max_vocabulary: int | None = None,
    encoding: str | None = None,
    newlines: Literal["lf", "keep"] | None = None,
    progress: ProgressCallback | None = None,
) -> Preparation:
    """Encodes a text into the new directory ``out``, which can then be used wherever a text is expected.

        charkit.prepare("books/", "books-prepared", glob=["*.txt", "*.md"])
        charkit.train("books-prepared")

    A run on it is bit-for-bit the same as one on the source, and either can be used to resume or evaluate the run.

    - ``text``: text files, directories, URLs, or one prepared text, which is checked and copied; or ``stream``, whose
      bytes are read to the end
    - ``glob``, ``vocabulary``, ``max_vocabulary``, ``encoding``, ``newlines``: as in ``charkit.train``; ``settings`` is
      a mapping of these, and of no others
    - ``progress``: called with the stage and the fraction of it done

    Raises ConfigurationError, TextError for a text that can't be read, and StorageError if ``out`` exists or can't be
    written. Nothing is left behind then.
    """
    path = as_path("`out`", out)
    given = {
        "glob": glob,
        "vocabulary": vocabulary,
        "max_vocabulary": max_vocabulary,
        "encoding": encoding,
        "newlines": newlines,
    }
    chosen = reading_settings(settings) | {key: value for key, value in given.items() if value is not None}
    if (text is None) == (stream is None):
        what = "no text was given; give" if text is None else "two texts were given; give only one of them,"
        raise ConfigurationError(f"{what} `text` or `stream`")
    if stream is not None and "glob" in chosen:
        raise ConfigurationError(
            "`glob` chooses files in a directory, but a stream is a single text; leave `glob` out"
        )
    asked = tuple(chosen)
    if text is not None:
        texts = as_paths(
            "`text`",
            text,
            if_empty="or a `stream` of the text",
            advice="give a text that is not in a file as a `stream` of its bytes",
        )
        chosen = with_reading_of_prepared({"data": {**chosen, "text": tuple(map(str, texts))}})["data"]
    data = build(DataConfig, chosen)
    _check_out(path, data.text)
    found = find_text(data) if stream is None else text_of_stream(binary_file("`stream`", stream), data)
    made = _write(found, data, path, progress)
    return replace(made, notices=(*made.notices, *reading_without_effect(asked, data)))


def prepare_data(data: DataConfig, out: Path, progress: ProgressCallback | None = None) -> Preparation:
    """The same for a text, and how to read it, as a configuration has them."""
    _check_out(out, data.text)
    return _write(find_text(data), data, out, progress)


@suggesting_keywords
def check_prepared(path: str | PathLike[str], progress: ProgressCallback | None = None) -> Preparation:
    """Reads a prepared text in full and compares it with its manifest. Raises TextError."""
    folder = local_folder(str(as_path("`path`", path)))
    if folder is None:
        raise TextError(
            f"{str(path)!r} is not a prepared text: it has no {MANIFEST}; give a directory written by `charkit.prepare`"
        )
    text = PreparedText.open(folder)
    with own_errors(progress) as report:
        text.verify(ProgressMeter("checking", text.manifest.symbols.bytes, report))
    return _described(folder.path, text.manifest, text.vocabulary.size, (), text.changes.notices)


def _check_out(path: Path, texts: Sequence[str]) -> None:
    """Raises StorageError where something is at the path already, or a text lies in it."""
    if os.path.lexists(path):
        raise StorageError(f"{str(path)!r} already exists; choose another `out`, or remove it first")
    for text in texts:
        if not is_url(text) and os.path.isdir(text) and path.resolve().is_relative_to(Path(text).resolve()):
            raise StorageError(
                f"{str(path)!r} would be inside the text {text!r} itself; choose another `out`"
            )


def _write(
    found: SourceText | PreparedText, data: DataConfig, path: Path, progress: ProgressCallback | None
) -> Preparation:
    _remove_left_over(path)
    with (
        own_errors(progress) as report,
        ExitStack() as stack,
        new_folder(path) as temporary,
        OpenFolder.at(temporary, "prepared text") as folder,
    ):
        stack.enter_context(RunLock.take(temporary))  # held until the folder has its name

        def make_file() -> SymbolsFile:
            return SymbolsFile.of_handle(
                folder.open_file(SYMBOLS, os.O_RDWR | os.O_CREAT | os.O_EXCL), path.parent
            )

        with _encoded(found, data, make_file, report) as corpus:
            manifest = _manifest(corpus, found, data, temporary / SYMBOLS, report)
            folder.write(VOCABULARY, corpus.vocabulary.to_json().encode())
            folder.write(MANIFEST, to_json(manifest.model_dump(mode="json")))
            made = _described(path, manifest, corpus.vocabulary.size, corpus.files, corpus.notices)
    with suppress(OSError):  # it is no part of the text, and does no harm
        (path / LOCK).unlink()
    _remember(path, manifest, made.vocabulary_size)
    return made


def _encoded(
    found: SourceText | PreparedText,
    data: DataConfig,
    make_file: Callable[[], SymbolsFile],
    progress: ProgressCallback | None,
) -> Corpus:
    """The corpus of a text, whose symbols are written to a file that is made for them.

    Raises VocabularySizeError for more characters than are allowed, also in a text that was prepared before.
    """
    if isinstance(found, SourceText):
        return open_source(found, Wanted(progress=progress), make_file)
    check_size(found.vocabulary, data.max_vocabulary, found.manifest.symbols.count, Wanted())
    meter = ProgressMeter("reading", found.manifest.symbols.bytes, progress)
    mapped, _ = copy_prepared(found, found.vocabulary, "error", meter, make_file)
    return corpus_of_prepared(found, mapped, found.vocabulary, data)


def _manifest(
    corpus: Corpus,
    found: SourceText | PreparedText,
    data: DataConfig,
    symbols: Path,
    progress: ProgressCallback | None,
) -> Manifest:
    sync(symbols)
    size = corpus.symbols.nbytes
    vocabulary = _fingerprint(corpus.vocabulary.to_json().encode())
    if isinstance(found, PreparedText):  # the copy's vocabulary may be written in another way
        updated = {"charkit": version(), "vocabulary": FileRecord.model_validate(vocabulary)}
        return found.manifest.model_copy(update=updated)
    content = {
        "format": FORMAT,
        "charkit": version(),
        "name": corpus.name,
        "source": {"sha256": corpus.sha256, "bytes": corpus.source_bytes, "files": len(corpus.files)},
        "reading": {key: getattr(data, key) for key in ("vocabulary", "encoding", "newlines")},
        "changes": vars(corpus.changes),
        "symbols": {
            "count": corpus.symbols.size,
            "type": dtype_of(corpus.vocabulary).name,
            "bytes": size,
            "sha256": _hash(symbols, ProgressMeter("hashing", size, progress)),
        },
        "vocabulary": vocabulary,
    }
    return Manifest.model_validate(content)


def _fingerprint(content: bytes) -> dict[str, int | str]:
    return {"bytes": len(content), "sha256": sha256(content).hexdigest()}


def _hash(path: Path, meter: ProgressMeter) -> str:
    digest, done = sha256(), 0
    with path.open("rb") as file:
        while raw := file.read(CHUNK_BYTES):
            digest.update(raw)
            done += len(raw)
            meter.update(done)
    meter.finish()
    return digest.hexdigest()


def _described(
    path: Path, manifest: Manifest, vocabulary_size: int, files: tuple[str, ...], notices: tuple[str, ...]
) -> Preparation:
    return Preparation(
        path=path,
        symbols=manifest.symbols.count,
        vocabulary_size=vocabulary_size,
        symbols_bytes=manifest.symbols.bytes,
        sha256=manifest.source.sha256,
        source_bytes=manifest.source.bytes,
        file_count=manifest.source.files,
        files=files,
        notices=notices,
    )


def _remember(path: Path, manifest: Manifest, vocabulary_size: int) -> None:
    """Remembers that the symbols are right, since they were hashed as they were written."""
    with suppress(OSError), LocalFolder(path).open(SYMBOLS, manifest.symbols.bytes) as file:
        status = os.fstat(file.fileno())
        remember_verified(file.fileno(), status, f"{manifest.symbols.sha256} of {vocabulary_size}")


def _remove_left_over(path: Path) -> None:
    """Removes what processes that were killed left of this folder, half made, beside it."""
    with suppress(OSError), OpenFolder.at(path.parent) as parent:
        for name in parent.names():
            if temporary_of(name) == path.name and is_left_over(parent, name, _FILES):
                with suppress(OSError):
                    parent.remove(name)
