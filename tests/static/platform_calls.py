"""Finds calls that not every operating system has, outside of ``charkit.system``: a check of syntax trees.

Run as ``python tests/static/platform_calls.py [ROOT]``. Prints each finding as ``file:line: what`` and ends with
status 1 if there is one. A name in a string, as in ``getattr(os, "pread", None)``, is no finding: who writes that has
thought of the systems that lack it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

SHIPPED = (
    "core",
    "cli",
    "formats",
    "comparison",
    "sweep",
    "pages",
    "reports",
    "trackers",
    "backends",
    "engines",
)
#: The package where such calls belong.
SEAM = Path("core/charkit/system")
#: Modules of POSIX or of Windows alone.
MODULES = frozenset(
    {
        *("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "posix", "spwd", "crypt"),
        *("msvcrt", "winreg", "winsound", "_winapi", "nt"),
    }
)
#: What Windows lacks of ``os``. Source: "Availability" in Python's documentation.
OS = frozenset(
    {
        *(
            "O_NOFOLLOW",
            "O_DIRECTORY",
            "O_NONBLOCK",
            "O_CLOEXEC",
            "O_NOCTTY",
            "O_SYNC",
            "O_DSYNC",
            "O_TMPFILE",
        ),
        *(
            "chown",
            "chroot",
            "ctermid",
            "fchdir",
            "fchmod",
            "fchown",
            "fdatasync",
            "fork",
            "forkpty",
            "fpathconf",
        ),
        *(
            "getegid",
            "geteuid",
            "getgid",
            "getgroups",
            "getloadavg",
            "getpgid",
            "getpgrp",
            "getpriority",
            "getsid",
        ),
        *("getuid", "killpg", "lchown", "lockf", "mkfifo", "mknod", "nice", "pathconf", "posix_fadvise"),
        *(
            "posix_fallocate",
            "posix_spawn",
            "pread",
            "preadv",
            "pwrite",
            "pwritev",
            "readv",
            "writev",
            "sendfile",
        ),
        *(
            "sched_getaffinity",
            "sched_setaffinity",
            "sched_yield",
            "setpgid",
            "setpriority",
            "setsid",
            "setuid",
        ),
        *("statvfs", "fstatvfs", "sync", "sysconf", "tcgetpgrp", "uname", "wait", "wait3", "wait4", "waitid"),
        *("WEXITSTATUS", "WIFEXITED", "WIFSIGNALED", "WTERMSIG", "WNOHANG", "memfd_create", "openpty"),
    }
)
#: What every system has of ``signal``.
SIGNAL = frozenset(
    {
        *(
            "SIGABRT",
            "SIGFPE",
            "SIGILL",
            "SIGINT",
            "SIGSEGV",
            "SIGTERM",
            "SIG_DFL",
            "SIG_IGN",
            "Signals",
            "Handlers",
        ),
        *(
            "signal",
            "getsignal",
            "default_int_handler",
            "valid_signals",
            "raise_signal",
            "set_wakeup_fd",
            "strsignal",
        ),
    }
)
KEYWORDS = frozenset({"dir_fd", "src_dir_fd", "dst_dir_fd", "pass_fds", "start_new_session", "preexec_fn"})


def findings(root: Path) -> Iterator[str]:
    """Each such call in what is shipped. A folder without files is an error, so that none is missed."""
    for shipped in SHIPPED:
        files = sorted((root / shipped).rglob("*.py"))
        if not files:
            raise SystemExit(f"{root / shipped}: holds no Python file to check")
        for file in files:
            if not file.is_relative_to(root / SEAM):
                for line, what in platform_calls(file.read_text("utf-8")):
                    yield f"{file.relative_to(root)}:{line}: {what}"


def platform_calls(source: str) -> Iterator[tuple[int, str]]:
    """The line and the name of each."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, f"imports {one.name}") for one in node.names if _is_special(one.name))
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [f"{node.module}.{one.name}" for one in node.names]
            if _is_special(node.module):
                yield node.lineno, f"imports {node.module}"
            yield from ((node.lineno, f"imports {name}") for name in names if _is_missing(name))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if _is_missing(name):
                yield node.lineno, f"uses {name}"
        elif isinstance(node, ast.keyword) and node.arg in KEYWORDS:
            yield node.value.lineno, f"passes {node.arg}"


def _is_special(module: str) -> bool:
    return module.partition(".")[0] in MODULES or module in ("select", "selectors")


def _is_missing(name: str) -> bool:
    module, _, attribute = name.partition(".")
    return (module == "os" and attribute in OS) or (module == "signal" and attribute not in SIGNAL)


if __name__ == "__main__":
    found = list(findings(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
    for line in found:
        print(line)  # noqa: T201
    sys.exit(bool(found))
