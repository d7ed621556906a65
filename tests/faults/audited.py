"""Runs commands on crafted runs in a process whose every file and process is watched: ``python -m faults.audited DIR``.

Prints a JSON object: by the name of each crafted run, what its commands opened, changed, imported or executed that
the same commands on a whole run do not, and that lies outside of the run. The process is this one's alone, since an
audit hook can't be removed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import charkit
from charkit.errors import CharkitError
from charkit.runs.temporary_names import temporary_of
from charkit_trackers.csv_files import CsvObserver
from faults.crafted_runs import CRAFTED
from faults.run_outcomes import READERS, BrokenPromiseError, HangError, call, limited

#: Events whose first argument is a path, with the place of the descriptor of its folder among the arguments.
_PATHS = {
    "os.remove": 1,
    "os.rmdir": 1,
    "os.mkdir": 2,
    "os.chmod": 2,
    "os.chown": 3,
    "os.utime": 3,
    "os.truncate": None,
    "os.symlink": 2,
    "os.link": 2,
    "os.rename": 2,
    "os.listdir": None,
    "os.scandir": None,
}
#: Events that have a second path, with the place of its folder's descriptor.
_SECOND_PATHS = {"os.link": 3, "os.rename": 3}
#: Events that nothing which reads a run causes, beginning with these names.
_NEVER = (
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "pty.",
    "socket.connect",
    "socket.bind",
)
_NEVER += (
    "pickle.",
    "marshal.load",
    "ctypes.dlopen",
    "shelve.",
    "webbrowser.",
    "urllib.",
    "ftplib.",
    "os.startfile",
)


#: What commands use and make beside a run, also under a temporary name.
_OWN = ("run", "new", "small.txt", "exported.", "import.", "imported", "report")


class Watch:
    """What a process does, as a set of lines such as "open /etc/passwd"."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._real_open = os.open
        self._opening = False
        os.open = self._open
        sys.addaudithook(self._hook)

    def during(self, action: Callable[[], object]) -> set[str]:
        """What an action does."""
        self.seen = set()
        action()
        return self.seen

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        """os.open, noting the file that was opened in fact, whatever links led to it."""
        self._opening = True
        try:
            handle = self._real_open(path, flags, mode, dir_fd=dir_fd)
        finally:
            self._opening = False
        self.seen.add(f"open {os.readlink(f'/proc/self/fd/{handle}')}")
        return handle

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            if not self._opening and isinstance(arguments[0], str | bytes | os.PathLike):
                self.seen.add(f"open {os.path.realpath(os.fsdecode(arguments[0]))}")
        elif event == "import":
            self.seen.add(f"import {arguments[0]}")
        elif event == "exec":
            self.seen.add(f"execute {getattr(arguments[0], 'co_filename', '?')}")
        elif event in _PATHS:
            self._note_path(event, arguments[0], arguments, _PATHS[event])
            if event in _SECOND_PATHS:
                self._note_path(event, arguments[1], arguments, _SECOND_PATHS[event])
        elif event.startswith(_NEVER):
            self.seen.add(f"{event} {str(arguments)[:100]}")

    def _note_path(self, event: str, path: Any, arguments: tuple[Any, ...], place: int | None) -> None:
        if isinstance(path, int) or path is None:
            base = f"/proc/self/fd/{path}" if isinstance(path, int) else "."
            self.seen.add(f"{event} {os.path.realpath(base)}")
            return
        folder = -1 if place is None or place >= len(arguments) else arguments[place]
        base = os.readlink(f"/proc/self/fd/{folder}") if isinstance(folder, int) and folder >= 0 else "."
        parent, name = os.path.split(os.path.join(base, os.fsdecode(path)))
        self.seen.add(f"{event} {os.path.join(os.path.realpath(parent), name)}")


def commands(case: Path) -> list[str]:
    """Calls every command that reads a run or an import; what broke a promise of theirs, one line each."""
    run, broken = case / "run", []
    actions: dict[str, Callable[[], object]] = {
        name: lambda read=read: read(run) for name, read in READERS.items()
    }  # type: ignore[misc]
    actions["check"] = lambda: call("check", run, "--repair")
    actions["import"] = lambda: call(
        "import", case / "import.safetensors", "--out", case / "imported", "--overwrite"
    )
    actions["report"] = lambda: call("report", run, "--out", case / "report")
    actions["runs"] = lambda: _list(run)
    if os.path.lexists(run / "tracking"):
        actions |= {"track": lambda: _track(run), "trackers": lambda: _track_here(run)}
    for name, action in actions.items():
        try:
            action()
        except (BrokenPromiseError, HangError) as error:
            broken.append(f"{name}: {error}")
    return broken


def _list(run: Path) -> None:
    """Lists a folder that has the run alone."""
    folder = run.with_name("runs")
    folder.mkdir()
    run.rename(folder / run.name)
    try:
        call("runs", folder)
    finally:
        (folder / run.name).rename(run)
        folder.rmdir()


def _track(run: Path) -> None:
    """Trains with trackers, in processes of their own."""
    tracks = (f"--track={name}" for name in trackers())
    call("train", "--resume", run, "--max-steps", "12", "--threads", "1", *tracks)


def _track_here(run: Path) -> None:
    """Trains with each tracker in this process, where it is watched; it may refuse the run in one line."""
    for steps, tracker in enumerate(trackers().values(), start=13):
        with limited(), suppress(CharkitError):
            charkit.train(resume=run, max_steps=steps, threads=1, on_event=tracker().charkit_event)


def trackers() -> dict[str, Any]:
    """The trackers that write into the run, as far as their libraries are installed."""
    found: dict[str, Any] = {"csv": CsvObserver}
    if find_spec("tensorboardX") is not None:
        from charkit_trackers.tensorboard import TensorBoardObserver

        found["tensorboard"] = TensorBoardObserver
    return found


def outside(seen: set[str], case: Path, usual: set[str]) -> list[str]:
    """What of it is neither in the run nor among the files that commands use beside it, nor usual for a whole run."""
    found = []
    for line in sorted(seen - usual):
        path = Path(line.partition(" ")[2])
        own = path == case or (case in path.parents and _is_own(path.relative_to(case).parts[0]))
        codec = "/encodings/" in line.replace(".", "/") and line.startswith(("import ", "open ", "execute "))
        if not (own or codec or _is_scratch(str(path))):
            found.append(line.replace(str(case), "."))
    return found


def _is_own(name: str) -> bool:
    return (temporary_of(name) or name).startswith(_OWN)


def _is_scratch(path: str) -> bool:
    scratch = Path(os.environ["CHARKIT_SCRATCH"]).resolve()
    return Path(path) == scratch or scratch in Path(path).parents


def main(folder: Path) -> None:
    """Watches the commands on ``whole`` twice, and then on each crafted run in the folder."""
    os.chdir(folder / "elsewhere")
    commands(folder / "whole")  # what is imported late is imported now
    watch = Watch()
    usual = watch.during(lambda: commands(folder / "again"))
    told = {}
    for name in (each for each in CRAFTED if (folder / each).is_dir()):
        broken: list[str] = []
        case = folder / name
        seen = watch.during(lambda case=case, broken=broken: broken.extend(commands(case)))  # type: ignore[misc]
        told[name] = [*outside(seen, case, usual), *broken]
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
