"""Text that no terminal obeys: what comes from a run, a text, a plugin or a model may hold any character."""

from __future__ import annotations

import re

#: Controls of both ranges except tab and line feed, what turns the direction of text, line and paragraph separators,
#: and halves of surrogate pairs.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_NOT_ASCII = re.compile("[^\x00-\x7f]")


def printable(text: str) -> str:
    r"""The text with escapes such as ``\x1b`` and ``\u202e`` in place of the characters that a terminal would obey."""
    return _UNPRINTABLE.sub(_as_python_has_it, text)


def json_escaped(text: str, encoding: str | None) -> str:
    """JSON text that means the same, with escapes for what a terminal would obey or the encoding lacks."""
    safe = _UNPRINTABLE.sub(_as_json_has_it, text)
    try:
        safe.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return _NOT_ASCII.sub(_as_json_has_it, safe)
    return safe


def _as_python_has_it(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def _as_json_has_it(found: re.Match[str]) -> str:
    """The character as one or two units of UTF-16, which is what JSON escapes are."""
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[start : start + 2].hex()}" for start in range(0, len(units), 2))
