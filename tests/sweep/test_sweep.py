"""Sweeps from their beginning to their end: trials that are ordinary runs, promoted exactly, resumed as they were."""

# Over 300 lines: one feature, one short test for each thing that a sweep promises.

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit.errors import ConfigurationError, RunError, TextError
from charkit.runs.records import METRICS
from charkit.runs.run import Run
from charkit.runs.sessions import command_of_process
from charkit_cli.main import run as run_toolkit
from charkit_sweep import folder as folder_module
from charkit_sweep.decisions import next_assignment, state_of
from charkit_sweep.folder import SweepFolder, find_sweep
from charkit_sweep.journal import Assigned, read_journal
from charkit_sweep.session_process import SessionProcess
from sweep.conftest import Finished
from sweep_support import FIXED, bits_of, decisions, spec_of, sweep

#: What two runs of the same trial have in common in their records; times and speeds differ.
REPORTED = ("step", "epoch", "loss", "validation_loss", "learning_rate", "gradient_norm")
NINE = list(range(1, 10))


def children() -> list[int]:
    """The processes that this one has started and that still run."""
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()]


needs_proc = pytest.mark.skipif(
    not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="the system lists no child processes"
)


# ---- a finished sweep -------------------------------------------------------------------------------------


def test_every_decision_is_the_one_that_follows_from_the_journal_before_it(finished: Finished) -> None:
    folder = SweepFolder.open(finished.result.folder)
    entries = read_journal(folder.path)
    assert [entry.trial for entry in entries if isinstance(entry, Assigned) and entry.values] == NINE
    for index, entry in enumerate(entries):
        if isinstance(entry, Assigned):
            assert next_assignment(state_of(folder.spec, entries[:index])) == entry
    assert next_assignment(state_of(folder.spec, entries)) is None


def test_the_result_has_every_trial_and_the_best(finished: Finished) -> None:
    result = finished.result
    assert (result.stopped_because, result.planned_trials, result.rungs) == ("done", 9, (2, 6))
    assert [trial.number for trial in result.trials] == NINE
    assert {trial.status for trial in result.trials} == {"stopped", "finished"}
    assert {trial.step for trial in result.trials} == {2, 6, 18}
    best = result.best
    assert best is not None
    assert best == result.ranked[0]
    assert best.loss == min(trial.loss for trial in result.trials if trial.loss is not None)
    assert result.steps == sum(trial.step for trial in result.trials)
    assert "9 of 9 trials" in result._repr_html_()


def test_every_trial_is_an_ordinary_run(finished: Finished) -> None:
    for trial in finished.result.trials:
        assert charkit.check(trial.run).whole
        run = Run.open(trial.run)
        assert run.config.training.max_steps == 18
        assert run.checkpoint("latest")[0].progress.step == trial.step
        assert run.config.optimizer.learning_rate == trial.values["optimizer.learning_rate"]
        losses = [record["validation_loss"] for record in run.records(METRICS) if record["validation_loss"]]
        assert (trial.loss, trial.last_loss) == (min(losses), losses[-1])
    best = finished.result.best
    assert best is not None
    assert best.load().evaluate().loss == pytest.approx(best.loss, rel=1e-5)
    assert run_toolkit(["evaluate", str(best.run)]) == 0


def test_the_best_trained_whole_anew_by_its_command_has_the_same_bits(
    finished: Finished, tmp_path: Path
) -> None:
    """The best was stopped at two rungs; a run that was never stopped has its weights, its moments and its reports."""
    result = finished.result
    assert result.best is not None
    assert result.best.status == "finished"
    words = shlex.split(result.command)
    assert words[:2] == ["toolkit", "train"]
    assert run_toolkit([*words[1:], "--run", str(tmp_path / "whole")]) == 0
    assert bits_of(tmp_path / "whole") == bits_of(result.best.run)
    whole, stopped = (
        [tuple(record[key] for key in REPORTED) for record in Run.open(run).records(METRICS)]
        for run in (tmp_path / "whole", result.best.run)
    )
    assert stopped == whole
    assert len(Run.open(result.best.run).records("sessions.jsonl")) == 3


def test_a_stopped_trial_goes_on_by_hand_to_its_own_end(finished: Finished, tmp_path: Path) -> None:
    import shutil

    stopped = next(trial for trial in finished.result.trials if trial.step == 2)
    copy = Path(shutil.copytree(stopped.run, tmp_path / "copy"))
    assert charkit.train(resume=copy, threads=1).step == 18


def test_events_say_what_happens_and_how_it_stands(finished: Finished) -> None:
    events = finished.events
    assert events[0].what == "begun"
    assert "9 trials, random search, rungs at steps 2 and 6; 1 at a time, 1 thread each" in events[0].message
    started = [event for event in events if event.what == "started"]
    ended = [event for event in events if event.what in ("stopped", "finished")]
    assert (
        len(started)
        == len(ended)
        == len([e for e in decisions(finished.result.folder) if e["event"] == "reached"])
    )
    for event in started:
        assert event.trial is not None
        assert event.trial.status == "running"
        assert event.trial.number in [trial.number for trial in event.running]
        assert event.waiting + event.stopped + event.finished + event.failed + len(event.running) == 9
    assert all(0 <= event.fraction <= 1 for event in events)
    assert ended[-1].best == finished.result.best
    assert [event.waiting for event in started] == sorted([event.waiting for event in started], reverse=True)


def test_the_table_for_pandas_has_a_row_per_trial_and_a_column_per_axis(finished: Finished) -> None:
    pytest.importorskip("pandas")
    table = finished.result.to_pandas()
    assert list(table["trial"]) == NINE
    assert list(table.columns) == [
        "trial", "optimizer.learning_rate", "loss", "last_loss", "step", "status", "seconds", "run", "reason",
    ]  # fmt: skip
    assert table["loss"].min() == finished.result.best.loss  # type: ignore[union-attr]


# ---- resuming ---------------------------------------------------------------------------------------------


def test_a_finished_sweep_that_is_resumed_trains_nothing(text_file: Path) -> None:
    sweep(spec_of(text_file, trials=2))
    before = decisions(Path("sweeps/small"))
    result = sweep(resume="small")
    assert result.stopped_because == "done"
    assert decisions(Path("sweeps/small")) == before


def test_processes_without_a_trial_end_by_themselves(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not killed, so that what a process does at its end is done: coverage.py, say, writes what it saw."""
    close, statuses = SessionProcess.close, []

    def noting(process: SessionProcess) -> None:
        statuses.append(process._process.returncode)
        close(process)

    monkeypatch.setattr(SessionProcess, "close", noting)
    sweep(spec_of(text_file, trials=2, halving=None))
    assert statuses == [0]


@needs_proc
def test_a_sweep_that_an_error_ends_goes_on_where_it_was(text_file: Path) -> None:
    class HandlerError(Exception):
        pass

    def fail(event: charkit.SweepProgress) -> None:
        if event.what == "started" and event.trial is not None and event.trial.number == 2:
            raise HandlerError

    before = children()  # other tests of this process may have left some
    with pytest.raises(HandlerError):
        sweep(spec_of(text_file, trials=4), on_event=fail)
    assert set(children()) <= set(before)
    assert decisions(Path("sweeps/small"))[-1]["event"] == "assigned"
    result = sweep(resume=True)
    assert result.stopped_because == "done"
    sweep(spec_of(text_file, name="whole", trials=4))
    assert decisions(Path("sweeps/small")) == decisions(Path("sweeps/whole"))


def test_a_time_limit_saves_all_trials_and_the_sweep_goes_on(text_file: Path) -> None:
    fixed = {**FIXED, "training": {"max_steps": 2_000, "sample_length": 0, "eval_every": 1_000}}
    spec = spec_of(text_file, trials=2, halving=None, fixed=fixed)
    first = sweep(spec, time_limit="1s", parallel=2)
    assert first.stopped_because == "time_limit"
    assert {trial.status for trial in first.trials} == {"interrupted"}
    for trial in first.trials:
        if trial.run.exists():  # it may have had no time to begin
            assert charkit.check(trial.run).whole
    result = sweep(resume="sweeps/small", parallel=2)
    assert [trial.status for trial in result.trials] == ["finished", "finished"]
    assert len(read_journal(result.folder)) == 4


def test_side_by_side_each_trial_is_what_it_is_alone(
    finished: Finished, text_file: Path, tmp_path: Path
) -> None:
    import shutil

    os.chdir(tmp_path)
    shutil.copy(finished.folder / "small.txt", tmp_path / "own.txt")
    result = sweep(spec_of(tmp_path / "own.txt"), parallel=3)
    folder = SweepFolder.open(result.folder)
    entries = read_journal(folder.path)
    for index, entry in enumerate(entries):
        if isinstance(entry, Assigned):
            assert next_assignment(state_of(folder.spec, entries[:index])) == entry
    for trial in result.trials:
        alone = finished.folder / finished.result.trials[trial.number - 1].run
        assert trial.values == finished.result.trials[trial.number - 1].values
        if Run.open(alone).checkpoint("latest")[0].progress.step == trial.step:
            assert bits_of(trial.run) == bits_of(alone)


def test_a_sweep_may_get_more_trials_but_no_fewer_than_it_has(text_file: Path) -> None:
    sweep(spec_of(text_file, trials=3))
    result = sweep(resume=True, trials=5)
    assert (len(result.trials), result.planned_trials) == (5, 5)
    with pytest.raises(
        ConfigurationError, match=r"has already started 5 trials, so `trials` must be at least 5; given 4"
    ):
        sweep(resume=True, trials=4)
    assert sweep(resume=True).planned_trials == 5


# ---- trials that fail -------------------------------------------------------------------------------------


def diverging(text: Path) -> dict[str, Any]:
    """Two trials, of which the second diverges: its decay multiplies the matrices by -9,999 in each step."""
    fixed = {**FIXED, "optimizer": {"learning_rate": 100.0, "grad_clip": 0.0}}
    return spec_of(
        text,
        search="grid",
        trials=None,
        halving=None,
        fixed=fixed,
        axes={"optimizer.weight_decay": [0.0, 100.0]},
    )


def test_one_that_diverges_is_a_row_and_is_not_tried_again(text_file: Path) -> None:
    result = sweep(diverging(text_file))
    assert [trial.status for trial in result.trials] == ["finished", "failed"]
    assert "not finite" in result.trials[1].reason
    assert (result.trials[1].loss, result.best) == (None, result.trials[0])
    before = decisions(result.folder)
    assert before[-1]["diverged"] is True
    sweep(resume=True)
    assert decisions(result.folder) == before


def test_one_that_diverges_has_the_step_and_the_time_of_its_last_checkpoint(text_file: Path) -> None:
    spec = diverging(text_file)
    spec["fixed"] = {**spec["fixed"], "training": {**FIXED["training"], "eval_every": 2}}
    events: list[charkit.SweepProgress] = []
    result = sweep(spec, on_event=events.append)
    trial = result.trials[1]
    saved = Run.open(trial.run).checkpoint("latest")[0].progress.step
    assert saved > 0
    assert (trial.status, trial.step, trial.loss) == ("failed", saved, None)
    assert trial.seconds > 0
    assert result.steps == 18 + saved
    assert [event.trial for event in events if event.what == "failed"] == [trial]


def test_the_reason_of_one_that_diverges_has_no_advice_for_a_run_of_its_own(text_file: Path) -> None:
    assert re.fullmatch(
        r"the (loss|gradient) is not finite at step \d+; the last good checkpoint of 'sweeps/small/trial-002' is at "
        r"step \d+",
        sweep(diverging(text_file)).trials[1].reason,
    )


@needs_proc
def test_one_whose_process_is_killed_is_a_row_and_a_resumed_sweep_tries_it_again(text_file: Path) -> None:
    def kill(event: charkit.SweepProgress) -> None:
        if event.what == "started" and event.trial is not None and event.trial.number == 2:
            for pid in children():
                os.kill(pid, signal.SIGKILL)

    spec = spec_of(text_file, trials=3, halving=None)
    result = sweep(spec, on_event=kill)
    assert [trial.status for trial in result.trials] == ["finished", "failed", "finished"]
    assert result.trials[1].reason == "its process was killed, which usually means that memory ran out"
    again = sweep(resume=True)
    assert [trial.status for trial in again.trials] == ["finished"] * 3
    assert [entry["event"] for entry in decisions(result.folder)].count("retried") == 1


@needs_proc
def test_one_whose_process_is_told_to_end_by_others_is_tried_again_too(text_file: Path) -> None:
    def terminate(event: charkit.SweepProgress) -> None:
        if event.what == "advanced" and event.trial is not None and event.trial.number == 1:
            for pid in children():
                os.kill(pid, signal.SIGTERM)

    fixed = {**FIXED, "training": {"max_steps": 300, "sample_length": 0}}
    result = sweep(spec_of(text_file, trials=2, halving=None, fixed=fixed), on_event=terminate)
    assert [trial.status for trial in result.trials] == ["failed", "finished"]
    assert result.trials[0].reason == "its process received SIGTERM"
    assert charkit.check(result.trials[0].run).whole
    assert [trial.status for trial in sweep(resume=True).trials] == ["finished", "finished"]


def test_where_a_trial_ends_by_patience_it_is_finished(text_file: Path) -> None:
    training = {**FIXED["training"], "patience": 1, "eval_every": 2}
    fixed = {**FIXED, "training": training, "optimizer": {"learning_rate": 1e-9}}
    spec = spec_of(text_file, search="grid", trials=None, fixed=fixed, axes={"seed": [0, 1, 2]}, halving=None)
    result = sweep(spec)
    assert {trial.status for trial in result.trials} == {"finished"}
    assert any(trial.step < 18 for trial in result.trials)


# ---- what is refused --------------------------------------------------------------------------------------


def refused(error: type[Exception], match: str, *arguments: Any, **options: Any) -> None:
    """A call that must be refused, with no file made or changed."""
    before = {path: path.stat().st_mtime_ns for path in Path.cwd().rglob("*")}
    with pytest.raises(error, match=match):
        sweep(*arguments, **options)
    assert {path: path.stat().st_mtime_ns for path in Path.cwd().rglob("*")} == before


def test_bad_input_leaves_nothing_behind(text_file: Path) -> None:
    spec = spec_of(text_file)
    refused(ConfigurationError, "no sweep was given; give the path of a TOML file")
    refused(ConfigurationError, "`parallel` must be at least 1; given 0", spec, parallel=0)
    refused(ConfigurationError, "`parallel` must be at most 256; given 257", spec, parallel=257)
    for name in ("parallel", "trials"):
        refused(ConfigurationError, f"`{name}` must be an integer; given '2'", spec, **{name: "2"})
    with pytest.raises(ConfigurationError, match=r"`threads` must be an integer; given 2\.0"):
        charkit.sweep(spec, threads=2.0)  # type: ignore[arg-type]
    refused(ConfigurationError, "`time_limit` 'soon': a duration must be a number", spec, time_limit="soon")
    refused(ConfigurationError, "`time_limit` must be a string, such as .*; given 60", spec, time_limit=60)
    refused(ConfigurationError, "`trials` is|at least 1|may have at most", spec, trials=20_000)
    refused(TextError, "absent.txt", spec_of(Path("absent.txt")))
    refused(charkit.BackendError, "jaks", spec_of(text_file, fixed={**FIXED, "backend": "jaks"}))
    refused(charkit.BackendError, "'numpy' has no device 'cuda' here; it has cpu", spec, device="cuda")
    half = spec_of(text_file, fixed={**FIXED, "precision": "bfloat16"})
    refused(
        charkit.BackendError,
        "'numpy' doesn't support precision 'bfloat16'; it supports float32, float64",
        half,
    )
    refused(RunError, "no sweep was given, and there is none in 'sweeps'; start one first", resume=True)
    refused(
        RunError,
        "'other' is not a charkit sweep: the directory doesn't exist; start one first",
        resume="other",
    )
    short = text_file.with_name("short.txt")
    short.write_text("abc" * 5)
    refused(TextError, "11 symbols are too few for one batch", spec_of(short))


def test_a_url_with_a_secret_is_refused_with_what_to_do() -> None:
    refused(
        ConfigurationError,
        "'https://host/a.txt' contains .* prepare the text on this machine with `charkit.prepare`, and",
        spec_of(None, text="https://host/a.txt?key=secret"),
    )


def test_a_folder_of_something_else_is_never_touched(text_file: Path) -> None:
    other = Path("sweeps/small")
    other.mkdir(parents=True)
    (other / "notes.txt").write_text("mine")
    refused(
        ConfigurationError,
        "'sweeps/small' already exists and is not a charkit sweep, so it is",
        spec_of(text_file),
    )
    refused(RunError, r"'sweeps/small' is not a charkit sweep: it has no valid sweep\.json", resume="small")


def test_a_sweep_that_exists_is_continued_only_where_that_is_asked_for(text_file: Path) -> None:
    sweep(spec_of(text_file, trials=1))
    refused(
        ConfigurationError,
        "the sweep 'sweeps/small' already exists; continue it with `resume`, or",
        spec_of(text_file),
    )
    refused(
        ConfigurationError,
        "trials is set to 1, but 9 was given; a resumed sweep keeps its spec, so leave the spec out, or start a new "
        "sweep",
        spec_of(text_file),
        resume=True,
    )
    changed = spec_of(text_file, trials=1, fixed={**FIXED, "model": {"lstm_size": 9}})
    refused(
        ConfigurationError,
        "fixed.model.lstm_size is set to 8, but 9 was given; a resumed sweep",
        changed,
        resume=True,
    )
    refused(
        ConfigurationError,
        "`threads` is set to 1, but 2 was given; a resumed sweep keeps its settings",
        resume=True,
        threads=2,
    )
    refused(RunError, "'absent' is not a charkit sweep: .* 'sweeps' contains small", resume="absent")
    assert sweep(spec_of(text_file, trials=1), resume=True).stopped_because == "done"


def test_two_processes_never_run_one_sweep(text_file: Path) -> None:
    sweep(spec_of(text_file, trials=1))
    with SweepFolder.open(Path("sweeps/small")).held():
        refused(RunError, "the sweep 'sweeps/small' is being run by process", resume=True)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("sweep.json", b"{}", "'sweeps/small' is not a charkit sweep: it has no valid sweep.json"),
        ("sweep.json", b'{"format": 1, "sweep": {}}', "'sweeps/small' is damaged: sweep.json: "),
        (
            "sweep.json",
            b'{"format": 9, "sweep": {}}',
            "'sweeps/small' is in sweep format 9, but charkit ",
        ),
        (
            "journal.jsonl",
            b'{"event": "nonsense"}\n',
            "'sweeps/small' is damaged: line 1 of its journal.jsonl",
        ),
        (
            "journal.jsonl",
            b'{"event": "assigned", "trial": 7, "level": 0}\n',
            "mentions trial 7, which it has",
        ),
    ],
)
def test_a_damaged_sweep_is_refused_in_one_line(
    text_file: Path, name: str, content: bytes, message: str
) -> None:
    sweep(spec_of(text_file, trials=1))
    (Path("sweeps/small") / name).write_bytes(content)
    with pytest.raises(RunError) as found:
        sweep(resume="small")
    assert message in str(found.value)
    assert "\n" not in str(found.value)


def test_a_line_that_a_crash_cut_short_is_no_damage(text_file: Path) -> None:
    sweep(spec_of(text_file, trials=2))
    journal = Path("sweeps/small/journal.jsonl")
    before = decisions(Path("sweeps/small"))
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][: len(lines[-1]) // 2])
    sweep(resume=True)
    assert decisions(Path("sweeps/small")) == before


def test_nothing_in_the_folder_is_a_pickle_and_the_settings_are_plain(finished: Finished) -> None:
    kinds = {path.suffix for path in finished.result.folder.rglob("*") if path.is_file()}
    assert kinds == {"", ".json", ".jsonl", ".csv", ".html", ".md", ".safetensors"}
    content = json.loads((finished.result.folder / "sweep.json").read_text("utf-8"))
    assert content["format"] == 1
    assert content["threads"] == 1
    assert content["command"] == command_of_process("charkit.sweep")
    assert find_sweep("small") == find_sweep(None) == Path("sweeps/small")


# ---- recipes ----------------------------------------------------------------------------------------------


def test_a_recipe_file_that_changes_changes_no_later_trial(text_file: Path) -> None:
    recipe = Path("mine.toml")
    written = 'name = "mine"\npurpose = "a test"\n[model]\nlstm_size = {}\n[training]\nmax_steps = 3\n'
    recipe.write_text(written.format(8))
    fixed = {**FIXED, "recipe": "mine.toml", "model": {"num_layers": 1}, "training": {"sample_length": 0}}
    spec = spec_of(text_file, fixed=fixed, halving=None, trials=1)
    sweep(spec)
    recipe.write_text(written.format(16))
    with pytest.raises(
        ConfigurationError,
        match=r"the recipe '.*/mine\.toml' has changed since the sweep 'sweeps/small' began; leave",
    ):
        sweep(spec, resume=True)
    recipe.unlink()
    result = sweep(resume="small", trials=2)
    sizes = [Run.open(trial.run).config.model.lstm_size for trial in result.trials]
    assert (result.stopped_because, sizes) == ("done", [8, 8])
    assert result.best is not None
    again = shlex.split(result.command)
    assert again[again.index("--recipe") + 1] == "sweeps/small/recipes/mine.toml"
    assert run_toolkit([*again[1:], "--run=again"]) == 0
    assert bits_of(Path("again")) == bits_of(result.best.run)


def test_copies_of_recipes_have_names_of_their_own(text_file: Path) -> None:
    for number, folder in enumerate(("a", "b")):
        Path(folder).mkdir()
        Path(folder, "mine.toml").write_text(
            f'name = "mine"\npurpose = "a test"\n[model]\nlstm_size = {8 + number}\n[training]\nmax_steps = 3\n'
        )
    fixed = {key: value for key, value in FIXED.items() if key not in ("recipe", "model", "training")}
    axes = {"recipe": ["a/mine.toml", "b/mine.toml"]}
    result = sweep(spec_of(text_file, fixed=fixed, axes=axes, halving=None, trials=None, search="grid"))
    assert [Run.open(trial.run).config.model.lstm_size for trial in result.trials] == [8, 9]


def test_of_two_sweeps_that_get_one_name_at_once_the_second_is_refused(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = folder_module.new_folder

    def take_the_name_first(path: Path, **options: Any) -> Any:
        monkeypatch.setattr(folder_module, "new_folder", real)
        sweep(spec_of(text_file, trials=1))
        return real(path, **options)

    monkeypatch.setattr(folder_module, "new_folder", take_the_name_first)
    with pytest.raises(ConfigurationError, match="the sweep 'sweeps/small' already exists; continue it"):
        sweep(spec_of(text_file))
    assert os.listdir("sweeps") == ["small"]
    assigned = [entry for entry in read_journal(Path("sweeps/small")) if isinstance(entry, Assigned)]
    assert {entry.trial for entry in assigned} == {1}
