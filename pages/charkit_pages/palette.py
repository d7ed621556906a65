"""The style of a series, in every chart and legend: its color, its marker and its dashes.

The colors are Okabe and Ito's (2008), which can be distinguished with any color vision. The page's style sheet
holds them, once for light paper (where yellow can't be seen: brown) and once, a little lighter, for dark. A chart
names a color by a placeholder that ``svg`` turns into the style sheet's variable, so that one picture serves both. From
the ninth series on, dashes and hollow markers distinguish what shares a color. A marker is a polygon, so that charts
and the page's legend draw the same one.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin

COLORS = 8

Points = tuple[tuple[float, float], ...]


def _polygon(corners: int, turn: float, inner: float = 1.0) -> Points:
    """Corners on the unit circle, y upwards; with ``inner`` every other one lies further in, as in a star."""
    angles = (turn + 2 * pi * corner / corners for corner in range(corners))
    return tuple(
        (round(cos(angle) * radius, 3), round(sin(angle) * radius, 3))
        for angle, radius in zip(angles, (1.0, inner) * corners, strict=False)
    )


MARKERS: tuple[Points, ...] = (
    _polygon(24, 0),  # as good as a circle
    _polygon(4, pi / 4),  # square
    _polygon(3, pi / 2),  # triangle
    _polygon(4, 0),  # diamond
    _polygon(3, -pi / 2),  # triangle that points down
    _polygon(8, pi / 4, 0.45),  # star of four
    _polygon(5, pi / 2),  # pentagon
    _polygon(10, pi / 2, 0.5),  # star of five
)
#: Lengths of dashes and gaps, in widths of the line; solid for the first eight series.
DASHES: tuple[tuple[float, ...], ...] = ((), (4, 1.6), (1.2, 1.4), (5, 1.4, 1.2, 1.4))


@dataclass(frozen=True)
class SeriesStyle:
    """The style of the series at an index of the page, counted from 0."""

    index: int

    @property
    def slot(self) -> int:
        """Which of the style sheet's colors."""
        return self.index % COLORS

    @property
    def color(self) -> str:
        """The placeholder of the color in a chart."""
        return f"#0100{self.slot:02x}"

    @property
    def marker(self) -> Points:
        """The marker's corners, on the unit circle."""
        return MARKERS[self.slot]

    @property
    def hollow(self) -> bool:
        """Whether the marker is drawn hollow."""
        return self.index // COLORS % 2 == 1

    @property
    def dashes(self) -> tuple[float, ...]:
        """Dashes and gaps of its line, none where it is solid."""
        return DASHES[self.index // COLORS % len(DASHES)]


#: Placeholders for the page's own colors.
TEXT, QUIET, GRID, BOUND, PAPER = "#020000", "#020001", "#020002", "#020003", "#020004"

#: The style sheet's variable of each placeholder.
VARIABLES = {
    **{SeriesStyle(index).color: f"var(--v{index})" for index in range(COLORS)},
    TEXT: "var(--text)",
    QUIET: "var(--quiet)",
    GRID: "var(--grid)",
    BOUND: "var(--bad)",
    PAPER: "var(--paper)",
}
