"""What the page of a sweep shows, computed once: its trials in order, their curves, and the axes as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor, isfinite, log10
from typing import Any

from charkit.errors import CharkitError
from charkit.runs.records import METRICS
from charkit.runs.run import Run
from charkit_pages import formatting
from charkit_pages.palette import SeriesStyle
from charkit_sweep.axes import Axis
from charkit_sweep.commands import command_to_resume, command_to_resume_sweep
from charkit_sweep.folder import SweepFolder
from charkit_sweep.result import SweepResult, SweepTrial

#: Trials that have a color of their own, the best ones.
COLORED = 5
#: A list of numbers is drawn in the logarithm where its largest is so many times its smallest.
_LOG_RATIO = 30
_LONGEST_LABEL = 24


@dataclass(frozen=True)
class Curve:
    """The validation losses of a trial, nats per symbol, and the steps they were measured at."""

    trial: SweepTrial
    steps: tuple[int, ...]
    losses: tuple[float, ...]
    style: SeriesStyle | None


@dataclass(frozen=True)
class AxisView:
    """An axis of the sweep as an axis of a chart: a position for each value, and the ticks with their labels."""

    key: str
    name: str
    positions: Mapping[int, float]  # by the number of the trial
    ticks: tuple[float, ...]
    labels: tuple[str, ...]
    is_log: bool


class SweepView:
    """A sweep as its page shows it."""

    def __init__(self, result: SweepResult, folder: SweepFolder) -> None:
        self.result, self.folder = result, folder
        self.spec = folder.spec

    @cached_property
    def colored(self) -> dict[int, SeriesStyle]:
        """The styles of the best trials by their number."""
        known = [trial for trial in self.result.ranked if trial.loss is not None]
        return {trial.number: SeriesStyle(index) for index, trial in enumerate(known[:COLORED])}

    @cached_property
    def curves(self) -> tuple[Curve, ...]:
        """A curve for each trial that was validated; what a damaged run has is left out."""
        found = []
        for trial in self.result.trials:
            try:
                records = Run.open(trial.run).records(METRICS)
            except (CharkitError, OSError):
                continue
            points = [
                (record["step"], record["validation_loss"])
                for record in records
                if record["validation_loss"] is not None
            ]
            if points:
                steps, losses = zip(*points, strict=True)
                found.append(Curve(trial, steps, losses, self.colored.get(trial.number)))
        return tuple(found)

    @cached_property
    def axes(self) -> tuple[AxisView, ...]:
        """Every axis of the sweep."""
        return tuple(self._axis(axis) for axis in self.spec.axes)

    def _axis(self, axis: Axis) -> AxisView:
        values = {trial.number: trial.values[axis.key] for trial in self.result.trials}
        name = axis.key.rpartition(".")[2].replace("_", " ")
        numbers = [value for value in values.values() if isinstance(value, int | float)]
        if len(numbers) < len(values) or not values:
            distinct = list(dict.fromkeys(map(label_of, axis.values or ())))
            places = {label: float(index) for index, label in enumerate(distinct)}
            return AxisView(
                axis.key,
                name,
                {number: places[label_of(value)] for number, value in values.items()},
                tuple(places.values()),
                tuple(formatting.shortened(label, _LONGEST_LABEL) for label in distinct),
                False,
            )
        is_log = axis.log or (min(numbers) > 0 and max(numbers) >= _LOG_RATIO * min(numbers))
        place = log10 if is_log else float
        ticks = sorted(set(numbers)) if len(set(numbers)) <= 6 else _ticks(min(numbers), max(numbers), is_log)
        return AxisView(
            axis.key,
            name,
            {number: place(value) for number, value in values.items()},
            tuple(map(place, ticks)),
            tuple(f"{tick:.4g}" for tick in ticks),
            is_log,
        )

    # ---- texts --------------------------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """What was searched, on which text."""
        names = formatting.names([axis.name for axis in self.axes])
        return f"{self.result.name}: {names}" if len(names) <= 80 else self.result.name

    @property
    def summary(self) -> str:
        """How many trials there are, and how they ended."""
        counts: dict[str, int] = {}
        for trial in self.result.trials:
            counts[trial.status] = counts.get(trial.status, 0) + 1
        ends = ", ".join(f"{count:,} {status}" for status, count in counts.items())
        whole = formatting.counted(self.result.steps, "step")
        begun = f"{len(self.result.trials):,} of {formatting.counted(self.result.planned_trials, 'trial')}"
        return f"{begun}: {ends or 'none started'}; {whole} in total"

    @property
    def partial(self) -> bool:
        """Whether there is more to do."""
        return self.result.stopped_because != "done"

    def named(self, trial: SweepTrial) -> str:
        """A trial's values in a row."""
        pairs = zip(self.axes, trial.values.values(), strict=True)
        return formatting.one_line(", ".join(f"{axis.name} {label_of(value)}" for axis, value in pairs))

    @property
    def command_to_resume(self) -> str:
        """The command that resumes the sweep."""
        return command_to_resume_sweep(self.folder.path)

    def resume_command(self, trial: SweepTrial) -> str:
        """The command that trains a trial on."""
        return command_to_resume(self.folder, trial.values, trial.run)

    @property
    def settings(self) -> list[tuple[str, str]]:
        """The sweep's own settings, fixed ones and axes."""
        table = self.spec.table()
        pairs = [
            (key, label_of(value)) for key, value in table.items() if key not in ("fixed", "axes", "halving")
        ]
        if self.spec.halving is not None:
            rungs = ", ".join(f"{step:,}" for step in self.spec.rungs)
            pairs.append(
                ("halving", f"one in {self.spec.halving.factor} trials continues; rungs (in steps): {rungs}")
            )
        pairs += [(f"fixed: {key}", label_of(value)) for key, value in self.spec.fixed.items()]
        pairs += [(f"axis: {axis.key}", label_of(axis.written)) for axis in self.spec.axes]
        pairs += [("threads per trial", str(self.folder.threads))]
        return [(key, formatting.one_line(value)) for key, value in pairs]


def label_of(value: Any) -> str:
    """A value of a setting or an axis, as text."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {label_of(each)}" for key, each in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(label_of, value))
    return str(value)


def _ticks(low: float, high: float, is_log: bool) -> list[float]:
    """A few round numbers between the two, or the two themselves where there are too few."""
    if is_log:
        found = [10.0**power for power in range(-20, 20) if low <= 10.0**power <= high]
    else:
        step = 10.0 ** floor(log10((high - low) or 1.0))
        found = [index * step for index in range(ceil(low / step), floor(high / step) + 1)]
    return found if len(found) >= 2 else [low, high]


def loss_window(losses: Sequence[float]) -> tuple[float, float]:
    """The range of an axis of losses; what is far above the others runs off the chart."""
    finite = sorted(loss for loss in losses if isfinite(loss))
    low = finite[0]
    high = max(loss for loss in finite if loss <= max(low * 3, low + 0.5))
    margin = (high - low) * 0.06 or max(abs(high) * 0.05, 1e-3)
    return low - margin, high + margin
