"""Measures a backend and NumPy alternately for several rounds, each in its own process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from math import inf
from statistics import median
from typing import Any

from charkit.argument_checks import integer
from charkit.backend import available_threads
from charkit.errors import ConfigurationError, counted, shown
from charkit.html_tables import table_of_rows
from charkit.keyword_suggestions import suggesting_keywords
from charkit.testing.speed.advice import Advice, advise
from charkit.testing.speed.measurements import (
    GROWTH_STEPS,
    HABITS_SIZE,
    SIZES,
    Calls,
    CallsAt,
    Habits,
    Size,
    Speed,
)
from charkit.testing.speed.worker_process import WorkerProcess

#: The backend with which others are compared.
BASELINE = "numpy"
ROUNDS = 3
#: Seconds of training, and of sampling, in each round.
ROUND_SECONDS = 1.0
_ACTIVITIES = {"train": "training", "sample": "sampling"}  # by the request that measures it

OnActivity = Callable[[str], None]


@dataclass(frozen=True)
class SizeReport:
    """The speeds at one size; ``baseline`` is None if the backend is the baseline."""

    size: Size
    backend: Speed
    baseline: Speed | None

    def ratio(self, activity: str) -> float | None:
        """The speed relative to the baseline: the median of the ratios of the rounds."""
        if self.baseline is None:
            return None
        ours, theirs = getattr(self.backend, activity), getattr(self.baseline, activity)
        return float(median(mine / other for mine, other in zip(ours, theirs, strict=True)))


@dataclass(frozen=True)
class SpeedReport:
    """The measurements of a backend in float32, and the advice that follows from them; notebooks show a table.

    ``sizes`` has the speeds at each size, ``advice`` what to change and why. The types of the parts, and their units,
    are those of ``charkit.testing.speed``.
    """

    backend: str
    device: str
    threads: int
    versions: dict[str, str]
    rounds: int
    sizes: tuple[SizeReport, ...]
    calls: tuple[CallsAt, ...]
    habits: Habits
    advice: tuple[Advice, ...]

    @property
    def contended_processors(self) -> float:
        """The processors that this measurement and other programs used beyond those of the machine, at least 0."""
        speeds = [
            speed for size in self.sizes for speed in (size.backend, size.baseline) if speed is not None
        ]
        cores = os.cpu_count() or 1
        most = max((speed.other_processors for speed in speeds), default=0.0)
        return max(0.0, min(self.threads, cores) + most - cores)

    def as_json(self) -> dict[str, Any]:
        """The report as ``toolkit verify --speed --json`` prints it: bytes, seconds, characters per second."""
        content = asdict(self)
        for written, size in zip(content["sizes"], self.sizes, strict=True):
            written["training_ratio"], written["sampling_ratio"] = (
                size.ratio("training"),
                size.ratio("sampling"),
            )
        content["contended_processors"] = self.contended_processors
        habits = content["habits"]
        habits["growth_bytes_per_step"] = self.habits.growth_bytes
        habits["slowdown"] = self.habits.slowdown
        for long in ("step_seconds", "resident_bytes"):
            del habits[long]
        habits["growth_steps"] = len(self.habits.step_seconds)
        return content

    def _repr_html_(self) -> str:
        rows = []
        for size in self.sizes:
            row = [str(size.size)]
            for activity in ("training", "sampling"):
                ratio = size.ratio(activity)
                row += [f"{size.backend.median(activity):,.0f}", "" if ratio is None else f"{ratio:.2f}"]
            rows.append(row)
        columns = (
            "size",
            "training, characters per second",
            "ratio",
            "sampling, characters per second",
            "ratio",
        )
        return table_of_rows(
            columns, rows, f"{self.backend} on {self.device}; ratio: speed relative to NumPy"
        )


@suggesting_keywords
def measure_speed(
    backend: str,
    *,
    device: str | None = None,
    threads: int | None = None,
    sizes: Iterable[Size] = SIZES,
    habits_size: Size = HABITS_SIZE,
    rounds: int = ROUNDS,
    round_seconds: float = ROUND_SECONDS,
    growth_steps: int = GROWTH_STEPS,
    on_activity: OnActivity = lambda text: None,
) -> SpeedReport:
    """Measures how fast an installed backend trains and samples beside NumPy, and looks for what makes it slow.

        report = charkit.measure_speed("mine")
        for size in report.sizes:
            print(size.size, size.backend.median("training"), size.ratio("training"))
        print(report.advice)

    Both run in processes of their own with the same number of ``threads``, by default those of the processors that
    can be used, and take turns: ``rounds`` times ``round_seconds`` of training and as much of sampling at each of
    ``sizes``. ``device`` defaults to the backend's first. The advice follows from ``growth_steps`` steps at
    ``habits_size``. Sizes are those of ``charkit.testing.speed.Size``; by default they are two common ones, which take
    a minute or two. ``on_activity`` is called with a line of text whenever something else is measured.

    Raises BackendError for an unknown name, for an unavailable device or number of threads, and if the backend fails,
    and ConfigurationError for any other argument that is not allowed.
    """
    # Here, since the workers need less memory without it.
    from charkit.testing.verification import check_request

    device = check_request(backend, device, threads)
    sizes, habits_size = _sizes(sizes), _size("`habits_size`", habits_size)
    measurement = _Measurement(
        backend,
        device,
        available_threads() if threads is None else integer("`threads`", threads, 1),
        integer("`rounds`", rounds, 1),
        _seconds("`round_seconds`", round_seconds),
        on_activity,
    )
    growth_steps = integer("`growth_steps`", growth_steps, 1)
    reports = tuple(measurement.measure(size) for size in sizes)
    properties, calls, habits = measurement.explain(sizes, habits_size, growth_steps)
    return SpeedReport(
        backend,
        properties["device"],
        measurement.threads,
        properties["versions"],
        measurement.rounds,
        reports,
        calls,
        habits,
        tuple(advise(habits, calls)),
    )


def _sizes(given: Iterable[Size]) -> tuple[Size, ...]:
    """The sizes. Raises ConfigurationError for none, and for what is no Size."""
    sizes = tuple(given) if isinstance(given, Iterable) else (given,)
    if not sizes:
        raise ConfigurationError("`sizes` is empty; give one or more, or leave `sizes` out")
    return tuple(_size("each of `sizes`", size) for size in sizes)


def _size(name: str, given: Size) -> Size:
    if not isinstance(given, Size):
        raise ConfigurationError(
            f"{name} must be a charkit.testing.speed.Size, such as Size(num_layers=2, lstm_size=128, batch_size=64, "
            f"num_steps=50); given {shown(given)}"
        )
    return given


def _seconds(name: str, value: float) -> float:
    """The value as a float. Raises ConfigurationError unless it is a finite number above 0."""
    try:
        seconds = None if isinstance(value, bool | str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = None
    if seconds is None or not 0 < seconds < inf:
        raise ConfigurationError(f"{name} must be a finite number above 0; given {shown(value)}")
    return seconds


@dataclass(frozen=True)
class _Measurement:
    """A backend and the baseline, measured alternately."""

    backend: str
    device: str | None
    threads: int
    rounds: int
    round_seconds: float
    on_activity: OnActivity

    def worker(self, backend: str, size: Size, threads: int | None = None) -> WorkerProcess:
        """A process for a backend; the device is that of the measured one, not of the baseline."""
        device = self.device if backend == self.backend else None
        return WorkerProcess(backend, size, device=device, threads=threads or self.threads)

    def explain(
        self, sizes: tuple[Size, ...], habits_size: Size, growth_steps: int
    ) -> tuple[dict[str, Any], tuple[CallsAt, ...], Habits]:
        """The backend's properties, calls and habits, on one thread, which waits for no other."""
        with self.worker(self.backend, habits_size, threads=1) as worker:
            properties = self._request(worker, self.backend, habits_size, "prepare", "first step")
            ours = self._calls(worker, self.backend, sizes)
            self.on_activity(f"measuring {self.backend}: {counted(growth_steps, 'step')} at {habits_size}")
            habits = Habits.from_json(worker.request("habits", steps=growth_steps))
        theirs: list[Calls | None] = [None] * len(sizes)
        if self.backend != BASELINE:
            with self.worker(BASELINE, habits_size, threads=1) as worker:
                theirs = [*self._calls(worker, BASELINE, sizes)]
        calls = zip(sizes, ours, theirs, strict=True)
        return properties, tuple(CallsAt(size.model, mine, other) for size, mine, other in calls), habits

    def _calls(self, worker: WorkerProcess, backend: str, sizes: tuple[Size, ...]) -> list[Calls]:
        """Times predictions of each model, with a small batch, which does not matter here."""
        found = []
        for size in sizes:
            self.on_activity(f"measuring {backend}: {size.model}, prediction calls")
            of = asdict(replace(size, batch_size=2, num_steps=2))
            found.append(Calls(**worker.request("calls", of=of, seconds=self.round_seconds)))
        return found

    def measure(self, size: Size) -> SizeReport:
        """Trains and samples with each backend in every round, one directly after the other."""
        names = list(dict.fromkeys([self.backend, BASELINE]))
        rates: dict[str, dict[str, list[float]]] = {name: {"train": [], "sample": []} for name in names}
        others = dict.fromkeys(names, 0.0)
        with ExitStack() as stack:
            workers = {name: stack.enter_context(self.worker(name, size)) for name in names}
            prepared = {
                name: self._request(workers[name], name, size, "prepare", "first step") for name in names
            }
            for number in range(self.rounds):
                for action, activity in _ACTIVITIES.items():
                    for name in names if number % 2 == 0 else reversed(names):
                        answer = self._request(
                            workers[name],
                            name,
                            size,
                            action,
                            f"{activity}, round {number + 1} of {self.rounds}",
                        )
                        rates[name][action].append(answer["rate"])
                        others[name] = max(others[name], answer.get("other_processors") or 0.0)
            memory = {name: self._request(workers[name], name, size, "memory", "memory") for name in names}
        speeds = {
            name: Speed(
                name,
                tuple(rates[name]["train"]),
                tuple(rates[name]["sample"]),
                prepared[name]["first_step_seconds"],
                memory[name]["peak_memory_bytes"],
                memory[name]["device_memory_bytes"],
                others[name],
            )
            for name in names
        }
        baseline = speeds[BASELINE] if self.backend != BASELINE else None
        return SizeReport(size, speeds[self.backend], baseline)

    def _request(
        self, worker: WorkerProcess, name: str, size: Size, action: str, activity: str
    ) -> dict[str, Any]:
        self.on_activity(f"measuring {name}: {size.model}, {activity}")
        return worker.request(action, seconds=self.round_seconds)
