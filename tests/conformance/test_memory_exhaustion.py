"""What a process reports of NumPy when its memory runs out. It has its own, whose allocator then keeps freed memory."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from charkit.testing.memory import can_limit_memory

_PROGRAM = """
import json
from charkit.testing.isolated.memory_exhaustion import exhaust_memory, repeat_exhausted_calls
from charkit_numpy.backend import NumpyBackend

backend = NumpyBackend(precision="float32", device="cpu", threads=1)
print(json.dumps([exhaust_memory(backend), repeat_exhausted_calls(backend)]))
"""


@pytest.mark.skipif(not can_limit_memory(), reason="this system can't limit a process's memory")
def test_numpy_raises_memory_error_and_goes_on() -> None:
    process = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False)
    assert process.stderr == ""
    report, repeated = json.loads(process.stdout)
    assert report["is_memory_error"]
    assert report["raised"].startswith("MemoryError: Unable to allocate ")
    assert report["wrong_errors_of_tensor"] == {}
    assert report["keeps_error"] == ""
    assert repeated == {"raised": ""}
