"""The one error of this package."""

from __future__ import annotations

from charkit.errors import CharkitError


class FormatError(CharkitError):
    """A file of another program that can't be read or made, or that does not hold charkit's model."""
