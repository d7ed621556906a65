"""Writes the report of runs, and finds where it belongs."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

from charkit.argument_checks import as_path, as_paths
from charkit.errors import ConfigurationError, StorageError
from charkit.keyword_suggestions import suggesting_keywords
from charkit.runs.files_by_path import replace_file, writing
from charkit.runs.newest import newest_run_path
from charkit.text.reading_progress import ProgressCallback
from charkit_reports.reading import read_run

#: The directory of a run, or of several.
RunPaths = str | PathLike[str] | Iterable[str | PathLike[str]]
#: Where reports are put that are given no directory.
REPORTS_FOLDER = Path("reports")
FILE = "report.html"
#: How much of the work reading is, about; the rest is drawing.
_READING_SHARE = 0.5


@suggesting_keywords
def report(
    runs: RunPaths | None = None,
    *,
    out: str | PathLike[str] | None = None,
    progress: ProgressCallback | None = None,
) -> Path:
    """Writes a page about runs (curves, samples over time, speed, settings and sessions) and returns its path.

        charkit.report("runs/anna-1")
        charkit.report(["runs/anna-1", "runs/anna-2"], out="reports/anna")

    The page is one HTML file, ``report.html`` in the directory ``out``, by default ``reports/NAME``. It replaces an
    existing report there. The runs may still be training. The default is the newest run. ``progress`` is called with a
    stage and the fraction of all work done.

    Raises ConfigurationError for an empty list of runs and for what is no path, RunError for a directory that is not a
    run or is damaged, and StorageError if the page can't be written.
    """
    from charkit_reports.html_page import render_html

    paths = chosen_runs(runs)
    folder = default_folder(paths) if out is None else as_path("`out`", out)
    if folder.suffix in (".html", ".htm") and not folder.is_dir():
        raise ConfigurationError(
            f"`out` must be the directory to write report.html to; given {str(folder)!r}; leave out its suffix"
        )
    check_folder(folder)
    found = []
    for number, path in enumerate(paths):
        if progress is not None:
            progress(f"reading {path}", _READING_SHARE * number / len(paths))
        found.append(read_run(path))
    if progress is not None:
        progress("drawing", _READING_SHARE)
    page = render_html(found)
    if progress is not None:
        progress("drawing", 1.0)
    return write_page(folder, page)


def chosen_runs(runs: RunPaths | None) -> list[Path]:
    """The runs that were named, each once, or the newest for None. Raises RunError where there is none.

    Raises ConfigurationError for an empty list, such as that of a pattern without a match, and for what is no path.
    """
    if runs is None:
        return [newest_run_path()]
    if_empty = "or leave `runs` out to report on the newest run"
    named = as_paths("`runs`", runs, if_empty=if_empty, advice="give the paths of run directories")
    found: dict[str, Path] = {}
    for each in named:
        path = as_path("`runs`", each)
        found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def default_folder(paths: Sequence[Path]) -> Path:
    """``reports/NAME``, after the first run, and how many more there are."""
    name = paths[0].resolve().name
    return REPORTS_FOLDER / (name if len(paths) == 1 else f"{name}-and-{len(paths) - 1}-more")


def check_folder(folder: Path) -> None:
    """Raises StorageError where the page would take the place of somebody's own file."""
    from charkit_reports.html_page import GENERATOR

    file = folder / FILE
    if os.path.lexists(file) and GENERATOR not in _beginning(file):
        raise StorageError(
            f"{str(file)!r} already exists and is not a charkit report, so it is never overwritten; "
            "choose another `out`"
        )


def _beginning(file: Path) -> str:
    """The first characters of a plain file that can be read; nothing of a link, a folder, a pipe or a device."""
    try:
        if not stat.S_ISREG(file.lstat().st_mode):
            return ""
        with file.open("rb") as opened:
            return opened.read(2000).decode("utf-8", "replace")
    except OSError:
        return ""


def write_page(folder: Path, page: str) -> Path:
    """Writes the page in one step, into a folder that is made if need be."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / FILE, page.encode("utf-8", "replace"))
    return folder / FILE
