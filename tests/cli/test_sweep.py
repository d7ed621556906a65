"""``toolkit sweep``: what it shows, how it is interrupted and resumed, and what it refuses."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from rich.console import Console

import charkit
from charkit_cli.sweep_progress import SweepLines
from charkit_sweep import SweepProgress, SweepTrial
from cli_support import Toolkit, only_error, start, wait_for
from sweep_support import FIXED, decisions, spec_of, to_toml


def write_spec(text: Path, **changes: object) -> Path:
    path = Path("small.toml")
    path.write_text(to_toml(spec_of(text, **changes)), "utf-8")
    return path


def test_it_shows_each_event_then_the_best_and_how_to_train_it(toolkit: Toolkit, text_file: Path) -> None:
    said = toolkit.ok("sweep", write_spec(text_file, trials=3), "--threads", "1")
    lines = said.err.splitlines()
    assert (
        lines[0]
        == "sweeps/small: 3 trials, random search, rungs at steps 2 and 6; 1 at a time, 1 thread each"
    )
    assert lines[1].startswith("training trial 1 to step 2: learning_rate ")
    assert lines[2].startswith("trial 1 stopped at step 2: loss ")
    assert any(" from step 2 to step 6: learning_rate " in line for line in lines)
    assert any(" from step 6 to the end: learning_rate " in line for line in lines)
    assert any(" finished at step 18: loss " in line and line.endswith("(best)") for line in lines)
    out = said.out.splitlines()
    assert max(map(len, [line for line in out if "toolkit train" not in line])) <= 80
    assert "sweeps/small: all trials are done" in out
    assert any(line.startswith("best: trial ") for line in out)
    assert any(line.startswith("next: toolkit sample sweeps/small/trial-00") for line in out)
    assert any(
        line.startswith(f"to train the best trial again in full: toolkit train {text_file}") for line in out
    )
    assert out[-1] == "report: sweeps/small/report.html"


def test_json_is_what_the_report_has(toolkit: Toolkit, text_file: Path) -> None:
    answer = toolkit.json("sweep", write_spec(text_file, trials=2), "--threads", "1", "--name", "other")
    written = json.loads(Path("sweeps/other/report.json").read_text("utf-8"))
    assert {**written, "created": ""} == {**answer, "created": ""}
    assert answer["name"] == "other"
    assert [trial["trial"] for trial in answer["trials"]] == [1, 2]
    assert answer["best"] in (1, 2)
    assert answer["sweep"]["axes"] == {"optimizer.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}}


def _wait_for_training(sweep: Path, trials: int) -> None:
    """Waits until that many trials have recorded a step, which is long before their end."""
    deadline = time.monotonic() + 120
    while sum(path.stat().st_size > 0 for path in sweep.glob("trial-*/metrics.jsonl")) < trials:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "status", "why"),
    [
        (signal.SIGINT, 130, "sweeps/small: interrupted; all trials are saved"),
        (signal.SIGTERM, 143, "sweeps/small: received SIGTERM; all trials are saved"),
    ],
)
def test_a_signal_saves_all_trials_and_the_sweep_goes_on(
    toolkit: Toolkit, text_file: Path, number: int, status: int, why: str
) -> None:
    fixed = {**FIXED, "training": {"max_steps": 3_000, "sample_length": 0}}
    spec = write_spec(text_file, trials=2, halving=None, fixed=fixed)
    child = start("sweep", spec, "--threads", "1", "--parallel", "2")
    wait_for(child, "training trial 2 to the end")
    _wait_for_training(Path("sweeps/small"), trials=2)
    child.send_signal(number)
    said, wrong = child.communicate(timeout=120)
    assert child.returncode == status, wrong
    assert why in said
    assert "to resume the sweep: toolkit sweep --resume small" in said
    assert "stopping once all trials are saved" in wrong
    assert "Traceback" not in wrong
    for run in Path("sweeps/small").glob("trial-*"):
        assert charkit.check(run).whole
    resumed = toolkit.ok("sweep", "--resume", "--parallel", "2")
    assert "all trials are done" in resumed.out
    assert [line["event"] for line in decisions(Path("sweeps/small"))] == ["assigned"] * 2 + ["reached"] * 2


def test_it_is_resumed_by_name_by_folder_by_file_and_unnamed(toolkit: Toolkit, text_file: Path) -> None:
    spec = write_spec(text_file, trials=1)
    toolkit.ok("sweep", spec, "--threads", "1")
    for named in (("small",), ("sweeps/small",), (spec,), ()):
        assert "all trials are done" in toolkit.ok("sweep", "--resume", *named).out
    assert "2 trials" in toolkit.ok("sweep", "--resume", "small", "--trials", "2").err


def test_one_in_another_directory_is_resumed_by_its_path(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok("sweep", write_spec(text_file, trials=1), "--threads", "1")
    Path("sweeps/small").rename("moved")
    again = toolkit.ok("sweep", "--resume", "moved", "--trials", "2", "--time-limit", "0.001s")
    assert "to resume the sweep: toolkit sweep --resume moved" in again.out
    assert "To continue, run: toolkit sweep --resume moved" in Path("moved/report.html").read_text("utf-8")


def test_a_sweep_comes_before_a_file_of_its_name(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok("sweep", write_spec(text_file, trials=1), "--threads", "1")
    Path("small").write_text("a text of the same name")
    assert "all trials are done" in toolkit.ok("sweep", "--resume", "small").out


def test_where_every_trial_fails_the_status_says_so(toolkit: Toolkit, text_file: Path) -> None:
    fixed = {**FIXED, "optimizer": {"learning_rate": 100.0, "grad_clip": 0.0}}
    axes = {"optimizer.weight_decay": [100.0]}
    spec = write_spec(text_file, search="grid", trials=None, halving=None, fixed=fixed, axes=axes)
    outcome = toolkit("sweep", spec, "--threads", "1")
    assert outcome.status == 1
    assert "trials failed: 1; error in trial 1: " in outcome.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (),
            "no sweep was given; give the path of a TOML file to start one (docs/sweeping.md shows an example), or "
            "--resume to continue the newest",
        ),
        (("absent.toml",), "the sweep file 'absent.toml' doesn't exist; give the path of a TOML file"),
        (("absent",), "the sweep file 'absent' doesn't exist; give the path of a TOML file"),
        (("--resume",), "no sweep was given, and there is none in 'sweeps'; start one first"),
        (
            ("--resume", "absent"),
            "'absent' is not a charkit sweep: the directory doesn't exist; start one first",
        ),
        (("small.toml", "--parallel", "0"), "--parallel must be at least 1; given 0"),
        (
            ("small.toml", "--time-limit", "soon"),
            "--time-limit 'soon': a duration must be a number above 0 followed by a unit",
        ),
        (
            ("small.toml", "--name", "a/b"),
            "--name is the name of the sweep's directory; it may contain only letters, digits, ",
        ),
        (("small.toml", "--trials", "0"), "--trials must be at least 1; given 0"),
    ],
)
def test_wrong_use_is_one_line(
    toolkit: Toolkit, text_file: Path, arguments: tuple[str, ...], message: str
) -> None:
    write_spec(text_file)
    assert message in toolkit.error("sweep", *arguments)


def test_an_unknown_axis_and_a_folder_of_something_else_are_refused(
    toolkit: Toolkit, text_file: Path
) -> None:
    spec = write_spec(text_file, axes={"model.lstm_sise": [1]})
    assert "'small.toml': axes: unknown key model.lstm_sise (did you mean 'lstm_size'?)" in toolkit.error(
        "sweep", spec
    )
    spec = write_spec(text_file)
    Path("sweeps/small").mkdir(parents=True)
    assert toolkit.error("sweep", spec) == (
        "'sweeps/small' already exists and is not a charkit sweep, so it is never overwritten; choose another --name"
    )
    assert "is not a charkit sweep: it has no valid sweep.json" in toolkit.error("sweep", "--resume", "small")


def test_one_that_exists_is_refused_with_the_options_to_type(toolkit: Toolkit, text_file: Path) -> None:
    spec = write_spec(text_file, trials=1)
    toolkit.ok("sweep", spec, "--threads", "1")
    assert toolkit("sweep", spec).status == 2
    said = only_error(toolkit("sweep", spec).err)
    assert (
        said == "the sweep 'sweeps/small' already exists; continue it with --resume, or choose another --name"
    )


def trial(number: int, step: int, loss: float | None) -> SweepTrial:
    return SweepTrial(number, Path(f"trial-{number:03d}"), {"seed": number}, "running", step, loss, loss, 1.0)


def test_the_live_line_has_what_matters_most_at_any_width() -> None:
    event = SweepProgress(
        "advanced", "", trial(14, 120, None), 27, (trial(14, 120, None), trial(15, 40, None)), 12, 9, 3, 1,
        trial(7, 900, 1.8321), 0.41, 200.0,
    )  # fmt: skip
    for width, expected in (
        (
            200,
            " 41%  2 running  12 waiting  9 stopped  3 finished  1 failed  best 1.8321 (trial 7)  3m20s left  ",
        ),
        (80, " 41%  2 running  12 waiting  9 stopped  best 1.8321 (trial 7)  3m20s left"),
        (40, "best 1.8321 (trial 7)"),
    ):
        console = Console(width=width, force_terminal=True, color_system=None)
        with SweepLines(console) as lines, console.capture() as captured:
            lines(event)
            shown = lines.line_of(event).plain
        assert shown.startswith(expected) or expected in shown
        assert len(shown) <= width - 2
        assert captured.get() is not None
