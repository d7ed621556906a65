"""The files of a report: the page, Markdown, JSON and the curves.

    from charkit_comparison.page import write_report

    write_report(report, "comparisons/anna-1")

matplotlib and jinja2 are imported where they are used, so that a command that writes no report loads neither.
"""

from __future__ import annotations

from charkit_comparison.page.report_files import (
    REPORTS_FOLDER,
    free_report_folder,
    report_json,
    report_object,
    write_report,
)

__all__ = ["REPORTS_FOLDER", "free_report_folder", "report_json", "report_object", "write_report"]
