"""Local workers that sleep or run out of memory, shared memory that is full, and what a killed driver leaves."""

# Over 300 lines: each test is one way in which a worker can fail.

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy

import charkit
from charkit import events
from charkit.distributed import pool as pool_module
from charkit.distributed import shared_folder
from charkit.distributed.local_engine import LocalEngine
from charkit.distributed.messages import write_message
from charkit.distributed.owned_folder import OwnedFolder
from charkit.errors import EngineError, TerminatedError
from charkit.runs.run import Run
from charkit.training.result import TrainResult
from cli_support import TINY, Toolkit, only_error
from distributed.worker_faults import EXCEED_A_LIMIT, SLEEP, Blocks, plant
from distributed.worker_processes import needs_proc, runs, workers_of
from support import SMALL
from training_support import bits_of

SHARDED: dict[str, Any] = {
    **SMALL,
    "batch_size": 8,
    "dropout": 0.3,
    "shards": 8,
    "max_steps": 30,
    "threads": 1,
}
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="the limit of a process's memory is Linux's")


def _train(text: Path, name: str, **options: Any) -> TrainResult:
    return charkit.train(text, run=name, **{**SHARDED, **options})


def _with_fault(
    fault: str, text: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *, late_seconds: float
) -> tuple[TrainResult, list[str], int]:
    """A run with a fault in one of two workers, the notices, and how many blocks were computed again."""
    for name, value in plant(fault, folder, driver=os.getpid()).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(pool_module, "_LATE_SECONDS", late_seconds)
    blocks, notices = Blocks(LocalEngine, monkeypatch), []

    def note(event: events.Event) -> None:
        if isinstance(event, events.WorkerReplaced):
            notices.append(event.message)

    result = _train(text, "disturbed", workers=2, on_event=note)
    assert (folder / "planted").exists()
    return result, notices, blocks.repeated(each_step=2)


@needs_linux
def test_a_worker_that_runs_out_of_memory_is_replaced(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, notices, repeated = _with_fault(
        EXCEED_A_LIMIT, text_file, tmp_path / "site", monkeypatch, late_seconds=10_000.0
    )
    assert bits_of(result) == bits_of(_train(text_file, "alone"))
    assert len(notices) == 1
    assert notices[0].startswith("a worker ended with status 1: out of memory: Unable to allocate 8.00 MiB")
    assert repeated == 1


def test_a_worker_that_sleeps_loses_its_block_to_another(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, notices, repeated = _with_fault(
        SLEEP, text_file, tmp_path / "site", monkeypatch, late_seconds=0.2
    )
    assert bits_of(result) == bits_of(_train(text_file, "alone"))
    assert notices == []
    assert repeated >= 1  # on a slow machine other blocks are late, too


def test_shared_memory_that_is_full_ends_training_where_it_can_continue(
    toolkit: Toolkit, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = safetensors.numpy.save_file

    def full(arrays: dict[str, Any], path: Path) -> None:
        if path.name == "shared-8.safetensors":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        saved(arrays, path)

    monkeypatch.setattr(shared_folder.safetensors.numpy, "save_file", full)
    options = ("--batch-size=8", "--dropout=0.3", "--max-steps=12", "--save-every=5")
    whole = toolkit.ok("train", text_file, *TINY, *options, "--shards=8", "--run=alone")
    outcome = toolkit("train", text_file, *TINY, *options, "--workers=2", "--run=full")
    assert outcome.status == 2, (outcome, whole)
    assert "the weights can't be shared with the workers through" in outcome.err.splitlines()[-1]
    assert outcome.err.splitlines()[-1].endswith(
        "No space left on device; free some space there, and continue with --resume"
    )
    assert Run.open(Path("full")).checkpoint("latest")[0].snapshot.step == 5
    toolkit.ok("train", "--resume=full", "--workers=4", "--threads=1")
    assert _arrays(Path("full")) == _arrays(Path("alone"))


class _LittleRoom:
    """A directory that passes for shared memory, and how much room there is in it and among temporary files."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, memory: int, temporary: int) -> None:
        self.memory = folder / "shm"
        self.memory.mkdir()
        usage = shutil.disk_usage

        def little(path: Path) -> Any:
            return usage(path)._replace(free=memory if path == self.memory else temporary)

        monkeypatch.setattr(shared_folder, "_MEMORY", self.memory)
        monkeypatch.setattr(shared_folder.shutil, "disk_usage", little)


def test_weights_that_have_no_room_in_memory_are_shared_through_temporary_files(
    toolkit: Toolkit, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = _LittleRoom(tmp_path, monkeypatch, memory=1_100_000, temporary=10**9)
    options = ("--batch-size=8", "--lstm-size=64", "--shards=8", "--max-steps=3")
    toolkit.ok("train", text_file, *TINY, *options, "--run=alone")
    outcome = toolkit.ok("train", text_file, *TINY, *options, "--workers=1", "--run=on-one")
    temporary = tempfile.gettempdir()
    assert (
        f"the weights are shared through files in {temporary!r}, which may be slow: they need 2 MB, but "
        f"{str(room.memory)!r} has 1 MB free" in " ".join(outcome.err.split())
    )
    assert _arrays(Path("on-one")) == _arrays(Path("alone"))
    assert list(room.memory.iterdir()) == []


def test_weights_that_have_no_room_anywhere_are_refused_before_training(
    toolkit: Toolkit, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = _LittleRoom(tmp_path, monkeypatch, memory=1_100_000, temporary=1_200_000)
    options = ("--batch-size=8", "--lstm-size=64", "--max-steps=3", "--workers=1", "--run=refused")
    said = toolkit.error("train", text_file, *TINY, *options)
    assert said.startswith(
        f"the workers need 2 MB to share the weights, but {str(room.memory)!r} has 1 MB free and "
        f"{tempfile.gettempdir()!r} has 1 MB free; free some space, set TMPDIR to a directory with enough space, or "
    )
    assert not Path("refused").exists()
    assert list(room.memory.iterdir()) == []


def _arrays(run: Path) -> dict[str, bytes]:
    snapshot = Run.open(run).checkpoint("latest")[0].snapshot
    return {name: array.tobytes() for name, array in snapshot.arrays().items()}


def test_workers_need_no_text(text_file: Path) -> None:
    alone = _train(text_file, "alone")

    def remove(event: events.Event) -> None:
        if isinstance(event, events.Started):
            text_file.unlink()

    assert bits_of(_train(text_file, "on-two", workers=2, on_event=remove)) == bits_of(alone)


def test_a_text_that_is_not_there_starts_no_worker(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalEngine, "connect", lambda *_: pytest.fail("an engine was started"))
    assert "absent.txt" in toolkit.error("train", "absent.txt", "--workers=2")


_STARTS_A_PROCESS = """
import subprocess, sys
from charkit.distributed.engine import Reply
class Starter:
    def call(self, method, values, arrays, shared):
        started = subprocess.Popen([sys.executable, "-c", "import sys, time; sys.stdin.read(); time.sleep(600)"])
        return Reply({"process": started.pid, "input": sys.stdin.read()}, {})
"""


@needs_proc
def test_a_worker_that_is_stopped_takes_along_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "starter_service.py").write_text(_STARTS_A_PROCESS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    engine = LocalEngine.connect(None, 1)
    try:
        call = engine.submit(engine.start_worker("starter_service:Starter", {}), "start", {}, {})
        assert engine.wait([call], 60) == [call]
        answer = engine.result(call).values
        assert answer["input"] == ""  # it reads nothing of what the driver sends
        assert runs(answer["process"])
    finally:
        engine.close()
    deadline = time.monotonic() + 30
    while runs(answer["process"]):
        assert time.monotonic() < deadline, "what the worker started outlives it"
        time.sleep(0.05)


def test_a_system_that_starts_no_more_processes_is_one_line(
    toolkit: Toolkit, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr("charkit.distributed.local_engine.subprocess.Popen", refuse)
    said = toolkit.error("train", text_file, *TINY, "--batch-size=8", "--workers=2", "--run=refused")
    assert said == "a worker can't be started: Resource temporarily unavailable; use fewer --workers"
    assert not Path("refused").exists()


def test_workers_import_nothing_from_the_current_directory(text_file: Path) -> None:
    Path("safetensors.py").write_text("raise SystemExit('a file of the current directory was executed')")
    assert _train(text_file, "beside-a-module", workers=1, max_steps=2).step == 2


def test_answers_that_can_not_be_read_end_training_with_what_is_wrong(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "site"
    other.mkdir()
    (other / "sitecustomize.py").write_text(
        f"import os\nif os.getppid() == {os.getpid()}:\n    os.write(1, b'a library that prints as it loads')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(other))
    monkeypatch.setattr(pool_module, "_START_SECONDS", 30.0)
    with pytest.raises(EngineError, match=r"ended without responding.*a worker's response can't be read: "):
        _train(text_file, "unreadable", workers=1)
    assert not Path("unreadable").exists()


def test_sigterm_while_workers_start_ends_training_at_once(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(engine: LocalEngine, calls: Any, timeout_seconds: float) -> list[Any]:
        os.kill(os.getpid(), signal.SIGTERM)
        return []

    monkeypatch.setattr(LocalEngine, "wait", wait)
    monkeypatch.setattr(pool_module, "_START_SECONDS", 0.5)
    with pytest.raises(TerminatedError):
        _train(text_file, "terminated", workers=1)
    assert not Path("terminated").exists()


@needs_proc
@pytest.mark.parametrize("saved_before", [False, True])
def test_sigterm_while_all_workers_are_lost_saves_the_steps_before_at_once(
    text_file: Path, monkeypatch: pytest.MonkeyPatch, saved_before: bool
) -> None:
    """Whether or not the step before the one that is given up was saved when it ended."""
    wait, lost, epoch = LocalEngine.wait, False, 0

    def disturb(event: events.Event) -> None:
        nonlocal lost, epoch
        if isinstance(event, events.Started):
            epoch = event.steps_per_epoch
        if isinstance(event, events.Advanced) and event.step == epoch:  # the next step starts the text again
            lost = True
            for worker in workers_of(os.getpid()):
                os.kill(worker, signal.SIGKILL)

    def waiting(engine: LocalEngine, calls: Any, timeout_seconds: float) -> list[Any]:
        ended = wait(engine, calls, timeout_seconds)
        if not lost:
            return ended
        noticed = [call for call in ended if call.error is not None]
        if not noticed:  # all are lost, and those that replace them never start
            os.kill(os.getpid(), signal.SIGTERM)
        return noticed

    monkeypatch.setattr(LocalEngine, "wait", waiting)
    monkeypatch.setattr(pool_module, "_START_SECONDS", 60.0)
    monkeypatch.setattr(pool_module, "_STOP_SECONDS", 10_000.0)
    options: dict[str, Any] = {
        "max_steps": 50,
        "eval_every": 1_000,
        "save_every": "1" if saved_before else "10m",
    }
    result = _train(text_file, "stopped", workers=2, on_event=disturb, **options)
    assert (result.stopped_because, result.step) == ("terminated", epoch)
    assert Run.open(result.run).checkpoint("latest")[0].snapshot.step == epoch
    assert bits_of(charkit.train(resume=result.run, threads=1)) == bits_of(
        _train(text_file, "alone", **options)
    )


@needs_proc
def test_a_step_that_does_not_end_after_a_request_to_stop_is_given_up(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disturb(event: events.Event) -> None:
        if isinstance(event, events.Advanced) and event.step == 10:
            for worker in workers_of(os.getpid()):
                os.kill(worker, signal.SIGSTOP)
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()

    alone = _train(text_file, "alone")
    monkeypatch.setattr(pool_module, "_STOP_SECONDS", 0.5)
    result = _train(text_file, "stopped", workers=2, on_event=disturb)
    assert (result.stopped_because, result.step) == ("interrupted", 10)
    assert bits_of(charkit.train(resume=result.run, threads=1)) == bits_of(alone)


def test_folders_of_killed_processes_are_removed_and_others_kept(tmp_path: Path) -> None:
    lived = OwnedFolder("some-", tmp_path)
    code = (
        "import os, sys; from pathlib import Path; from charkit.distributed.owned_folder import OwnedFolder; "
        "made = OwnedFolder('some-', Path(sys.argv[1])); (made.path / 'large').write_bytes(bytes(1000)); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    (foreign := tmp_path / "some-thing").mkdir()
    (foreign / "lock").write_text("a run of the user, which nobody trains")
    assert len(list(tmp_path.glob("some-*"))) == 3
    other = OwnedFolder("some-", tmp_path)
    assert set(tmp_path.glob("some-*")) == {lived.path, foreign, other.path}
    lived.remove()
    lived.remove()
    assert set(tmp_path.glob("some-*")) == {foreign, other.path}
    other.remove()


@pytest.mark.parametrize("computing", [False, True])
def test_a_worker_without_a_driver_removes_what_it_shared(tmp_path: Path, computing: bool) -> None:
    """Whether the driver ends while the worker waits for a call or while it computes."""
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "weights").write_bytes(bytes(1000))
    (tmp_path / "echo_service.py").write_text(
        "from charkit.distributed.engine import Reply\n"
        "class Echo:\n    def call(self, method, values, arrays, shared): return Reply(values, arrays)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "charkit.distributed.local_worker", str(shared)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert worker.stderr is not None
        write_message(worker.stdin, {"service": "echo_service:Echo", "values": {}}, {})
        worker.stdout.close()
        if computing:
            write_message(worker.stdin, {"method": "describe", "values": {}, "shared": ""}, {})
            worker.wait(60)  # its answer reaches nobody
        worker.stdin.close()
        assert worker.wait(60) == 0
        assert worker.stderr.read() == b""
    assert not shared.exists()


def test_mixed_machines_are_recorded_and_reported_on_resuming(
    toolkit: Toolkit, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "site"
    other.mkdir()
    (other / "sitecustomize.py").write_text(
        f"import os\nif os.getppid() == {os.getpid()}:\n"
        "    import charkit.machine\n    charkit.machine.processor_name = lambda: 'another processor'\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(other))
    options = (text_file, *TINY, "--batch-size=8", "--max-steps=3", "--workers=2")
    refused = toolkit("train", *options, "--run=mixed")
    assert refused.status == 2
    said = only_error(refused.err)
    assert said.startswith("a worker differs from this process: ")
    assert "processor another processor (here: " in said
    assert said.endswith("or allow the difference with --mixed-machines")
    assert not Path("mixed").exists()
    accepted = toolkit.ok("train", *options, "--run=mixed", "--mixed-machines")
    assert "a worker differs from this process: processor another processor (here: " in accepted.err
    (session,) = Run.open(Path("mixed")).records("sessions.jsonl")
    assert session["mixed_machines"] is True
    assert [machine["processor"] == "another processor" for machine in session["machines"]] == [False, True]
    monkeypatch.delenv("PYTHONPATH")
    resumed = toolkit.ok("train", "--resume=mixed", "--max-steps=5", "--threads=1")
    assert (
        "an earlier session used machines of more than one kind; with a different mix, the last bits of the weights "
        "could differ" in resumed.err
    )
