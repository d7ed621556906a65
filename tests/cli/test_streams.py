"""Standard streams that are closed, full, or read by nobody: training goes on, and the run is saved."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from charkit import events
from charkit_cli import streams
from charkit_cli.progress import FailSafeProgress, PlainProgress
from charkit_cli.streams import FailSafeOutput, without_long_waits
from cli_support import TINY, Toolkit

TOOLKIT = (sys.executable, "-m", "charkit_cli")
ENDLESS = ("--epochs", "1000000", "--log-every", "1", "--run", "r")


def latest_step(run: str = "r") -> int:
    """The step of the checkpoint at which the run goes on."""
    return int(json.loads(Path(run, "latest").read_text("utf-8"))["step"])


def in_a_shell(redirections: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A command with the redirections, as a shell makes them."""
    script = f'"$@" {redirections}'
    command = ["/bin/sh", "-c", script, "sh", *TOOLKIT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_for_a_whole_group_with_tee_saves(text_file: Path, number: int, status: int) -> None:
    """As Ctrl-C sends it where standard output and error are piped into tee, which ends at once."""
    with subprocess.Popen(
        ["tee", "log"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, process_group=0
    ) as tee:
        assert tee.stdin is not None
        child = subprocess.Popen(
            [*TOOLKIT, "train", str(text_file), *TINY, *ENDLESS],
            stdout=tee.stdin, stderr=tee.stdin, process_group=tee.pid,
        )  # fmt: skip
        tee.stdin.close()
        step = wait_for_step(20)
        os.killpg(tee.pid, number)
        assert child.wait(60) == status
    assert latest_step() >= step
    assert "Traceback" not in Path("log").read_text()


def wait_for_step(least: int) -> int:
    """The last step in the log, once it is as far as that."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        log = Path("log").read_text("utf-8") if Path("log").exists() else ""
        steps = [
            int(line.split()[1].partition("/")[0]) for line in log.splitlines() if line.startswith("step ")
        ]
        if steps and steps[-1] >= least:
            return steps[-1]
        time.sleep(0.02)
    raise AssertionError(f"training did not reach step {least}")


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_training_ends_well_where_a_reader_has_gone(text_file: Path, options: tuple[str, ...]) -> None:
    train = [*TOOLKIT, "train", str(text_file), *TINY, "--max-steps", "60", "--log-every", "1", "--run", "r"]
    child = subprocess.Popen([*train, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert child.stdout is not None
    child.stdout.readline()
    child.stdout.close()
    assert child.wait(60) == 0
    assert latest_step() == 60


@pytest.mark.parametrize(
    "redirections",
    [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full", ">/dev/full 2>&1", ">/dev/full"],
)
def test_training_needs_no_output(text_file: Path, redirections: str) -> None:
    done = in_a_shell(redirections, "train", text_file, *TINY, "--max-steps", "20", "--run", "r")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert latest_step() == 20
    lost = "note: r is saved, but the result could not be printed: No space left on device\n"
    assert done.stderr.endswith(lost) == (redirections == ">/dev/full")
    for file in Path("r").rglob("*"):
        assert b"step 5/" not in (file.read_bytes() if file.is_file() else b"")


def test_data_that_can_not_be_printed_is_an_error(text_file: Path) -> None:
    train = ("train", text_file, *TINY, "--max-steps", "2", "--json", "--run", "r")
    done = in_a_shell(">/dev/full", *train)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last == "error: r is saved, but the result could not be printed: No space left on device"


@pytest.mark.parametrize(
    "arguments",
    [("sample",), ("evaluate", "--json"), ("train", "--json"), ("backends",), ("export", "--out", "x")],
)
def test_other_commands_refuse_a_closed_standard_output(run: Path, arguments: tuple[str, ...]) -> None:
    done = in_a_shell(">&-", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        f"error: standard output is closed, but toolkit {arguments[0]} prints its result there; "
    )


@pytest.mark.parametrize("arguments", [("--help",), ("train", "--help"), ("compare", "-h")])
def test_help_needs_no_standard_output(arguments: tuple[str, ...]) -> None:
    done = in_a_shell(">&-", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("redirections", ["2>&-", "2>/dev/full"])
def test_results_need_no_standard_error(run: Path, redirections: str) -> None:
    done = in_a_shell(redirections, "sample", run, "--length", "20")
    assert (done.returncode, len(done.stdout)) == (0, 21)
    assert in_a_shell(redirections, "sample", "absent").returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("sample", "--length", "100000"), ("evaluate",), ("verify", "--stage", "import"), ("--help",), ("--version",),
        ("train", "--help"), ("compare", "--help"),
    ],
)  # fmt: skip
def test_a_reader_that_has_gone_ends_other_commands(run: Path, arguments: tuple[str, ...]) -> None:
    child = subprocess.Popen(
        [*TOOLKIT, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    assert child.stderr.read().count("Traceback") == 0
    child.stderr.close()
    assert child.wait(60) == 128 + signal.SIGPIPE


def full_pipe() -> tuple[int, int]:
    """Both ends of a pipe that takes nothing more until it is read."""
    fcntl = pytest.importorskip("fcntl")  # Windows has none
    reading, writing = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 512)
    except BlockingIOError:
        os.set_blocking(writing, True)
    return reading, writing


def test_an_output_that_nobody_reads_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PATIENCE_SECONDS", 0.05)
    reading, writing = full_pipe()
    output = FailSafeOutput(writing)
    with without_long_waits():
        for _ in range(1000):
            assert output.write(b"a line that is lost\n") == 20
        os.read(reading, 1 << 20)
        output.write(b"it is read again\n")
    assert os.read(reading, 1 << 20) == b"it is read again\n"
    os.close(reading)
    output.write(b"gone")  # raises nothing
    os.close(writing)


@pytest.mark.parametrize("blocking", [True, False])
def test_an_output_is_written_whole_where_there_is_time(blocking: bool) -> None:
    """Also where another program has set the terminal or the pipe not to block."""
    reading, writing = os.pipe()
    os.set_blocking(writing, blocking)
    text = b"".join(b"line %d\n" % number for number in range(20_000))
    with open("copy", "wb") as copy, subprocess.Popen(["cat"], stdin=reading, stdout=copy) as reader:
        os.close(reading)
        FailSafeOutput(writing).write(text)
        os.close(writing)
        assert reader.wait(30) == 0
    assert Path("copy").read_bytes() == text


def test_after_a_failure_nothing_more_is_written(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    output = FailSafeOutput(writing)
    assert output.write(b"one") == 3
    reading, again = os.pipe()
    os.dup2(again, writing)  # it would succeed now
    output.write(b"two")
    os.close(again)
    os.close(writing)
    assert os.read(reading, 10) == b""
    os.close(reading)


class Failing(PlainProgress):
    """Progress that fails at some event, as a console does whose encoding lacks a character."""

    calls = 0

    def __call__(self, event: events.Event) -> None:
        self.calls += 1
        raise ValueError("I/O operation on closed file")


def test_progress_that_fails_is_given_up_and_training_goes_on(
    toolkit: Toolkit, text_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing = Failing(Console(file=io.StringIO()))
    monkeypatch.setattr("charkit_cli.train.progress_for", lambda _console: FailSafeProgress(failing))
    toolkit.ok("train", text_file, *TINY, "--max-steps", "20", "--run", "r")
    assert latest_step() == 20
    assert failing.calls == 1
    (message,) = caplog.messages
    assert message == "the progress display failed and is now off: ValueError: I/O operation on closed file"


def test_nohup_is_respected(text_file: Path) -> None:
    """A SIGHUP that is ignored when the command starts stays ignored; SIGTERM still ends it."""
    with open("log", "wb") as log:
        train = ["nohup", *TOOLKIT, "train", str(text_file), *TINY, *ENDLESS]
        child = subprocess.Popen(train, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    step = wait_for_step(10)
    child.send_signal(signal.SIGHUP)
    wait_for_step(step + 200)
    child.send_signal(signal.SIGTERM)
    assert child.wait(60) == 143
