"""Progress in a notebook, drawn into a stand-in for IPython, since this needs no kernel. A real one runs elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import charkit
from charkit import events, notebook
from charkit_cli import notebook as drawing
from support import SMALL, SMALL_TEXT

Content = dict[str, str]


class ZMQInteractiveShell:
    """Has the name of the shell of Jupyter's kernels."""


class ColabShell(ZMQInteractiveShell):
    """A shell made from it."""


class TerminalInteractiveShell:
    """Has the name of the shell of ``ipython``."""


class Cell:
    """What a cell shows: each output as it was drawn last, and how often."""

    def __init__(self) -> None:
        self.outputs: list[Content] = []
        self.drawings = 0

    def display(self, content: Content, *, raw: bool, display_id: bool) -> Handle:
        assert raw
        assert display_id
        self.outputs.append({})
        handle = Handle(self, len(self.outputs) - 1)
        handle.update(content, raw=True)
        return handle


class Handle:
    """Redraws one output."""

    def __init__(self, cell: Cell, number: int) -> None:
        self._cell, self._number = cell, number

    def update(self, content: Content, *, raw: bool) -> None:
        assert raw
        self._cell.drawings += 1
        self._cell.outputs[self._number] = content


def pretend_shell(monkeypatch: pytest.MonkeyPatch, shell: object) -> Cell:
    """Puts modules into place that say that this shell runs, and that draw into the cell that is returned."""
    cell = Cell()
    ipython: Any = ModuleType("IPython")
    ipython.get_ipython = lambda: shell
    ipython.display = ModuleType("IPython.display")
    ipython.display.display = cell.display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    return cell


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Cell:
    return pretend_shell(monkeypatch, ZMQInteractiveShell())


@pytest.mark.parametrize(
    ("shell", "expected"),
    [(ZMQInteractiveShell(), True), (ColabShell(), True), (TerminalInteractiveShell(), False), (None, False)],
)
def test_a_notebook_is_known_by_its_shell(
    shell: object, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_shell(monkeypatch, shell)
    assert notebook.is_notebook() is expected
    assert (notebook.default_event_handler() is not None) is expected
    assert (notebook.default_progress() is not None) is expected
    assert (notebook.default_notice() is not None) is expected


def test_without_ipython_there_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not notebook.is_notebook()
    assert "IPython" not in sys.modules


def test_a_script_prints_nothing(text_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = charkit.load_run(charkit.train(text_file, max_steps=4, threads=1, **SMALL).run)
    run.evaluate(split="all")
    assert capfd.readouterr() == ("", "")


def test_training_shows_in_the_cell(
    cell: Cell, text_file: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "DRAW_SECONDS", 0.0)
    result = charkit.train(text_file, max_steps=12, eval_every=4, threads=1, **SMALL)
    (shown,) = cell.outputs
    assert set(shown) == {"text/html", "text/plain"}
    assert "<pre" in shown["text/html"]
    lines = shown["text/plain"].splitlines()
    assert lines[0] == f"{result.run}: numpy float32 on cpu, 1 thread"
    assert [line.split()[3] for line in lines if line.startswith("epoch ")] == ["4", "8", "12"]
    assert lines[-1].startswith("█" * drawing.BAR_COLUMNS + " 100%")
    assert f"val {result.validation_loss:.4f}" in lines[-1]
    assert cell.drawings > 12
    assert capfd.readouterr() == ("", "")


def test_an_event_handler_takes_the_place_of_the_display(cell: Cell, text_file: Path) -> None:
    heard: list[events.Event] = []
    charkit.train(text_file, max_steps=4, threads=1, on_event=heard.append, **SMALL)
    assert heard
    assert not cell.outputs


def test_steps_are_not_drawn_one_by_one(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "DRAW_SECONDS", 1000.0)
    show = drawing.NotebookProgress()
    for step in range(1, 101):
        show(events.Advanced(step, 1, 1000, None))
    assert cell.drawings == 1
    show(events.Stopping("interrupted"))
    assert cell.drawings == 2
    stopping = (
        "interrupted: stopping once everything is saved; press the stop button again to quit without saving"
    )
    assert stopping in " ".join(cell.outputs[0]["text/plain"].split())
    assert "10%" in cell.outputs[0]["text/plain"]
    show(events.Ended(100, "interrupted"))
    assert (
        "stopped at step 100; the run is saved; to continue it, call charkit.train(resume="
        in (cell.outputs[0]["text/plain"])
    )
    assert "10%" not in cell.outputs[0]["text/plain"]


def test_an_error_while_reading_leaves_no_line(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    show = drawing.NotebookProgress()
    show(events.Reading("reading", 0.5))
    assert not cell.outputs
    monkeypatch.setattr(drawing, "SHORT_SECONDS", 0.0)
    show(events.Reading("reading", 0.75))
    assert "75%" in cell.outputs[0]["text/plain"]


def test_the_first_and_the_last_lines_stay(cell: Cell) -> None:
    output = drawing.NotebookOutput()
    for number in range(200):
        output.console.print(f"line {number}")
        output.draw()
    lines = cell.outputs[0]["text/plain"].splitlines()
    assert lines[:2] == ["line 0", "..."]
    assert lines[2:] == [f"line {number}" for number in range(200 - drawing.KEPT_BLOCKS, 200)]


def test_a_sample_is_no_markup(cell: Cell) -> None:
    show = drawing.NotebookProgress()
    show(events.Sampled(1, "<script>[bold]&\x1b[31m"))
    assert "&lt;script&gt;[bold]&amp;\\x1b[31m" in cell.outputs[0]["text/html"]


def test_a_short_evaluation_shows_no_bar(cell: Cell, text_file: Path) -> None:
    result = charkit.train(text_file, max_steps=4, threads=1, on_event=lambda _event: None, **SMALL)
    charkit.load_run(result.run).evaluate()
    assert not cell.outputs


def test_skipped_symbols_are_counted_below_the_cell(cell: Cell, text_file: Path) -> None:
    run = charkit.train(text_file, **{**SMALL, "max_steps": 2}, on_event=lambda _event: None).load()
    before = len(cell.outputs)
    run.evaluate(string=SMALL_TEXT[:50] + "\u2603" * 3, unknown="skip")
    (shown,) = cell.outputs[before:]
    assert "skipped symbols" in shown["text/plain"]
    assert "3" in shown["text/plain"]
    seen: list[str] = []
    run.evaluate(string=SMALL_TEXT[:50] + "\u2603" * 3, unknown="skip", on_notice=seen.append)
    assert len(seen) == 1
    assert len(cell.outputs) == before + 1


def test_a_long_evaluation_shows_a_bar(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "SHORT_SECONDS", 0.0)
    monkeypatch.setattr(drawing, "DRAW_SECONDS", 1000.0)
    bar = notebook.default_progress()
    assert bar is not None
    bar("scoring", 0.25)
    assert cell.outputs[0]["text/plain"] == "████░░░░░░░░░░░░  25% scoring, 0s"
    bar("scoring", 0.5)
    assert cell.drawings == 1
    bar("scoring", 1.0)
    assert cell.outputs[0]["text/plain"] == "████████████████ 100% scoring, 0s"
