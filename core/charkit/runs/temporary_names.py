"""Names of temporary files and folders. Nobody chooses such a name, so whatever has one is charkit's own."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from itertools import count

#: What a name is of: something new that is still being written, or something old that is being replaced.
_FORM = re.compile(r"\.charkit-(?P<kind>tmp|old)-[0-9a-f]{16}-(?P<name>.+)", re.DOTALL)


def temporary_name(name: str, *, old: bool = False) -> str:
    """A name for what will be called ``name`` once it is whole, or, with ``old``, for what was called so until now."""
    return f".charkit-{'old' if old else 'tmp'}-{secrets.token_hex(8)}-{name}"


def temporary_of(name: str) -> str | None:
    """The name that a temporary file or folder was to get, or that an old one had; None for another name."""
    found = _FORM.fullmatch(name)
    return None if found is None else found["name"]


def is_old(name: str) -> bool:
    """Whether a name is that of something old that was being replaced."""
    found = _FORM.fullmatch(name)
    return found is not None and found["kind"] == "old"


def free_name(name: str, taken: Collection[str]) -> str:
    """The first of NAME-1, NAME-2 and so on that is not taken."""
    return next(each for number in count(1) if (each := f"{name}-{number}") not in taken)
