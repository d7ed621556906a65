"""The measurements of a backend: plain numbers, which processes exchange as JSON."""

from __future__ import annotations

from dataclasses import dataclass, fields
from statistics import median
from typing import Any

from charkit.argument_checks import integer


@dataclass(frozen=True)
class Size:
    """A model and the batch that it is trained on, as in ``2x128, 64 x 50``; sampling is of one stream.

    Raises ConfigurationError unless every field is an integer above 0.
    """

    num_layers: int
    lstm_size: int
    batch_size: int
    num_steps: int
    vocabulary_size: int = 84

    def __post_init__(self) -> None:
        for field in fields(self):  # as int: NumPy's integers are not for JSON
            number = integer(field.name, getattr(self, field.name), 1)
            object.__setattr__(self, field.name, number)

    def __str__(self) -> str:
        return f"{self.model}, {self.batch_size} x {self.num_steps}"

    @property
    def model(self) -> str:
        """The model alone, as in ``2x128``."""
        return f"{self.num_layers}x{self.lstm_size}"

    @property
    def symbols(self) -> int:
        """The symbols of a batch."""
        return self.batch_size * self.num_steps


#: Sizes for speeds: the first is bound by the overhead of each operation, the second by matrix products.
SIZES = (Size(2, 128, 64, 50), Size(2, 512, 100, 100))
#: The size for observing habits, small enough that 300 steps take seconds.
HABITS_SIZE = Size(2, 64, 16, 25)
#: Steps over which time and memory must not grow.
GROWTH_STEPS = 300


@dataclass(frozen=True)
class Speed:
    """Characters per second of each round, and the peak memory of the process in bytes."""

    backend: str
    training: tuple[float, ...]
    sampling: tuple[float, ...]
    first_step_seconds: float
    peak_memory_bytes: int
    device_memory_bytes: int | None
    other_processors: float  # the most that other programs used meanwhile

    def median(self, activity: str) -> float:
        """The median of the rounds of ``training`` or ``sampling``."""
        return float(median(getattr(self, activity)))


@dataclass(frozen=True)
class Calls:
    """Processor seconds of the LSTM for one symbol, and for ``1 + more`` symbols in one call."""

    one_symbol_seconds: float
    many_symbols_seconds: float
    more: int

    @property
    def symbol_seconds(self) -> float:
        """The seconds of each additional symbol of a call."""
        return max(0.0, self.many_symbols_seconds - self.one_symbol_seconds) / self.more

    @property
    def call_seconds(self) -> float:
        """The seconds of a call without its symbols."""
        return max(0.0, self.one_symbol_seconds - self.symbol_seconds)


@dataclass(frozen=True)
class CallsAt:
    """Calls of a model, such as ``2x512``, on the backend and on NumPy, each with one thread."""

    model: str
    backend: Calls
    baseline: Calls | None


@dataclass(frozen=True)
class Phase:
    """Some steps of one kind: the processor seconds of the median step, and how often the LSTM was traced."""

    steps: int
    seconds: float
    traces: int


@dataclass(frozen=True)
class Copies:
    """Bytes copied between NumPy and the framework in one call, and those that the core requests."""

    moved_bytes: float
    expected_bytes: int


@dataclass(frozen=True)
class Habits:
    """How a backend behaves over many steps, at ``size``: tracing, copies, growth."""

    size: Size
    weights_bytes: int
    constant: Phase  # one learning rate
    changing: Phase  # another learning rate at each step
    masked: Phase  # with masks
    alternating: Phase  # with masks at every other step
    predictions: Phase
    step_copies: Copies
    prediction_copies: Copies
    step_seconds: tuple[float, ...]  # of the processor, step by step with one learning rate
    resident_bytes: tuple[int, ...]  # after each of those steps

    @property
    def growth_bytes(self) -> float:
        """Growth of memory in bytes per step, from the medians of the second and the last sixth."""
        return _slope(self.resident_bytes)

    @property
    def slowdown(self) -> float:
        """The time of a step of the last sixth relative to one of the second sixth."""
        sixth = max(1, len(self.step_seconds) // 6)
        before = median(self.step_seconds[sixth : 2 * sixth] or self.step_seconds)
        return median(self.step_seconds[-sixth:]) / before if before > 0 else 1.0

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Habits:
        """Restores habits from the JSON of ``dataclasses.asdict``."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in content.items()
        }
        kinds: dict[str, Any] = {"size": Size, "step_copies": Copies, "prediction_copies": Copies}
        kinds |= dict.fromkeys(("constant", "changing", "masked", "alternating", "predictions"), Phase)
        return cls(**values | {key: kind(**content[key]) for key, kind in kinds.items()})


def _slope(values: tuple[int, ...]) -> float:
    sixth = len(values) // 6
    if sixth == 0:
        return 0.0
    return (median(values[-sixth:]) - median(values[sixth : 2 * sixth])) / (len(values) - 2 * sixth)
