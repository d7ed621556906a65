"""Places a label in a chart: in a box that no line passes through, near the line that it names.

All coordinates are in points from the lower left corner of the picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Line = NDArray[np.float64]  # (point, 2), from left to right

#: Distance of a label from its line, and from any other.
CLEARANCE = 4.0
#: How far apart the tried positions are, along the line and away from it.
_ALONG, _AWAY = 8.0, 4.0


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    def is_crossed_by(self, line: Line) -> bool:
        """Whether a line passes through it."""
        x, y = line[:, 0], line[:, 1]
        if len(line) == 1:
            return bool(self.left <= x[0] <= self.right and self.bottom <= y[0] <= self.top)
        left, right = np.clip(self.left, x[:-1], x[1:]), np.clip(self.right, x[:-1], x[1:])
        slope = np.diff(y) / np.maximum(np.diff(x), 1e-9)
        ends = y[:-1] + slope * (left - x[:-1]), y[:-1] + slope * (right - x[:-1])
        meets = (x[1:] >= self.left) & (x[:-1] <= self.right)
        inside = (np.minimum(*ends) <= self.top) & (np.maximum(*ends) >= self.bottom)
        return bool((meets & inside).any())

    def overlaps(self, other: Box) -> bool:
        """Whether the two share some area."""
        apart = (
            self.right < other.left
            or other.right < self.left
            or self.top < other.bottom
            or other.top < self.bottom
        )
        return not apart


def place_label(
    size: tuple[float, float],
    near: Line,
    within: Box,
    lines: Sequence[Line],
    taken: Sequence[Box],
    *,
    below: bool,
) -> Box | None:
    """The free box of this width and height that is nearest to a line, as far to the right as there is room.

    With ``below`` it may be anywhere below the line, as the name of an area is, and above it only where there is no
    room; else it is just above the line, or just below. None where there is no room.
    """
    for box in _positions(size, near, within, below):
        clear = Box(box.left - CLEARANCE, box.bottom - 1, box.right + CLEARANCE, box.top + 1)
        if not any(clear.overlaps(one) for one in taken) and not any(map(clear.is_crossed_by, lines)):
            return box
    return None


def _positions(size: tuple[float, float], near: Line, within: Box, below: bool) -> Iterator[Box]:
    width, height = size
    lefts = np.arange(within.right - CLEARANCE - width, within.left + CLEARANCE, -_ALONG)
    edges = [_extent(near, left, left + width) for left in lefts]
    under = [
        Box(left, low - CLEARANCE - height - away, left + width, low - CLEARANCE - away)
        for away in np.arange(0.0, within.top - within.bottom if below else 1.0, _AWAY)
        for left, (low, _) in zip(lefts, edges, strict=True)
    ]
    above = [
        Box(left, high + CLEARANCE, left + width, high + CLEARANCE + height)
        for left, (_, high) in zip(lefts, edges, strict=True)
    ]
    for box in (*under, *above) if below else (*above, *under):
        if within.bottom + 1 < box.bottom and box.top < within.top:
            yield box


def _extent(line: Line, left: float, right: float) -> tuple[float, float]:
    """The lowest and the highest point of a line between two positions."""
    x, y = line[:, 0], line[:, 1]
    inside = y[(x >= left) & (x <= right)]
    found = np.concatenate([inside, np.interp([left, right], x, y)])
    return float(found.min()), float(found.max())
