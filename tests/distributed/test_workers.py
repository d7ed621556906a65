"""Runs on workers: the same bits with any number of them, after one was lost, and after a resume."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charkit
from charkit import events
from charkit.distributed import pool as pool_module
from charkit.distributed.gradients import block_gradients
from charkit.errors import CharkitError, ConfigurationError, EngineError
from charkit.runs.records import SESSIONS
from charkit.runs.run import Run
from charkit.training.result import TrainResult
from charkit.training.sharded_step import InProcess
from cli_support import TINY, Toolkit
from distributed.worker_processes import needs_proc, runs, workers_of
from support import SMALL
from training_support import bits_of, losses_of

SHARDED: dict[str, Any] = {
    **SMALL,
    "batch_size": 8,
    "dropout": 0.3,
    "shards": 8,
    "max_steps": 30,
    "threads": 1,
}


def _train(text: Path, name: str, **options: Any) -> TrainResult:
    return charkit.train(text, run=name, **{**SHARDED, **options})


def test_any_number_of_workers_gives_the_same_bits(text_file: Path) -> None:
    alone = _train(text_file, "alone")
    for workers in (1, 3, 8):
        result = _train(text_file, f"on-{workers}", workers=workers)
        assert bits_of(result) == bits_of(alone)
        assert losses_of(result) == losses_of(alone)
    session = Run.open(result.run).records(SESSIONS)[-1]
    assert (session["workers"], session["engine"], session["threads"]) == (8, "local", 1)


def test_shards_add_up_to_the_gradient_of_the_whole_batch(text_file: Path) -> None:
    options: dict[str, Any] = {"precision": "float64", "log_every": 1}
    whole = _train(text_file, "whole", shards=1, **options)
    for shards in (4, 8):  # two would be the halves in which NumPy computes the whole batch
        sharded = _train(text_file, f"in-{shards}", shards=shards, **options)
        assert np.allclose(sharded.history["loss"], whole.history["loss"], rtol=0, atol=1e-12)
        assert bits_of(sharded) != bits_of(whole)  # added in another order: shards are a setting of the run


@pytest.mark.parametrize(("shards", "threads"), [(1, 1), (1, 2), (2, 2), (4, 1)])
def test_shards_and_threads_give_the_same_bits_in_a_process_and_on_workers(
    text_file: Path, shards: int, threads: int
) -> None:
    options: dict[str, Any] = {"batch_size": 16, "lstm_size": 64, "shards": shards, "threads": threads}
    alone = bits_of(_train(text_file, "alone", **options))
    assert bits_of(_train(text_file, "on-workers", workers=min(2, shards), **options)) == alone


def test_a_shard_is_not_divided_again(text_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"batch_size": 16, "shards": 2}
    alone = bits_of(_train(text_file, "alone", **options))
    assert bits_of(_train(text_file, "on-two", workers=2, **options)) == alone
    monkeypatch.setattr(
        InProcess, "compute", lambda self, model, blocks: [block_gradients(model, b) for b in blocks]
    )
    assert bits_of(_train(text_file, "divided", **options)) != alone


@needs_proc
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_is_killed_or_hangs_changes_no_bit(
    text_file: Path, sent: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_LATE_SECONDS", 0.2)
    seen: list[events.Event] = []

    def disturb(event: events.Event) -> None:
        seen.append(event)
        if isinstance(event, events.Advanced) and event.step == 10:
            os.kill(workers_of(os.getpid())[0], sent)

    alone = _train(text_file, "alone")
    result = _train(text_file, "disturbed", workers=2, on_event=disturb)
    assert bits_of(result) == bits_of(alone)
    replaced = [event for event in seen if isinstance(event, events.WorkerReplaced)]
    if sent == signal.SIGKILL:
        assert "was killed by signal 9" in replaced[0].message
    assert workers_of(os.getpid()) == []


def test_a_run_continues_on_another_number_of_workers(text_file: Path) -> None:
    alone = _train(text_file, "alone")
    first = _train(text_file, "moved", workers=2, max_steps=13)
    charkit.train(resume=first.run, workers=4, max_steps=20, threads=1)
    last = charkit.train(resume=first.run, max_steps=30, threads=1)
    assert bits_of(last) == bits_of(alone)


@needs_proc
def test_a_driver_that_is_killed_leaves_no_worker_and_a_run_that_continues(text_file: Path) -> None:
    alone = _train(text_file, "alone", max_steps=200)
    settings = ["--set=data.shards=8", "--batch-size=8", "--dropout=0.3", "--max-steps=200"]
    command = [sys.executable, "-m", "charkit_cli", "train", str(text_file), *TINY, *settings, "--run=killed"]
    command += ["--sample-length=12", "--workers=2", "--save-every=20"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as driver:
        assert driver.stderr is not None
        for line in driver.stderr:
            if "checkpoints/00000020" in line:
                break
        workers = workers_of(driver.pid)
        assert len(workers) == 2
        shared = {
            Path(Path(f"/proc/{worker}/cmdline").read_text("utf-8").split("\0")[-2]) for worker in workers
        }
        assert [folder.is_dir() for folder in shared] == [True]
        driver.kill()
    deadline = time.monotonic() + 60
    while any(runs(worker) for worker in workers):
        assert time.monotonic() < deadline, "workers outlive their driver"
        time.sleep(0.1)
    assert [folder.exists() for folder in shared] == [False]
    result = charkit.train(resume="killed", threads=1)
    assert bits_of(result) == bits_of(alone)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"workers": 0}, ConfigurationError, "`workers` must be at least 1; given 0"),
        (
            {"workers": 100_000},
            ConfigurationError,
            r"`workers` must be at most \d+ on a machine with \d+ processors; given 100000; use fewer, or a cluster",
        ),
        ({"workers": "2"}, ConfigurationError, "`workers` must be an integer; given '2'"),
        ({"workers": 2.0}, ConfigurationError, r"`workers` must be an integer; given 2\.0"),
        ({"workers": True}, ConfigurationError, "`workers` must be an integer; given True"),
        (
            {"workers": 2, "engine": 5},
            ConfigurationError,
            "`engine` must be a non-empty string; given 5",
        ),
        (
            {"workers": 2, "engine": ""},
            ConfigurationError,
            "`engine` must be a non-empty string; given ''",
        ),
        (
            {"workers": 2, "address": ""},
            ConfigurationError,
            "`address` must be a non-empty string; given ''; leave `addr",
        ),
        ({"workers": 2, "threads": "2"}, CharkitError, "`threads` must be an integer; given '2'"),
        ({"engine": "local"}, ConfigurationError, "`engine` is for training on several workers"),
        ({"mixed_machines": True}, ConfigurationError, "`mixed_machines` is for training on several"),
        ({"workers": 2, "engine": "loca"}, EngineError, "unknown engine 'loca' .did you mean 'local'"),
        ({"workers": 2, "address": "host:1"}, EngineError, "`address` 'host:1' is for engines on other"),
        ({"workers": 9}, ConfigurationError, "`workers=9` is more than the run's 8 shards; use at most 8"),
        ({"shards": 3}, ConfigurationError, "`shards` must be a power of two, such as 1, 2, 4 or 8; given 3"),
        (
            {"shards": 16},
            ConfigurationError,
            "`shards` must divide `batch_size`; given 16 shards and batches of 8",
        ),
    ],
)
def test_what_can_not_be_leaves_nothing_behind(
    text_file: Path, options: dict[str, Any], error: type[CharkitError], message: str
) -> None:
    with pytest.raises(error, match=message):
        _train(text_file, "refused", **options)
    assert not Path("refused").exists()


def test_a_run_keeps_its_shards(text_file: Path) -> None:
    first = _train(text_file, "first", max_steps=5)
    with pytest.raises(CharkitError, match=r"has `data\.shards` 8, but 4 was given"):
        charkit.train(resume=first.run, shards=4, max_steps=10)
    whole = _train(text_file, "whole", shards=1, max_steps=5)
    with pytest.raises(ConfigurationError, match="`workers=2` can't be used: the run has only 1 shard"):
        charkit.train(resume=whole.run, workers=2, max_steps=10)


def test_the_command_line_cuts_a_new_run_into_shards(toolkit: Toolkit, text_file: Path) -> None:
    outcome = toolkit.ok(
        "train", text_file, *TINY, "--batch-size=16", "--max-steps=5", "--workers=2", "--run=on-two"
    )
    assert "2 workers on engine local, 1 thread each" in outcome.err
    assert Run.open(Path("on-two")).config.data.shards == 8
    stopped = toolkit.ok(
        *("train", "--resume=on-two", "--max-steps=20", "--stop-at=8", "--threads=1"),
        *("--workers=2", "--engine=local", "--mixed-machines"),
    )
    assert stopped.out.endswith(
        "\nnext: toolkit train --resume on-two --threads 1 --workers 2 --engine local --mixed-machines\n"
    )
    refused = toolkit("train", text_file, *TINY, "--workers=2", "--run=refused")
    assert refused.status == 2
    assert "choose a --batch-size that is a multiple of 8, or fewer --shards" in refused.err
    assert not Path("refused").exists()


def test_one_shard_is_computed_by_the_process_itself(text_file: Path) -> None:
    """In a step of a single shard on a worker, gradients and update would be compiled apart, to other bits on JAX."""
    notices: list[str] = []

    def note(event: events.Event) -> None:
        if isinstance(event, events.Started):
            notices.extend(event.notices)

    result = _train(text_file, "on-one", shards=1, workers=1, on_event=note)
    assert "with 1 shard, there is nothing to divide, so this process trains without workers" in notices
    assert bits_of(result) == bits_of(_train(text_file, "alone", shards=1))
    assert "workers" not in Run.open(result.run).records(SESSIONS)[-1]


def test_a_recipes_shards_are_those_of_a_run_on_workers_too(text_file: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "four.toml"
    recipe.write_text('name = "four"\npurpose = "a test"\n[data]\nbatch_size = 4\nshards = 4\n')
    options = {"recipe": recipe, "batch_size": 4, "shards": None, "max_steps": 2}
    alone = _train(text_file, "alone", **options)
    on_two = _train(text_file, "on-two", workers=2, **options)
    assert Run.open(on_two.run).config.data.shards == 4
    assert bits_of(on_two) == bits_of(alone)
