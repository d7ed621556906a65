"""The page about runs has what they hold, and nothing from elsewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
from html import escape, unescape
from pathlib import Path

import numpy as np
import pytest

import charkit
from charkit.runs.records import METRICS, SAMPLES, SESSIONS
from charkit.runs.run import Run
from charkit_pages import formatting
from charkit_reports import tables
from charkit_reports.html_page import render_html
from charkit_reports.reading import read_run
from charkit_reports.run_view import SHOWN_SAMPLES, run_views
from cli_support import Toolkit
from page_support import ParsedPage
from support import SMALL

PARTS = ("runs", "curves", "samples", "speed", "settings", "sessions")
Trained = tuple[Path, Path]


def page_of(*runs: Path) -> str:
    return charkit.report(runs, out="page").read_text("utf-8")


def words(page: str) -> str:
    """What the page shows, without its tags."""
    return " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)).split())


def copy(run: Path, name: str = "copy") -> Path:
    return Path(shutil.copytree(run, name))


def test_it_has_all_parts_and_fetches_nothing(trained: Trained) -> None:
    page = page_of(*trained)
    for part in PARTS:
        assert f'<section id="{part}"' in page
    ParsedPage(page)
    assert "default-src 'none'" in page
    assert not re.search(r"<script|<link(?! rel=\"icon\" href=\"data:,\")|@import|url\((?!#)", page)
    assert set(re.findall(r"""(?:src|href)=["']([^"'#][^"']*)""", page)) == {"data:,"}


def test_a_single_run_is_shown_with_its_figures(trained: Trained) -> None:
    run = trained[0]
    records = Run.open(run).records(METRICS)
    best = min((record["validation_loss"], record["step"]) for record in records if record["validation_loss"])
    text = words(page_of(run))
    assert f"Best validation loss {best[0]:.4f} nats per symbol" in text
    assert f"at step {best[1]:,}" in text
    assert "Steps 80" in text
    assert f"Training loss {records[-1]['loss']:.4f} at the last recorded step" in text
    assert f"small-1 from {records[0]['loss']:.4f} to {records[-1]['loss']:.4f}" in unescape(page_of(run))


def test_several_runs_are_side_by_side(trained: Trained) -> None:
    page = page_of(*trained)
    text = words(page)
    assert "small-1 and other-1" in text
    assert "text small.txt other.txt" in text
    assert "Settings that differ" in text
    for row in ("model.lstm_size 8 12", "training.schedule constant cosine", "training.max_steps 80 20"):
        assert row in text
    assert "num_layers 2" in text  # in common
    assert page.count('class="legend"') >= 5
    assert "Learning rate" in text  # it changes in one of them
    assert "Learning rate" not in words(page_of(trained[0]))


def test_settings_that_differ_in_the_seventh_digit_differ(text_file: Path) -> None:
    for name, beta2 in (("a", 0.9999991), ("b", 0.9999994)):
        charkit.train(text_file, beta2=beta2, run=name, threads=1, **{**SMALL, "max_steps": 1})
    page = page_of(Path("a"), Path("b"))
    assert "0.9999991" in page
    assert "0.9999994" in page


def test_runs_that_are_the_same_are_said_to_be(trained: Trained) -> None:
    text = words(page_of(trained[0], copy(trained[0])))
    assert "The runs have the same settings and the same text." in text
    assert "small-1 and copy" in text


def test_two_runs_of_one_name_are_told_apart_by_their_paths(trained: Trained) -> None:
    other = copy(trained[0], "elsewhere/small-1")
    assert [view.label for view in run_views([read_run(trained[0]), read_run(other)])] == [
        str(trained[0]),
        "elsewhere/small-1",
    ]


def test_it_shows_the_settings_of_the_last_session(trained: Trained) -> None:
    assert Run.open(trained[0]).config.training.max_steps == 60
    assert "max_steps 80" in words(page_of(trained[0]))


def test_it_shows_samples_from_the_first_to_the_last(trained: Trained) -> None:
    samples = Run.open(trained[0]).records(SAMPLES)
    assert len(samples) > SHOWN_SAMPLES
    shown = run_views([read_run(trained[0])])[0].samples
    assert len(shown) == SHOWN_SAMPLES
    page = page_of(trained[0])
    for sample, view in ((samples[0], shown[0]), (samples[-1], shown[-1])):
        assert view.heading.startswith(f"Step {sample['step']:,}, epoch {sample['epoch']}, validation loss ")
        assert view.prime + view.text == sample["sample"]
        assert f'<span class="prime">{escape(view.prime)}</span>' in page
    assert f"{SHOWN_SAMPLES} of {len(samples)} samples" in words(page)
    assert "All are in samples.jsonl in the run's directory." in words(page)


def test_it_says_in_one_way_what_the_speed_includes(trained: Trained) -> None:
    text = words(page_of(trained[0]))
    assert "It includes time spent waiting for saves but excludes validation and sampling." in text
    assert "including time spent waiting for saves but excluding validation and sampling" in text
    assert "nor saving" not in text


def test_a_report_before_the_first_step_of_a_session_has_no_speed(trained: Trained) -> None:
    """A session that begins with the validation that was due reports before it has trained a step."""
    run = copy(trained[0])
    records = Run.open(run).records(METRICS)
    speeds = [record["characters_per_second"] for record in records]
    lines = [{**records[0], "characters_per_second": 0.0}, *records]
    (run / METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    (view,) = run_views([read_run(run)])
    assert view.median_speed == pytest.approx(np.median(speeds))
    assert view.column("characters_per_second")[2].tolist() == speeds
    page = page_of(run)
    assert [cell.text for cell in tables.speeds([view]).rows[0][2:4]] == [
        formatting.speed(min(speeds)),
        formatting.speed(max(speeds)),
    ]
    assert f"copy from {formatting.speed(speeds[0])} to {formatting.speed(speeds[-1])}" in unescape(page)


def test_it_shows_every_session_without_its_command(trained: Trained) -> None:
    page = page_of(trained[0])
    for session in Run.open(trained[0]).records(SESSIONS):
        assert session["started"].replace("T", " ").replace("+00:00", " UTC") in page
        assert session["processor"] in unescape(page)
        assert session["command"] not in page
    assert "Sessions of small-1" in page


def test_no_folder_of_the_user_is_in_it_but_the_paths_that_were_given(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained[0].parent.parent)
    page = charkit.report(["runs/small-1", "runs/other-1"], out="page").read_text("utf-8")
    shutil.rmtree("page")
    assert "private folder" not in page


def test_what_a_run_holds_is_shown_and_never_obeyed(trained: Trained) -> None:
    run = copy(trained[0], "<script>alert(1)<")
    evil = "<script>alert(2)</script>\u202e\x1b[2J{{ 7 * 7 }}"
    sample = {**Run.open(run).records(SAMPLES)[-1], "sample": evil, "prime": ""}
    (run / SAMPLES).write_text(json.dumps(sample) + "\n", "utf-8")
    page = page_of(run)
    assert "<script" not in page
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;alert(2)&lt;/script&gt;\ufffd\ufffd[2J{{ 7 * 7 }}" in page


def test_a_run_that_has_not_reported_yet_has_a_page(text_file: Path) -> None:
    run = charkit.train(
        text_file, max_steps=1, log_every=10, sample_length=0, threads=1, validation_share=0
    ).run
    (run / METRICS).unlink()
    text = words(page_of(run))
    assert text.count("No metrics yet") == 2
    assert "No samples yet" in text


def test_lines_that_a_crash_cut_short_are_left_out(trained: Trained) -> None:
    run = copy(trained[0])
    with (run / METRICS).open("a") as file:
        file.write('{"step": 90, "epoch')
    assert read_run(run).history[-1].step == 80


def test_it_says_what_is_no_run(trained: Trained, toolkit: Toolkit) -> None:
    for arguments in (["missing"], [trained[0], "missing"], [trained[0].parent], ["missing", "--watch"]):
        outcome = toolkit("report", *arguments)
        assert outcome.status == 2
        assert outcome.err.startswith("error: ")
        assert "is not a charkit run" in outcome.err
    assert not Path("reports").exists()


def test_the_command_writes_beside_the_runs_and_replaces_its_own_page(
    trained: Trained, toolkit: Toolkit
) -> None:
    assert toolkit.ok("report", trained[0]).out == "report: reports/small-1/report.html\n"
    assert toolkit.ok("report", trained[0]).out == "report: reports/small-1/report.html\n"
    assert (
        toolkit.ok("report", *trained, trained[0]).out == "report: reports/small-1-and-1-more/report.html\n"
    )
    assert toolkit.json("report", *trained, "--out", "a/b") == {"report": "a/b/report.html"}
    assert [path.name for path in Path("a/b").iterdir()] == ["report.html"]


def test_a_file_of_somebody_elses_is_never_replaced(trained: Trained, toolkit: Toolkit) -> None:
    Path("page").mkdir()
    Path("page/report.html").write_text("<p>mine")
    outcome = toolkit("report", trained[0], "--out", "page")
    assert outcome.status == 2
    assert outcome.err == (
        "error: 'page/report.html' already exists and is not a charkit report, so it is never overwritten; choose "
        "another --out\n"
    )
    assert Path("page/report.html").read_text() == "<p>mine"


@pytest.mark.parametrize("kind", ["directory", "pipe", "link"])
def test_whatever_is_in_the_way_is_an_error_of_one_line(
    trained: Trained, toolkit: Toolkit, kind: str
) -> None:
    way = Path("there", "report.html")
    way.parent.mkdir()
    if kind == "directory":
        way.mkdir()
    elif kind == "pipe":
        os.mkfifo(way)
    else:
        way.symlink_to("nowhere")
    message = toolkit.error("report", trained[0], "--out", "there")
    assert "'there/report.html' already exists and is not a charkit report" in message
    assert os.path.lexists(way)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--watch", "--out", "page"],
            "--watch serves the page and writes no file; give either --watch or --out",
        ),
        (["--port", "80"], "--port requires --watch, which serves the page; give both"),
        (["--watch", "--port", "70000"], "port 70000 on this machine can't be used"),
    ],
)
def test_options_that_exclude_each_other(
    arguments: list[str], message: str, trained: Trained, toolkit: Toolkit
) -> None:
    outcome = toolkit("report", trained[0], *arguments)
    assert outcome.status == 2
    assert outcome.err.startswith(f"error: {message}")


def test_the_newest_run_is_reported_on_by_itself(text_file: Path, toolkit: Toolkit) -> None:
    assert toolkit("report").status == 2
    run = charkit.train(text_file, max_steps=1, threads=1).run
    assert toolkit.ok("report").out == f"report: reports/{run.name}/report.html\n"


def test_twelve_runs_have_a_style_each(trained: Trained) -> None:
    runs = [read_run(trained[0])] * 12
    page = render_html(runs)
    assert "12 runs" in page
    assert len(set(re.findall(r"--own: var\(--v(\d)\)", page))) == 8
    assert 'class="sign hollow"' in page


def test_a_run_on_the_text_that_charkit_brings_and_one_without_a_text_say_so(toolkit: Toolkit) -> None:
    run = charkit.train(max_steps=1, threads=1, sample_length=0, lstm_size=4, num_layers=1).run
    assert read_run(run).text == "Python's language reference"
    imported = copy(run)
    config = json.loads((imported / "config.json").read_text("utf-8")) | {"text_sha256": ""}
    (imported / "config.json").write_text(json.dumps(config), "utf-8")
    for name in (METRICS, SESSIONS):
        (imported / name).unlink()
    text = words(page_of(imported))
    assert "text none (imported run)" in text
    assert "copy was imported, so it has no sessions." in text


def test_the_secrets_of_a_url_are_not_shown(trained: Trained) -> None:
    run = copy(trained[0])
    content = json.loads((run / "config.json").read_text("utf-8"))
    content["config"]["data"]["text"] = ["https://me:pass-word@host.example/private/b.txt?signature=abc"]
    (run / "config.json").write_text(json.dumps(content), "utf-8")
    page = page_of(run)
    assert "text b.txt" in words(page)
    for secret in ("pass-word", "signature", "private/", "host.example"):
        assert secret not in page
