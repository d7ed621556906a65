"""What a terminal shows: lines that fit, no control characters from a model, and nothing twice."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from charkit import events
from charkit_cli import live_line
from charkit_cli.live_line import LiveLine
from charkit_cli.printable import printable
from charkit_cli.progress import LiveProgress, describe_start
from charkit_cli.terminal_output import PrintableConsole, duration, short
from cli_support import TINY, start

STARTED = events.Started(
    run=Path("runs/anna-1"), backend="torch", precision="bfloat16", device="cuda:0", threads=16,
    parameters=3_319_892, vocabulary_size=83, training_symbols=1_786_722, steps_per_epoch=558,
    total_steps=11_160, step=0, best_validation_loss=None, notices=(),
)  # fmt: skip


def report(step: int, validation_loss: float | None = None) -> events.StepMetrics:
    """A report with the numbers of a real run."""
    return events.StepMetrics(
        step=step, epoch=12, loss=1.2345, validation_loss=validation_loss, learning_rate=0.001,
        gradient_norm=0.5, characters_per_second=226_396.0, elapsed_seconds=1.0,
    )  # fmt: skip


@pytest.mark.parametrize("columns", [30, 40, 60, 80, 100, 200])
def test_the_live_line_fits_with_room_for_ctrl_c(columns: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=columns)
    progress = LiveProgress(console)
    progress(STARTED)
    progress(report(6138, validation_loss=1.3456))
    line = progress._line(events.Advanced(step=6250, epoch=12, total_steps=11_160, seconds_left=3_900.0))
    assert len(line.plain) <= columns - len("^C")
    assert "56%" in line.plain
    assert "loss 1.2345" in line.plain
    if columns >= 80:
        assert line.plain.endswith(
            "56% epoch 12/20 step 6,250 loss 1.2345 val 1.3456 226k chars/s 1h05m left"
        )
    if columns >= 100:
        assert line.plain.startswith("█████████░░░░░░░ ")


def test_the_live_line_is_drawn_a_few_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80)
    with LiveLine(console) as line:
        for number in range(50):
            line.show(Text(f"line {number}"))
        console.print("printed above")  # and the line anew
        monkeypatch.setattr(live_line, "DRAW_SECONDS", 0.0)
        line.show(Text("the last one"))
    drawn = re.findall(r"line \d+|printed above|the last one", out.getvalue())
    assert drawn == ["line 0", "printed above", "line 0", "the last one", "the last one"]


def test_before_the_first_report_the_live_line_says_what_it_knows() -> None:
    progress = LiveProgress(Console(file=io.StringIO(), force_terminal=True, width=80))
    line = progress._line(events.Advanced(step=1, epoch=1, total_steps=100, seconds_left=None))
    assert line.plain.split() == ["░" * 16, "1%", "epoch", "1/1", "step", "1"]


def test_a_session_that_begins_with_a_validation_shows_no_speed() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    progress = LiveProgress(console)
    progress(STARTED)
    progress(replace(report(6, validation_loss=1.5), characters_per_second=0.0))
    line = progress._line(events.Advanced(step=6, epoch=12, total_steps=100, seconds_left=None))
    assert "char" not in console.file.getvalue().splitlines()[-1] + line.plain  # type: ignore[attr-defined]


def test_one_is_singular() -> None:
    started = replace(STARTED, total_steps=1, training_symbols=1, threads=1)
    first, _, last = describe_start(started)
    assert first.endswith("1 thread")
    assert last == "1 symbol to train on, 1 step (558 per epoch)"


def on_a_terminal(*arguments: str, status: int = 0) -> str:
    """Everything that a command writes to a terminal of 80 columns."""
    pty = pytest.importorskip("pty")  # Windows has none
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "charkit_cli", *arguments],
        stdin=follower, stdout=follower, stderr=follower,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", "PYTHONUTF8": "1"},
    )  # fmt: skip
    os.close(follower)
    said = b""
    while chunk := _read(leader):
        said += chunk
    os.close(leader)
    assert child.wait(30) == status, said
    return said.decode("utf-8")


def test_an_error_breaks_between_words_on_a_terminal() -> None:
    said = on_a_terminal("train", "--steps", "5", status=2)
    lines = said.replace("\r\n", "\n").splitlines()
    in_a_pipe = start("train", "--steps", "5").communicate()[1]
    assert len(lines) > 1
    assert all(len(line) <= 80 for line in lines)
    assert " ".join(lines) + "\n" == in_a_pipe


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux tells that the other end is closed
        return b""


def test_training_on_a_terminal_shows_the_sample_once(text_file: Path) -> None:
    said = on_a_terminal("train", str(text_file), *TINY, "--max-steps", "20", "--run", "r")
    sample = (Path("r/samples.jsonl")).read_text("utf-8").split('"sample": "')[1][:8]
    assert said.count(sample) == 1
    assert "epoch   1  step      20  loss " in said
    assert "next: toolkit sample r" in said


def test_an_evaluation_on_a_terminal_mentions_the_baselines(text_file: Path) -> None:
    advice = "to compare the model with simple predictors, add --baselines"
    on_a_terminal("train", str(text_file), *TINY, "--max-steps", "2", "--run", "r")
    assert advice in " ".join(on_a_terminal("evaluate", "r").split())
    assert advice not in " ".join(on_a_terminal("evaluate", "r", "--baselines").split())


def test_a_model_of_bytes_sends_the_terminal_no_commands(text_file: Path) -> None:
    said = on_a_terminal(
        "train", str(text_file), *TINY, "--vocabulary", "byte", "--max-steps", "2", "--sample-length", "2000",
        "--run", "r",
    )  # fmt: skip
    assert "\x07" not in said
    assert "\x0e" not in said
    said = on_a_terminal("sample", "r", "--length", "2000", "--seed", "1")
    assert not set(said) & {chr(code) for code in range(32)} - {"\r", "\n", "\t", "\x1b"}
    assert "\x1b" not in said.rpartition("seed")[0]
    assert "\\x0e" in said or "\\x7f" in said


def test_text_for_a_terminal() -> None:
    assert printable("a\x1b[31mb\x07\r\n\tc\x9b é") == "a\\x1b[31mb\\x07\\x0d\n\tc\\x9b é"
    assert printable("\u202eabc\u2066\u2029\ud800") == "\\u202eabc\\u2066\\u2029\\ud800"
    for whole in (
        "\U0001f468\u200d\U0001f469",
        "\u0645\u06cc\u200c\u062e",
    ):  # joiners belong to letters and emoji
        assert printable(whole) == whole


EVIL = "\x1b]0;title\x07\x1b[31m\x9b2J\u202eevil"


def test_a_console_obeys_no_text() -> None:
    out = io.StringIO()
    console = PrintableConsole(file=out, force_terminal=True, width=200, emoji=False)
    table = Table(title=EVIL)
    table.add_column(EVIL)
    table.add_row(Text(EVIL, style="bold"))
    for renderable in (EVIL, Text(EVIL), table, Padding(Text(EVIL), 1)):
        console.print(renderable, markup=False)
    with Live(console=console, transient=True) as live:
        live.update(Text(EVIL))
    assert not set("\x9b\u202e\x07") & set(out.getvalue())
    assert "\x1b[31m" not in out.getvalue()
    assert "\x1b]" not in out.getvalue()
    assert out.getvalue().count("\\u202eevil") >= 5


def test_names_and_fields_of_a_run_send_the_terminal_no_commands(text_file: Path) -> None:
    """A folder's name, the recipe's name in a run, and the names of tensors, in results and in errors."""
    run = f"r{EVIL.replace('/', '')}"
    said = on_a_terminal("train", str(text_file), *TINY, "--max-steps", "2", "--run", run)
    said += on_a_terminal("evaluate", run)
    said += on_a_terminal("evaluate", f"absent{EVIL}", status=2)
    said += on_a_terminal("train", "--resume", run, "--recipe", EVIL, status=2)
    assert not set("\x9b\u202e\x07") & set(said)
    assert "\x1b[31m" not in said
    assert said.count("\\u202eevil") >= 4
    printed = on_a_terminal("train", str(text_file), *TINY, "--max-steps", "2", "--json", "--run", f"{run}2")
    assert not set("\x9b\u202e\x07") & set(printed)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.2, "0s"), (59.4, "59s"), (59.6, "1m00s"), (3599.6, "1h00m"), (3900, "1h05m"), (360_000, "100h00m")],
)  # fmt: skip
def test_durations(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0.0, "0"), (950.4, "950"), (12_345.0, "12.3k"), (226_396.0, "226k"), (1_500_000.0, "1.5M")],
)
def test_short_numbers(number: float, expected: str) -> None:
    assert short(number) == expected


def test_colors_in_a_pipe_do_not_make_it_a_terminal_that_is_drawn_on(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    command = [sys.executable, "-m", "charkit_cli", "train", str(text_file), *TINY, "--max-steps", "60"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert "step 60" in done.stderr.replace(",", "")
    for drawing in ("\x1b[?25l", "\x1b[2K", "\x1b[1A", "\r"):
        assert drawing not in done.stderr
