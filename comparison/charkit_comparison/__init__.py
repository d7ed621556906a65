"""A fair comparison of backends: the same model, batches, masks and draws, each in a process of its own.

from charkit_comparison import Plan, Variant

from charkit_comparison import compare

report = compare(Plan(...), variants, listener)
print(report.verdict)
"""

from __future__ import annotations

from charkit_comparison.compare import compare
from charkit_comparison.plan import Plan, Variant
from charkit_comparison.report import Report

__all__ = ["Plan", "Report", "Variant", "compare"]
