"""The version of charkit that is installed."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version as version_of


@lru_cache(maxsize=1)
def version() -> str:
    """The version of the distribution, as its metadata have it."""
    return version_of("charkit")
