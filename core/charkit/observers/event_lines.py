"""Events as lines of JSON, for the processes of observers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from charkit.events import Event

_TYPES: dict[str, Any] = {one.__name__: one for one in get_args(Event)}
#: The fields that JSON has no type for.
_CONVERSIONS: dict[str, Any] = {"run": Path, "path": Path, "notices": tuple, "files": tuple}


def to_line(event: Event) -> bytes:
    """The event as a line."""
    content = {"type": type(event).__name__, **asdict(event)}
    return json.dumps(content, default=str).encode() + b"\n"


def from_line(line: bytes) -> Event:
    """The event of a line."""
    content = json.loads(line)
    kind = _TYPES[content.pop("type")]
    made: Event = kind(**{name: _CONVERSIONS.get(name, _same)(value) for name, value in content.items()})
    return made


def _same(value: Any) -> Any:
    return value
