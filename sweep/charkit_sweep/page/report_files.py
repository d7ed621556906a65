"""The four files of a report, in the sweep's folder; each is replaced in one step when a session of the sweep ends."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from charkit.runs.files_by_path import replace_file, to_json
from charkit.version import version
from charkit_sweep.folder import SweepFolder
from charkit_sweep.page.view import SweepView
from charkit_sweep.result import SweepResult

REPORT = "report.html"


def write_report(result: SweepResult, folder: SweepFolder) -> list[Path]:
    """Writes ``report.html``, ``report.json``, ``trials.csv`` and ``curves.csv``; returns their paths.

    Raises StorageError.
    """
    from charkit_sweep.page.html_page import render_html

    view = SweepView(result, folder)
    contents = {
        REPORT: render_html(view).encode(),
        "report.json": to_json(report_object(result)),
        "trials.csv": _trials_csv(result),
        "curves.csv": _curves_csv(view),
    }
    for name, content in contents.items():
        replace_file(folder.path / name, content)
    return [folder.path / name for name in contents]


def report_object(result: SweepResult) -> dict[str, Any]:
    """The object in ``report.json``, which ``toolkit sweep --json`` prints."""
    return {
        "charkit": version(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "name": result.name,
        "folder": str(result.folder),
        "sweep": dict(result.sweep),
        "stopped_because": result.stopped_because,
        "planned_trials": result.planned_trials,
        "rungs": list(result.rungs),
        "steps": result.steps,
        "best": None if result.best is None else result.best.number,
        "command": result.command,
        "trials": [
            {
                "trial": one.number,
                "values": dict(one.values),
                "loss": one.loss,
                "last_loss": one.last_loss,
                "step": one.step,
                "status": one.status,
                "seconds": one.seconds,
                "run": str(one.run),
                "reason": one.reason,
            }
            for one in result.trials
        ],
    }


def _trials_csv(result: SweepResult) -> bytes:
    rows = result.rows()
    return _csv(list(rows[0]) if rows else ["trial"], [list(row.values()) for row in rows])


def _curves_csv(view: SweepView) -> bytes:
    """A row for each validation of each trial."""
    rows = [
        (curve.trial.number, step, loss)
        for curve in view.curves
        for step, loss in zip(curve.steps, curve.losses, strict=True)
    ]
    return _csv(["trial", "step", "validation_loss"], rows)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A table; a text that a spreadsheet would take for a formula is quoted by an apostrophe."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return file.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
    return repr(value) if isinstance(value, float) else value
