"""The former name of ``charkit.events``, by which objects that earlier versions pickled refer to it."""

from __future__ import annotations

from typing import Any

from charkit import events


def __getattr__(name: str) -> Any:
    return getattr(events, name)
