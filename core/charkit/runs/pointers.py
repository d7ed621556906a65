"""The names of checkpoints, and the files ``best`` and ``latest`` of a run, which name one each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from charkit.errors import RunError, reason_of
from charkit.runs import limits
from charkit.runs.files_by_path import to_json, writing
from charkit.runs.folder_files import OpenFolder
from charkit.strict_json import parse_json

Which = Literal["best", "latest"]


def checkpoint_name(step: int) -> str:
    """The folder name of a step's checkpoint."""
    return f"{step:08d}"


def step_of(name: str) -> int | None:
    """The step of a checkpoint's folder; None for a name that ``checkpoint_name`` does not give."""
    if not re.fullmatch("[0-9]{8,18}", name):
        return None
    step = int(name)
    return step if checkpoint_name(step) == name else None


def point(run: Path, which: Which, step: int) -> None:
    """Points ``best`` or ``latest`` at a step: a little JSON, since links don't travel everywhere."""
    content = to_json({"checkpoint": checkpoint_name(step), "step": step})
    with writing(run / which), OpenFolder.at(run) as opened:
        opened.replace(which, content)


def repoint(run: Path, which: Which, name: str | None) -> str:
    """Points ``best`` or ``latest`` at a checkpoint, or removes it where there is none; returns what was done."""
    if name is not None:
        point(run, which, step_of(name) or 0)
        return f"pointed {which!r} at {name}"
    with writing(run / which), OpenFolder.at(run) as opened:
        opened.remove(which)
    return f"removed {which!r}"


def pointed_at(run: Path, which: Which) -> str | None:
    """The name of the checkpoint that ``best`` or ``latest`` points at, or None. Raises RunError."""
    try:
        with OpenFolder.at(run) as opened:
            name = str(parse_json(opened.read(which, limits.POINTER))["checkpoint"])
        if step_of(name) is None:
            raise ValueError(f"{name[:40]!r} is not a checkpoint's name")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RunError) as error:
        raise RunError(
            f"{str(run / which)!r} can't be read ({reason_of(error)}); remove it, since charkit can find the "
            "checkpoint without it"
        ) from error
    return name
