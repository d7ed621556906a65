"""Local workers that sleep or run out of memory, shared memory that is full, and what a killed driver leaves."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy

import charkit
from charkit.distributed import pool as pool_module
from charkit.distributed import shared_folder
from charkit.distributed.local_engine import LocalEngine
from charkit.distributed.messages import write_message
from charkit.distributed.owned_folder import OwnedFolder
from charkit.errors import EngineError, TerminatedError
from charkit.runs.run import Run
from charkit.training import events
from charkit.training.result import TrainResult
from cli_support import TINY, Toolkit, only_error
from distributed.worker_faults import EXCEED_A_LIMIT, SLEEP, Blocks, plant
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
    with pytest.raises(EngineError, match=r"ended without an answer.*what a worker answered can't be read: "):
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


def test_folders_of_killed_processes_are_removed_and_others_kept(tmp_path: Path) -> None:
    lived = OwnedFolder("some-", tmp_path)
    code = (
        "import os, sys; from pathlib import Path; from charkit.distributed.owned_folder import OwnedFolder; "
        "made = OwnedFolder('some-', Path(sys.argv[1])); (made.path / 'large').write_bytes(bytes(1000)); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    (foreign := tmp_path / "some-thing").mkdir()
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
    assert said.startswith(
        "a worker differs from this process, so its results would differ in the last bits: "
    )
    assert "processor another processor (here: " in said
    assert said.endswith("or allow it with --mixed-machines")
    assert not Path("mixed").exists()
    accepted = toolkit.ok("train", *options, "--run=mixed", "--mixed-machines")
    assert "a worker differs from this process: processor another processor (here: " in accepted.err
    (session,) = Run.open(Path("mixed")).records("sessions.jsonl")
    assert session["mixed_machines"] is True
    assert [machine["processor"] == "another processor" for machine in session["machines"]] == [False, True]
    monkeypatch.delenv("PYTHONPATH")
    resumed = toolkit.ok("train", "--resume=mixed", "--max-steps=5", "--threads=1")
    assert (
        "an earlier session used mixed machines: other machines could give different last bits" in resumed.err
    )
