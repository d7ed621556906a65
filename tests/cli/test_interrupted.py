"""Training that is cut off, by a signal or without one, goes on as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from charkit import events
from charkit.runs.temporary_names import temporary_name
from charkit_cli.progress import PlainProgress
from cli_support import TINY, Toolkit, lines_of, start, wait_for, wait_for_step, weights_of

ENDLESS = ("--epochs", "1000000", "--dropout", "0.3")
AFTER = 40


def unbroken(toolkit: Toolkit, text: Path, steps: int) -> bytes:
    """The weights of a run of so many steps that nothing interrupts."""
    toolkit.ok("train", text, *TINY, *ENDLESS, "--max-steps", str(steps), "--run", "unbroken")
    return weights_of(Path("unbroken"))


@pytest.mark.parametrize(
    ("number", "status", "why"),
    [
        (signal.SIGINT, 130, "interrupted; the run is saved"),
        (signal.SIGTERM, 143, "received SIGTERM; the run is saved"),
    ],
)
def test_a_signal_saves_and_the_run_goes_on_to_the_bit(
    toolkit: Toolkit, text_file: Path, number: int, status: int, why: str
) -> None:
    run = Path("cut")
    child = start("train", text_file, *TINY, *ENDLESS, "--run", run)
    wait_for_step(child, run, 25)
    child.send_signal(number)
    said, wrong = child.communicate(timeout=60)
    assert child.returncode == status, wrong
    assert why in said
    assert "next: toolkit train --resume cut" in said
    assert "Traceback" not in wrong
    step = max(int(path.name) for path in (run / "checkpoints").iterdir())
    assert step >= 25
    toolkit.ok("train", "--resume", run, "--max-steps", str(step + AFTER), "--threads", "1")
    assert weights_of(run) == unbroken(toolkit, text_file, step + AFTER)
    assert [record["step"] for record in lines_of(run / "sessions.jsonl")] == [0, step]
    steps = [record["step"] for record in lines_of(run / "metrics.jsonl")]
    assert steps == [record["step"] for record in lines_of(Path("unbroken/metrics.jsonl"))]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_output_is_named(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok("train", text_file, *TINY, "--max-steps", "1", "--run", "r")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "charkit_cli", "sample", "r", "--length", "9"],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert "error: can't write to standard output: the disk is full; free some space" in done.stderr


@pytest.mark.parametrize(
    ("number", "status", "why"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated"),
     (signal.SIGHUP, 129, "the terminal was closed")],
)  # fmt: skip
def test_a_signal_ends_sampling_without_blame(
    toolkit: Toolkit, text_file: Path, number: int, status: int, why: str
) -> None:
    toolkit.ok("train", text_file, *TINY, "--max-steps", "1", "--run", "r")
    child = start("sample", "r", "--length", "100000000", "--threads", "1")
    assert child.stdout is not None
    assert child.stdout.read(10)  # it draws
    child.send_signal(number)
    _, wrong = child.communicate(timeout=60)
    assert (child.returncode, wrong.splitlines()[-1]) == (status, why)
    assert "backend" not in wrong


def test_a_killed_run_goes_on_from_its_last_whole_checkpoint(toolkit: Toolkit, text_file: Path) -> None:
    run = Path("cut")
    child = start("train", text_file, *TINY, *ENDLESS, "--save-every", "10", "--run", run)
    wait_for_step(child, run, 45)
    child.kill()
    child.communicate()
    (run / "checkpoints" / temporary_name("00009999")).mkdir()  # what a kill in the middle of saving leaves
    (run / "checkpoints" / "00009999").mkdir()
    (run / "checkpoints" / "00009999" / "manifest.json").write_text("{")
    resumed = toolkit.ok(
        "train", "--resume", run, "--max-steps", "100000", "--time-limit", "0.001s", "--threads", "1"
    )
    assert "from step " in resumed.err
    assert not [path.name for path in (run / "checkpoints").iterdir() if "9999" in path.name]
    step = max(record["step"] for record in lines_of(run / "sessions.jsonl"))
    assert step % 10 == 0
    assert step >= 30
    toolkit.ok("train", "--resume", run, "--max-steps", str(step + AFTER), "--threads", "1")
    assert weights_of(run) == unbroken(toolkit, text_file, step + AFTER)
    steps = [record["step"] for record in lines_of(run / "metrics.jsonl")]
    assert steps == sorted(set(steps))


@pytest.mark.parametrize(("threads", "kind"), [("1", "char"), ("2", "byte")])
def test_17_and_13_steps_in_two_processes_are_30_in_one_to_the_bit(
    text_file: Path, threads: str, kind: str
) -> None:
    options = (*TINY, *ENDLESS, "--warmup-steps", "20", "--vocabulary", kind, "--threads", threads)
    commands = (
        ("train", text_file, *options, "--run", "whole", "--max-steps", "30"),
        ("train", text_file, *options, "--run", "parts", "--max-steps", "17"),
        ("train", "--resume", "parts", "--threads", threads, "--max-steps", "30"),
    )
    for command in commands:
        child = start(*command)
        _, wrong = child.communicate(timeout=60)
        assert child.returncode == 0, wrong
    # The end of the first part is a report, so the next one is the mean of fewer steps.
    assert_same_end(Path("parts"), Path("whole"), but_for=(17, 20))


def test_a_cosine_that_is_cut_goes_on_along_the_same_curve(
    toolkit: Toolkit, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (*TINY, *ENDLESS, "--schedule", "cosine", "--warmup-steps", "5", "--max-steps", "30")
    toolkit.ok("train", text_file, *options, "--run", "whole")

    def interrupt_at_17(progress: PlainProgress, event: events.Event) -> None:
        if isinstance(event, events.Advanced) and event.step == 17:
            signal.raise_signal(signal.SIGINT)
        show(progress, event)

    show = PlainProgress.__call__
    monkeypatch.setattr(PlainProgress, "__call__", interrupt_at_17)
    outcome = toolkit("train", text_file, *options, "--run", "parts")
    assert outcome.status == 130
    assert outcome.err.splitlines()[-2:] == [
        "interrupted: stopping once everything is saved; press Ctrl-C again to quit without saving",
        "saved parts/checkpoints/00000017",
    ]
    toolkit.ok("train", "--resume", "parts", "--threads", "1")
    assert_same_end(Path("parts"), Path("whole"))


def assert_same_end(one: Path, other: Path, but_for: tuple[int, ...] = ()) -> None:
    """Both runs end at step 30 with the same bits, and reported the same on the way."""
    for name in ("model.safetensors", "optimizer.safetensors", "state.safetensors"):
        path = Path("checkpoints", "00000030", name)
        assert (one / path).read_bytes() == (other / path).read_bytes()
    reports = [
        [_numbers(record) for record in lines_of(run / "metrics.jsonl") if record["step"] not in but_for]
        for run in (one, other)
    ]
    assert reports[0] == reports[1]


def _numbers(record: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(record[key] for key in ("step", "loss", "validation_loss", "learning_rate", "gradient_norm"))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_the_text_is_read_leaves_nothing(
    text_file: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, status: int
) -> None:
    """There is nothing to save yet, so it ends at once."""
    program = (
        "import signal, sys\nfrom charkit import events\nfrom charkit_cli.progress import PlainProgress\n"
        "from charkit_cli.main import main\nshow = PlainProgress.__call__\n"
        "def signalled(progress, event):\n    show(progress, event)\n"
        "    assert isinstance(event, events.Reading), event\n"
        f"    signal.raise_signal({int(number)})\n"
        "PlainProgress.__call__ = signalled\nmain()"
    )
    command = [sys.executable, "-c", program, "train", str(text_file), *TINY]
    child = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert child.returncode == status, child.stderr
    assert child.stderr.splitlines()[-1] == {130: "interrupted", 143: "terminated"}[status]
    assert "Traceback" not in child.stderr
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("importing", ["typer", "pydantic"])
def test_ctrl_c_while_python_imports_ends_quietly(importing: str, tmp_path: Path, text_file: Path) -> None:
    """One of them is imported before the command line runs, the other by a command."""
    early = tmp_path / "early"
    early.mkdir()
    (early / f"{importing}.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    (script,) = entry_points(group="console_scripts", name="toolkit")
    start = f"from {script.module} import {script.attr}\n{script.attr}()"
    for program in (("-c", start), ("-m", "charkit_cli")):
        child = subprocess.run(
            [sys.executable, *program, "train", str(text_file), *TINY],
            env={**os.environ, "PYTHONPATH": str(early)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (child.returncode, child.stdout) == (130, "")
        assert child.stderr in ("", "interrupted\n")


def test_a_second_ctrl_c_ends_it_at_once(text_file: Path) -> None:
    """The first one waits for the step to end; here it never does."""
    program = (
        "import sys\nfrom charkit.charrnn import CharRNN\nfrom charkit_cli.main import main\n"
        "def hang(*_, **__):\n    print('hanging', file=sys.stderr, flush=True)\n"
        "    import time\n    while True:\n        time.sleep(0.05)\n"
        "CharRNN.train_step = hang\nmain()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, "train", str(text_file), *TINY, "--run", "stuck"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(child, "hanging")
    child.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.5)
    child.send_signal(signal.SIGINT)
    _, wrong = child.communicate(timeout=30)
    assert child.returncode == 130
    assert wrong.splitlines()[-3:] == [
        "stuck is saved up to step 0; later steps are lost",
        "next: toolkit train --resume stuck",
        "interrupted",
    ]
    assert "Traceback" not in wrong
