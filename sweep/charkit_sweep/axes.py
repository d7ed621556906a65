"""The axes of a sweep: lists of values, and ranges that are gone through in steps or drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, isfinite, log
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from charkit.config import SECTIONS
from charkit.errors import ConfigurationError, nearest, shown
from charkit_sweep.keys import SEVERAL_STRINGS, are_strings, section_and_key

#: Significant digits of a drawn number, so that a command which repeats a trial is one that can be typed.
DIGITS = 6
#: No range is gone through in more steps.
MOST_VALUES = 10_000
_RANGE_KEYS = ("low", "high", "step", "count", "log")
_FORMS = (
    "an axis must be a list of values, such as [64, 128], or a range, such as { low = 0.0, high = 0.5, step = 0.1 } "
    "or { low = 1e-4, high = 1e-2, log = true }"
)

Value = bool | int | float | str | list[str]


@dataclass(frozen=True)
class Axis:
    """One axis. ``values`` are those of a list or of a range in steps, None for a range without steps.

    ``low`` and ``high`` are a range's ends, both included; ``log``: it is even in the logarithm.
    """

    key: str
    values: tuple[Value, ...] | None
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    is_whole: bool = False
    #: What the file has: written into the sweep's folder as it is.
    written: Any = None

    @property
    def is_range(self) -> bool:
        """Whether it was written as a range."""
        return isinstance(self.written, dict)

    def at(self, fraction: float) -> Value:
        """The value at a fraction of the axis, from 0 to below 1."""
        if self.values is not None:
            return self.values[min(int(fraction * len(self.values)), len(self.values) - 1)]
        if self.log:
            return self.rounded(exp(log(self.low) + fraction * (log(self.high) - log(self.low))))
        if self.is_whole:  # each number as often as any other
            return self.rounded(int(self.low) + int(fraction * (int(self.high) - int(self.low) + 1)))
        return self.rounded(self.low + fraction * (self.high - self.low))

    def rounded(self, number: float) -> int | float:
        """A drawn number as it is used: whole, or of few digits, and within the range."""
        if self.is_whole:
            return max(int(self.low), min(int(self.high), round(number)))
        return max(self.low, min(self.high, float(f"{number:.{DIGITS}g}")))

    def has(self, value: Any) -> bool:
        """Whether a trial can have the value."""
        if self.values is not None:
            return value in self.values
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and self.low <= value <= self.high

    def ends(self) -> tuple[Value, ...]:
        """All values of a list or of a range in steps, or a range's two ends: if those are allowed, all between are."""
        if self.values is not None:
            return self.values
        return (self.rounded(self.low), self.rounded(self.high))


def parse_axis(key: str, written: Any, where: str) -> Axis:
    """An axis as the file has it. Raises ConfigurationError, whose message begins with ``where`` and names the key."""
    place = f"{where}{key}: "
    if isinstance(written, list):
        return Axis(key, _values_of_list(key, written, place), written=written)
    if not isinstance(written, Mapping):
        raise ConfigurationError(f"{place}{_FORMS}; given {shown(written)}")
    unknown = next((name for name in written if name not in _RANGE_KEYS), None)
    if unknown is not None:
        raise ConfigurationError(
            f"{place}unknown key {shown(unknown)} in a range{nearest(unknown, _RANGE_KEYS)}; "
            f"the keys are {', '.join(_RANGE_KEYS)}"
        )
    is_whole = _is_whole_number(key, place)
    low, high = (_number(written, name, place, whole=is_whole) for name in ("low", "high"))
    if not low < high:
        raise ConfigurationError(f"{place}low must be below high; given {low:g} and {high:g}")
    is_log = written.get("log", False)
    if not isinstance(is_log, bool):
        raise ConfigurationError(f"{place}log must be true or false; given {shown(is_log)}")
    if is_log and low <= 0:
        raise ConfigurationError(f"{place}a logarithmic range must start above 0; given {low:g}")
    axis = Axis(key, None, low, high, is_log, is_whole, dict(written))
    values = _values_of_range(axis, written, place)
    return axis if values is None else Axis(key, values, low, high, is_log, is_whole, dict(written))


def _values_of_list(key: str, written: Sequence[Any], place: str) -> tuple[Value, ...]:
    if not written:
        raise ConfigurationError(f"{place}the list is empty; give at least one value")
    for index, value in enumerate(written):
        is_plain = isinstance(value, str | int | float) and not isinstance(value, bool)
        if not is_plain and not (key in SEVERAL_STRINGS and are_strings(value)):
            raise ConfigurationError(f"{place}a value must be a number or a string; given {shown(value)}")
        if value in written[:index]:
            raise ConfigurationError(f"{place}{shown(value)} is listed twice; remove one")
    return tuple(written)


def _is_whole_number(key: str, place: str) -> bool:
    """Whether a key holds whole numbers. Raises ConfigurationError for one that holds no numbers."""
    found = section_and_key(key)
    kinds = set() if found is None else _plain_types(SECTIONS[found[0]].model_fields[found[1]].annotation)
    if kinds not in ({int}, {float}):
        raise ConfigurationError(f"{place}it is not numeric, so it can't have a range; give a list of values")
    return kinds == {int}


def _plain_types(annotation: Any) -> set[Any]:
    if get_origin(annotation) in (Union, UnionType):
        return set().union(*(_plain_types(part) for part in get_args(annotation))) - {NoneType}
    return {annotation}


def _number(written: Mapping[str, Any], name: str, place: str, *, whole: bool) -> float:
    value = written.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is None or not is_number or not _is_finite(value):
        given = "it is missing" if value is None else f"given {shown(value)}"
        raise ConfigurationError(f"{place}the range's {name} must be a number; {given}")
    if whole and value != int(value):
        raise ConfigurationError(f"{place}the range's {name} must be an integer; given {value}")
    number: float = value
    return number


def _is_finite(number: float) -> bool:
    try:
        return isfinite(number)
    except OverflowError:  # a whole number beyond those of floating point
        return False


def _values_of_range(axis: Axis, written: Mapping[str, Any], place: str) -> tuple[Value, ...] | None:
    """The values of a range that has ``step`` or ``count``, None for one that is only drawn from."""
    if "step" in written and "count" in written:
        raise ConfigurationError(f"{place}a range takes either a step or a count; remove one")
    if "step" in written:
        step = _number(written, "step", place, whole=axis.is_whole)
        if step <= 0 or axis.log:
            wrong = "a logarithmic range needs a count" if axis.log else "step must be above 0"
            raise ConfigurationError(f"{place}{wrong}; given step = {step:g}")
        count = int(min((axis.high - axis.low) / step * (1 + 1e-12), 1e15)) + 1
        return _distinct(axis, [axis.low + index * step for index in range(_checked_count(count, place))])
    if "count" in written:
        count = _checked_count(int(_number(written, "count", place, whole=True)), place)
        low, high = (log(axis.low), log(axis.high)) if axis.log else (axis.low, axis.high)
        points = [low + (high - low) * index / (count - 1) for index in range(count)]
        return _distinct(axis, [exp(point) for point in points] if axis.log else points)
    return None


def _checked_count(count: int, place: str) -> int:
    if not 2 <= count <= MOST_VALUES:
        raise ConfigurationError(
            f"{place}a range must have 2 to {MOST_VALUES:,} values; this one has {count:,}"
        )
    return count


def _distinct(axis: Axis, numbers: Sequence[float]) -> tuple[Value, ...]:
    return tuple(dict.fromkeys(axis.rounded(number) for number in numbers))
