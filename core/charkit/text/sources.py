"""What the configuration's ``data.text`` names: files, folders, URLs, a prepared text, or nothing."""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from charkit.config import DataConfig
from charkit.errors import ConfigurationError, TextError, shown
from charkit.text.file_search import find_files, is_run, unreadable_folders
from charkit.text.files import Format, Pass, Source
from charkit.text.locations import is_url, name_of, recorded
from charkit.text.prepared import Folder, PreparedText, local_folder
from charkit.text.prepared_manifest import MANIFEST, same_encoding
from charkit.text.vocabulary import Kind

#: The settings that say how a text is read; the others say what training makes of it.
READING = ("glob", "vocabulary", "max_vocabulary", "encoding", "newlines")


@dataclass(frozen=True)
class SourceText:
    """The sources of a text, how to read them, and what to call it."""

    sources: Sequence[Source]
    data: DataConfig
    name: str
    encoding: str
    notices: tuple[str, ...] = ()
    #: The files that are read, as a user may see them; none where the text is no file.
    files: tuple[str, ...] = ()

    @property
    def again(self) -> bool:
        """Whether it can be read more than once."""
        return all(source.again for source in self.sources)

    @property
    def label(self) -> str:
        """What to call it in a message."""
        return self.sources[0].label if len(self.sources) == 1 else f"the text ({len(self.sources)} files)"

    def read(self, kind: Kind) -> Pass:
        """A new reading of it as symbols of this kind."""
        return Pass(self.sources, Format(kind, self.encoding, self.data.newlines))


def find_text(data: DataConfig) -> SourceText | PreparedText:
    """Finds the text, and reads nothing of it yet but the small files of a prepared one. Raises TextError."""
    if not data.text:
        return _python_reference(data)
    if (prepared := find_prepared(data.text)) is not None:
        prepared.check_reading(data)
        return prepared
    urls = [text for text in data.text if is_url(text)]
    paths = [text for text in data.text if not is_url(text)]
    found_files = find_files(paths, data.glob)
    found = [(str(path), Source.of_file(path)) for path in found_files.files]
    if urls:
        from charkit.text.remote import sources_at

        found += sources_at(urls, data.glob)
    files = tuple(name for name, _ in found)
    only = data.text[0] if len(data.text) == 1 else ""
    is_one_file = files == (recorded(only) if is_url(only) else str(Path(only)),)
    notices: tuple[str, ...] = (
        () if is_one_file else (f"{len(files):,} {'file' if len(files) == 1 else 'files'} read",)
    )
    unreadable = [error for path in map(Path, paths) if path.is_dir() for error in unreadable_folders(path)]
    if unreadable:
        first = f"{str(unreadable[0].filename)!r} ({unreadable[0].strerror})"
        notices += (_skipped(len(unreadable), "unreadable directory", "unreadable directories", first),)
    notices += tuple(
        f"{str(path)!r} is a run, and its text files were read; to continue a run, resume it instead"
        for path in map(Path, paths)
        if path.is_dir() and is_run(path)
    )
    if runs := found_files.runs:
        notices += (_skipped(len(runs), "run", "runs", repr(str(runs[0]))),)
    sources = tuple(source for _, source in found)
    return SourceText(sources, data, name_of(data.text[0]), data.encoding, notices, files)


def _skipped(count: int, one: str, many: str, first: str) -> str:
    return f"skipped 1 {one}: {first}" if count == 1 else f"skipped {count:,} {many}, such as {first}"


def files_of(data: DataConfig) -> tuple[str, ...]:
    """The files that would be read, as a user may see them. Raises TextError."""
    if data.text and (prepared := find_prepared(data.text)) is not None:
        return (prepared.folder.location,)
    found = find_text(data)
    return found.files if isinstance(found, SourceText) else ()


def find_prepared(texts: Sequence[str]) -> PreparedText | None:
    """The prepared text that the texts name; None where they name no prepared one. Raises TextError."""
    for text in texts:
        if not text:  # as a path, it would be the working directory
            raise TextError("the path of a text is empty; give the path of a text file or directory")
        folder: Folder | None
        if is_url(text):
            from charkit.text.remote import remote_folder

            folder = remote_folder(text, MANIFEST)
        else:
            folder = local_folder(text)
        if folder is None:
            continue
        if len(texts) > 1:
            raise TextError(
                f"{recorded(text)!r} is a prepared text, which can't be combined with others; given "
                f"{len(texts)} texts; give it alone, or prepare all the sources together"
            )
        return PreparedText.open(folder)
    return None


def reading_settings(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """The settings, none for None. Raises ConfigurationError for anything but a mapping of those in READING."""
    if settings is None:
        return {}
    if not isinstance(settings, Mapping):
        raise ConfigurationError(
            f"`settings` must be a mapping of settings, such as {{'encoding': 'cp1252'}}; given {shown(settings)}"
        )
    others = [key for key in settings if key not in READING]
    if others:
        raise ConfigurationError(
            f"`settings` may contain only {', '.join(READING)}; leave {', '.join(map(shown, others))} out"
        )
    return {key: value for key, value in settings.items() if value is not None}


def with_reading_of_prepared(
    settings: Mapping[str, Mapping[str, Any]],
    recipe: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    starts_from_run: bool = False,
) -> dict[str, dict[str, Any]]:
    """The settings with those by which a prepared text was read, where they name one.

    ``recipe`` has the settings that count where ``settings`` has none. With ``starts_from_run``, the vocabulary in
    ``settings`` is that of the run in ``init_from``. Raises ConfigurationError where either asks for others, and
    TextError.
    """
    own = (recipe or {}).get("data", {})
    merged = {section: dict(values) for section, values in settings.items()}
    texts = merged.get("data", {}).get("text") or ()
    if isinstance(texts, str):
        texts = [texts]
    if not isinstance(texts, list | tuple):
        return merged  # no text at all, which is refused where settings are checked
    prepared = find_prepared([str(text) for text in texts])
    if prepared is None:
        return merged
    if "glob" in merged["data"]:
        raise ConfigurationError(
            f"`glob` chooses files in a directory, but {prepared.folder.location!r} is a prepared text; leave `glob` "
            "out, or prepare its source again with this `glob`"
        )
    reading = prepared.manifest.reading.model_dump()
    for key, value in reading.items():
        if reading["vocabulary"] == "byte" and key != "vocabulary":  # bytes are read in one way only
            continue
        is_asked = key in merged["data"]
        wanted = merged["data"][key] if is_asked else own.get(key, value)
        if wanted != value and not (key == "encoding" and same_encoding(str(wanted), value)):
            source = f"{wanted!r} was given; leave `{key}` out"
            if key == "vocabulary" and starts_from_run:
                source = f"the run in `init_from` has {wanted!r}; start from another run"
            if not is_asked:
                source = f"the recipe has {wanted!r}; give `{key}={value!r}`"
            raise ConfigurationError(
                f"{prepared.folder.location!r} was prepared with {key} {value!r}, but {source}, or prepare the text "
                f"again with {key} {wanted!r}"
            )
    merged["data"] |= reading
    return merged


def reading_without_effect(given: Collection[str], data: DataConfig) -> tuple[str, ...]:
    """A line for each ``given`` setting of how the text is read that bytes leave without effect."""
    if data.vocabulary != "byte":
        return ()
    only_for_characters = ("max_vocabulary", "encoding", "newlines")
    return tuple(
        f"`{key}` has no effect with the vocabulary 'byte'" for key in only_for_characters if key in given
    )


def text_of_stream(stream: BinaryIO, data: DataConfig) -> SourceText:
    """The text in a stream, which is read to its end and left open."""
    source = Source("the text", lambda: cast(BinaryIO, _Borrowed(stream)), 0, again=False)
    return SourceText([source], data, "text", data.encoding)


class _Borrowed:
    """A stream that is read, and left open for its owner."""

    def __init__(self, stream: BinaryIO) -> None:
        self.read = stream.read

    def __enter__(self) -> _Borrowed:
        return self

    def __exit__(self, *_error: object) -> None:
        """There is nothing to close."""


def _python_reference(data: DataConfig) -> SourceText:
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise TextError(
            "no text was given, and this Python installation lacks its language reference, the default text; "
            "give the path of a text file or directory"
        ) from error
    source = Source.of_string("".join(topics[key] for key in sorted(topics)), "Python's language reference")
    notice = f"no text given; using the language reference of Python {platform.python_version()}"
    return SourceText([source], data, "python-reference", "utf-8", (notice,))
