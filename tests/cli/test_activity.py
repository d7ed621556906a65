"""What shows while something takes long: on a terminal a line that is taken away, elsewhere a line now and then."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from charkit_cli import activity
from charkit_cli.activity import Activity


def test_elsewhere_than_on_a_terminal_a_line_is_printed_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "PLAIN_EVERY_SECONDS", 0.01)
    out = io.StringIO()
    with Activity(Console(file=out, width=200)) as shown:
        shown.set("verifying jax: training [one_step]")
        until = time.monotonic() + 10
        while "verifying" not in out.getvalue() and time.monotonic() < until:
            time.sleep(0.01)
    lines = out.getvalue().splitlines()
    assert "verifying jax: training [one_step], 0s" in lines
    time.sleep(0.05)
    assert out.getvalue().splitlines() == lines  # nothing more comes once it has ended


def test_what_takes_no_time_prints_nothing() -> None:
    out = io.StringIO()
    with Activity(Console(file=out, width=200)) as shown:
        shown.set("verifying numpy")
    assert out.getvalue() == ""


@pytest.mark.parametrize("columns", [30, 80])
def test_the_live_line_fits_and_says_how_long(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=columns)
    shown = Activity(console)
    shown.set("verifying jax: training, losses_of_ten_steps (float64)")
    monkeypatch.setattr(shown, "_since", time.monotonic() - 31)
    line = shown._line().plain
    assert len(line) <= columns - len("^C")
    assert line.endswith(", 31s")
    if columns == 80:
        assert line == "verifying jax: training, losses_of_ten_steps (float64), 31s"


def test_the_live_line_gives_way_to_lines_that_stay() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80)
    with Activity(console) as shown:
        shown.set("verifying numpy: build")
        with shown.hidden():
            out.write("ok    import\n")
        shown.set("verifying numpy: forward")
    assert "ok    import\n" in out.getvalue()
    before, after = out.getvalue().split("ok    import\n")
    assert "verifying numpy: build" in before
    assert "verifying numpy: forward" in after
