"""The report of a sweep: a page, its numbers as JSON, and two tables as CSV. matplotlib and jinja2 load when used."""

from __future__ import annotations

from charkit_sweep.page.report_files import REPORT, report_object, write_report

__all__ = ["REPORT", "report_object", "write_report"]
