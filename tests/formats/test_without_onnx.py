"""Exporting to ONNX where the package onnx is not installed: one line that says what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cli_support import Toolkit
from formats_support import make_run


def test_it_is_asked_for(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(Path("r"))
    monkeypatch.setitem(sys.modules, "onnx", None)  # importing it raises, installed or not
    message = toolkit.error("export", "r", "--out", "a.onnx")
    assert message.startswith("exporting to ONNX needs the package onnx, which can't be imported (")
    assert message.endswith("; run: pip install onnx onnxruntime")
