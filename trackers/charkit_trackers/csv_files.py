"""CSV: ``tracking/metrics.csv`` and ``tracking/samples.csv`` in the run, for a spreadsheet or pandas."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

from charkit import events, hookimpl
from charkit.runs import limits
from charkit.runs.files_by_path import writing
from charkit.runs.folder_files import OpenFolder
from charkit.strict_json import MOST_DIGITS
from charkit_trackers.run_folder import METRICS, TRACKING, open_tracking

_COLUMNS = {
    "metrics.csv": ("step", *METRICS),
    "samples.csv": ("step", "prime", "temperature", "seed", "text"),
}
#: Of a line or a field: far more than a sample has.
_MOST_CHARACTERS = 1 << 22


class CsvObserver:
    """Appends a line for each report and each sample, which is on the disk at once."""

    def __init__(self) -> None:
        self._run: Path | None = None

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
        self._run = event.run
        path = event.run / TRACKING
        for name, columns in _COLUMNS.items():
            with writing(path / name), open_tracking(event.run) as folder:
                folder.replace(name, _line(columns) + _kept(folder, name, event.step))
        return f"metrics and samples are in {path}"

    def _append(self, name: str, values: dict[str, Any]) -> None:
        if self._run is not None:
            line = _line([_cell(values[column]) for column in _COLUMNS[name]])
            with writing(self._run / TRACKING / name), open_tracking(self._run) as folder:
                folder.append(name, line)


def _kept(folder: OpenFolder, name: str, step: int) -> bytes:
    """The lines up to a step that the file holds; none where there is no file with these columns.

    Raises RunError for anything but a regular file, and for one of more bytes than charkit reads.
    """
    kept = BytesIO()
    with (
        suppress(FileNotFoundError),
        folder.opened(name, limits.RECORDS) as file,
        # What was cut, as by a full disk, may end within a character.
        TextIOWrapper(file, encoding="utf-8", errors="replace", newline="") as text,
    ):
        rows, columns = _rows(text), _COLUMNS[name]
        if next(rows, None) == [*columns]:
            for row in rows:
                if len(row) == len(columns) and _is_kept(row[0], step):
                    kept.write(_line(row))
    return kept.getvalue()


def _rows(file: TextIOWrapper) -> Iterator[list[str]]:
    """The rows of a file, up to one that charkit did not write."""
    csv.field_size_limit(_MOST_CHARACTERS)
    with suppress(csv.Error):
        # A line that is longer comes in pieces, none of which is a row.
        yield from csv.reader(iter(lambda: file.readline(_MOST_CHARACTERS), ""))


def _is_kept(text: str, step: int) -> bool:
    return text.isdecimal() and len(text) <= MOST_DIGITS and int(text) <= step


def _line(row: Iterable[str]) -> bytes:
    cells, file = list(row), StringIO(newline="")
    # By itself, the writer does not quote a carriage return, at which every reader would end the row.
    ends_early = any("\r" in cell for cell in cells)
    csv.writer(
        file, lineterminator="\n", quoting=csv.QUOTE_ALL if ends_early else csv.QUOTE_MINIMAL
    ).writerow(cells)
    return file.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: Any) -> str:
    """Every number exact; nothing for None."""
    return "" if value is None else value if isinstance(value, str) else repr(value)
