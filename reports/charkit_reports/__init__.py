"""The report of one or more runs: a page with their curves, samples, speed, settings and sessions.

    charkit.report(["runs/anna-1", "runs/anna-2"], out="reports/anna")

The page is one HTML file, built from the parts of ``charkit_pages``. ``server`` serves it while a run trains.
"""

from __future__ import annotations

from charkit_reports.api import report

__all__ = ["report"]
