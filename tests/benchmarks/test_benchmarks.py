"""The program of benchmarks: its list, its statistics, its tables, and that it works on the smallest model."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from benchmarks.__main__ import NAMES
from benchmarks.cases import SIZES, training_flops
from benchmarks.goals import Goal
from benchmarks.growth import growth_table
from benchmarks.results import Measured, Result, ratio_of, table

from benchmarks import commits, goals, step_loops, tables, training

ROOT = Path(__file__).parents[2]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _result(name: str = "training-2x128", slow: float = 1.0) -> Result:
    peer = Measured("plain torch", [[90.0, 110.0], [200.0, 200.0], [400.0, 400.0]])
    mine = Measured("charkit numpy", [[150.0 * slow], [260.0 * slow], [800.0 * slow]], "plain torch")
    return Result(
        name,
        "Training",
        "characters/s",
        "python -m benchmarks training",
        [peer, mine],
        2,
        {"float32": 1000.0},
        machine="a machine",
        versions={"numpy": "2.0"},
        date="2026-01-01",
    )


def test_every_name_is_a_program() -> None:
    for name in NAMES:
        assert find_spec(f"benchmarks.{name.replace('-', '_')}"), name


def test_without_a_name_it_lists_them() -> None:
    listed = _run()
    assert listed.returncode == 0
    assert all(f"  {name} " in listed.stdout for name in NAMES)
    unknown = _run("fastest")
    assert unknown.returncode == 1
    assert unknown.stderr == "unknown benchmark 'fastest'; python -m benchmarks lists them\n"


def test_ratios_are_of_the_same_round() -> None:
    peer, mine = _result().participants
    ratio = ratio_of(mine, peer)  # 1.5, 1.3 and 2.0
    assert (ratio.median, ratio.low, ratio.high) == (1.5, 1.4, 1.75)


def test_a_table_shows_median_range_ratio_and_share_of_the_limit() -> None:
    assert table(_result()).splitlines() == [
        "| participant | characters/s, median | lowest to highest | ratio to its peer (quartiles) "
        "| share of the limit |",
        "|---|---|---|---|---|",
        "| plain torch | 200 | 90 to 400 | - | 20% |",
        "| charkit numpy | 260 | 150 to 800 | **1.50** times plain torch (1.40 to 1.75) | 26% |",
    ]


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    result = _result()
    assert Result.load(result.save(tmp_path)) == result


def test_tables_of_a_page_are_written_from_the_results(tmp_path: Path) -> None:
    _result().save(tmp_path)
    _result("training-2x512", slow=0.5).save(tmp_path)
    page = "# Speed\n\n<!-- result: {} -->\nold\n<!-- end of result -->\n\nMore.\n"
    whole = tables.written(page.format("training-2x128"), tmp_path)
    assert whole.startswith(
        "# Speed\n\n<!-- result: training-2x128 -->\n\n`python -m benchmarks training --rounds 3"
    )
    assert whole.endswith("\n\n<!-- end of result -->\n\nMore.\n")
    assert "old" not in whole
    assert tables.written(whole, tmp_path) == whole
    short = tables.written(page.format("short"), tmp_path)
    assert "| charkit numpy | 260 (1.50 times plain torch) | 130 (0.75 times plain torch) |" in short


def test_a_result_that_is_not_recorded_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no result named 'training-9x9' is recorded"):
        tables.written("<!-- result: training-9x9 -->\n<!-- end of result -->", tmp_path)


def test_the_tables_of_the_documentation_are_those_of_the_results() -> None:
    checked = _run("tables", "--check")
    assert checked.returncode == 0, checked.stdout


def test_pages_without_a_place_for_a_table_are_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "page.md").write_text("no table", "utf-8")
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    monkeypatch.setattr(tables, "PAGES", ("page.md",))
    monkeypatch.setattr(sys, "argv", ["tables", "--check"])
    with pytest.raises(SystemExit):
        tables.main()
    assert "no table of page.md is written from results" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("ratios", "said"),
    [
        ([0.9] * 15, "slower"),
        ([1.1] * 15, "faster"),
        ([0.9] * 7 + [1.0] * 8, "no difference beyond doubt"),
        ([0.5, 1.5] * 7 + [1.0], "no difference beyond doubt"),
        ([0.5] * 6, "slower"),
        ([0.5] * 5, "no difference beyond doubt"),  # which happens by chance in 6 of 100 cases
    ],
)
def test_a_commit_is_slower_only_beyond_doubt(ratios: list[float], said: str) -> None:
    assert commits.verdict(*commits.interval(ratios)) == said


def test_the_interval_of_a_median_holds_it_in_95_of_100_cases() -> None:
    # 15 values: the 4th and the 12th, which enclose the median with a probability of 96.5 %.
    assert commits.interval([float(value) for value in range(1, 16)]) == (4.0, 12.0)


def test_operations_are_those_of_the_products() -> None:
    unit = SIZES["2x128"].lstm_size
    assert training_flops(SIZES["2x128"], 80) == 6 * (3 * 4 * unit * unit + 80 * unit)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_what_has_no_dropout_is_left_out_where_others_drop(
    dropout: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen: list[list[str]] = []
    monkeypatch.setattr(training, "_measure", lambda _size, names, _options: chosen.append(names))
    monkeypatch.setattr(sys, "argv", ["training", "--sizes", "2x128", "--dropout", str(dropout)])
    training.main()
    (names,) = chosen
    assert {"charkit jax", "keras jax"} <= set(names)
    assert ("plain jax" in names) == (dropout == 0.0)
    said = "plain jax is left out: it has no dropout\n"
    assert capsys.readouterr().err == (said if dropout else "")


def test_jax_has_its_threads_before_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPROC", "7")
    monkeypatch.setitem(sys.modules, "jax", None)  # can't be imported
    with pytest.raises(ImportError):
        step_loops.jax_steps(5, SIZES["tiny"], threads=3)
    assert os.environ["NPROC"] == "3"


def test_the_list_promises_of_startup_what_it_measures() -> None:
    assert "training step" not in NAMES["startup"]


@pytest.mark.parametrize(
    ("goal", "value", "text"),
    [
        (Goal("", "", "{}", 1.3, "r", {}), 1.296, "1.3"),  # as it is shown
        (Goal("", "", "{}", 0.4, "r", {}, percent=True), 0.396, "40%"),
        (Goal("", "", "{}", 20.0, "r", {}, at_most=True), 20.04, "20"),
        (Goal("", "", "{}", 1000.0, "r", {}), 1500.0, "1,500"),
    ],
)
def test_a_goal_is_met_by_a_figure_as_it_is_shown(goal: Goal, value: float, text: str) -> None:
    assert goal.shown(value) == text
    assert goal.met(value)


@pytest.mark.parametrize(
    ("goal", "value"),
    [
        (Goal("", "", "{}", 1.3, "r", {}), 1.29),
        (Goal("", "", "{}", 0.4, "r", {}, percent=True), 0.394),
        (Goal("", "", "{}", 20.0, "r", {}, at_most=True), 20.2),
        (Goal("", "", "{}", 1000.0, "r", {}), 999.0),
    ],
)
def test_a_goal_that_is_missed(goal: Goal, value: float) -> None:
    assert not goal.met(value)


def test_the_table_of_goals_counts_the_figures_that_reach_them(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {
        "NumPy": lambda result: result.ratio(result.participants[1]).median,
        "PyTorch": lambda result: 1.0,
    }
    goal = Goal("Training", "2x128", "{} times a plain loop", 1.3, "training-2x128", figures)
    monkeypatch.setattr(goals, "goals", lambda: [goal])
    assert goals.goals_table(_result).splitlines() == [
        "| what | model | goal | measured |",
        "|---|---|---|---|",
        "| Training | 2x128 | 1.3 times a plain loop | NumPy 1.5, PyTorch 1 (**missed**) |",
        "",
        "1 of the 2 figures reach their goals.",
    ]


def test_a_goal_without_its_figure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    (goal, *_) = goals.goals()
    monkeypatch.setattr(goals, "goals", lambda: [goal])
    with pytest.raises(ValueError, match="'training-2x128' has no participant 'charkit numpy numba'"):
        goals.goals_table(_result)


def test_growth_is_shown_as_multiples_of_the_limit() -> None:
    values = {"numpy, lstm_size 8": 30.0, "limit, lstm_size 8": 10.0, "limit, lstm_size 16": 200.0}
    participants = [Measured(name, [[value]]) for name, value in values.items()]
    result = Result("growth", "Growth", "ns per character", "", participants, 1)
    assert growth_table(result).splitlines()[2:] == ["| lstm_size 8 | 10 | 3 |", "| lstm_size 16 | 200 | - |"]


def test_the_time_to_a_loss_ends_with_the_first_validation_below_it(tmp_path: Path) -> None:
    text = tmp_path / "t.txt"
    text.write_text("a cat sat on a mat. " * 500, "utf-8")
    done = _run("time-to-loss", str(text), "--quick")
    assert done.returncode == 0, done.stderr
    assert "| charkit, classic |" in done.stdout
    later = _run("time-to-loss", str(text), "--recipe", "classic", "--loss", "2.5", "--rounds", "1")
    assert later.returncode == 0, later.stderr
    assert float(later.stdout.split("| charkit, classic | ")[1].split()[0]) > 0
    never = _run("time-to-loss", str(text), "--recipe", "classic", "--loss", "0.0001", "--rounds", "1")
    assert never.returncode == 1
    assert "classic ended without a validation loss of 0.0001" in never.stderr


@pytest.mark.parametrize("name", ["evaluation", "overhead", "encoding", "busy", "verify-time", "text-memory"])
def test_it_works_on_the_smallest_model(name: str) -> None:
    done = _run(name, "--quick")
    assert done.returncode == 0, done.stderr
    assert "| participant |" in done.stdout


def test_a_grid_that_was_interrupted_trains_only_what_is_missing(tmp_path: Path) -> None:
    text, results = tmp_path / "t.txt", tmp_path / "grid.jsonl"
    text.write_text("a cat sat on a mat. " * 60, "utf-8")
    arguments = ("grid", str(text), "--time-limit", "1s", "--quick", "--results", str(results))
    first = _run(*arguments)
    assert first.returncode == 0, first.stderr
    lines = results.read_text("utf-8").splitlines()
    assert len(lines) == 3
    assert first.stdout.splitlines()[-1].startswith("t.txt: auto ")
    results.write_text("\n".join(lines[:2]) + "\n", "utf-8")
    again = _run(*arguments)
    assert len(again.stdout.splitlines()) == 2  # the setting that was missing, and the verdict
    assert results.read_text("utf-8").splitlines()[:2] == lines[:2]
