"""The report of runs: a page of their curves, samples, speed, settings and sessions, for one run or several.

    charkit.report(["runs/anna-1", "runs/anna-2"], out="reports/anna")

The page is one HTML file, made of the parts of ``charkit_pages``. ``server`` shows it while a run trains.
"""

from __future__ import annotations

from charkit_reports.api import report

__all__ = ["report"]
