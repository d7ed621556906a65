"""Servers on loopback, and no waiting between tries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import charkit.text.remote
from cli_support import Toolkit
from with_remote.remote_support import KIBIBYTE
from with_remote.web_server import WebServer


@pytest.fixture
def toolkit(capsys: pytest.CaptureFixture[str]) -> Toolkit:
    """The command line, called in this process."""
    return Toolkit(capsys)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charkit.text.remote, "FIRST_DELAY", 0.0)


@pytest.fixture(autouse=True)
def _file_systems_of_this_test() -> None:
    from charkit.text.filesystem_transport import file_system

    file_system.cache_clear()


@pytest.fixture
def web() -> Iterator[WebServer]:
    """A web server of one object."""
    with WebServer() as server:
        yield server


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charkit.text.filesystem_transport.BLOCK_BYTES", 64 * KIBIBYTE)
    monkeypatch.setattr(charkit.text.files, "CHUNK_BYTES", 16 * KIBIBYTE)
