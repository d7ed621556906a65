"""Numbers and names as a reader sees them."""

from __future__ import annotations

import math
import unicodedata

from charkit_comparison.formatting import tiny as difference

#: Shown where there is nothing to show.
NOTHING = "\N{EN DASH}"
_REPLACEMENT = "\ufffd"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def visible(text: str) -> str:
    """The text with line ends and tabs kept, and whatever else steers rather than shows replaced.

    Control characters and those that change the direction of writing could move what stands around them.
    """
    return "".join(_REPLACEMENT if _steers(one) else one for one in text)


def _steers(one: str) -> bool:
    if one in "\n\t":
        return False
    return one in _DIRECTIONS or unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"}


#: Direction marks, embeddings, overrides and isolates; the byte order mark; what XML has no place for.
_DIRECTIONS = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\ufffe\uffff"
)


def one_line(text: str) -> str:
    """The text on one line: a label or a reason can't start a line of its own."""
    return " ".join(visible(text.replace("\n", " ").replace("\t", " ")).split(" "))


def shortened(text: str, limit: int) -> str:
    """The text in at most ``limit`` characters, for a chart; tables show it whole."""
    text = one_line(text)
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"


def _odd(value: float | None) -> str | None:
    """What is said of a value that has no digits."""
    if value is None:
        return NOTHING
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "infinite" if value > 0 else "minus infinite"
    return None


def loss(value: float | None) -> str:
    """A loss in nats, four decimals."""
    odd = _odd(value)
    if odd is not None or value is None:
        return odd or NOTHING
    return f"{value:.4f}" if abs(value) < 1e4 else f"{value:.3e}"


def tiny(value: float | None) -> str:
    """A difference, two digits; zero is said to be exactly that."""
    return NOTHING if value is None else difference(value)


def bound(value: float | None) -> str:
    """A bound as it is given on the command line: ``1e-4``."""
    if value is None:
        return NOTHING
    mantissa, _, exponent = f"{value:.6g}".partition("e")
    if not exponent and 0 < value < 1e-2:
        mantissa, _, exponent = f"{value:e}".partition("e")
        mantissa = f"{float(mantissa):g}"
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def share(value: float | None) -> str:
    """A share in percent: ``3%``, ``0.4%``; one above ten as a multiple: ``2,900 times``."""
    odd = _odd(value)
    if odd is not None or value is None:
        return odd or NOTHING
    if value > 10:
        return f"{value:,.0f} times" if value < 1e6 else f"{tiny(value)} times"
    percent = 100 * value
    return (
        f"{percent:.0f}%"
        if percent >= 1 or not percent
        else f"{percent:.1g}%"
        if percent >= 1e-4
        else "< 0.0001%"
    )


def speed(value: float | None) -> str:
    """Characters per second, four digits."""
    odd = _odd(value)
    if odd is not None or value is None:
        return odd or NOTHING
    return f"{float(f'{value:.4g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def ratio(value: float | None) -> str:
    """How many times as long."""
    odd = _odd(value)
    if odd is not None or value is None:
        return odd or NOTHING
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def seconds(value: float | None) -> str:
    """A time in seconds, about three digits."""
    odd = _odd(value)
    if odd is not None or value is None:
        return odd or NOTHING
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def megabytes(value: float | None) -> str:
    """Memory in units of 10^6 bytes."""
    return NOTHING if value is None else f"{value / 1e6:,.0f}"


def power_of_ten(exponent: int) -> str:
    """``10⁻⁴``, for an axis."""
    return "1" if exponent == 0 else f"10{str(exponent).translate(_SUPERSCRIPTS)}"
