"""A process ends with its status although threads would keep it alive, whether or not anyone reads what it prints."""

from __future__ import annotations

import subprocess
import sys

import pytest

_WAITING = """
import sys, threading
from charkit_cli import process_end
process_end._PATIENCE_SECONDS = {patience}
if {waits}:
    threading.Thread(target=threading.Event().wait).start()
print("the last line", flush=True)
if {is_closed}:
    sys.stderr.close()
process_end.limit_wait_for_threads(3)
sys.exit(3)
"""


@pytest.mark.parametrize("is_closed", [False, True])
def test_threads_that_never_end_do_not_keep_the_process(is_closed: bool) -> None:
    program = _WAITING.format(patience=0.2, waits=True, is_closed=is_closed)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stdout) == (3, "the last line\n")
    note = "note: this process ended although threads that the backend started were still running\n"
    assert ended.stderr == ("" if is_closed else note)


def test_a_process_without_such_threads_ends_at_once_and_says_nothing() -> None:
    program = _WAITING.format(patience=100, waits=False, is_closed=False)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (3, "")
