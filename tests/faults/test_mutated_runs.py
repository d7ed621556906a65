"""R4 and R5: whatever is done to the files of a run, commands refuse it in one line or are still right; and ``check``.

Of a crafted run, whose hashes fit, the numbers are those that its author wants; what is promised is that it is refused
or works as a run does. After raw harm, numbers are those of before or nothing is done.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest

import charkit
from charkit.errors import CharkitError, RunError
from charkit.runs.checkpoint import load_checkpoint
from charkit.runs.run import Run
from faults.rounds import Rounds
from faults.run_mutations import mutate_content, mutate_raw
from faults.run_outcomes import (
    READERS,
    BrokenPromiseError,
    Expected,
    check_crafted,
    copied,
    limited,
    make_run,
    peak_bytes,
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
    """Copies of the run, each with one harm done to it: the copy, what was done, and which reader is next."""
    before = peak_bytes()
    for round_number in range(number):
        random = Random(f"{seed}-{mutate.__name__}-{round_number}")
        copy = copied(run, scratch)
        what = mutate(copy, random)
        try:
            yield copy, f"round {round_number}, {what}", random.choice(DRAWN)
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
    ends = harm_raw(run, expected, tmp_path / "scratch", rounds(short=400) // 2, seed)
    assert ends.keys() == {"refused", "fell back", "unchanged"}, ends


@_OVERFLOWS
def test_crafted_runs(run: Path, tmp_path: Path, rounds: Rounds, seed: int) -> None:
    ends = harm_crafted(run, tmp_path / "scratch", rounds(short=400) // 2, seed)
    assert ends.keys() == {"refused", "taken"}, ends


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
