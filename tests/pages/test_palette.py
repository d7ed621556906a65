"""Colors are distinct for every color vision, and markers and dashes distinguish what shares a color."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest

from charkit_pages.canvas import BAND_OPACITY
from charkit_pages.palette import COLORS, SeriesStyle
from charkit_pages.template import style_sheet

# What is left of linear red, green and blue without one kind of cone (Machado, Oliveira and Fernandes, 2009).
VISIONS = {
    "all cones": np.eye(3),
    "no long": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "no middle": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "no short": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.0888])


def colors(theme: int) -> dict[str, np.ndarray]:
    """The style sheet's colors as linear red, green and blue: of the light theme (0) or the dark one (1)."""
    style = style_sheet()
    found: dict[str, list[str]] = {}
    for name, color in re.findall(r"--(\w+): (#[0-9a-f]{6})", style.partition("@media print")[0]):
        found.setdefault(name, []).append(color)
    return {name: linear(values[theme]) for name, values in found.items()}


def linear(color: str) -> np.ndarray:
    return linear_of(np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255)


def encoded(color: np.ndarray) -> np.ndarray:
    """The inverse of ``linear_of``."""
    return np.where(color <= 0.0031308, color * 12.92, 1.055 * color ** (1 / 2.4) - 0.055)


def linear_of(parts: np.ndarray) -> np.ndarray:
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(color: np.ndarray) -> np.ndarray:
    """CIELAB, in which equal distances look equally far."""
    ratios = TO_XYZ @ np.clip(color, 0, 1) / WHITE
    x, y, z = np.where(ratios > 0.008856, np.cbrt(ratios), 7.787 * ratios + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    """The ratio of the two luminances, as WCAG defines it."""
    high, low = sorted((float(TO_XYZ[1] @ one), float(TO_XYZ[1] @ other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("vision", list(VISIONS))
def test_eight_colors_can_be_told_apart(theme: int, vision: str) -> None:
    found = colors(theme)
    seen = [lab(np.asarray(VISIONS[vision]) @ found[f"v{slot}"]) for slot in range(COLORS)]
    assert min(float(np.linalg.norm(one - other)) for one, other in combinations(seen, 2)) > 14


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read(theme: int) -> None:
    found = colors(theme)
    for text in ("text", "quiet", "good", "bad", "link"):
        assert contrast(found[text], found["paper"]) > 4.5, text
        assert contrast(found[text], found["card"]) > 4.5, text
    assert contrast(found["good"], found["good-back" if "good-back" in found else "paper"]) > 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_a_band_can_be_seen_and_so_can_text_on_it(theme: int) -> None:
    """By its lightness, which does not depend on seeing colors. Browsers mix colors as they are encoded."""
    found = colors(theme)
    band = linear_of(BAND_OPACITY * encoded(found["quiet"]) + (1 - BAND_OPACITY) * encoded(found["paper"]))
    assert abs(lab(band)[0] - lab(found["paper"])[0]) > 7
    assert contrast(found["text"], band) > 7
    assert contrast(found["quiet"], band) > 3, "its edge"
    style = style_sheet()
    assert f"fill-opacity: {BAND_OPACITY:g};".replace("0.", ".") in style, "the legend shows the same"


def test_sixteen_variants_look_different() -> None:
    looks = [SeriesStyle(place) for place in range(16)]
    assert len({(look.color, look.dashes, look.hollow) for look in looks}) == 16
    assert len({look.marker for look in looks[:8]}) == 8
