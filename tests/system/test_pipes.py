"""Pipes of this system."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from charkit.system.pipes import LARGE_PIPE_BYTES, enlarge


def test_an_enlarged_pipe_holds_more_without_a_reader() -> None:
    fcntl: Any = pytest.importorskip("fcntl")
    if not hasattr(fcntl, "F_SETPIPE_SZ"):
        pytest.skip("this system can't change the size of a pipe; only Linux can")
    reader, writer = os.pipe()
    try:
        enlarge(writer)
        os.set_blocking(writer, False)
        assert os.write(writer, bytes(2 * LARGE_PIPE_BYTES)) == LARGE_PIPE_BYTES
    finally:
        os.close(reader)
        os.close(writer)


def test_what_is_no_pipe_stays_as_it_is(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        enlarge(file.fileno())
        assert file.write(b"text") == 4
