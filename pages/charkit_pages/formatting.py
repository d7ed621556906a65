"""Numbers and names as a verdict, a report and its page write them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from math import isinf, isnan

#: Shown where there is nothing to show.
NOTHING = "\N{EN DASH}"
_REPLACEMENT = "\ufffd"
#: Direction marks, embeddings, overrides and isolates; the byte order mark; what XML does not allow.
_BIDIRECTIONAL = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\ufffe\uffff"
)
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def names(labels: Sequence[str]) -> str:
    """Labels in a row: ``a``, ``a and b``, ``a, b and c``."""
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"


def counted(count: int, one: str, many: str = "") -> str:
    """A number and its noun: ``1 step``, ``1,000 steps``."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def tiny(value: float | None) -> str:
    """A difference in two digits, ``3.1e-6``, ``0.23``, ``140``; only an exact zero is ``0``."""
    special = _special_value(value)
    if special is not None or value is None:
        return special or NOTHING
    if value == 0:
        return "0"
    if 0.01 <= abs(value) < 1000:
        return f"{value:.0f}" if abs(value) >= 9.95 else f"{value:#.2g}"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def visible(text: str) -> str:
    """The text with control characters replaced, except line ends and tabs.

    Those that change the direction of writing are replaced too: they could move the text around them.
    """
    return "".join(_REPLACEMENT if _is_control(one) else one for one in text)


def _is_control(one: str) -> bool:
    if one in "\n\t":
        return False
    return one in _BIDIRECTIONAL or unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"}


def one_line(text: str) -> str:
    """The text on one line: a label or a reason can't start a line of its own."""
    return " ".join(visible(text.replace("\n", " ").replace("\t", " ")).split(" "))


def shortened(text: str, limit: int) -> str:
    """The text in at most ``limit`` characters, for a chart; tables show it whole."""
    text = one_line(text)
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"


def _special_value(value: float | None) -> str | None:
    """The words for a value that has no digits."""
    if value is None:
        return NOTHING
    if isnan(value):
        return "not a number"
    if isinf(value):
        return "infinite" if value > 0 else "minus infinity"
    return None


def loss(value: float | None) -> str:
    """A loss in nats, four decimals."""
    special = _special_value(value)
    if special is not None or value is None:
        return special or NOTHING
    return f"{value:.4f}" if abs(value) < 1e4 else f"{value:.3e}"


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
    special = _special_value(value)
    if special is not None or value is None:
        return special or NOTHING
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
    special = _special_value(value)
    if special is not None or value is None:
        return special or NOTHING
    return f"{float(f'{value:.4g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def ratio(value: float | None) -> str:
    """How many times as long."""
    special = _special_value(value)
    if special is not None or value is None:
        return special or NOTHING
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def seconds(value: float | None) -> str:
    """A time in seconds, about three digits."""
    special = _special_value(value)
    if special is not None or value is None:
        return special or NOTHING
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def megabytes(value: float | None) -> str:
    """Memory in units of 10^6 bytes."""
    return NOTHING if value is None else f"{value / 1e6:,.0f}"


def power_of_ten(exponent: int) -> str:
    """``10⁻⁴``, for an axis."""
    return "1" if exponent == 0 else f"10{str(exponent).translate(_SUPERSCRIPTS)}"
