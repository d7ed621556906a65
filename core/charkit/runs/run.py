"""The run directory: make it, open it, lock it, and keep its records.

``config.json`` holds the settings that the run was made with and never changes, so every checkpoint's manifest has
its hash. What a later session changed is in its checkpoints and in ``sessions.jsonl``.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from charkit.config import RunConfig
from charkit.errors import RunError, StorageError, UnknownSymbolsError
from charkit.runs.atomic_files import (
    append_line,
    new_folder,
    next_free_folder,
    read_lines,
    replace_file,
    to_json,
    visible_entries,
    write_file,
    write_lines,
    writing,
)
from charkit.runs.checkpoint import (
    Checkpoint,
    Which,
    find_checkpoint,
    load_checkpoint,
    point,
    save_checkpoint,
)
from charkit.text.corpus import Corpus, open_corpus
from charkit.text.reading_progress import ProgressCallback
from charkit.text.vocabulary import Vocabulary, utf8
from charkit.version import version

#: 2 since runs say which recipe they were made with, and may have no number of epochs.
FORMAT = 2
METRICS, SAMPLES, SESSIONS = "metrics.jsonl", "samples.jsonl", "sessions.jsonl"
#: The plans of a schedule that ends with the time limit.
SCHEDULE = "schedule.jsonl"
#: The text of a run that was trained on a string, in its folder; ``config.json`` names it relative to that.
TEXT = "text.txt"
RUNS_FOLDER = Path("runs")


@dataclass(frozen=True)
class Run:
    """A run directory whose configuration and vocabulary have been read and checked."""

    path: Path
    config: RunConfig
    vocabulary: Vocabulary
    #: Of the text that it is trained on; empty for a run that was imported and has none.
    text_sha256: str

    @classmethod
    def open(cls, path: Path) -> Run:
        """Opens a run. Raises RunError for a folder that is no run, or is from a newer charkit."""
        if not path.exists():
            raise RunError(
                f"{str(path)!r} is not a charkit run: there is no such folder; give one that train made"
            )
        content = _identity(path)
        if content is None:
            raise RunError(
                f"{str(path)!r} is not a charkit run, or is damaged: it has no config.json of one; "
                "give a folder that train made"
            )
        if content["format"] > FORMAT:
            raise RunError(_newer(path, content))
        try:
            config = RunConfig.model_validate(content["config"])
            vocabulary = Vocabulary.from_json((path / "vocabulary.json").read_text("utf-8"))
            return cls(path, _with_paths_from(path, config), vocabulary, str(content["text_sha256"]))
        except (RunError, ValidationError, KeyError, OSError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise RunError(f"{str(path)!r} is damaged: {reason}") from error

    @classmethod
    def create(
        cls,
        path: Path,
        config: RunConfig,
        vocabulary: Vocabulary,
        text_sha256: str,
        first: Checkpoint,
        *,
        string: str | None = None,
        overwrite: bool = False,
    ) -> Run:
        """Makes a run directory with its first checkpoint, in one step: it is whole or it is not there.

        ``string`` is kept as the file TEXT, which ``config`` then names as its text. Raises RunError if the directory
        exists, unless it is a run and ``overwrite`` is set.
        """
        check_free(path, overwrite)
        with new_folder(path, replace=overwrite) as folder:
            write_file(folder / "config.json", _config_json(config, text_sha256))
            write_file(folder / "vocabulary.json", vocabulary.to_json().encode())
            if string is not None:
                write_file(folder / TEXT, utf8(string))
            save_checkpoint(folder, first)
            point(folder, "latest", first.progress.step)
        return cls(path, _with_paths_from(path, config), vocabulary, text_sha256)

    @classmethod
    def create_next(
        cls,
        name: str,
        config: RunConfig,
        vocabulary: Vocabulary,
        text_sha256: str,
        first: Checkpoint,
        *,
        string: str | None = None,
    ) -> Run:
        """Makes the first free ``runs/NAME-N``, also if other processes make theirs at the same time."""
        while True:
            path = next_free_folder(RUNS_FOLDER, name)
            try:
                return cls.create(path, config, vocabulary, text_sha256, first, string=string)
            except (RunError, StorageError):
                if _identity(path) is None:  # it is not that another process was faster
                    raise

    def checkpoint(self, which: Which) -> tuple[Checkpoint, Path, tuple[str, ...]]:
        """The best or latest whole checkpoint, its folder, and notices about those that were skipped."""
        folder, notices = find_checkpoint(self.path, which)
        return load_checkpoint(folder), folder, notices

    def open_text(
        self, text: Sequence[str] = (), *, advice: str, progress: ProgressCallback | None = None
    ) -> Corpus:
        """Opens the text that the run is trained on, which has the same SHA-256 as then.

        ``text`` names its files where they have moved. ``advice`` ends the messages: what to do about another text.
        ``progress`` is called with a stage and the fraction of it that is done.

        Raises RunError for an imported run, which has no text, and for a text that has changed, TextError for one
        that can't be read, and StorageError.
        """
        if not self.text_sha256:
            raise RunError(f"{str(self.path)!r} was imported and has no text of its own; {advice}")
        data = self.config.data.model_copy(update={"text": tuple(text)}) if text else self.config.data
        what = (
            f"the text is not the one of {str(self.path)!r}"
            if text
            else f"the text of {str(self.path)!r} has changed since it was trained"
        )
        was = f"its SHA-256 was {self.text_sha256[:12]}..."
        try:
            corpus = open_corpus(data, self.vocabulary, progress=progress)
        except UnknownSymbolsError as error:
            raise RunError(f"{what} ({was}; it has other symbols now); {advice}") from error
        if corpus.sha256 != self.text_sha256:
            corpus.close()
            raise RunError(f"{what} ({was}, now it is {corpus.sha256[:12]}...); {advice}")
        return corpus

    def record(self, name: str, record: dict[str, Any]) -> None:
        """Appends a line to METRICS, SAMPLES, SCHEDULE or SESSIONS."""
        append_line(self.path / name, record)

    def records(self, name: str) -> list[dict[str, Any]]:
        """The lines of METRICS, SAMPLES, SCHEDULE or SESSIONS."""
        return read_lines(self.path / name)

    def forget_after(self, step: int) -> None:
        """Drops the records of steps after ``step``, from which training continues: they are made again."""
        for name in (METRICS, SAMPLES, SCHEDULE):
            records = self.records(name)
            kept = [record for record in records if record.get("step", 0) <= step]
            if kept != records:
                write_lines(self.path / name, kept)

    def write_card(self, text: str) -> None:
        """Replaces the run's README.md, its model card."""
        replace_file(self.path / "README.md", text.encode())


def _newer(path: Path, content: dict[str, Any]) -> str:
    """The message for a run of a later format: which charkit reads it. The one that wrote it does."""
    writer = content.get("charkit")
    known = isinstance(writer, str) and re.fullmatch(
        r"\d{1,6}(\.\d{1,6}){0,3}([a-z+.-][a-z0-9+.-]{0,20})?", writer
    )
    needed = f"charkit {writer} or later" if known else "a later charkit"
    return (
        f"{str(path)!r} is in format {content['format']}, and charkit {version()} reads formats 1 to {FORMAT}; "
        f"it takes {needed} to read it"
    )


def _config_json(config: RunConfig, text_sha256: str) -> bytes:

    content = {"format": FORMAT, "charkit": version(), "text_sha256": text_sha256}
    return to_json({**content, "config": config.model_dump(mode="json")})


def _with_paths_from(folder: Path, config: RunConfig) -> RunConfig:
    """The configuration with its text's paths absolute; a relative one is inside the run's folder."""
    paths = tuple(str(folder.resolve() / text) for text in config.data.text)
    return config.model_copy(update={"data": config.data.model_copy(update={"text": paths})})


def _identity(path: Path) -> dict[str, Any] | None:
    """The content of a run's config.json, or None where the folder is not a run."""
    try:
        content = json.loads((path / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    is_run = isinstance(content, dict) and isinstance(content.get("format"), int) and "config" in content
    return content if is_run else None


def check_free(path: Path, overwrite: bool) -> None:
    """Raises RunError unless a run may be made at ``path``."""
    if not path.exists():
        return
    if _identity(path) is None:
        raise RunError(
            f"{str(path)!r} exists and is not a charkit run, so it is never overwritten; choose another `run`"
        )
    if not overwrite:
        raise RunError(
            f"the run {str(path)!r} exists; continue it with `resume={str(path)!r}`, replace it with `overwrite=True`, "
            "or choose another `run`"
        )
    with locked(path):
        pass


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a run for one training process. Raises RunError while another living process holds it.

    The lock is the operating system's, so it goes with the process that held it, however that ended.
    """
    with writing(path / "lock"):
        file = (path / "lock").open("a+", encoding="utf-8")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise RunError(
                f"the run {str(path)!r} is being trained by process {file.read().strip() or 'unknown'}; "
                "wait for it, or stop it"
            ) from error
        with writing(path / "lock"):
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        yield


def newest_run_path(runs: Path = RUNS_FOLDER) -> Path:
    """The run in ``runs`` that was saved last. Raises RunError where there is none."""
    saved = [entry / "latest" for entry in visible_entries(runs) if (entry / "latest").exists()]
    if not saved:
        raise RunError(f"no run was named and there is none in {str(runs)!r}; train a run first")
    return max(saved, key=lambda pointer: pointer.stat().st_mtime_ns).parent
