"""What JAX finds on this machine: its processor, with how many threads, and its GPUs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import jax

#: From these XLA takes the number of its threads when it starts, once in a process.
_THREADS_FROM = ("PJRT_NPROC", "NPROC")


def processor(threads: int | None, *, otherwise: int) -> tuple[Any, int]:
    """JAX's processor device, and the threads that it computes with.

    Where the process has not used JAX yet, XLA starts now, with that many threads. ``otherwise`` is
    returned where the system doesn't say how many there are.
    """
    with (
        _environment({} if threads is None else dict.fromkeys(_THREADS_FROM, str(threads))),
        _without_noise(),
    ):
        device = jax.local_devices(backend="cpu")[0]
    return device, _running_threads() or otherwise


def gpus() -> list[Any]:
    """JAX's GPUs. Without an installed plugin for them XLA isn't started: that settles its threads."""
    if not any("cuda" in entry.name for entry in entry_points(group="jax_plugins")):
        return []
    with _without_noise():
        try:
            return list(jax.local_devices(backend="cuda"))
        except RuntimeError:  # there is none
            return []


def _running_threads() -> int:
    """The threads of XLA's compute pool in this process; 0 where the system doesn't list them."""
    return sum("XLAEigen" in _name(task) for task in Path("/proc/self/task").glob("*"))


def _name(task: Path) -> str:
    try:
        return (task / "comm").read_text("utf-8", errors="replace")
    except OSError:  # it ended meanwhile
        return ""


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _without_noise() -> Iterator[None]:
    """Without JAX's warnings about accelerators that it looks for and doesn't find."""
    logger = logging.getLogger("jax._src.xla_bridge")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
