"""Makes charkit's modules see what they would see on Windows, in every process that has this folder in PYTHONPATH.

Modules and functions that Windows lacks are hidden from charkit alone: the standard library and other packages go on
as ever. Where Windows refuses what POSIX allows, so do the functions here: a name that is taken is not renamed over,
a folder is not opened, and a file that is open, or a folder with one in it, is not renamed or removed. What charkit
calls on Windows alone (msvcrt, kernel32) is played by calls of POSIX. It is no Windows: paths, encodings, consoles and
the file system itself stay as they are.
"""

from __future__ import annotations

import builtins
import ctypes
import errno
import importlib
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

HIDDEN_MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "posix")
HIDDEN = {
    "os": (
        *(
            "O_NOFOLLOW",
            "O_DIRECTORY",
            "O_NONBLOCK",
            "O_CLOEXEC",
            "O_NOCTTY",
            "pread",
            "pwrite",
            "killpg",
            "setsid",
        ),
        *(
            "sched_getaffinity",
            "sysconf",
            "fork",
            "getuid",
            "geteuid",
            "getpgid",
            "fchmod",
            "chown",
            "mkfifo",
        ),
        *("statvfs", "getloadavg", "uname", "nice", "posix_fadvise", "posix_fallocate", "process_cpu_count"),
    ),
    "signal": (
        "SIGHUP",
        "SIGKILL",
        "SIGPIPE",
        "SIGALRM",
        "SIGUSR1",
        "SIGUSR2",
        "SIGRTMIN",
        "SIGCHLD",
        "alarm",
    ),
    "select": ("poll", "epoll", "kqueue"),
}
Import = Callable[..., ModuleType]
#: Windows goes on giving this number when the parent has ended.
_PARENT = os.getppid()


def _facade(real: ModuleType, **other: Any) -> ModuleType:
    """A module without what is hidden of it, and with other functions in it."""
    found = ModuleType(real.__name__, real.__doc__)
    hidden = HIDDEN.get(real.__name__, ())
    vars(found).update({name: value for name, value in vars(real).items() if name not in hidden})
    vars(found).update(other)
    return found


# ---- what Windows refuses --------------------------------------------------------------------------------


def _refuse_open(path: Any) -> None:
    """Raises PermissionError where this process has the file, or one in the folder, open."""
    whole = os.path.realpath(path)
    for number in os.listdir("/proc/self/fd"):
        try:
            held = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if held == whole or held.startswith(f"{whole}/"):
            raise PermissionError(errno.EACCES, "the file is in use", str(path))


def _rename(source: Any, target: Any) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    _refuse_open(source)
    os.rename(source, target)


def _replace(source: Any, target: Any) -> None:
    _refuse_open(source)
    if os.path.lexists(target):
        if os.path.isdir(target):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
        _refuse_open(target)
    os.replace(source, target)


def _unlink(path: Any) -> None:
    _refuse_open(path)
    os.unlink(path)


def _rmtree(path: Any, ignore_errors: bool = False) -> None:
    _refuse_open(path)
    shutil.rmtree(path, ignore_errors)


def _open(path: Any, flags: int, mode: int = 0o777) -> int:
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return os.open(path, flags, mode)


def _access(path: Any, mode: int) -> bool:
    """Windows has no /dev. (Processes beside this one would take a folder in it for one left behind.)"""
    return not os.fspath(path).startswith("/dev/") and os.access(path, mode)


class _Popen(subprocess.Popen[Any]):
    """Refuses what Windows has not, and ignores what POSIX has not."""

    def __init__(self, *arguments: Any, creationflags: int = 0, **options: Any) -> None:
        refused = {"start_new_session", "pass_fds", "preexec_fn", "process_group"} & options.keys()
        if refused:
            raise ValueError(f"{', '.join(refused)}: not supported on Windows")
        super().__init__(*arguments, **options)


# ---- what Windows alone has ------------------------------------------------------------------------------


def _locking(handle: int, mode: int, count: int) -> None:
    import fcntl

    assert (mode, count) == (2, 1)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


class _Function:
    """A function of a DLL, with the attributes that a caller sets."""

    def __init__(self, call: Callable[..., int]) -> None:
        self._call = call
        self.argtypes: Any = None
        self.restype: Any = None

    def __call__(self, *arguments: Any) -> int:
        return self._call(*arguments)


def _peek(handle: int, _buffer: None, _size: int, _read: None, count: Any, _left: None) -> int:
    """PeekNamedPipe: 0 where the other end is closed and nothing is left."""
    import array
    import fcntl
    import termios

    waiting = array.array("i", [0])
    fcntl.ioctl(handle, termios.FIONREAD, waiting)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    closed = any(event & select.POLLHUP for _, event in poll.poll(0))
    count._obj.value = waiting[0]
    return 0 if closed and not waiting[0] else 1


def _memory_info(_process: Any, counters: Any, _size: int) -> int:
    counters._obj.PeakWorkingSetSize, counters._obj.WorkingSetSize = 200 << 20, 100 << 20
    return 1


def _memory_status(status: Any) -> int:
    status._obj.ullTotalPhys = 8 << 30
    return 1


def _open_process(rights: int, inherited: bool, process: int) -> int:
    """A handle of the process; 0 where it has ended."""
    assert (rights, inherited) == (0x100000, False)
    try:
        return os.pidfd_open(process)
    except ProcessLookupError:
        return 0


def _wait_for_process(handle: int, milliseconds: int) -> int:
    assert milliseconds == 0xFFFFFFFF
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.poll()
    return 0


def _dll(_name: str) -> ModuleType:
    found = ModuleType("kernel32")
    vars(found).update(
        PeekNamedPipe=_Function(_peek),
        K32GetProcessMemoryInfo=_Function(_memory_info),
        GlobalMemoryStatusEx=_Function(_memory_status),
        GetCurrentProcess=_Function(lambda: 1),
        OpenProcess=_Function(_open_process),
        WaitForSingleObject=_Function(_wait_for_process),
        CloseHandle=_Function(lambda handle: os.close(handle) or 1),
    )
    return found


_msvcrt = ModuleType("msvcrt")
vars(_msvcrt).update(LK_NBLCK=2, locking=_locking, get_osfhandle=lambda handle: handle)

# ---- importing -------------------------------------------------------------------------------------------


def _import_module(name: str, package: str | None = None) -> ModuleType:
    if name in HIDDEN_MODULES:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return FACADES.get(name) or importlib.import_module(name, package)


def _import(name: str, scope: Any = None, local: Any = None, names: Any = (), level: int = 0) -> ModuleType:
    """``__import__`` as charkit's modules have it."""
    top = name.partition(".")[0]
    if level == 0 and top in HIDDEN_MODULES:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    if level == 0 and (name in FACADES or (top in FACADES and not names)):
        return FACADES[top]
    return builtins.__import__(name, scope, local, names, level)


FACADES = {
    "ctypes": _facade(ctypes, WinDLL=_dll),
    "importlib": _facade(importlib, import_module=_import_module),
    "msvcrt": _msvcrt,
    "os": _facade(
        os,
        supports_dir_fd=set(),
        rename=_rename,
        replace=_replace,
        unlink=_unlink,
        open=_open,
        access=_access,
        getppid=lambda: _PARENT,
    ),
    "select": _facade(select),
    "shutil": _facade(shutil, rmtree=_rmtree),
    "signal": _facade(signal),
    "subprocess": _facade(subprocess, Popen=_Popen),
}


class _Finder:
    """Loads charkit's modules with another ``__import__``."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if not name.startswith("charkit"):
            return None
        spec = PathFinder.find_spec(name, path, target)
        loader: Any = None if spec is None else spec.loader
        if loader is None:
            return spec
        run = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import}
            run(module)

        loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, _Finder)
