"""A run is read while it is trained, resumed and replaced: every reading is whole, and none fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from charkit.errors import RunError
from charkit_reports.html_page import render_html
from charkit_reports.reading import read_run
from training_support import train


def beside(write: Callable[[], object], read: Callable[[], None], least: int) -> int:
    """Reads as long as another thread writes, at least so often; returns how often. An error of either is raised."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            write()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    writer = threading.Thread(target=run)
    writer.start()
    count = 0
    try:
        while writer.is_alive() or count < least:
            read()
            count += 1
    finally:
        writer.join()
    if errors:
        raise errors[0]
    return count


def is_whole(path: Path) -> None:
    """What was read is of one run: its steps rise, and none of them comes before a session."""
    run = read_run(path)
    steps = [record.step for record in run.history]
    assert steps == sorted(set(steps))
    assert run.sessions or not steps
    assert run.config.model.lstm_size == 8


def test_while_it_trains_and_is_resumed(text_file: Path) -> None:
    train(text_file, run="run", max_steps=5, save_every=3, eval_every=5)

    def write() -> None:
        for number in range(2, 14):
            train(resume="run", max_steps=5 * number)

    assert beside(write, lambda: is_whole(Path("run")), 20) >= 20
    assert read_run(Path("run")).history[-1].step == 65


def test_while_it_is_replaced_by_others(text_file: Path) -> None:
    train(text_file, run="run", max_steps=5)

    def write() -> None:
        for number in range(10):
            train(text_file, run="run", overwrite=True, max_steps=5, seed=number)

    assert beside(write, lambda: is_whole(Path("run")), 20) >= 20


def test_a_page_is_made_of_any_moment(text_file: Path) -> None:
    train(text_file, run="run", max_steps=5)
    pages: list[str] = []
    beside(
        lambda: train(resume="run", max_steps=60),
        lambda: pages.append(render_html([read_run(Path("run"))])),
        2,
    )
    assert all("</html>" in page for page in pages)


def test_a_run_that_is_removed_is_an_error_of_one_line(text_file: Path) -> None:
    train(text_file, run="run", max_steps=5)
    (Path("run") / "vocabulary.json").unlink()
    with pytest.raises(RunError, match="'run' is damaged"):
        read_run(Path("run"))
