"""Installs the planted faults that need an installed plugin, and judges them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from charkit.testing import CheckResult, Subject, all_checks, run_check
from charkit_numpy.backend import NumpyBackend
from conformance import import_faults, lasting_faults, memory_error_faults, process_faults, thread_faults

CHECKS = {check.name: check for check in all_checks()}
MODULES = (import_faults, lasting_faults, memory_error_faults, process_faults, thread_faults)
BACKENDS = [
    found
    for module in MODULES
    for found in vars(module).values()
    if isinstance(found, type) and issubclass(found, NumpyBackend) and found.name != "numpy"
]
_PLUGIN = """
from charkit.hookspecs import BackendInfo, hookimpl


@hookimpl
def charkit_backend():
    return BackendInfo({name!r}, '{factory}', 'for a test')
"""


def install_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installs a distribution with every faulty backend for this process and those that it starts."""
    for faults in MODULES:
        shutil.copyfile(faults.__file__, tmp_path / f"charkit_{_short_name(faults.__name__)}.py")
    entries = ["[charkit.backends]"]
    for backend in BACKENDS:
        module = f"charkit_faulty_{backend.__name__.lower()}"
        factory = f"charkit_{_short_name(backend.__module__)}:{backend.__name__}"
        plugin = _PLUGIN.format(name=backend.name, factory=factory)
        (tmp_path / f"{module}.py").write_text(plugin, "utf-8")
        entries.append(f"{backend.name} = {module}")
    metadata = tmp_path / "charkit_faulty-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: charkit-faulty\nVersion: 1.0\n", "utf-8")
    (metadata / "entry_points.txt").write_text("\n".join(entries) + "\n", "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))


def _short_name(module: str) -> str:
    return module.rpartition(".")[2]


def judge(check: str, backend: type[NumpyBackend]) -> CheckResult:
    """The result of one check on an installed backend."""
    subject = Subject(backend.name)
    try:
        return run_check(CHECKS[check], subject)
    finally:
        subject.end()
