"""What is recorded of each start of a run."""

from __future__ import annotations

import builtins
import sys

import pytest

from charkit.runs.sessions import command_of_process, describe_session
from charkit_numpy.backend import NumpyBackend


def command() -> str:
    backend = NumpyBackend(precision="float32", device="cpu", threads=1)
    return str(describe_session(backend, step=0, text_sha256="0" * 64, symbols=9)["command"])


@pytest.mark.parametrize(
    ("arguments", "recorded"),
    [
        (["/usr/bin/toolkit", "train", "my text.txt"], "toolkit train 'my text.txt'"),
        (["work/train_all.py", "--fast"], "train_all.py --fast"),
        (["/lib/charkit_cli/__main__.py", "train", "a.txt"], "python -m charkit_cli train a.txt"),
        ([""], "charkit.train"),
        (["-c", "secret"], "charkit.train"),
        ([], "charkit.train"),
    ],
)
def test_the_command_is_that_of_the_program(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], recorded: str
) -> None:
    monkeypatch.setattr(sys, "argv", arguments)
    assert command() == recorded


def test_a_notebook_and_a_prompt_have_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/lib/ipykernel_launcher.py", "-f", "kernel.json"])
    with monkeypatch.context() as notebook:
        notebook.setattr(builtins, "__IPYTHON__", True, raising=False)
        assert command() == "charkit.train"
        assert command_of_process("charkit.sweep") == "charkit.sweep"
    with monkeypatch.context() as prompt:
        prompt.setattr(sys, "ps1", ">>> ", raising=False)
        assert command() == "charkit.train"
