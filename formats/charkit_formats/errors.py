"""The one error of this package."""

from __future__ import annotations

from charkit.errors import CharkitError


class FormatError(CharkitError):
    """A file of another program can't be read or written, or doesn't contain charkit's model."""
