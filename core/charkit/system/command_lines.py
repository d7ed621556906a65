"""Commands to type, quoted as the system's usual shell reads them."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterable


def quoted(word: str) -> str:
    """The word in quotes if it needs them. The Windows command prompt knows double quotes alone."""
    return joined([word])


def joined(words: Iterable[str]) -> str:
    """The words as one command line."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
