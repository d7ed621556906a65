"""Damaged checkpoints: each kind of damage is applied, outcomes are classified correctly, and charkit refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from benchmarks.checkpoint_formats import FORMATS, Format, answer
from benchmarks.damaged_checkpoints import DAMAGES, damage, outcome

from charkit import CharkitError

_ROOT = Path(__file__).parents[2]


def _measure(name: str, rounds: int) -> list[str]:
    """The cells of the row that the program prints for a format."""
    child = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks",
            "damaged-checkpoints",
            "--rounds",
            str(rounds),
            "--format",
            name,
        ],
        cwd=_ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    row = next(line for line in child.stdout.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_charkit_loads_no_other_numbers() -> None:
    _, refused, same, other, crashed, _ = _measure("charkit run", rounds=12)
    assert (other, crashed) == ("0", "0")
    assert int(refused) + int(same) == 12
    assert int(refused) >= 9  # without a pointer, the run loads all the same


@pytest.mark.torch
def test_other_numbers_are_found() -> None:
    *_, other, _, kinds = _measure("PyTorch .pt", rounds=20)
    assert int(other) > 0
    assert "bit flipped" in kinds


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_changes_one_file(kind: str, tmp_path: Path) -> None:
    contents = {"a": b"a" * 50, "b": b"b" * 70, "same": b"s" * 30}
    for folder in ("intact", "other"):
        (tmp_path / folder).mkdir()
        for name, content in contents.items():
            other = folder == "other" and name != "same"
            (tmp_path / folder / name).write_bytes(content.upper() if other else content)
    changed = damage(tmp_path / "intact", tmp_path / "other", kind, FORMATS["Orbax"], Random(1))
    now = {path.name: path.read_bytes() for path in (tmp_path / "intact").iterdir()}
    assert [name for name in contents if now.get(name) != contents[name]] == [changed]
    if kind == "missing":
        assert changed not in now
    elif kind == "exchanged":
        assert now[changed] == contents[changed].upper()
    else:
        assert (len(now[changed]) - len(contents[changed]) > 0) == (kind == "extended")
        assert (len(now[changed]) - len(contents[changed]) < 0) == (kind == "cut")


@pytest.mark.parametrize(
    ("library", "error", "column"),
    [
        ("charkit", CharkitError("damaged"), "refused"),
        ("charkit", KeyError("a mistake of charkit"), "crashed or hung"),
        ("torch", KeyError("what the library raises"), "refused"),
        ("torch", None, "other numbers"),
    ],
)
def test_what_counts_as_refused(library: str, error: Exception | None, column: str) -> None:
    def load(_path: Path) -> dict[str, object]:
        if error is not None:
            raise error
        return {}

    chosen = Format((library,), "model", lambda _path, _seed: None, load)  # type: ignore[arg-type]
    assert outcome(answer(chosen, {"load": "model"}), saved="of other numbers") == column


def test_the_saved_numbers_and_a_dead_process_are_told_apart() -> None:
    assert outcome({"digest": "d"}, saved="d") == "the saved numbers"
    assert outcome({"crashed": "the process ended"}, saved="d") == "crashed or hung"
