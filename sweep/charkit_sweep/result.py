"""What a sweep returns: its trials as a table, and the best of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from charkit.errors import ConfigurationError
from charkit.html_tables import table_of_rows
from charkit.trained_run import TrainedRun

if TYPE_CHECKING:
    from pandas import DataFrame


TrialStatus = Literal["running", "interrupted", "stopped", "finished", "failed"]
SweepStoppedBecause = Literal["done", "time_limit", "interrupted", "terminated", "hung_up"]
#: Trials that a notebook shows; the best ones.
SHOWN_TRIALS = 20


@dataclass(frozen=True)
class SweepTrial(TrainedRun):
    """A trial of a sweep, and how far it came. Losses in nats per symbol, on the validation split.

    ``values`` are its values of the sweep's axes and ``run`` is its folder, an ordinary run. ``loss`` is the lowest
    that it had and ``last_loss`` that of its last validation; None before the first. ``step`` is where its last session
    ended, and ``seconds`` what training it took. "stopped" is one that waits at a rung, "interrupted" one that goes on
    when the sweep is resumed; ``reason`` says why one "failed".
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
    """How a sweep ended: ``trials`` by number, those that were begun. ``folder`` has their runs and the report.

    ``sweep`` is what was asked for, as TOML has it; ``rungs`` are the steps at which trials were compared, and
    ``planned_trials`` is how many there are to be in all. ``command`` is what trains the best one whole, anew.
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
        """The trial with the lowest loss; None where none has one."""
        return self.ranked[0] if self.ranked and self.ranked[0].loss is not None else None

    @property
    def ranked(self) -> tuple[SweepTrial, ...]:
        """The trials by their loss, the lowest first; those without one at the end."""
        return tuple(sorted(self.trials, key=lambda one: (one.loss is None, one.loss or 0.0, one.number)))

    @property
    def steps(self) -> int:
        """All steps that were trained."""
        return sum(trial.step for trial in self.trials)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each trial: its number, its values under the names of their axes, and what came of it."""
        return [
            {
                "trial": one.number,
                **{
                    key: " ".join(value) if isinstance(value, list) else value
                    for key, value in one.values.items()
                },
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
        """The trials as a pandas.DataFrame with a row for each, as ``rows`` has them.

        Raises ConfigurationError where pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ConfigurationError(
                "to_pandas() needs pandas, which is not installed: pip install pandas"
            ) from error
        return pd.DataFrame(self.rows())

    def _repr_html_(self) -> str:
        axes = list(self.trials[0].values) if self.trials else []
        rows = [
            [
                str(one.number),
                *(str(one.values[axis]) for axis in axes),
                "" if one.loss is None else f"{one.loss:.4f}",
                f"{one.step:,}",
                one.status,
            ]
            for one in self.ranked[:SHOWN_TRIALS]
        ]
        count = f"{len(self.trials):,} of {self.planned_trials:,} trials"
        return table_of_rows(["trial", *axes, "loss", "step", "status"], rows, f"{self.name}: {count}")


@dataclass(frozen=True)
class SweepProgress:
    """Something that happened in a sweep, and how it stands now; what ``on_event`` is called with.

    ``trial`` is the one that it happened to, and ``message`` a line about it for a user. ``running`` are the trials
    that are being trained, ``waiting`` counts those that are still to begin, ``stopped`` those that wait at a rung.
    ``seconds_left`` is an estimate, None before there is one, and ``fraction`` is how much is done, about.
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
