"""Contents of remote texts, and changes to them while they are read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from charkit.config import DataConfig
from charkit.text.corpus import open_corpus
from charkit.text.remote import RemoteFile

KIBIBYTE = 1024


def sha_of(*urls: str, **settings: Any) -> str:
    with open_corpus(DataConfig(text=urls, **settings)) as corpus:
        return corpus.sha256


def content(size: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).integers(97, 99, size, np.uint8).tobytes()


def changing(monkeypatch: pytest.MonkeyPatch, after: int, change: Any) -> None:
    """Calls ``change`` once so many bytes of a remote file were read."""
    sound = RemoteFile.read

    def read(file: RemoteFile, size: int = -1) -> bytes:
        if file._offset >= after and file._version.size > after:
            change()
        return sound(file, size)

    monkeypatch.setattr(RemoteFile, "read", read)
