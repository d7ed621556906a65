"""JSON as charkit writes it, and nothing else: what a file of a stranger may hold is refused in one sentence.

Python's own reader keeps the last of two equal keys, reads NaN, and raises RecursionError for deep nesting.
"""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, NoReturn

from charkit.errors import shown

#: Digits of an integer that charkit writes at most: seeds and byte counts are below 2**63.
MOST_DIGITS = 19


def parse_json(content: bytes | bytearray | memoryview | str) -> Any:
    """The value of a JSON text in UTF-8.

    Raises ValueError, with one sentence, for anything that is not JSON, and for equal keys in one object, numbers that
    are not finite or have too many digits, and nesting that is too deep to be read.
    """
    try:
        text = content if isinstance(content, str) else str(content, "utf-8")
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (invalid byte at offset {error.start:,})") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not valid JSON ({error})") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"it contains the key {shown(twice)} twice")
    return found


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MOST_DIGITS:
        raise ValueError(
            f"it contains an integer of {len(digits.lstrip('-')):,} digits, but at most {MOST_DIGITS} are allowed"
        )
    return int(digits)


def _number(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"it contains {shown(text)}, which is not a finite number")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it contains {name}, which is not a finite number")
