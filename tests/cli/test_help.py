"""The help, the version, and what ``--debug`` adds."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version

import pytest

from charkit.config import SECTIONS, SamplingConfig
from charkit_cli.main import COMMANDS, module_of
from cli_support import Toolkit


def test_toolkit_alone_shows_the_commands(toolkit: Toolkit) -> None:
    said = toolkit.ok().out
    assert said == toolkit.ok("--help").out
    for name, summary in COMMANDS.items():
        assert name in said
        assert summary in said
    assert "Start with: toolkit train" in said


@pytest.mark.parametrize("module", ["charkit", "charkit_cli"])
def test_python_runs_the_command_line_as_a_module(toolkit: Toolkit, module: str) -> None:
    command = [sys.executable, "-m", module, "runs", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8").stdout
    assert said.split() == toolkit.ok("runs", "--help").out.split()


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_shows_examples(toolkit: Toolkit, command: str) -> None:
    said = toolkit.ok(command, "--help").out
    examples = import_module(module_of(command)).EXAMPLES
    assert examples
    for example in examples:
        assert example.startswith(f"toolkit {command}")
        assert f"$ {example}" in said  # on one line of 80 columns


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_80_columns(toolkit: Toolkit, command: str) -> None:
    said = toolkit.ok(command, "--help").out
    assert max(map(len, said.splitlines())) <= 80
    assert "\x1b" not in said


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_shows_flags_and_arguments_without_types(toolkit: Toolkit, command: str | None) -> None:
    said = toolkit.ok(*([command] if command else []), "--help").out
    assert re.search(r"--help +-h  +Show this message and exit", said)
    assert not re.search(r"<\w+(\[\w+\])?>", said)


def test_the_usage_line_shows_arguments_as_click_does(toolkit: Toolkit) -> None:
    assert "Usage: toolkit train [OPTIONS] [TEXT]... " in toolkit.ok("train", "-h").out
    assert "Usage: toolkit sample [OPTIONS] [RUN] " in toolkit.ok("sample", "-h").out
    assert "Usage: toolkit import [OPTIONS] FILE " in toolkit.ok("import", "-h").out


def test_help_shows_defaults_and_ranges(toolkit: Toolkit) -> None:
    said = " ".join(toolkit.ok("train", "-h").out.replace("│", " ").split())
    for expected in (
        "hidden units per layer (1 to 65,536) [classic: 128]",
        "CPU threads; with --workers, per worker [default: all, or 1 per worker]",
        "(at least 0, below 1) [classic: 0]",
        "(above 0, at most 100) [classic: 0.001]",
        "in total (at least 1)",
        "steps between validations (at least 1) [default: the recipe's, or once per epoch]",
        "directory for the new run [default: runs/NAME-N, named after the text]",
    ):
        assert expected in said


def test_every_key_of_the_configuration_is_an_option_with_its_description(toolkit: Toolkit) -> None:
    train, sample = toolkit.ok("train", "--help").out, toolkit.ok("sample", "--help").out
    keys = [
        (key, field, train) for section in SECTIONS.values() for key, field in section.model_fields.items()
    ]
    keys += [(key, field, sample) for key, field in SamplingConfig.model_fields.items()]
    for key, field, said in keys:
        if key in {"text", "vocabulary_size"}:
            continue
        assert f"--{key.replace('_', '-')} " in said
        assert str(field.description).split()[0] in said


def test_version(toolkit: Toolkit) -> None:
    assert toolkit.ok("--version").out == f"charkit {version('charkit')}\n"


@pytest.mark.parametrize("arguments", [("--debug", "train", "absent"), ("train", "absent", "--debug")])
def test_debug_shows_the_traceback(toolkit: Toolkit, arguments: tuple[str, ...]) -> None:
    outcome = toolkit(*arguments)
    assert outcome.status == 2
    assert "Traceback (most recent call last)" in outcome.err
    assert "FileNotFoundError" in outcome.err
    assert outcome.err.splitlines()[-1].startswith("error: there is no text at 'absent'")
    assert "Traceback" not in toolkit("train", "absent").err


def test_runs_as_a_module() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "charkit_cli", "--version"], capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith("charkit ")
