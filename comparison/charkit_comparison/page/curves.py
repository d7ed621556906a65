"""``curves.csv``: the loss and gradient norm of each variant, and the loss of each control, step by step."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from charkit_comparison.report import ComparisonReport
from charkit_pages.formatting import one_line


def curves_csv(report: ComparisonReport) -> str:
    """One row for each step of any variant, every number exact; empty where a variant has none."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    able = [one for one in report.variants if one.losses]
    columns = [values for one in able for values in (one.losses, one.gradient_norms)]
    names = [f"{one_line(one.label)} {what}" for one in able for what in ("loss", "gradient norm")]
    columns += [control.losses for control in report.controls]
    names += [f"control {one_line(control.precision)} loss" for control in report.controls]
    writer.writerow(["step", *names])
    for index in range(max((len(values) for values in columns), default=0)):
        writer.writerow([report.first_step + index, *(_at(values, index) for values in columns)])
    return file.getvalue()


def _at(values: Sequence[float], index: int) -> str:
    return repr(values[index]) if index < len(values) else ""
