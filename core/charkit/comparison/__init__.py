"""A fair comparison of backends: the same model, batches, masks and draws, each in a process of its own.

from charkit.comparison import Plan, Variant, compare

report = compare(Plan(...), variants, listener)
print(report.verdict)
"""

from __future__ import annotations

from charkit.comparison.compare import compare
from charkit.comparison.plan import Plan, Variant
from charkit.comparison.report import Report

__all__ = ["Plan", "Report", "Variant", "compare"]
