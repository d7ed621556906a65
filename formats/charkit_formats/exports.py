"""What the exports share: the weights that they write, and the result that they return."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from charkit.argument_checks import as_path
from charkit.config import check_choice
from charkit.html_tables import table_of_fields
from charkit.runs.newest import newest_run_path
from charkit.runs.pointers import Which
from charkit.runs.run import Run
from charkit_formats.errors import FormatError


@dataclass(frozen=True)
class ExportResult:
    """The files that an export wrote, the model first, and how the model was checked."""

    run: Path
    step: int
    format: str
    precision: str
    files: tuple[Path, ...]
    #: One line for each check that was passed.
    checks: tuple[str, ...] = ()
    #: Of the logits, against charkit's own, as a share of the largest; None where they were not compared.
    largest_difference: float | None = None
    notices: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        difference = self.largest_difference
        return table_of_fields(
            [
                ("run", str(self.run)),
                ("step", f"{self.step:,}"),
                ("format", self.format),
                ("precision", self.precision),
                *(("file", str(file)) for file in self.files),
                *(("check", line) for line in self.checks),
                *([] if difference is None else [("largest difference", f"{difference:.1e}")]),
                *(("note", line) for line in self.notices),
            ]
        )


@dataclass(frozen=True)
class ExportedCheckpoint:
    """A run's checkpoint that is exported. ``weights`` are canonical and have the precision of the export."""

    run: Run
    step: int
    weights: dict[str, NDArray[Any]]
    notices: tuple[str, ...]
    #: Whether the run has a higher precision than the export, so that its weights are rounded.
    is_rounded: bool = False

    @classmethod
    def read(cls, path: str | PathLike[str] | None, checkpoint: Which, precision: str) -> ExportedCheckpoint:
        """Reads the best or latest checkpoint of a run, by default the newest in ``runs``.

        Raises RunError, and FormatError for weights that the precision can't represent.
        """
        check_choice("checkpoint", checkpoint, get_args(Which))
        run = Run.open(newest_run_path() if path is None else as_path("`run`", path))
        saved, folder, notices = run.checkpoint(checkpoint)
        given = saved.snapshot.weights
        with np.errstate(over="ignore", under="ignore"):  # what overflows is refused below
            weights = {name: np.asarray(array, dtype=precision) for name, array in given.items()}
        for name, array in given.items():
            if not np.array_equal(np.isfinite(array), np.isfinite(weights[name])):
                raise FormatError(
                    f"{str(run.path)!r} can't be exported in {precision}: {name} contains numbers that are too large "
                    f"for {precision}; use `precision='float64'`, which requires `format='torch'`"
                )
        is_rounded = any(array.dtype.itemsize > weights[name].itemsize for name, array in given.items())
        if is_rounded:
            notices += (f"the run's {saved.progress.training.precision} weights are rounded to {precision}",)
        return cls(run, int(folder.name), weights, notices, is_rounded)
