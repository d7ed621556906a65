"""The four files of a report, written in one step: a reader finds all of them or none."""

from __future__ import annotations

import math
from os import PathLike
from pathlib import Path
from typing import Any

from charkit.runs.files_by_path import to_json, write_file
from charkit.runs.new_folders import new_folder, next_free_folder
from charkit_comparison.report import ComparisonReport

#: Where ``toolkit compare`` puts reports that are given no folder.
REPORTS_FOLDER = Path("comparisons")


def free_report_folder(report: ComparisonReport, parent: str | PathLike[str] = REPORTS_FOLDER) -> Path:
    """Returns the first unused path ``NAME-N`` in a directory, named after the text or the run. Creates nothing."""
    return next_free_folder(Path(parent), report.name)


def write_report(report: ComparisonReport, folder: str | PathLike[str]) -> list[Path]:
    """Writes ``report.html``, ``report.md``, ``report.json`` and ``curves.csv`` into a new directory. Returns their
    paths. Raises StorageError if they can't be written, for example because the disk is full or the directory is not
    empty; nothing is left behind then.
    """
    from charkit_comparison.page.curves import curves_csv
    from charkit_comparison.page.html_page import render_html
    from charkit_comparison.page.markdown import render_markdown
    from charkit_comparison.page.view import ReportView

    view, folder = ReportView(report), Path(folder)
    contents = {
        "report.html": render_html(view).encode(),
        "report.md": render_markdown(view).encode(),
        "report.json": report_json(report),
        "curves.csv": curves_csv(report).encode(),
    }
    with new_folder(folder) as temporary:
        for name, content in contents.items():
            write_file(temporary / name, content)
    return [folder / name for name in contents]


def report_json(report: ComparisonReport) -> bytes:
    """The content of ``report.json``; ``ComparisonReport.model_validate_json`` reads it back exactly."""
    return to_json(report_object(report))


def report_object(report: ComparisonReport) -> dict[str, Any]:
    """The object in ``report.json``; a number that JSON does not have is a string there."""
    return dict(_without_special_floats(report.model_dump(mode="json")))


def _without_special_floats(value: Any) -> Any:
    """The value with strings for the numbers that JSON does not have: "NaN", "Infinity", "-Infinity"."""
    match value:
        case float() if math.isnan(value):
            return "NaN"
        case float() if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        case dict():
            return {key: _without_special_floats(one) for key, one in value.items()}
        case list() | tuple():
            return [_without_special_floats(one) for one in value]
    return value
