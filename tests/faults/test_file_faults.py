"""R2: an error, a kill or a loss of power at every file operation of a save, a new run, an overwrite and an export.

Whatever happens, the old files are there or the new ones, whole; after an error nothing else is.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from charkit.backend import Moments, State
from charkit.errors import CharkitError
from charkit.runs.checkpoint import save_checkpoint
from charkit.runs.checkpoint_content import Checkpoint, TrainingProgress
from charkit.runs.pointers import point
from charkit.runs.pruning import prune, restore_replaced
from charkit.runs.run import Run
from charkit.settings import resolve
from charkit.snapshot import Snapshot
from charkit.system import renames
from charkit.text.vocabulary import Vocabulary
from charkit.weights import initial_weights
from charkit_formats.files import write_all
from faults.file_operations import Fault, FileOperations, Killed
from faults.rounds import Rounds

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="files are found by their handles in /proc")

VOCABULARY = Vocabulary.of_text("abc")
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)


def _config(seed: int) -> Any:
    data = {"batch_size": 2, "num_steps": 2}
    return resolve({"model": {"lstm_size": 2, "num_layers": 1}, "training": {"seed": seed}, "data": data}, 3)


def _checkpoint(step: int, seed: int = 0, weights_seed: int = 0) -> Checkpoint:
    initial = initial_weights(_config(seed).model, seed=weights_seed)
    weights: dict[str, Any] = {name: array.astype(np.float32) for name, array in initial.items()}
    state = np.zeros((1, 2, 2), np.float32)
    moments = Moments(*({name: np.zeros_like(array) for name, array in weights.items()} for _ in range(2)))
    config = _config(seed)
    progress = TrainingProgress(step=step, optimizer=config.optimizer, training=config.training)
    return Checkpoint(Snapshot(weights, moments, State(state, state), step), progress)


def _make(path: Path, seed: int = 0, **options: Any) -> Run:
    return Run.create(path, _config(seed), VOCABULARY, "0" * 64, _checkpoint(0, seed), **options)


@dataclass(frozen=True)
class Scenario:
    """What is there before, what is done, and which states may be found after it: the old one first, the new one last.

    ``look`` says in which state a folder is, and raises CharkitError or AssertionError for one that is not whole.
    """

    prepare: Callable[[Path], None]
    act: Callable[[Path], None]
    look: Callable[[Path], Any]
    states: tuple[Any, ...]


def _saved(root: Path) -> None:
    run = _make(root / "r")
    save_checkpoint(run.path, _checkpoint(5))
    for which in ("latest", "best"):
        point(run.path, which, 5)


def _save(root: Path) -> None:
    save_checkpoint(root / "r", _checkpoint(7))
    for which in ("latest", "best"):
        point(root / "r", which, 7)
    prune(root / "r", {"00000007"})


def _steps(root: Path) -> tuple[int, ...]:
    """The steps of the latest and the best checkpoint, as a session that resumes the run finds them."""
    restore_replaced(root / "r")
    found = []
    for which in ("latest", "best"):
        checkpoint, _, notices = Run.open(root / "r").checkpoint(which)
        assert not [notice for notice in notices if "missing" in notice], notices
        found.append(checkpoint.progress.step)
    return tuple(found)


def _seed(root: Path) -> int | None:
    """The seed of the run, None where there is none; its first checkpoint is whole."""
    visible = (
        [name for name in os.listdir(root / "runs") if name[0] != "."] if (root / "runs").exists() else []
    )
    path = root / "runs" / "r"
    try:
        run = Run.open(path)
    except CharkitError:
        assert visible == [], visible
        return None
    assert run.checkpoint("latest")[0].progress.step == 0
    return run.config.training.seed


EXPORT = ("a.safetensors", "a.vocabulary.json", "a.py")


def _exported(generation: bytes, overwrite: bool = False) -> Callable[[Path], None]:
    return lambda root: write_all({root / name: generation * 50 for name in EXPORT}, overwrite)


def _generations(root: Path) -> frozenset[bytes | None]:
    """The generations of the files; each of them is whole or not there."""
    found: set[bytes | None] = set()
    for name in EXPORT:
        content = (root / name).read_bytes() if (root / name).exists() else None
        assert content is None or content == content[:1] * 50, content
        found.add(content[:1] if content else None)
    return frozenset(found)


def _one(*kinds: bytes | None) -> frozenset[bytes | None]:
    return frozenset(kinds)


SCENARIOS = {
    "save": Scenario(_saved, _save, _steps, ((5, 5), (7, 5), (7, 7))),
    "save of the same step": Scenario(
        _saved,
        lambda root: save_checkpoint(root / "r", _checkpoint(5, weights_seed=1)) and None,
        _steps,
        ((5, 5),),
    ),
    "new run": Scenario(
        lambda _: None, lambda root: _make(root / "runs" / "r", 1) and None, _seed, (None, 1)
    ),
    "overwrite": Scenario(
        lambda root: _make(root / "runs" / "r", 1) and None,
        lambda root: _make(root / "runs" / "r", 2, overwrite=True) and None,
        _seed,
        (1, 2),
    ),
    "export": Scenario(
        lambda _: None, _exported(b"2"), _generations, (_one(None), _one(None, b"2"), _one(b"2"))
    ),
    "export again": Scenario(
        _exported(b"1"),
        _exported(b"2", overwrite=True),
        _generations,
        (_one(b"1"), _one(b"1", b"2"), _one(b"2")),
    ),
}


#: With the system's own exchange of names, and with what takes its place where there is none.
WAYS = [
    *((name, "one call") for name in SCENARIOS),
    *((name, "steps") for name in ("save of the same step", "new run", "overwrite", "export")),
]


@pytest.fixture(params=WAYS, ids=" in ".join)
def scenario(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Scenario:
    name, way = request.param
    if way == "steps":
        monkeypatch.setattr(renames, "_system_call", lambda: None)
    return SCENARIOS[name]


@pytest.fixture(autouse=True)
def _fast_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model says what is durable, so that nothing has to wait for a disk."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)


def _run(scenario: Scenario, root: Path, fault: Fault | None) -> tuple[FileOperations, BaseException | None]:
    """Acts on a prepared root with the fault; the operations, and what was raised."""
    prepared = root.with_name("prepared")
    if not prepared.exists():
        prepared.mkdir()
        scenario.prepare(prepared)
    shutil.copytree(prepared, root)
    operations = FileOperations(root, fault)
    try:
        with operations.patched():
            scenario.act(root)
    except (CharkitError, Killed) as error:
        return operations, error
    return operations, None


def _count(scenario: Scenario, root: Path) -> int:
    operations, error = _run(scenario, root, None)
    operations.close()
    assert error is None
    assert scenario.look(root) == scenario.states[-1]
    return operations.count


def _visible(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
def test_an_error_at_any_operation(scenario: Scenario, tmp_path: Path, number: int) -> None:
    """The old state or the new one, and none of what was begun."""
    lasts = number == errno.ENOSPC
    for at in range(1, _count(scenario, tmp_path / "count") + 1):
        root = tmp_path / f"{at}"
        operations, error = _run(scenario, root, Fault(at, number, lasts))
        operations.close()
        state = scenario.look(root)
        assert state in scenario.states, at
        assert error is not None or state == scenario.states[-1], at
        left = [name for name in _visible(root) if "/." in f"/{name}"]
        assert left == [] or operations.failed in ("unlink", "rmdir"), (at, left)
        shutil.rmtree(root)


def test_a_kill_at_any_operation(scenario: Scenario, tmp_path: Path, rounds: Rounds, seed: int) -> None:
    """Without a loss of power, with one, and with one after the system wrote some of it out by itself."""
    random = Random(seed)
    for at in range(1, _count(scenario, tmp_path / "count") + 2):
        root = tmp_path / f"{at}"
        operations, error = _run(scenario, root, Fault(at))
        images = [operations.crash_image(tmp_path / f"{at}-lost")]
        images += [
            operations.crash_image(tmp_path / f"{at}-{n}", random) for n in range(rounds(short=1, long=20))
        ]
        operations.close()
        for image in (root, *images):
            state = scenario.look(image)
            assert state in scenario.states, (at, image)
            if error is None:
                assert state == scenario.states[-1], (at, image)
            shutil.rmtree(image)


# ---- planted faults --------------------------------------------------------------------------------------


def _fails(scenario: Scenario, tmp_path: Path, test: Callable[..., None], *arguments: Any) -> None:
    with pytest.raises((AssertionError, CharkitError)):
        test(scenario, tmp_path, *arguments)


def test_a_save_that_removes_first_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from charkit.runs.folder_files import OpenFolder

    real = OpenFolder._put_in_place

    def remove_first(folder: OpenFolder, temporary: str, name: str, existing: Any) -> None:
        if existing == "replace":
            folder.remove(name)
        real(folder, temporary, name, "refuse")

    monkeypatch.setattr(OpenFolder, "_put_in_place", remove_first)
    _fails(SCENARIOS["overwrite"], tmp_path, test_an_error_at_any_operation, errno.EIO)


@pytest.mark.parametrize(("name", "scenario"), [("sync", "save"), ("write", "new run")])
def test_a_missing_sync_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, scenario: str
) -> None:
    from charkit.runs.folder_files import OpenFolder, write_all

    def unsynced(folder: OpenFolder, file: str, content: bytes) -> None:
        handle = folder.open_file(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        write_all(handle, content)
        os.close(handle)

    replacement = unsynced if name == "write" else (lambda _: None)
    monkeypatch.setattr(OpenFolder, name, replacement)
    few: Rounds = lambda *, short, long: short  # noqa: E731
    _fails(SCENARIOS[scenario], tmp_path, test_a_kill_at_any_operation, few, 1)


def test_debris_of_an_error_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from charkit.runs.folder_files import OpenFolder

    monkeypatch.setattr(OpenFolder, "remove", lambda *_: None)
    _fails(SCENARIOS["new run"], tmp_path, test_an_error_at_any_operation, errno.ENOSPC)
