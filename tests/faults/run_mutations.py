"""Harm to the files of a run: raw, as disks and accidents do it, and rehashed, as a stranger could."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from random import Random

from charkit.runs import limits
from faults.json_mutations import ODD_VALUES, mutate_json
from faults.tensor_mutations import mutate_tensors

COMMON = ("config.json", "vocabulary.json")
LINES = ("metrics.jsonl", "samples.jsonl", "schedule.jsonl", "sessions.jsonl")


def files_of(run: Path) -> list[Path]:
    """Every file of a run, in an order of its own."""
    return sorted(path for path in run.rglob("*") if path.is_file() and path.name != "lock")


def rehash(run: Path) -> None:
    """Makes every manifest fit its files again."""
    for manifest in run.glob("checkpoints/*/manifest.json"):
        files = [path for path in manifest.parent.iterdir() if path != manifest]
        files += [run / name for name in COMMON]
        entries = {
            path.name: {"bytes": path.stat().st_size, "sha256": sha256(path.read_bytes()).hexdigest()}
            for path in files
        }
        manifest.write_text(json.dumps(entries))


# ---- what is a user's own -------------------------------------------------------------------------------

#: Files that a user may have put into a run and among its checkpoints, with names like those of temporary files.
USER_FILES = (
    *("notes.txt", ".README.md-draft001", ".lock-personal", ".text.txt-original", ".best-00000006"),
    *("checkpoints/.00000040-mynotes", "checkpoints/20250101/notes.txt"),
)


def put_user_files(run: Path, whole: Path) -> dict[Path, bytes | None]:
    """Puts files and folders of a user into a run and beside it; their paths, with the content of each file.

    ``whole`` is the run without harm, of which the user has copies.
    """
    checkpoints = run / "checkpoints"
    for name in USER_FILES:
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_bytes(b"")  # as a file that a kill cut short
    oldest = next((path for path in sorted(checkpoints.glob("0000000[0-9]")) if path.is_dir()), checkpoints)
    (oldest / "notes.txt").write_bytes(b"mine")
    empty = [checkpoints / "00000001", checkpoints / ".00000040-oldstuff"]
    for folder in empty:
        folder.mkdir()
    copies = [run.with_name(f".{run.name}-{name}") for name in ("original", "20260101", "old-20260101")]
    for copy in copies:
        shutil.copytree(whole, copy)
    backup = Path(shutil.copytree(whole / "checkpoints" / "00000006", checkpoints / ".00000060-mybackup"))
    found = [*(run / name for name in USER_FILES), oldest / "notes.txt", *empty]
    found += [path for folder in (*copies, backup) for path in folder.rglob("*")]
    return {path: path.read_bytes() if path.is_file() else None for path in found}


def check_user_files(put: dict[Path, bytes | None]) -> None:
    """Raises AssertionError where one of them is gone or has changed."""
    lost = [
        str(path)
        for path, content in put.items()
        if not (path.is_dir() if content is None else path.is_file() and path.read_bytes() == content)
    ]
    assert lost == [], f"files of a user are gone or have changed: {lost}"


# ---- raw ------------------------------------------------------------------------------------------------


def flip_bit(path: Path, random: Random) -> str:
    """Turns one bit of a file."""
    content = bytearray(path.read_bytes())
    at = random.randrange(len(content))
    content[at] ^= 1 << random.randrange(8)
    path.write_bytes(content)
    return f"a bit of byte {at} turned"


def _truncate(path: Path, random: Random) -> str:
    size = random.randrange(path.stat().st_size)
    os.truncate(path, size)
    return f"cut to {size} bytes"


def _grow(path: Path, random: Random) -> str:
    with path.open("ab") as file:
        file.write(random.choice((b"\0", b"x" * 100, b"\n", b"}", bytes(4096))))
    return "longer"


def _overwrite(path: Path, random: Random) -> str:
    content = bytearray(path.read_bytes())
    start = random.randrange(len(content))
    stop = min(len(content), start + random.randrange(1, 512))
    content[start:stop] = random.randbytes(stop - start)
    path.write_bytes(content)
    return f"bytes {start} to {stop} overwritten"


def _remove(path: Path, _random: Random) -> str:
    path.unlink()
    return "removed"


def _replace_kind(path: Path, random: Random) -> str:
    """Puts something else than a plain file in a file's place."""
    kind = random.choice(
        ("folder", "link", "link to a device", "link to itself", "pipe", "hard link", "sparse")
    )
    content, beside = path.read_bytes(), _run_of(path).parent / f"outside-{path.name}"
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        beside.write_bytes(content)
        path.symlink_to(beside)
    elif kind == "link to a device":
        path.symlink_to(random.choice(("/dev/zero", "/dev/random", "/dev/tty")))
    elif kind == "link to itself":
        path.symlink_to(path.name)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "hard link":
        beside.write_bytes(content)
        os.link(beside, path)
    else:
        path.write_bytes(content)
        os.truncate(path, random.choice((limits.RECORDS - 1, 2**31, 2**38)))
    return f"now a {kind}"


def _swap(path: Path, random: Random) -> str:
    other = random.choice([each for each in files_of(_run_of(path)) if each != path])
    one, two = path.read_bytes(), other.read_bytes()
    path.write_bytes(two)
    other.write_bytes(one)
    return f"swapped with {other.parent.name}/{other.name}"


def _rename_checkpoint(path: Path, random: Random) -> str:
    folder = random.choice(sorted((_run_of(path) / "checkpoints").iterdir()))
    new = random.choice(
        (
            "00000099",
            "00000400-backup",
            "9",
            "000000012",
            "²²²²²²²²",
            "99999999999999999999",
            folder.name + "x",
        )
    )
    if random.random() < 0.5:
        shutil.copytree(folder, folder.with_name(new))
        return f"checkpoint {folder.name} copied to {new}"
    folder.rename(folder.with_name(new))
    return f"checkpoint {folder.name} renamed to {new}"


def _run_of(path: Path) -> Path:
    return next(parent for parent in path.parents if (parent / "checkpoints").is_dir())


RAW: tuple[Callable[[Path, Random], str], ...] = (
    flip_bit,
    flip_bit,
    _truncate,
    _grow,
    _overwrite,
    _remove,
    _replace_kind,
    _swap,
    _rename_checkpoint,
)


def mutate_raw(run: Path, random: Random) -> str:
    """Does one harm to one file of a run; what that was."""
    path = random.choice(files_of(run))
    return f"{path.relative_to(run)}: {random.choice(RAW)(path, random)}"


# ---- rehashed -------------------------------------------------------------------------------------------


def mutate_content(run: Path, random: Random) -> str:
    """Changes what one file of a run says, and makes the manifests fit; what that was."""
    path = random.choice([path for path in files_of(run) if path.name != "README.md"])
    if path.suffix == ".safetensors":
        content, what = mutate_tensors(path.read_bytes(), random)
        path.write_bytes(content)
    elif path.name in LINES:
        what = _mutate_lines(path, random)
    else:
        text, what = mutate_json(path.read_text("utf-8"), random)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
    if path.name != "manifest.json":
        rehash(run)
    return f"{path.relative_to(run)}, rehashed: {what}"


def _mutate_lines(path: Path, random: Random) -> str:
    lines = path.read_text("utf-8").splitlines()
    number = random.randrange(len(lines))
    if random.random() < 0.3:
        lines[number] = random.choice(ODD_VALUES)
        what = f"is {lines[number][:30]}"
    else:
        lines[number], what = mutate_json(lines[number], random)
    path.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass"))
    return f"line {number}: {what}"
