"""The run directory: make it, open it, lock it, and keep its records.

``config.json`` holds the settings that the run was made with and never changes, so every checkpoint's manifest has
its hash. What a later session changed is in its checkpoints and in ``sessions.jsonl``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charkit.config import RunConfig
from charkit.errors import CharkitError, RunError, UndecodableError, UnknownSymbolsError, counted, reason_of
from charkit.path_hints import hint_for_missing, hint_for_moved
from charkit.runs import limits
from charkit.runs.checkpoint import find_checkpoint
from charkit.runs.checkpoint_content import Checkpoint
from charkit.runs.config_file import (
    FORMAT,
    TEXT,
    config_json,
    later_format_message,
    read_configuration,
    with_paths_from,
)
from charkit.runs.creation import NameTakenError, make_run, reserved
from charkit.runs.debris import restore_old
from charkit.runs.files_by_path import encoded, replace_file, to_line, writing
from charkit.runs.folder_files import Existing, OpenFolder
from charkit.runs.identity import identity, run_in
from charkit.runs.new_folders import next_free_folder
from charkit.runs.pointers import Which
from charkit.runs.records import METRICS, SAMPLES, SCHEDULE, SESSIONS, open_records
from charkit.runs.steady_reading import read_steadily
from charkit.text.corpus import Corpus, open_corpus
from charkit.text.reading_progress import ProgressCallback
from charkit.text.vocabulary import Vocabulary, utf8

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
        restore_old(path)
        return read_steadily(path, lambda: cls._open(path))

    @classmethod
    def _open(cls, path: Path) -> Run:
        if not path.exists():
            in_runs = RUNS_FOLDER / path
            hint = f" (did you mean {str(in_runs)!r}?)" if identity(in_runs) else hint_for_missing(path)
            problem = f"{str(path)!r} is not a charkit run: the directory doesn't exist{hint}"
            raise RunError(f"{problem}; give the directory of a run")
        content = identity(path)
        if content is None and path.is_file():
            raise RunError(f"{str(path)!r} is a file, not a charkit run; give the directory of a run")
        if content is None:
            problem = "is not a charkit run, or is damaged: its config.json is missing or invalid"
            if (inside := run_in(path)) is not None:
                problem = f"is not a charkit run, but a directory with runs in it, such as {str(inside)!r}"
            raise RunError(f"{str(path)!r} {problem}; give the directory of a run")
        if content["format"] > FORMAT:
            raise RunError(later_format_message(path, content))
        try:
            config, text_sha256 = read_configuration(path, content)
            with OpenFolder.at(path) as folder:
                vocabulary = Vocabulary.from_json(folder.read("vocabulary.json", limits.VOCABULARY))
            _check_vocabulary(vocabulary, config)
        except FileNotFoundError as error:
            raise RunError(f"{str(path)!r} is damaged: its {error.filename} is missing") from error
        except (CharkitError, OSError) as error:
            what = "can't be read" if isinstance(error, OSError) else "is damaged"
            raise RunError(f"{str(path)!r} {what}: {reason_of(error)}") from error
        return cls(path, config, vocabulary, text_sha256)

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
        hold: ExitStack | None = None,
    ) -> Run:
        """Makes a run directory with its first checkpoint, in one step: it is whole or it is not there.

        ``string`` is kept as the file TEXT, which ``config`` then names as its text. ``hold`` gets the new run's lock,
        which is taken before the run has its name. Raises RunError if the directory exists, unless it is a run that
        nobody trains and ``overwrite`` is set.
        """
        with reserved(path, overwrite) as existing:
            return cls.create_reserved(
                path, existing, config, vocabulary, text_sha256, first, string=string, hold=hold
            )

    @classmethod
    def create_reserved(
        cls,
        path: Path,
        existing: Existing,
        config: RunConfig,
        vocabulary: Vocabulary,
        text_sha256: str,
        first: Checkpoint,
        *,
        string: str | None = None,
        hold: ExitStack | None = None,
    ) -> Run:
        """The same inside of ``reserved``, which gave ``existing``."""
        files = {
            "config.json": config_json(config, text_sha256),
            "vocabulary.json": vocabulary.to_json().encode(),
            **({} if string is None else {TEXT: utf8(string)}),
        }
        make_run(path, files, first, existing, hold)
        return cls(path, with_paths_from(path, config), vocabulary, text_sha256)

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
        hold: ExitStack | None = None,
    ) -> Run:
        """Makes the first free ``runs/NAME-N``, also if other processes make theirs at the same time.

        A name is free if a run can be made under it: on some disks ``anna-1`` is in the way of ``Anna-1``.
        """
        first_free = next_free_folder(RUNS_FOLDER, name)
        number = int(first_free.name.rpartition("-")[2])
        while True:
            path = RUNS_FOLDER / f"{name}-{number}"
            try:
                return cls.create(path, config, vocabulary, text_sha256, first, string=string, hold=hold)
            except NameTakenError:
                number += 1

    def checkpoint(self, which: Which) -> tuple[Checkpoint, Path, tuple[str, ...]]:
        """The best or latest whole checkpoint, its folder, and notices about those that were skipped.

        Raises RunError where there is none, and where another run has taken the place of this one since it was opened.
        """
        try:
            found = find_checkpoint(self.path, which, self.config)
        except RunError:  # the checkpoints of another run don't fit this one's configuration
            self._check_not_replaced()
            raise
        self._check_not_replaced()
        return found

    def _check_not_replaced(self) -> None:
        now = Run.open(self.path)
        if (now.config, now.vocabulary) != (self.config, self.vocabulary):
            raise RunError(f"the run {str(self.path)!r} was replaced while it was being read; try again")

    def open_text(
        self,
        text: Sequence[str] = (),
        *,
        glob: Sequence[str] = (),
        advice: str,
        progress: ProgressCallback | None = None,
    ) -> Corpus:
        """Opens the text that the run is trained on, which has the same SHA-256 as then.

        ``text`` names its files where they have moved, and ``glob`` those in directories if they are other ones than
        the run's. ``advice`` ends the messages: what to do about another text.
        ``progress`` is called with a stage and the fraction of it that is done.

        Raises RunError for an imported run, which has no text, and for a text that has changed, TextError for one
        that can't be read, and StorageError.
        """
        if not self.text_sha256:
            raise RunError(f"{str(self.path)!r} was imported, so it has no text; {advice}")
        if not text:
            self._check_own_text()
        data = self.config.data
        if text:
            data = data.model_copy(update={"text": tuple(text), "glob": tuple(glob) or data.glob})
        what = (
            f"the given text is not the text of {str(self.path)!r}"
            if text
            else f"the text of {str(self.path)!r} has changed since the run was trained"
        )
        try:
            corpus = open_corpus(data, self.vocabulary, progress=progress)
        except UndecodableError as error:
            raise RunError(f"{what} ({error.problem}); {advice}") from error
        except UnknownSymbolsError as error:
            raise RunError(
                f"{what} (it contains symbols that are not in the run's vocabulary); {advice}"
            ) from error
        if corpus.sha256 != self.text_sha256:
            corpus.close()
            digests = f"SHA-256 {corpus.sha256[:12]}... instead of {self.text_sha256[:12]}..."
            raise RunError(f"{what} ({digests}); {advice}")
        had, has = self._recorded_symbols(), corpus.symbols.size
        if had not in (None, has):
            corpus.close()
            raise RunError(
                f"{what} ({counted(has, 'symbol')} instead of {had:,}: the same bytes, divided differently between "
                f"files); {advice}"
            )
        return corpus

    def _recorded_symbols(self) -> int | None:
        """How many symbols the text had in the last session, if that is recorded."""
        sessions = self.records(SESSIONS)
        return sessions[-1].get("symbols") if sessions else None

    @property
    def stores_text(self) -> bool:
        """Whether its text came from standard input or as a string, so that the run itself holds it, as TEXT."""
        return self.config.data.text == (str(self.path.resolve() / TEXT),)

    def _check_own_text(self) -> None:
        """Raises RunError where the run holds its text and that is a link, a pipe or a device, or where it is gone."""
        self.check_there()
        with OpenFolder.at(self.path) as folder:
            if self.stores_text and folder.status(TEXT) is not None:
                os.close(folder.open_file(TEXT, os.O_RDONLY))

    def check_there(self) -> None:
        """Raises RunError where the run was moved, or its path is relative and the working directory has changed."""
        if not self.path.is_dir():
            raise RunError(
                f"the run {str(self.path)!r} is no longer there{hint_for_moved(self.path)}; load it from its new path"
            )

    def record(self, name: str, record: dict[str, Any]) -> None:
        """Appends a line to METRICS, SAMPLES, SCHEDULE or SESSIONS."""
        with writing(self.path / name), OpenFolder.at(self.path) as folder:
            folder.append(name, to_line(record))

    def records(self, name: str) -> list[dict[str, Any]]:
        """The lines of METRICS, SAMPLES, SCHEDULE or SESSIONS; what charkit does not write there is left out."""
        with open_records(self.path, name) as lines:
            return [line.record for line in lines if line.record is not None]

    def forget_after(self, step: int, *, validation_due: bool = False) -> tuple[str, ...]:
        """Drops the records of steps after ``step``, from which training continues: they are made again.

        So are the report and the sample of ``step`` itself if its validation is still due. Returns notices of lines
        that are dropped because they are none of charkit's.
        """
        notices = []
        for name in (METRICS, SAMPLES, SCHEDULE):
            last = step - 1 if validation_due and name != SCHEDULE else step
            kept, later, foreign = bytearray(), 0, 0
            with open_records(self.path, name) as lines:
                for line in lines:
                    foreign += line.foreign
                    if line.record is not None and line.record["step"] <= last:
                        kept += line.content.rstrip(b"\n") + b"\n"
                    elif line.record is not None:
                        later += 1
            if later or foreign:
                replace_file(self.path / name, bytes(kept))
            if foreign:
                were = "was" if foreign == 1 else "were"
                notices.append(f"{name}: {counted(foreign, 'line')} not written by charkit {were} dropped")
        return tuple(notices)

    def write_card(self, text: str) -> None:
        """Replaces the run's README.md, its model card."""
        replace_file(self.path / "README.md", encoded(text))


def _check_vocabulary(vocabulary: Vocabulary, config: RunConfig) -> None:
    """Raises RunError unless the vocabulary is the one that the configuration is about."""
    described = (config.data.vocabulary, config.model.vocabulary_size)
    if (vocabulary.kind, vocabulary.size) != described:
        raise RunError(
            f"vocabulary.json is of kind {vocabulary.kind} and has {counted(vocabulary.size, 'symbol')}, but "
            f"config.json says kind {described[0]} and {described[1]:,}"
        )
