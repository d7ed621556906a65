"""Observers that a test makes up, installed as plugins are: by metadata, in a folder on the path."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from charkit import events
from cli_support import Toolkit

#: Installs an observer: the body of its hook, and its name.
Install = Callable[..., None]

_MODULE = """
import os, signal, sys, time, threading
from charkit import events, hookimpl

class Observer:
    @hookimpl
    def charkit_event(self, event):
        {body}
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """``install(body, name)`` makes the observer ``name``; ``install(module=...)`` gives its whole module."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")])))

    def install_it(body: str = "", name: str = "mine", module: str = "", value: str = "") -> None:
        source = module or _MODULE.format(body=body.replace("\n", "\n        "))
        (site / f"{name}_observer.py").write_text(source, "utf-8")
        metadata = site / f"{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        entry = value or f"{name}_observer:Observer"
        (metadata / "entry_points.txt").write_text(f"[charkit.observers]\n{name} = {entry}\n")

    return install_it


class Seen:
    """An event handler that keeps what it gets."""

    def __init__(self) -> None:
        self.events: list[events.Event] = []

    def __call__(self, event: events.Event) -> None:
        self.events.append(event)

    def dropped(self) -> list[tuple[str, str]]:
        """The observers that were dropped, and why."""
        found = (event for event in self.events if isinstance(event, events.ObserverMessage))
        return [(event.observer, event.message) for event in found if event.dropped]


@pytest.fixture
def seen() -> Seen:
    """An event handler that keeps what it gets."""
    return Seen()


@pytest.fixture
def toolkit(capsys: pytest.CaptureFixture[str]) -> Toolkit:
    """The command line, called in this process."""
    return Toolkit(capsys)
