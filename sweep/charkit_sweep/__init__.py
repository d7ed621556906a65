"""Sweeps: many runs that vary a few settings, trained in parallel; the best ones continue.

    from charkit_sweep import sweep

    result = sweep("learning-rates.toml", parallel=2)
    print(result.best)

``api`` has the public function, ``spec`` and ``axes`` read the spec, ``search`` and ``tpe`` choose values,
``decisions`` determines the next step from the ``journal``, ``scheduler`` runs the processes of ``trial_session``, and
``page`` writes the report.
"""

from __future__ import annotations

from charkit_sweep.api import sweep
from charkit_sweep.result import SweepProgress, SweepResult, SweepTrial

__all__ = ["SweepProgress", "SweepResult", "SweepTrial", "sweep"]
