"""How much memory this process holds, and the most that it has held; in bytes."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path


def peak_bytes() -> int:
    """The most memory that was resident. On Linux getrusage's figure can be that of the process it was started by."""
    found = _of_linux("VmHWM")
    if found is not None:
        return found
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def resident_bytes() -> int:
    """The memory that is resident now; where a system does not say, the most that was."""
    found = _of_linux("VmRSS")
    return peak_bytes() if found is None else found


def _of_linux(field: str) -> int | None:
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    found = re.search(rf"^{field}:\s*(\d+) kB$", status.read_text("ascii", "replace"), re.MULTILINE)
    return None if found is None else 1024 * int(found[1])
