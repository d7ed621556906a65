"""What a sweep returns: its trials as a table, and the best of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from charkit.errors import ConfigurationError, counted
from charkit.html_tables import table_of_rows
from charkit.trained_run import TrainedRun
from charkit_sweep.keys import as_one

if TYPE_CHECKING:
    from pandas import DataFrame


TrialStatus = Literal["running", "interrupted", "stopped", "finished", "failed"]
SweepStoppedBecause = Literal["done", "time_limit", "interrupted", "terminated", "hung_up"]
#: Trials that a notebook shows; the best ones.
SHOWN_TRIALS = 20


@dataclass(frozen=True)
class SweepTrial(TrainedRun):
    """A trial of a sweep and its progress. Losses are in nats per symbol, on the validation split.

    ``values`` are its values on the sweep's axes, and ``run`` is its directory, an ordinary run. ``loss`` is its lowest
    validation loss and ``last_loss`` its latest; both are None before the first validation, if the trial diverged, and
    if it failed before it reached its first rung or its end. ``step`` is where its last session ended (if the trial
    failed, its last checkpoint), and ``seconds`` is its training time. The status "stopped" means waiting at a rung,
    and "interrupted" that it continues when the sweep is resumed; ``reason`` says why a trial "failed".
    """

    number: int
    run: Path
    values: Mapping[str, Any]
    status: TrialStatus
    step: int
    loss: float | None
    last_loss: float | None
    seconds: float
    reason: str = ""


@dataclass(frozen=True)
class SweepResult:
    """How a sweep ended: ``trials`` lists the started trials by number. ``folder`` contains their runs and the report.

    ``sweep`` is the spec, as in the TOML file; ``rungs`` are the steps at which trials were compared, and
    ``planned_trials`` is the total number of trials planned. ``command`` trains the best one again in full.
    """

    name: str
    folder: Path
    trials: tuple[SweepTrial, ...] = field(repr=False)
    planned_trials: int
    rungs: tuple[int, ...]
    stopped_because: SweepStoppedBecause
    command: str = field(repr=False)
    sweep: Mapping[str, Any] = field(repr=False)

    @property
    def best(self) -> SweepTrial | None:
        """The trial with the lowest loss; None if no trial has a loss."""
        return self.ranked[0] if self.ranked and self.ranked[0].loss is not None else None

    @property
    def ranked(self) -> tuple[SweepTrial, ...]:
        """The trials sorted by loss, lowest first; trials without a loss come last."""
        return tuple(sorted(self.trials, key=lambda one: (one.loss is None, one.loss or 0.0, one.number)))

    @property
    def steps(self) -> int:
        """The total number of steps trained."""
        return sum(trial.step for trial in self.trials)

    def rows(self) -> list[dict[str, Any]]:
        """Returns a row for each trial: its number, its value on each axis, and its outcome."""
        return [
            {
                "trial": one.number,
                **{key: as_one(value) for key, value in one.values.items()},
                "loss": one.loss,
                "last_loss": one.last_loss,
                "step": one.step,
                "status": one.status,
                "seconds": one.seconds,
                "run": str(one.run),
                "reason": one.reason,
            }
            for one in self.trials
        ]

    def to_pandas(self) -> DataFrame:
        """Returns the trials as a pandas.DataFrame, with the rows of ``rows``.

        Raises ConfigurationError if pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ConfigurationError(
                "to_pandas() needs pandas, which is not installed; run: pip install pandas"
            ) from error
        return pd.DataFrame(self.rows())

    def _repr_html_(self) -> str:
        axes = list(self.trials[0].values) if self.trials else []
        rows = [
            [
                str(one.number),
                *(str(as_one(one.values[axis])) for axis in axes),
                "" if one.loss is None else f"{one.loss:.4f}",
                f"{one.step:,}",
                one.status,
            ]
            for one in self.ranked[:SHOWN_TRIALS]
        ]
        count = f"{len(self.trials):,} of {counted(self.planned_trials, 'trial')}"
        return table_of_rows(["trial", *axes, "loss", "step", "status"], rows, f"{self.name}: {count}")


@dataclass(frozen=True)
class SweepProgress:
    """An event in a sweep, and the sweep's current status; passed to ``on_event``.

    ``trial`` is the trial concerned, and ``message`` a line about the event for the user. ``running`` lists the trials
    being trained, ``waiting`` counts those not started yet, and ``stopped`` those waiting at a rung. ``seconds_left``
    is an estimate, None until there is one, and ``fraction`` is approximately how much is done.
    """

    what: Literal["begun", "started", "advanced", "stopped", "finished", "failed", "stopping"]
    message: str
    trial: SweepTrial | None
    planned_trials: int
    running: tuple[SweepTrial, ...]
    waiting: int
    stopped: int
    finished: int
    failed: int
    best: SweepTrial | None
    fraction: float
    seconds_left: float | None
