"""Fixtures of the command line's tests: a toolkit to call, a trained run, and plugins to install."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from charkit_cli.main import run as run_toolkit
from cli_support import TINY, Install, Toolkit
from support import SMALL_TEXT


@pytest.fixture
def toolkit(capsys: pytest.CaptureFixture[str]) -> Toolkit:
    """The command line, called in this process."""
    return Toolkit(capsys)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``small.txt`` and the run ``small-1``, 30 steps long; not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    text = folder / "small.txt"
    text.write_text(SMALL_TEXT, "utf-8")
    run = folder / "small-1"
    assert run_toolkit(["train", str(text), *TINY, "--max-steps", "30", "--run", str(run)]) == 0
    return folder


@pytest.fixture
def run(trained: Path) -> Path:
    """A copy of the trained run, at ``runs/small-1``."""
    return Path(shutil.copytree(trained / "small-1", Path("runs") / "small-1"))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a made-up backend for this process and its children: a module and a distribution's metadata."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")])))
    installed: list[str] = []

    def install(
        name: str,
        plugin: str,
        backend: str = "",
        *,
        distribution: str | None = None,
        module: str | None = None,
    ) -> None:
        distribution = distribution or f"charkit-{name}"
        module = module or distribution.replace("-", "_")
        package = site / module
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "plugin.py").write_text(plugin.replace("MODULE", module))
        (package / "backend.py").write_text(backend)
        metadata = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[charkit.backends]\n{name} = {module}.plugin\n")
        importlib.invalidate_caches()
        installed.append(module)

    yield install
    for module in [name for name in sys.modules if name.partition(".")[0] in installed]:
        del sys.modules[module]
    importlib.invalidate_caches()
