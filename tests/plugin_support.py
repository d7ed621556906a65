"""Installs folders with a pyproject.toml as distributions with real metadata, and runs the command line beside them.

    site = InstalledSite(tmp_path / "site").install(folder)     # a wheel, by hatchling and pip; offline
    site.json("backends"); site.ok("verify", "--backend", "mine"); site.error("train", text, "--backend", "bad")

Nothing is installed into the environment that runs the tests: the distributions lie in a folder of their own, which the
child processes find by PYTHONPATH. A test that only reads should take a site made once (a fixture with
``scope="session"`` and ``tmp_path_factory``): building costs about a second, however many folders are given at once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from cli_support import Outcome, Toolkit

#: Seconds after which a command that should have ended fails its test: a whole kit may run in it, beside other work.
PATIENCE_SECONDS = 900.0
#: Calls the same hook that pip would, for many folders in one process.
_BUILD = """
import os, sys
from hatchling import build
hook, into, *folders = sys.argv[1:]
for folder in folders:
    os.chdir(folder)
    getattr(build, hook)(into)
"""


class InstalledSite(Toolkit):
    """A folder of installed distributions; calling it runs ``toolkit`` in a process that finds them.

    Beside the calls of ``Toolkit`` (``ok``, ``json``, ``error``) there are ``start`` and ``python``.
    """

    def __init__(self, folder: Path, patience_seconds: float = PATIENCE_SECONDS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.patience_seconds = folder, patience_seconds

    def install(self, *sources: Path) -> InstalledSite:
        """Builds each source folder as a wheel and installs it, replacing an older build; returns itself."""
        with tempfile.TemporaryDirectory() as built:
            wheels = _wheels("build_wheel", Path(built), sources)
            _run(
                *("-m", "pip", "--isolated", "--disable-pip-version-check", "--quiet", "install"),
                *("--no-deps", "--no-index", "--no-compile", "--upgrade", "--target", str(self.folder)),
                *map(str, wheels),
            )
        return self

    def install_editable(self, *sources: Path) -> InstalledSite:
        """Installs as ``pip install -e`` does: metadata and a .pth file, with the sources left where they are.

        Each source says ``dev-mode-dirs`` in ``[tool.hatch.build]``; else hatchling needs another package.
        """
        with tempfile.TemporaryDirectory() as built:
            for wheel in _wheels("build_editable", Path(built), sources):
                with zipfile.ZipFile(wheel) as archive:
                    archive.extractall(self.folder)
        return self

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """This process's environment with the site in front of its path."""
        # Python reads .pth files in its own site folders alone
        linked = [
            line for file in sorted(self.folder.glob("*.pth")) for line in file.read_text().splitlines()
        ]
        paths = [str(self.folder), *linked, os.environ.get("PYTHONPATH", "")]
        path = os.pathsep.join(filter(None, paths))
        return {**os.environ, "PYTHONUTF8": "1", "PYTHONPATH": path, **(more or {})}

    def __call__(self, *arguments: str | Path) -> Outcome:
        """Runs a command, whatever comes of it."""
        return self.python("-m", "charkit_cli", *arguments)

    def python(self, *arguments: str | Path) -> Outcome:
        """Runs Python with the site on its path and returns how it ended."""
        process = subprocess.run(
            [sys.executable, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            env=self.environment(),
            timeout=self.patience_seconds,
            check=False,
        )
        return Outcome(process.returncode, process.stdout, process.stderr)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Starts a command with its output in pipes; the caller ends it."""
        return subprocess.Popen(
            [sys.executable, "-m", "charkit_cli", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=self.environment(),
        )


def wait_until(condition: Callable[[], bool], patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Waits until something is so; fails if it takes too long."""
    end = time.monotonic() + patience_seconds
    while not condition():
        assert time.monotonic() < end, f"it was not so within {patience_seconds:g} s"
        time.sleep(0.05)


def _wheels(hook: str, into: Path, sources: tuple[Path, ...]) -> list[Path]:
    """Builds a wheel from each source folder; none may fail."""
    _run("-c", _BUILD, hook, str(into), *(str(source.resolve()) for source in sources))
    wheels = sorted(into.glob("*.whl"))
    assert len(wheels) == len(sources) > 0, f"{len(sources)} folders gave {[wheel.name for wheel in wheels]}"
    return wheels


def _run(*arguments: str) -> None:
    child = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert child.returncode == 0, child.stdout + child.stderr
