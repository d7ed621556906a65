"""A fair comparison of backends: the same model, batches, masks and draws, each in its own process.

    from charkit_comparison import compare, write_report

    report = compare("anna.txt", backends=["numpy", "torch"], max_steps=200)
    print(report.verdict)
    write_report(report, "comparisons/anna-1")

``api`` has the public function, ``request`` checks its arguments, ``comparison`` runs it, ``processes`` has the worker
of each variant, ``agreement`` judges the results, ``own_layers`` has models in each framework's own layers, and
``page`` writes the report's files.
"""

from __future__ import annotations

from charkit_comparison.api import compare
from charkit_comparison.page import free_report_folder, write_report
from charkit_comparison.plan import Variant
from charkit_comparison.report import ComparisonReport

Report = ComparisonReport

__all__ = ["ComparisonReport", "Report", "Variant", "compare", "free_report_folder", "write_report"]
