"""The installed backends as a table: which are usable on this machine, and how to fix the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from charkit.errors import ConfigurationError, shown
from charkit.html_tables import TEXTS, table_of_rows
from charkit.keyword_suggestions import suggesting_keywords
from charkit.plugins.discovery import installed
from charkit.plugins.probe import LIMIT_SECONDS, InstalledBackend, probe_all

_MOST_SECONDS = 24 * 3600
_COLUMNS = ("name", "status", "version", "devices", "precisions", "capabilities", "about")


class InstalledBackends(tuple[InstalledBackend, ...]):
    """The installed backends by name, usable or not; a notebook shows them as a table."""

    __slots__ = ()

    @property
    def usable(self) -> InstalledBackends:
        """The backends that can be used on this machine."""
        return InstalledBackends(backend for backend in self if backend.usable)

    def as_json(self) -> list[dict[str, object]]:
        """The backends as ``toolkit backends --json`` prints them."""
        return [asdict(backend) for backend in self]

    def _repr_html_(self) -> str:
        rows = [
            (
                backend.name,
                backend.status,
                f"{backend.distribution} {backend.version}",
                ", ".join(backend.devices),
                ", ".join(backend.precisions),
                ", ".join(backend.capabilities),
                backend.reason or backend.summary,
            )
            for backend in self
        ]
        return table_of_rows(_COLUMNS, rows, style=TEXTS)


@suggesting_keywords
def backends(
    *, limit_seconds: float = LIMIT_SECONDS, progress: Callable[[float], None] | None = None
) -> InstalledBackends:
    """Tries every installed backend in a separate process, and returns the result for each.

        for backend in charkit.backends():
            print(backend.name, backend.status, backend.devices, backend.reason)

    A backend that takes longer than ``limit_seconds`` to import is listed as timed out, and one that ends its process
    as broken; neither raises an exception. ``progress`` is called with the fraction of backends tried, from 0 to 1.

    Raises ConfigurationError unless ``limit_seconds`` is above 0 and at most a day.
    """
    if not isinstance(limit_seconds, int | float) or not 0 < limit_seconds <= _MOST_SECONDS:
        raise ConfigurationError(
            f"`limit_seconds` must be a number above 0 and at most {_MOST_SECONDS:,}; given {shown(limit_seconds)}"
        )
    return InstalledBackends(probe_all(installed(), limit_seconds=limit_seconds, progress=progress))
