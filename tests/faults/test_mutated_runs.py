"""R4 and R5: whatever is done to the files of a run, commands refuse it in one line or are still right; and ``check``.

Of a crafted run, whose hashes fit, the numbers are those that its author wants; what is promised is that it is refused
or works as a run does. After raw harm, numbers are those of before or nothing is done.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest

import charkit
from charkit.errors import CharkitError, RunError
from charkit.machine import peak_bytes
from charkit.runs import limits
from charkit.runs.checkpoint import load_checkpoint
from charkit.runs.pointers import step_of
from charkit.runs.run import Run
from faults.rounds import Rounds
from faults.run_mutations import (
    LINES,
    check_user_files,
    flip_bit,
    mutate_content,
    mutate_raw,
    put_user_files,
)
from faults.run_outcomes import (
    READERS,
    BrokenPromiseError,
    Expected,
    check_crafted,
    copied,
    limited,
    make_run,
)

#: More memory than this is no small run's any more; a file that lies about its size asks for far more.
#: The readers that train are four times as slow as the others, so they are drawn less often.
DRAWN = [
    *READERS,
    *(name for name in READERS if name not in ("resume", "init-from")),
    *(["sample best", "evaluate"] * 2),
]
MOST_GROWTH_BYTES = 400 << 20
Tree = dict[str, bytes | str]
#: Weights of a crafted run may be so large that a product of them is beyond its type, of which NumPy warns.
_OVERFLOWS = pytest.mark.filterwarnings(
    "ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning"
)


@pytest.fixture(autouse=True)
def _without_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cut off here, so that nothing has to be durable."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def expected(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Expected:
    return Expected(run, tmp_path_factory.mktemp("expected") / "scratch")


def mutated(
    run: Path, scratch: Path, number: int, seed: int, mutate: Callable[[Path, Random], str]
) -> Iterator[tuple[Path, str, str]]:
    """Copies of the run, each with one harm done to it: the copy, what was done, and which reader is next.

    A user's own files are in each of them and beside it. Raises AssertionError where one of them doesn't survive.
    """
    before = peak_bytes()
    for round_number in range(number):
        random = Random(f"{seed}-{mutate.__name__}-{round_number}")
        copy = copied(run, scratch)
        what = mutate(copy, random)
        put = put_user_files(copy, run)
        try:
            yield copy, f"round {round_number}, {what}", random.choice(DRAWN)
            check_user_files(put)
        except (BrokenPromiseError, AssertionError) as error:
            raise AssertionError(f"round {round_number}, {what}: {error}") from error
        grown = peak_bytes() - before
        assert grown < MOST_GROWTH_BYTES, f"round {round_number}, {what}: {grown:,} bytes of memory more"


def harm_raw(run: Path, expected: Expected, scratch: Path, number: int, seed: int) -> Counter[str]:
    """How often each end came after raw harm. Raises AssertionError where a promise is broken."""
    ends: Counter[str] = Counter()
    for copy, what, reader in mutated(run, scratch, number, seed, mutate_raw):
        try:
            ends[expected.check_raw(reader, READERS[reader](copy))] += 1
            check_the_check(copy)  # last, since it repairs
        except (BrokenPromiseError, AssertionError) as error:
            raise AssertionError(f"{what}, {reader}: {error}") from error
    return ends


def harm_crafted(run: Path, scratch: Path, number: int, seed: int) -> Counter[str]:
    """The same for crafted runs."""
    ends: Counter[str] = Counter()
    for copy, what, reader in mutated(run, scratch, number, seed, mutate_content):
        try:
            ends[check_crafted(reader, READERS[reader](copy))] += 1
            check_the_check(copy)
        except (BrokenPromiseError, AssertionError) as error:
            raise AssertionError(f"{what}, {reader}: {error}") from error
    return ends


def test_raw_harm(run: Path, expected: Expected, tmp_path: Path, rounds: Rounds, seed: int) -> None:
    ends = harm_raw(run, expected, tmp_path / "scratch", rounds(short=400, long=20_000) // 2, seed)
    assert ends.keys() == {"refused", "fell back", "unchanged"}, ends


@_OVERFLOWS
def test_crafted_runs(run: Path, tmp_path: Path, rounds: Rounds, seed: int) -> None:
    ends = harm_crafted(run, tmp_path / "scratch", rounds(short=400, long=20_000) // 2, seed)
    assert ends.keys() == {"refused", "taken"}, ends


def test_a_session_that_saves_keeps_the_files_of_a_user(run: Path, tmp_path: Path) -> None:
    copy = copied(run, tmp_path / "scratch")
    put = put_user_files(copy, run)
    assert READERS["resume"](copy).status == 0
    assert (copy / "checkpoints" / "00000010").exists()
    check_user_files(put)


@pytest.mark.parametrize(("reader", "name"), [("init-from", "00000006"), ("resume", "00000008")])
def test_training_says_that_it_takes_another_checkpoint(
    run: Path, expected: Expected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str, name: str
) -> None:
    """Among other notes; a planted fault that drops those about checkpoints is found."""
    real = Run.checkpoint
    for harm in (shutil.rmtree, lambda folder: flip_bit(folder / "model.safetensors", Random(1))):
        copy = copied(run, tmp_path / "scratch")
        harm(copy / "checkpoints" / name)
        assert expected.check_raw(reader, READERS[reader](copy)) == "fell back"
        copy = copied(run, tmp_path / "scratch")
        harm(copy / "checkpoints" / name)
        with monkeypatch.context() as patch:
            patch.setattr(Run, "checkpoint", lambda opened, which: (*real(opened, which)[:2], ()))
            done = READERS[reader](copy)
        assert "note: " in done.err
        with pytest.raises(BrokenPromiseError, match="another checkpoint without a notice of it"):
            expected.check_raw(reader, done)


@pytest.mark.parametrize("name", LINES)
def test_a_sparse_file_of_lines_takes_little_memory(
    run: Path, expected: Expected, tmp_path: Path, name: str
) -> None:
    """A file that takes no room on the disk, and has as many bytes as are read."""
    copy = copied(run, tmp_path / "scratch")
    os.truncate(copy / name, limits.RECORDS - 1)
    before = peak_bytes()
    check_the_check(copy)
    assert expected.check_raw("resume", READERS["resume"](copy)) == "unchanged"
    assert peak_bytes() - before < MOST_GROWTH_BYTES // 4


class _Equal(str):
    """A hash that equals every other."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, _other: object) -> bool:
        return True

    def __ne__(self, _other: object) -> bool:
        return False


def test_a_planted_reader_that_compares_no_hashes_is_found(
    run: Path, expected: Expected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("charkit.runs.checkpoint.sha256", lambda _content: SimpleNamespace(hexdigest=_Equal))
    with pytest.raises(AssertionError, match="other numbers"):
        harm_raw(run, expected, tmp_path / "scratch", 300, seed)


@_OVERFLOWS
def test_a_planted_reader_that_takes_nan_is_found(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("charkit.tensor_file.first_not_finite", lambda _arrays: None)
    with pytest.raises(AssertionError, match="CheckpointCheck"):
        harm_crafted(run, tmp_path / "scratch", 300, seed)


def test_planted_names_that_a_user_chooses_too_are_found(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = re.compile(r"\.(?P<name>.+?)-(?P<kind>old-)?[a-z0-9_]{8}")
    monkeypatch.setattr("charkit.runs.temporary_names._FORM", names)
    copy = copied(run, tmp_path / "scratch")
    put = put_user_files(copy, run)
    charkit.check(copy, repair=True)
    with pytest.raises(AssertionError, match=r"files of a user are gone.*\.README\.md-draft001"):
        check_user_files(put)


def test_a_planted_save_that_removes_every_folder_with_a_checkpoints_name_is_found(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charkit.runs.pruning._is_own", lambda _folder, name: step_of(name) is not None)
    copy = copied(run, tmp_path / "scratch")
    put = put_user_files(copy, run)
    READERS["resume"](copy)
    with pytest.raises(AssertionError, match=r"20250101/notes\.txt"):
        check_user_files(put)


@_OVERFLOWS
def test_a_planted_repair_that_removes_a_file_is_found(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(
        "charkit.runs.check.remove_left_over_files", lambda run: (run / "README.md").unlink(missing_ok=True)
    )
    with pytest.raises(AssertionError, match=r"README\.md"):
        harm_crafted(run, tmp_path / "scratch", 20, seed)


# ---- R5 -------------------------------------------------------------------------------------------------


def tree(run: Path) -> Tree:
    """Every entry of a run by its path: the content of plain files, the kind of others."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        if path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 20
        else "other"
        for path in run.rglob("*")
        if path.name != "lock"
    }


def check_the_check(copy: Path) -> None:
    """Whether ``check`` is right about a run, repairs what it says, and removes nothing but debris."""
    with limited():
        try:
            found = charkit.check(copy)
        except RunError:
            return
        config = Run.open(copy).config
        for checkpoint in found.checkpoints:
            assert checkpoint.whole == _loads(copy / "checkpoints" / checkpoint.name, config), checkpoint
        before = tree(copy)
        repaired = charkit.check(copy, repair=True)
    after = tree(copy)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed <= {"best", "latest", *found.debris}, changed
    assert repaired.checkpoints == found.checkpoints
    assert repaired.debris == ()
    if repaired.usable:
        for pointer in repaired.pointers:
            in_the_way = (copy / pointer.name).is_dir()  # somebody's folder, which is not removed
            assert pointer.problem is None or pointer.expected is None or in_the_way, pointer


def _loads(folder: Path, config: charkit.RunConfig) -> bool:
    try:
        snapshot = load_checkpoint(folder, config).snapshot
    except CharkitError:
        return False
    return all(np.isfinite(array).all() for array in snapshot.arrays().values())
