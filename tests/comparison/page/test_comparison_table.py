"""What ``toolkit compare`` prints: a table that fits a terminal, and the verdict in words."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from charkit_cli.comparison_table import print_comparison
from charkit_cli.terminal_output import to_user
from charkit_comparison import ComparisonReport
from charkit_comparison.report_parts import Finding, Outcome

MakeOutcome = Callable[..., Outcome]
MakeReport = Callable[..., ComparisonReport]
Located = Callable[..., Finding]


def printed(report: ComparisonReport, width: int = 80) -> list[str]:
    """The lines on a terminal of this width."""
    console = Console(file=io.StringIO(), width=width, highlight=False, force_terminal=False)
    print_comparison(console, report)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def row(lines: list[str], label: str) -> list[str]:
    """The cells of a variant's row, but its name."""
    (line,) = (line for line in lines if line.startswith(f" {label} "))
    return line.removeprefix(f" {label} ").split()


def test_it_fits_80_columns(report: ComparisonReport) -> None:
    lines = printed(report)
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == [
        "variant",
        "correct",
        "train",
        "time",
        "sample",
        "step",
        "1",
        "memory",
        "loss",
    ]


def test_each_row_says_how_many_examined_steps_are_right(
    make_outcome: MakeOutcome, make_report: MakeReport, located: Located
) -> None:
    half = make_outcome("half", 3, precision="bfloat16", decides=False)
    outcomes = [make_outcome("one"), make_outcome("two", 1), make_outcome("three", 2), half]
    lines = printed(make_report(outcomes, [located("two", 20)], reasons={"three": "it crashed"}))
    rights = {label: row(lines, label)[0] for label in ("one", "two", "three", "half")}
    assert rights == {"one": "4/4", "two": "2/3", "three": "failed", "half": "-"}


def test_the_verdict_is_last_and_whole(make_outcome: MakeOutcome, make_report: MakeReport) -> None:
    report = make_report([make_outcome("one"), make_outcome("two", 1)])
    lines = printed(report)
    at = lines.index("", lines.index(next(line for line in lines if line.startswith("correct: "))))
    assert " ".join(line.strip() for line in lines[at + 1 :]) == report.verdict
    assert "8 of 8 examined steps match the float64 reference" in report.verdict


def test_a_pipe_gets_the_verdict_on_one_line(
    make_outcome: MakeOutcome, make_report: MakeReport, capsys: pytest.CaptureFixture[str]
) -> None:
    report = make_report([make_outcome("one"), make_outcome("two", 1)])
    print_comparison(to_user(), report)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == report.verdict
    assert len(lines[-1]) > 80
    assert max(len(line) for line in lines[:5]) < 100, "the table is as wide as it needs"
