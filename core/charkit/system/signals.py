"""The signals that charkit knows, of which not every system has each."""

from __future__ import annotations

import signal

#: A terminal that goes away; None on Windows.
HANGUP: int | None = getattr(signal, "SIGHUP", None)
#: Ctrl-Break, and what Windows sends when a console is closed; None elsewhere.
BREAK: int | None = getattr(signal, "SIGBREAK", None)
#: The status of a process that was killed is minus this number; Windows has no such status.
KILL: int = getattr(signal, "SIGKILL", 9)
#: A reader that has gone; the number is POSIX's where the system has none.
BROKEN_PIPE: int = getattr(signal, "SIGPIPE", 13)


def signal_name(number: int) -> str:
    """The number with its name, such as ``11 (SIGSEGV)``; the number alone for one without a name."""
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return str(number)
