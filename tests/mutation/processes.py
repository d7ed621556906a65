"""Runs functions in forked processes, several at a time, and ends those that take too long or too much memory."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, NamedTuple, TypeVar

#: The file in a process's folder that has what it printed.
OUTPUT = "output"
_POLL_SECONDS = 0.05
Item = TypeVar("Item")


@dataclass(frozen=True)
class Limits:
    """After which a process is ended."""

    seconds: float
    memory_bytes: int = 4 << 30


class BrokenHarnessError(Exception):
    """What judges mutants does not pass on the unchanged code, so they can't be judged."""


class Ended(NamedTuple):
    """How a process came to its end: by itself, or because it broke a limit."""

    how: Literal["done", "crash", "timeout", "memory"]
    seconds: float


@dataclass
class _Running(Generic[Item]):
    item: Item
    folder: Path
    process: int
    started: float


def run_all(
    items: Iterable[Item],
    work: Callable[[Item, Path], None],
    on_end: Callable[[Item, Path, Ended], None],
    limits: Limits,
    jobs: int = 1,
) -> None:
    """Forks a process for each item, ``jobs`` at a time, each with an empty folder of its own.

    ``work`` is called in the process, whose output goes to ``OUTPUT`` in its folder; it leaves there whatever
    ``on_end`` reads, which is called in this process. The folder is then removed, and every process that it started is
    ended.
    """
    waiting, running = list(items)[::-1], list[_Running[Item]]()
    with tempfile.TemporaryDirectory(prefix="charkit-mutants-") as scratch:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(_start(waiting.pop(), work, Path(scratch)))
                time.sleep(_POLL_SECONDS)
                for one in list(running):
                    ended = _poll(one, limits)
                    if ended is not None:
                        running.remove(one)
                        on_end(one.item, one.folder, ended)
                        shutil.rmtree(one.folder)
        finally:
            for one in running:
                _end(one.process)


def _start(item: Item, work: Callable[[Item, Path], None], scratch: Path) -> _Running[Item]:
    folder = Path(tempfile.mkdtemp(dir=scratch))
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process == 0:
        _be_child(item, work, folder)
    return _Running(item, folder, process, time.monotonic())


def _be_child(item: Item, work: Callable[[Item, Path], None], folder: Path) -> None:
    """Does the work; never returns."""
    status = 1
    try:
        os.setsid()  # so that processes that it starts end with it
        _redirect(folder / OUTPUT)
        work(item, folder)
        status = 0
    except BaseException:  # noqa: BLE001 - a forked child must never return
        traceback.print_exc()
    finally:
        os._exit(status)


def _redirect(path: Path) -> None:
    """Sends everything that is printed to a file."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, standard in ((nothing, 0), (file, 1), (file, 2)):
        os.dup2(source, standard)


def _poll(one: _Running[Item], limits: Limits) -> Ended | None:
    """How the process ended, or None while it runs."""
    ended, status = os.waitpid(one.process, os.WNOHANG)
    seconds = time.monotonic() - one.started
    if ended:
        _kill_group(one.process)  # what it may have left behind
        return Ended("done" if status == 0 else "crash", seconds)
    if seconds > limits.seconds:
        _end(one.process)
        return Ended("timeout", seconds)
    if _memory_bytes(one.process) > limits.memory_bytes:
        _end(one.process)
        return Ended("memory", seconds)
    return None


def _end(process: int) -> None:
    _kill_group(process)
    os.waitpid(process, 0)


def _kill_group(process: int) -> None:
    try:
        os.killpg(process, signal.SIGKILL)
    except ProcessLookupError:
        return


def _memory_bytes(process: int) -> int:
    """The memory of the process, without that of processes which it has started; 0 where there is no /proc."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
