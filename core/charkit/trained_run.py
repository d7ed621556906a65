"""What the results of training and of sweeps have in common: a run, which they load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from charkit.config import Precision
from charkit.keyword_suggestions import suggesting_keywords
from charkit.object_hints import WithHints, by_name
from charkit.runs.pointers import Which

if TYPE_CHECKING:
    from charkit.loaded_run import LoadedRun


class TrainedRun(WithHints):
    """A result with a run in the folder ``run``."""

    _HINTS: ClassVar = by_name(
        {
            "load the run first: result.load().sample(...)": "sample generate sampling stream",
            "load the run first: result.load().evaluate(...)": "evaluate score perplexity",
            "load the run first: result.load().model": "model predict weights state_dict network",
        }
    )

    run: Path

    @suggesting_keywords
    def load(
        self,
        *,
        checkpoint: Which = "best",
        backend: str = "numpy",
        precision: Precision | None = None,
        device: str | None = None,
        threads: int | None = None,
    ) -> LoadedRun:
        """Loads the run to score or to sample: ``charkit.load_run(result.run)``, with its parameters and errors."""
        from charkit.loaded_run import load_run

        return load_run(
            self.run,
            checkpoint=checkpoint,
            backend=backend,
            precision=precision,
            device=device,
            threads=threads,
        )
