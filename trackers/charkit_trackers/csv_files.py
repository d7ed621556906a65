"""CSV: ``tracking/metrics.csv`` and ``tracking/samples.csv`` in the run, for a spreadsheet or pandas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from charkit import events, hookimpl
from charkit.runs.atomic_files import replace_file
from charkit_trackers.run_folder import METRICS, tracking_folder

_COLUMNS = {
    "metrics.csv": ("step", *METRICS),
    "samples.csv": ("step", "prime", "temperature", "seed", "text"),
}
#: Of one field: a sample may be longer than the default limit of Python's reader.
_MOST_CHARACTERS = 1 << 30


class CsvObserver:
    """Appends a line for each report and each sample, which is on the disk at once."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    @hookimpl
    def charkit_event(self, event: events.Event) -> str | None:
        """Writes reports and samples."""
        match event:
            case events.Started():
                return self._start(event)
            case events.StepMetrics():
                self._append("metrics.csv", asdict(event))
            case events.Sampled():
                self._append("samples.csv", asdict(event))
        return None

    def _start(self, event: events.Started) -> str:
        """Makes the files, or drops the lines of steps that are trained again."""
        self._folder = tracking_folder(event.run)
        for name, columns in _COLUMNS.items():
            path = self._folder / name
            replace_file(path, _lines([columns, *_kept(path, columns, event.step)]))
        return f"metrics and samples are in {self._folder}"

    def _append(self, name: str, values: dict[str, Any]) -> None:
        if self._folder is not None:
            with (self._folder / name).open("ab") as file:
                file.write(_lines([[_cell(values[column]) for column in _COLUMNS[name]]]))


def _kept(path: Path, columns: tuple[str, ...], step: int) -> list[list[str]]:
    """The rows up to a step that the file holds; none where there is no file with these columns."""
    if not path.exists() or path.is_symlink():
        return []
    csv.field_size_limit(_MOST_CHARACTERS)
    # What was cut, as by a full disk, may end within a character.
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        header, *rows = [*csv.reader(file)] or [[]]
    if tuple(header) != columns:
        return []
    return [row for row in rows if len(row) == len(columns) and row[0].isdecimal() and int(row[0]) <= step]


def _lines(rows: Iterable[Iterable[str]]) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: Any) -> str:
    """Every number exact; nothing for None."""
    return "" if value is None else value if isinstance(value, str) else repr(value)
