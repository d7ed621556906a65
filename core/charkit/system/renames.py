"""Renames that either refuse a name that is taken or exchange two names, each in one call where the system has it.

``os.rename`` silently replaces an empty folder and can't exchange. Linux has renameat2 and macOS has renameatx_np; on
other systems and on file systems that know neither, steps take their place that are undone if one of them fails.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from functools import cache
from typing import Any, Literal

#: What system calls answer where the kernel or the file system does not have them.
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EPERM}
_Kind = Literal["new", "exchange"]
#: The name of the function in the C library, and its flags.
_CALLS: dict[str, tuple[str, dict[_Kind, int]]] = {
    "linux": ("renameat2", {"new": 1, "exchange": 2}),
    "darwin": ("renameatx_np", {"new": 4, "exchange": 2}),
}


def rename_new(source: str, target: str, *, folder: int) -> None:
    """Renames within an open folder. Raises FileExistsError where the target exists, whatever it is."""
    if _rename_in_one_call("new", source, target, folder):
        return
    if _exists(target, folder):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    if _is_file(source, folder) and _is_linked(source, target, folder):
        os.unlink(source, dir_fd=folder)
        return
    try:  # a folder that was made since is refused too, unless it is empty
        os.rename(source, target, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.ENOTDIR):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from error
        raise


def exchange(one: str, other: str, *, folder: int, aside: str) -> None:
    """Exchanges the names of two folders within an open one; ``aside`` is a free name for the time between.

    Without a system call for it, an error puts back what was there. A process that dies between the steps leaves
    ``other`` under the name ``aside``.
    """
    if _rename_in_one_call("exchange", one, other, folder):
        return
    try:
        for source, target in ((other, aside), (one, other), (aside, one)):
            os.rename(source, target, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        if _exists(aside, folder):
            if _exists(other, folder):
                os.rename(other, one, src_dir_fd=folder, dst_dir_fd=folder)
            os.rename(aside, other, src_dir_fd=folder, dst_dir_fd=folder)
        raise


def _is_file(name: str, folder: int) -> bool:
    return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def _is_linked(source: str, target: str, folder: int) -> bool:
    """Gives a file a second name, which fails where that exists; False where the file system has no links."""
    try:
        os.link(source, target, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        return False
    return True


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _rename_in_one_call(kind: _Kind, source: str, target: str, folder: int) -> bool:
    """Whether the system could do it. Raises OSError where it can and was not allowed to."""
    call = _system_call()
    if call is None:
        return False
    flags = _CALLS[sys.platform][1][kind]
    ctypes.set_errno(0)
    if call(folder, os.fsencode(source), folder, os.fsencode(target), flags) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), source, None, target)


@cache
def _system_call() -> Any:
    """The function of the C library, or None."""
    if sys.platform not in _CALLS:
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), _CALLS[sys.platform][0], None)
    if function is not None:
        function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
        function.restype = ctypes.c_int
    return function
