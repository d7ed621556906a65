"""The processes that local workers are, as the system lists them."""

from __future__ import annotations

from pathlib import Path

import pytest

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system lists no processes")


def workers_of(driver: int) -> list[int]:
    """The processes of workers whose driver is this process."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_bytes()
        except OSError:  # the process has ended
            continue
        if parent == driver and b"charkit.distributed.local_worker" in command:
            found.append(int(folder.name))
    return sorted(found)


def runs(process: int) -> bool:
    """Whether the process is still running. One that has ended but was not waited for is not."""
    try:
        status = Path(f"/proc/{process}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
