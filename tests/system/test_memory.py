"""Memory that is freed is kept for the next use, where the C library can do that."""

from __future__ import annotations

import mmap
import os
import platform
import subprocess
import sys

import pytest

_PROGRAM = """
import resource, sys
from charkit.system.memory import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

before = faults()
for _ in range(2):
    if sys.argv[1] == "keeps":
        keep_freed_memory()
assert faults() - before < 1000, "it was written to"
rounds, blocks, before = 20, 16, faults()
for _ in range(rounds):
    held = [bytearray(b"x") * (1 << 20) for _ in range(blocks)]
    del held
print((faults() - before) / (rounds * blocks))
"""
#: Of a block of 1 MiB.
_PAGES = (1 << 20) // mmap.PAGESIZE
#: What changes how memory is allocated.
_ALLOCATION = {
    *("GLIBC_TUNABLES", "LD_PRELOAD", "MALLOC_ARENA_MAX", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_"),
    *("MALLOC_TOP_PAD_", "MALLOC_TRIM_THRESHOLD_"),
}


def _faults_per_block(case: str, **variables: str) -> float:
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM, case],
        env={name: value for name, value in os.environ.items() if name not in _ALLOCATION} | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(ended.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed memory in this way")
def test_freed_memory_is_kept_for_the_next_block() -> None:
    assert _faults_per_block("keeps") < _PAGES / 5
    assert _faults_per_block("does not keep") > _PAGES / 2
    limits = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
    assert _faults_per_block("keeps", **limits) > _PAGES / 2  # the user's own
