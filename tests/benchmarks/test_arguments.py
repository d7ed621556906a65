"""What benchmarks refuse: arguments that can't be used, in one line and before anything is computed."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.__main__ import main
from benchmarks.results import add_options

import charkit
from benchmarks import fingerprints
from support import SMALL

Refused = Callable[..., str]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Refused:
    """Runs a benchmark that must end with status 2, and returns its last line, without the program's name."""

    def run(*arguments: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert (ended.value.code, printed.out) == (2, "")
        return printed.err.splitlines()[-1].partition(": error: ")[2]

    return run


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Which backends fingerprints were computed for; none are."""
    calls: list[list[str]] = []

    def record(only: list[str]) -> dict[str, dict[str, str]]:
        calls.append(only)
        return {"numpy, float32": {"model": "5"}}

    monkeypatch.setattr(fingerprints, "record", record)
    return calls


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["misses", "report", "none.jsonl"], "argument files: 'none.jsonl'"),
        (["verdicts", "report", "none.jsonl"], "argument files: 'none.jsonl'"),
        (["draw-terminal", "none.ansi", "out.svg"], "argument capture: 'none.ansi'"),
        (["draw-terminal", ".", "out.svg"], "argument capture: '.'"),
        (["grid", "none.txt"], "argument texts: 'none.txt'"),
        (["fingerprints", "check", "none.json"], "argument file: 'none.json'"),
        (["training", "none.txt", "--quick"], "argument text: 'none.txt'"),
        (["memory", "none.txt", "--quick"], "argument text: 'none.txt'"),
        (["evaluation", "none.txt", "--quick"], "argument text: 'none.txt'"),
        (["halving", "none.txt"], "argument text: 'none.txt'"),
        (["verdicts", "run", "none.txt"], "argument texts: 'none.txt'"),
    ],
)
def test_a_missing_file_is_named(
    arguments: list[str], named: str, refused: Refused, computed: list[list[str]]
) -> None:
    assert refused(*arguments) == f"{named} is not a file that can be read; give the path of one"
    assert not computed


@pytest.mark.parametrize("name", ["draw-run", "draw-recipes"])
def test_a_picture_has_the_ending_of_one(name: str, refused: Refused, text_file: Path) -> None:
    run = charkit.train(text_file, max_steps=1, **SMALL).run
    message = "argument picture: 'out.jpeg2' has no ending of a picture; give a file that ends in .png, .svg or .pdf"
    assert refused(name, str(run.resolve()), "out.jpeg2") == message


@pytest.mark.parametrize("name", ["draw-run", "draw-recipes"])
def test_a_missing_run_is_named(name: str, refused: Refused) -> None:
    assert "'none' is not a charkit run: the directory doesn't exist" in refused(name, "none", "out.png")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["fingerprints", "record", "none/a.json"], "argument file: 'none/a.json'"),
        (["fingerprints", "record", "."], "argument file: '.'"),
        (["fingerprints", "record", "text.txt/a.json"], "argument file: 'text.txt/a.json'"),
        (["grid", "text.txt", "--results", "none/a.jsonl"], "argument --results: 'none/a.jsonl'"),
        (["draw-terminal", "text.txt", "none/a.svg"], "argument picture: 'none/a.svg'"),
        (["misses", "faults", "--out", "none/a.jsonl"], "argument --out: 'none/a.jsonl'"),
        (["verdicts", "run", "--out", "none/a.jsonl"], "argument --out: 'none/a.jsonl'"),
    ],
)
def test_a_file_that_cannot_be_written_is_named(
    arguments: list[str], named: str, refused: Refused, computed: list[list[str]], tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("a cat sat on a mat", "utf-8")
    assert refused(*arguments) == f"{named} can't be written; give a file in a directory that exists"
    assert not computed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["training", "--rounds", "0"], "argument --rounds: '0' is not a whole number of 1 or more"),
        (["memory", "--quick", "--rounds", "0"], "argument --rounds: '0' is not a whole number of 1 or more"),
        (
            ["training", "--quick", "--threads", "0"],
            "argument --threads: '0' is not a whole number of 1 or more",
        ),
        (
            ["sampling", "--characters", "-5"],
            "argument --characters: '-5' is not a whole number of 1 or more",
        ),
        (["memory", "--steps", "few"], "argument --steps: 'few' is not a whole number of 1 or more"),
        (["misses", "faults", "--start", "-1"], "argument --start: '-1' is not a whole number of 0 or more"),
        (["training", "--seconds", "0"], "argument --seconds: '0' is not a number above 0"),
        (["training", "--seconds", "nan"], "argument --seconds: 'nan' is not a number above 0"),
        (["training", "--dropout", "1"], "argument --dropout: '1' is not a number from 0 to below 1"),
        (["training", "--dropout", "half"], "argument --dropout: 'half' is not a number from 0 to below 1"),
        (
            ["training", "--dropout", "0.5", "--participants", "plain jax"],
            "plain jax has no dropout; leave it out of --participants, or leave out --dropout",
        ),
        (
            ["verdicts", "run", "--backends", "jax"],
            "--backends needs numpy or torch, which take part in every comparison",
        ),
    ],
)
def test_a_number_or_choice_that_cannot_be_used_is_named(
    arguments: list[str], said: str, refused: Refused
) -> None:
    assert refused(*arguments) == said


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_file_without_fingerprints_is_named_before_any_is_computed(
    content: str, refused: Refused, computed: list[list[str]], tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text(content, "utf-8")
    said = refused("fingerprints", "check", "a.json")
    assert said == "argument file: 'a.json' has no fingerprints; give a file that `record` wrote"
    assert not computed


def test_fingerprints_are_recorded_and_checked(
    computed: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    file = str(tmp_path / "a.json")
    monkeypatch.setattr(sys, "argv", ["benchmarks", "fingerprints", "record", file, "--backend", "numpy"])
    main()
    monkeypatch.setattr(sys, "argv", ["benchmarks", "fingerprints", "check", file])
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code, capsys.readouterr().out) == (0, "1 fingerprints of 1 runs are equal\n")
    assert computed == [["numpy"], []]


def test_a_quick_run_is_never_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    parser = ArgumentParser()
    add_options(parser, rounds=1)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--quick", "--save"])
    assert ended.value.code == 2
    assert "error: argument --save: not allowed with argument --quick" in capsys.readouterr().err
