"""The limit that control groups set on processor time, as for a container (``docker run --cpus 2``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

#: The groups of this process, a line each: number, controllers, path. Version 2 has one group, without controllers.
_MEMBERSHIP = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def cpu_quota(membership: Path = _MEMBERSHIP, groups: Path = _GROUPS) -> float | None:
    """How many processors' time this process may use, such as 1.5; None where nothing limits it."""
    limits = [limit for folder in _folders(membership, groups) if (limit := _limit_in(folder)) is not None]
    return min(limits, default=None)


def _folders(membership: Path, groups: Path) -> Iterator[Path]:
    """The folder of each group that may limit processor time: those of this process, and those they are in.

    A container may see the path that its group has outside, whereas its own group is the outermost that it sees.
    """
    lines: list[str] = []
    with suppress(OSError, ValueError):
        lines = membership.read_text("utf-8").splitlines()
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = groups / "cpu" if controllers else groups
        folder = top / path.lstrip("/")
        yield folder
        yield from (parent for parent in folder.parents if parent.is_relative_to(top))


def _limit_in(group: Path) -> float | None:
    """Microseconds of processor time over those of the period in which they may be used; version 2, then 1."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (group / "cpu.max").read_text("utf-8").split()
        return None if quota == "max" else int(quota) / int(period)
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = ((group / f"cpu.cfs_{name}_us").read_text("utf-8") for name in ("quota", "period"))
        return None if int(quota) < 0 else int(quota) / int(period)
    return None
