"""Sweeps: many runs with settings from a few axes, trained side by side, of which the best go on.

    from charkit_sweep import sweep

    result = sweep("learning-rates.toml", parallel=2)
    print(result.best)

``api`` has the public function, ``spec`` and ``axes`` read what is asked, ``search`` and ``tpe`` choose values,
``decisions`` says what comes next by what the ``journal`` has, ``scheduler`` runs the processes of ``trial_session``,
and ``page`` writes the report.
"""

from __future__ import annotations

from charkit_sweep.api import sweep
from charkit_sweep.result import SweepProgress, SweepResult, SweepTrial

__all__ = ["SweepProgress", "SweepResult", "SweepTrial", "sweep"]
