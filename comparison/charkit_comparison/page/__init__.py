"""A comparison as files that people read: a page, Markdown, JSON and the curves.

from charkit_comparison.page import write_report

write_report(report, Path("comparisons/anna-1"))

It knows ``charkit_comparison`` alone. matplotlib and jinja2 are imported where they are used, so that a command
that writes no report pays for neither.
"""

from __future__ import annotations

from charkit_comparison.page.writing import report_json, report_object, write_report

__all__ = ["report_json", "report_object", "write_report"]
