"""What this machine is, and how much memory this process uses, in bytes, as far as the system reports it."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from charkit.system import memory

_CPUINFO = Path("/proc/cpuinfo")
_STATUS = Path("/proc/self/status")
#: Names of the instructions that multiply bfloat16, as Linux lists them for x86 and for ARM.
_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"})


def most_threads() -> int:
    """Returns how many threads may be asked for: more than help, fewer than what makes frameworks crash."""
    return max(64, 4 * (os.cpu_count() or 1))


def processor_name() -> str:
    """The name of the processor's model; where the system has none, the kind of processor."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def processor_flags() -> frozenset[str]:
    """What the processor can do, as Linux names it, such as ``avx2``; empty where the system doesn't report it."""
    return frozenset((_cpuinfo("flags") or _cpuinfo("Features")).split())


def has_bfloat16_instructions() -> bool:
    """Whether the processor multiplies bfloat16 itself; True where the system doesn't report it."""
    flags = processor_flags()
    return not flags or bool(flags & _BFLOAT16_FLAGS)


def peak_bytes() -> int:
    """The most memory that was resident. On Linux getrusage's figure can be that of the process it was started by."""
    found = _status_bytes("VmHWM")
    return memory.peak_resident_bytes() if found is None else found


def resident_bytes() -> int:
    """The memory that is resident now; where the system does not report it, the most that was."""
    found = _status_bytes("VmRSS")
    if found is None:
        found = memory.resident_bytes()
    return peak_bytes() if found is None else found


def _cpuinfo(field: str) -> str:
    """A field of the first processor, or nothing. Source: proc(5), /proc/cpuinfo."""
    try:
        text = _CPUINFO.read_text("utf-8", "replace")
    except OSError:
        return ""
    found = re.search(rf"^{field}\s*:(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def _status_bytes(field: str) -> int | None:
    """A size in this process's status, or None where there is none. Source: proc(5), /proc/pid/status."""
    if not _STATUS.exists():
        return None
    found = re.search(rf"^{field}:\s*(\d+) kB$", _STATUS.read_text("ascii", "replace"), re.MULTILINE)
    return None if found is None else 1024 * int(found[1])
