"""Child processes: those that Ctrl-C doesn't reach, ending all that they started, and outliving their parent."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from charkit.system.signals import KILL

#: subprocess.CREATE_NEW_PROCESS_GROUP, which only Windows has.
_NEW_PROCESS_GROUP = 0x200
#: The right to wait for a process of Windows, and a wait without a limit.
_SYNCHRONIZE, _INFINITE = 0x100000, 0xFFFFFFFF
#: Seconds between two looks at the parent process.
_LOOK_SECONDS = 1.0


def own_group() -> dict[str, Any]:
    """The arguments of ``subprocess.Popen`` for a process in a group of its own, which ``kill_group`` ends."""
    if hasattr(os, "killpg"):
        return {"start_new_session": True}
    return {"creationflags": _NEW_PROCESS_GROUP}


def kill_group(process: subprocess.Popen[Any]) -> None:
    """Kills a process that was started with ``own_group``, and what it started. Does nothing where all have ended."""
    killpg: Any = getattr(os, "killpg", None)
    if killpg is not None:
        with suppress(ProcessLookupError, PermissionError):  # the second is how macOS reports an empty group
            killpg(process.pid, KILL)
        return
    with suppress(OSError):
        command = ["taskkill", "/T", "/F", "/PID", str(process.pid)]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    with suppress(OSError):
        process.kill()


def wait_for_end_of_parent(parent: int) -> None:
    """Returns when the process with this number, which started this one, has ended.

    Windows goes on giving the number of a parent that has ended, so there its handle is waited for.
    """
    if hasattr(os, "killpg"):
        while os.getppid() == parent:
            time.sleep(_LOOK_SECONDS)
        return
    kernel: Any = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined, unused-ignore]
    kernel.OpenProcess.restype = ctypes.c_void_p
    kernel.WaitForSingleObject.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    kernel.CloseHandle.argtypes = [ctypes.c_void_p]
    handle = kernel.OpenProcess(_SYNCHRONIZE, False, parent)
    if handle:  # none if it has ended already
        kernel.WaitForSingleObject(handle, _INFINITE)
        kernel.CloseHandle(handle)


@dataclass
class SideChannel:
    """A way for a child process to report beside its standard streams.

    ``argument`` names it on the child's command line, for ``open_side_channel``, and ``options`` are arguments of
    ``subprocess.Popen``. ``pipe`` brings what is reported while the child runs; where the system can't hand a pipe
    down, it is None and ``read_file`` has it afterwards.
    """

    argument: str
    options: dict[str, Any] = field(default_factory=dict)
    pipe: IO[bytes] | None = None
    _writing: int | None = None
    _path: Path | None = None

    def started(self) -> None:
        """Closes this process's copy of the child's end, so that the pipe ends with the child."""
        if self._writing is not None:
            os.close(self._writing)
            self._writing = None

    def read_file(self) -> bytes:
        """What was reported, where there is no pipe."""
        return b"" if self._path is None else self._path.read_bytes()


@contextmanager
def side_channel() -> Iterator[SideChannel]:
    """A channel for a child that is started inside: a pipe, or a file on systems where children inherit none."""
    if hasattr(os, "killpg"):
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as pipe:
            channel = SideChannel(str(writing), {"pass_fds": [writing]}, pipe, writing)
            try:
                yield channel
            finally:
                channel.started()
        return
    with tempfile.TemporaryDirectory(prefix="charkit-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "report"
        path.touch()
        yield SideChannel(str(path), _path=path)


def open_side_channel(argument: str) -> IO[str]:
    """The child's end of the channel, for text. Raises OSError."""
    if argument.isdecimal():
        return os.fdopen(os.dup(int(argument)), "w", encoding="utf-8")
    return open(argument, "a", encoding="utf-8")
