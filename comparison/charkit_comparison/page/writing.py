"""The four files of a report, written in one step: a reader finds all of them or none."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from charkit.runs.storage import new_folder, to_json, write_file
from charkit_comparison import Report


def write_report(report: Report, folder: Path) -> list[Path]:
    """Writes ``report.html``, ``report.md``, ``report.json`` and ``curves.csv`` into a new folder.

    Returns their paths. Raises StorageError where that can't be done, for example because the disk is full or the
    folder is not empty; then nothing is left behind.
    """
    from charkit_comparison.page.curves import curves_csv
    from charkit_comparison.page.facts import Facts
    from charkit_comparison.page.markdown import markdown
    from charkit_comparison.page.page import page

    facts = Facts(report)
    contents = {
        "report.html": page(facts).encode(),
        "report.md": markdown(facts).encode(),
        "report.json": report_json(report),
        "curves.csv": curves_csv(report).encode(),
    }
    with new_folder(folder) as temporary:
        for name, content in contents.items():
            write_file(temporary / name, content)
    return [folder / name for name in contents]


def report_json(report: Report) -> bytes:
    """The content of ``report.json``; ``Report.model_validate_json`` reads it back, every number to the bit."""
    return to_json(report_object(report))


def report_object(report: Report) -> dict[str, Any]:
    """The object in ``report.json``, which holds nothing that JSON has no word for."""
    return dict(_spelled(report.model_dump(mode="json")))


def _spelled(value: Any) -> Any:
    """Spells out what JSON has no number for: a loss that stopped being a number is the string "NaN"."""
    match value:
        case float() if math.isnan(value):
            return "NaN"
        case float() if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        case dict():
            return {key: _spelled(one) for key, one in value.items()}
        case list() | tuple():
            return [_spelled(one) for one in value]
    return value
