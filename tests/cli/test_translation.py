"""Messages of the library name its fields; a user of the command line reads the options that they can type."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import charkit
from charkit.errors import ConfigurationError
from charkit.runs.run import Run
from charkit_cli import main, message_translation
from charkit_cli.message_translation import speak_for, translate
from cli_support import Toolkit
from message_catalog import errors


@pytest.fixture
def speaking(toolkit: Toolkit, request: pytest.FixtureRequest) -> None:
    toolkit.ok(request.param, "--help")


@pytest.mark.parametrize(
    ("speaking", "message", "translated"),
    [
        ("train", "try a lower `learning_rate` or `grad_clip`", "try a lower --learning-rate or --grad-clip"),
        ("train", "continue it with `resume='runs/anna-1'`", "continue it with --resume runs/anna-1"),
        ("train", "(`resume='my runs/a'`)", "(--resume 'my runs/a')"),
        ("train", "`resume='-odd'`", "--resume=-odd"),
        ("train", "name it with `init_from=RUN`", "name it with --init-from RUN"),
        ("train", "give `max_steps=200`.", "give --max-steps 200."),
        ("train", "or `overwrite=True`; no `overwrite=False`", "or --overwrite; no overwrite=False"),
        ("train", "name a `text`", "name a TEXT"),
        ("train", "read `text='a b.txt'`", "read 'a b.txt'"),
        ("train", "read `text=['a.txt', 'b.txt']`", "read a.txt b.txt"),
        ("train", "`training.precision='float64'`", "--precision float64"),
        ("train", "lift `max_steps=None`", "lift max_steps=None"),
        ("train", "run `pip install x` first", "run pip install x first"),
        ("train", "`nonsense` and `nonsense=3`", "nonsense and nonsense=3"),
        ("train", "it lacks '`', 'a' and '`'", "it lacks '`', 'a' and '`'"),
        ("train", "there is no 'odd`name`here'", "there is no 'odd`name`here'"),
        ("evaluate", "name a `text`, or a `run`", "name a --text, or a RUN"),
        ("evaluate", "score `text=['a.txt', 'b.txt']`", "score --text a.txt --text b.txt"),
        ("evaluate", "give a `string`", "give a string"),
        ("evaluate", "a smaller `lstm_size`", "a smaller lstm_size"),
        ("sample", "`backend='sound'`", "--backend sound"),
        (
            "export",
            "`precision='float64'` needs `format='torch'`",
            "--precision float64 needs --format torch",
        ),
        ("compare", "`backends=['numpy', 'torch']`", "--backends numpy,torch"),
        ("compare", "`precisions=['float32', 'float64']`", "--precision float32 --precision float64"),
        ("compare", "a lower `learning_rate`", "a lower --learning-rate"),
        ("compare", "the `schedule`", "the --set training.schedule=..."),
        ("compare", "`training.schedule='cosine'`", "--set training.schedule='cosine'"),
        ("verify", "choose among `stages`", "choose among --stage"),
        ("sweep", "prepare it with `charkit.prepare`, first", "prepare it with toolkit prepare, first"),
        ("train", "see `charkit.verify`", "see toolkit verify"),
    ],
    indirect=["speaking"],
)
@pytest.mark.usefixtures("speaking")
def test_fields_become_options_of_the_command(message: str, translated: str) -> None:
    assert translate(message) == translated


@pytest.mark.parametrize(("function", "command"), message_translation.COMMANDS.items())
def test_functions_become_the_commands_that_do_the_same(function: str, command: str) -> None:
    assert function.removeprefix("charkit.") in charkit.__all__
    assert command.removeprefix("toolkit ") in main.COMMANDS


def test_no_message_of_the_library_names_a_command() -> None:
    """The advice of a run's model card and of a sweep's page is for the command line; what is raised is for both."""
    named = [one for one in errors() if re.search(r"\btoolkit [a-z]", one.text)]
    assert not [one for one in named if not one.file.startswith("cli/")]


def test_without_a_command_only_the_backquotes_go() -> None:
    speak_for((), ())
    assert translate("a lower `learning_rate`, or `resume='x'`") == "a lower learning_rate, or resume='x'"


def test_errors_and_notices_are_translated(
    toolkit: Toolkit, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise ConfigurationError("give a `prime`, or `seed=3`")

    checkpoint = Run.checkpoint
    monkeypatch.setattr(
        Run, "checkpoint", lambda self, which: (*checkpoint(self, which)[:2], ("see `top_k`",))
    )
    assert "note: see --top-k\n" in toolkit.ok("sample", run, "--length", "3").err
    monkeypatch.setattr(Run, "open", refuse)
    assert toolkit.error("sample", run) == "give a --prime, or --seed 3"


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("train", "try a smaller --lstm-size, --batch-size or --num-steps"),
        ("sample", "try a smaller --count"),
        ("evaluate", "free some memory, or use a machine with more"),
    ],
)
def test_where_memory_runs_out_the_command_s_own_options_are_named(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch, command: str, advice: str
) -> None:
    def run_out(_arguments: list[str]) -> int:
        toolkit.ok(command, "--help")
        raise MemoryError

    call = main._call
    monkeypatch.setattr(main, "_call", lambda given: call(given) if given[-1] == "--help" else run_out(given))
    assert toolkit.error(command) == f"not enough memory; {advice}"
