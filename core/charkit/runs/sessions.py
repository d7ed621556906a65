"""The record of each training session: backend, machine and versions, which decide the last bits of the results."""

from __future__ import annotations

import builtins
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from charkit.backend import Backend
from charkit.machine import processor_name
from charkit.plugins.declared import settings_of, versions_of
from charkit.system.command_lines import joined
from charkit.text.locations import without_secrets
from charkit.version import version

#: What decides the bits of a run, besides the versions; a difference in any of them is reported on resume.
_DECISIVE = ("backend", "precision", "device", "threads", "processor")


def describe_session(backend: Backend[Any], *, step: int, text_sha256: str, symbols: int) -> dict[str, Any]:
    """One line of ``sessions.jsonl``; ``symbols`` is how many the whole text has."""

    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command_of_process("charkit.train"),
        "step": step,
        "backend": backend.name,
        **settings_of(backend),
        "processor": processor_name(),
        "versions": {"numpy": np.__version__, **versions_of(backend)}
        | {"charkit": version(), "python": platform.python_version()},
        "text_sha256": text_sha256,
        "symbols": symbols,
    }


def command_of_process(function: str) -> str:
    """How this program was started, as a shell has it; ``function`` where it is a session in which people type."""
    arguments = sys.argv or [""]
    interactive = hasattr(sys, "ps1") or hasattr(
        builtins, "__IPYTHON__"
    )  # Python's own prompt, or a notebook
    if interactive or arguments[0] in ("", "-c"):
        return function
    program = Path(arguments[0])
    start = ["python", "-m", program.parent.name] if program.name == "__main__.py" else [program.name]
    return joined([*start, *map(without_secrets, arguments[1:])])


def session_differences(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """What may change the bits of a resumed run, as a sentence; None if nothing does."""
    old, new = _decisive(before), _decisive(now)
    changed = [
        f"{key} {new.get(key, 'none')} (previously {old.get(key, 'none')})"
        for key in dict.fromkeys((*new, *old))
        if new.get(key) != old.get(key)
    ]
    if not changed:
        return None
    return (
        f"this session differs from the last one: {', '.join(changed)}; "
        "losses will closely match those of an uninterrupted run, but not bit for bit"
    )


def mixed_before(earlier: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """A line where an earlier session of the run trained on machines that may not have been alike."""
    if not any(session.get("mixed_machines") for session in earlier):
        return ()
    return (
        "an earlier session used machines of more than one kind; with a different mix, the last bits of the weights "
        "could differ",
    )


def _decisive(session: dict[str, Any]) -> dict[str, Any]:
    """What decides the bits, with each library's version under its own name."""
    return {**{key: session.get(key) for key in _DECISIVE}, **session.get("versions", {})}
