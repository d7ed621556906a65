"""What reaches an object behind a URL, as those see it that read from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

#: What to do about an object that can't be read where it is.
DOWNLOAD = "download the file, and give its path"


class PassingError(Exception):
    """Something that another try may not meet again; the text is the reason, in words."""


class LastingError(Exception):
    """Something that every try would meet; the text is the reason, in words."""


class AbsentError(LastingError):
    """There is no such object."""


class ChangedError(Exception):
    """The object is not the version that was found first."""


@dataclass(frozen=True)
class Version:
    """What tells one content of an object from another: its size in bytes, and what the server has for it."""

    size: int
    tokens: tuple[tuple[str, str], ...]

    def check(self, other: Version) -> None:
        """Raises ChangedError for another version; what only one of them has is not compared."""
        mine, others = dict(self.tokens), dict(other.tokens)
        if self.size != other.size or any(others.get(key, value) != value for key, value in mine.items()):
            raise ChangedError


class Stream(Protocol):
    """One connection; ``offset`` is where in the object it begins."""

    offset: int

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end, or where the connection was cut. Raises PassingError."""

    def close(self) -> None:
        """Ends the connection."""


class Transport(Protocol):
    """How an object is reached."""

    def find(self) -> Version:
        """The version that it has now. Raises PassingError and LastingError."""

    def open(self, version: Version, offset: int) -> Stream:
        """Connects to this version at a byte, or at its beginning. Raises also ChangedError."""

    def files(self) -> list[str] | None:
        """The URLs of all files in the folder, sorted; None for what is no folder."""
