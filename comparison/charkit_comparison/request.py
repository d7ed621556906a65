"""What a user asks to compare: checked as a whole, then run in a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import inf, isfinite
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any, get_args

from charkit.argument_checks import integer
from charkit.backend import available_threads
from charkit.capabilities import required
from charkit.config import Precision, check_choice
from charkit.durations import MOST_STEPS, duration_seconds
from charkit.errors import ConfigurationError, shown
from charkit.machine import most_threads
from charkit.settings import merge
from charkit.text.reading_progress import ProgressCallback
from charkit.training.interrupts import StopRequest, terminating_as_interrupting
from charkit_comparison.comparison import run_comparison
from charkit_comparison.own_layers.registry import available_own_layers
from charkit_comparison.plan import EXAMINED_AT_RANDOM, Plan, Variant
from charkit_comparison.report import ComparisonReport
from charkit_comparison.selection import select_variants
from charkit_comparison.starting_point import StartingPoint, from_run, from_text, is_run
from charkit_comparison.training_settings import settings_as_trained, training_notices

SourcePaths = str | PathLike[str] | Sequence[str | PathLike[str]]


@dataclass(frozen=True)
class ComparisonRequest:
    """The arguments of ``compare``, with all settings by section. Raises ConfigurationError for a wrong one."""

    source: SourcePaths | None = None
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    backends: Sequence[str] = ()
    precisions: Sequence[str] = ()  # by default that of the settings or the run
    pythons: Mapping[str, str | PathLike[str]] = field(default_factory=dict)
    own_layers: bool = False
    max_steps: int = 300
    rounds: int = 3
    bound: float | None = None
    examine: int = EXAMINED_AT_RANDOM
    turn_limit: str = "10m"
    device: str | None = None
    threads: int | None = None
    notices: Sequence[str] = ()  # of the caller, for the report
    command: str = ""  # how the comparison was started, for the report
    verbose: bool = False  # give the files of the text as notices too

    def __post_init__(self) -> None:
        for name, least, most in (
            ("max_steps", 1, MOST_STEPS),
            ("rounds", 1, MOST_STEPS),
            ("threads", 1, most_threads()),
            ("examine", 0, MOST_STEPS),
        ):
            number = getattr(self, name)
            if number is not None or name != "threads":
                integer(f"`{name}`", number, least, most)
        if self.bound is not None:
            _check_bound(self.bound)
        for name in ("backends", "precisions"):
            given = getattr(self, name)
            if isinstance(given, str):
                raise ConfigurationError(
                    f"`{name}` must be a sequence of names, such as [{given!r}]; given {given!r}"
                )
        for precision in self.precisions:
            check_choice("precision", precision, get_args(Precision))
        _ = self.turn_limit_seconds

    @property
    def turn_limit_seconds(self) -> float:
        """``turn_limit`` in seconds."""
        if not isinstance(self.turn_limit, str):
            raise ConfigurationError(
                f"`turn_limit` must be a string, such as '90s', '10m' or '2h'; given {shown(self.turn_limit)}"
            )
        try:
            return duration_seconds(self.turn_limit)
        except ValueError as error:
            raise ConfigurationError(f"`turn_limit` {self.turn_limit!r}: {error}") from error

    def run(
        self,
        progress: ProgressCallback | None = None,
        on_notice: Callable[[str], None] | None = None,
        stop_request: StopRequest | None = None,
    ) -> ComparisonReport:
        """Compares, and returns the report. ``stop_request`` gets the reason when a termination signal ends it.

        Raises ConfigurationError, BackendError, TextError and RunError for what can't be compared.
        """
        with ExitStack() as hold:
            return self._run(self._starting_point(hold), progress, on_notice, stop_request)

    def _run(
        self,
        start: StartingPoint,
        progress: ProgressCallback | None,
        on_notice: Callable[[str], None] | None,
        stop_request: StopRequest | None,
    ) -> ComparisonReport:
        variants, selection_notices = self._variants(start)
        notices = [*start.notices, *self._training_notices(start), *selection_notices, *self.notices]
        if on_notice is not None:
            for notice in [f"read: {file}" for file in start.files if self.verbose] + notices:
                on_notice(notice)
        with (
            terminating_as_interrupting(stop_request or StopRequest()),
            tempfile.TemporaryDirectory(prefix="charkit-compare-") as folder,
        ):
            plan = self._plan(start, Path(folder))
            return run_comparison(plan, variants, start, progress, notices=notices)

    def _starting_point(self, hold: ExitStack) -> StartingPoint:
        """A run's model if the source is a run, else a new model on a text."""
        given = [self.source] if isinstance(self.source, str | PathLike) else list(self.source or ())
        paths = [Path(one) for one in given]
        if any(is_run(path) for path in paths):
            if len(paths) > 1:
                raise ConfigurationError(
                    f"compare takes either a single run, or one or more texts; given {', '.join(map(str, given))}; "
                    "give the run alone"
                )
            return from_run(paths[0], self.settings, hold)
        texts = {"data": {"text": tuple(map(str, given))}} if given else {}
        return from_text(merge(self.settings, texts), hold)

    def _variants(self, start: StartingPoint) -> tuple[list[Variant], list[str]]:
        """The variants that take part, and notices about what does not."""
        config = start.spec.config
        if self.pythons and not config.data.text:
            how = "instead of the run" if start.start else "as well"
            raise ConfigurationError(
                f"with `pythons`, give a text {how}; otherwise each Python reads the language reference of its own "
                "version"
            )
        needs = required(model=config.model, optimizer=config.optimizer)
        precisions = self._compared_precisions(start)
        pythons = {name: str(python) for name, python in self.pythons.items()}
        variants, notices = select_variants(self.backends, precisions, pythons, self.device, needs)
        if self.own_layers:
            own, left_out = available_own_layers(self.device, needs.values())
            variants, notices = [*variants, *own], [*notices, *left_out]
            if own and "float32" not in precisions:
                notices.append(
                    "frameworks' own layers compute in float32, so the report has no ratios between their speeds and "
                    "those of backends in other precisions"
                )
            if own and start.start:
                notices.append(
                    "frameworks' own layers start from the run's weights, but without its optimizer moments and state"
                )
        if self.bound is not None and len({variant.precision for variant in variants}) == len(variants):
            notices.append("`bound` has no effect: no two backends are compared in the same precision")
        if not variants and notices:
            raise ConfigurationError(f"no backend can take part: {'; '.join(notices)}")
        return variants, notices

    def _compared_precisions(self, start: StartingPoint) -> list[str]:
        return list(dict.fromkeys(self.precisions)) or [start.precision]

    def _last_step(self, start: StartingPoint) -> int:
        return start.spec.start.step + self.max_steps

    def _training_notices(self, start: StartingPoint) -> Iterator[str]:
        given, training = self.settings.get("training", {}), start.spec.config.training
        return training_notices(given, training, self._last_step(start), start.steps_per_epoch)

    def _plan(self, start: StartingPoint, folder: Path) -> Plan:
        config = start.spec.config
        training = settings_as_trained(
            config.training, self._compared_precisions(start), self._last_step(start)
        )
        return Plan(
            config.model_copy(update={"training": training}),
            steps=self.max_steps,
            rounds=min(self.rounds, self.max_steps),
            threads=available_threads() if self.threads is None else self.threads,
            folder=folder,
            bound=self.bound,
            examined_at_random=self.examine,
            turn_limit_seconds=self.turn_limit_seconds,
            sample_seed=config.training.seed,
            command=self.command,
        )


def _check_bound(bound: Any) -> None:
    """Raises ConfigurationError unless the bound is a finite number above 0."""
    if isinstance(bound, bool) or not isinstance(bound, Real):
        raise ConfigurationError(f"`bound` must be a number; given {shown(bound)}")
    try:
        number = float(bound)
    except OverflowError:  # an integer or a fraction beyond every float
        number = inf
    if not isfinite(number):
        raise ConfigurationError(f"`bound` must be a finite number above 0; given {shown(bound)}")
    if number <= 0:
        raise ConfigurationError(f"`bound` must be above 0; given {shown(bound)}")
