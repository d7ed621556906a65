"""Comparisons that start from a run, whose text must be the one that it was trained on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit.errors import RunError
from charkit.runs.run import Run
from charkit_comparison import compare
from support import SMALL_TEXT
from with_remote.web_server import WebServer

SETTINGS: dict[str, Any] = {
    "lstm_size": 8,
    "batch_size": 4,
    "num_steps": 8,
    "max_steps": 2,
    "sample_length": 0,
}


def trained(**source: Any) -> Path:
    return charkit.train(**source, recipe="classic", run="mine", threads=1, **SETTINGS).run


def refused(run: Path, message: str) -> None:
    with pytest.raises(RunError) as raised:
        compare(run, backends=["numpy"], max_steps=1, rounds=1, threads=1)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_imported_run_is_refused_because_it_has_no_text() -> None:
    run = Run.open(trained(string=SMALL_TEXT))
    config = run.config.model_copy(update={"data": run.config.data.model_copy(update={"text": ()})})
    Run.create(Path("imported"), config, run.vocabulary, "", run.checkpoint("latest")[0])
    refused(
        Path("imported"),
        "'imported' was imported, so it has no text; give a text to compare on instead of this run",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SMALL_TEXT[::-1], "... instead of "),
        (
            SMALL_TEXT + "Ω",
            "(it contains symbols that are not in the run's vocabulary); restore the original text",
        ),
    ],
)
def test_a_text_that_has_changed_is_refused_whether_it_has_new_symbols_or_not(
    text_file: Path, text: str, message: str
) -> None:
    run = trained(text=text_file)
    text_file.write_text(text, "utf-8")
    refused(run, "the text of 'mine' has changed since the run was trained (")
    refused(run, message)


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_link_or_a_pipe_in_place_of_the_text_of_a_run_is_never_read(kind: str) -> None:
    run = trained(string=SMALL_TEXT)
    (run / "text.txt").rename("elsewhere.txt")
    if kind == "link":
        (run / "text.txt").symlink_to(Path("elsewhere.txt").resolve())
    else:
        os.mkfifo(run / "text.txt")
    refused(run, "text.txt")


def test_a_run_that_holds_its_text_is_compared() -> None:
    run = trained(string=SMALL_TEXT)
    report = compare(run, backends=["numpy"], max_steps=1, rounds=1, threads=1)
    assert report.agree, report.verdict


@pytest.mark.remote
def test_a_run_on_a_url_is_compared_unless_what_is_there_has_changed() -> None:
    with WebServer() as web:
        run = trained(text=web.put("small.txt", SMALL_TEXT.encode()))
        report = compare(run, backends=["numpy"], max_steps=1, rounds=1, threads=1)
        assert report.agree, report.verdict
        web.put("small.txt", SMALL_TEXT[::-1].encode(), etag='"2"')
        refused(run, "the text of 'mine' has changed since the run was trained (SHA-256 ")
        web.put("small.txt", (SMALL_TEXT + "Ω").encode(), etag='"3"')
        refused(run, "(it contains symbols that are not in the run's vocabulary); restore the original text")
