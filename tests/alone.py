"""Is one backend enough? Runs the commands on it with every other framework refused, and says who asked for one.

    def test_it_needs_no_other_framework(text_file: Path) -> None:
        alone.check("torch", text_file, allowed={"torch"})

To the process's finders each foreign framework is as if it were not installed. A framework may itself try
optional company (keras, tensorboard): that is its own affair, and harmless where it takes no for an answer. What
counts is who asks: no module of charkit or of a plugin may, neither by an import nor by a look whether it is there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from cli_support import TINY

FRAMEWORKS = frozenset(
    {"torch", "torchvision", "tensorflow", "keras", "jax", "jaxlib", "flax", "optax", "haiku", "equinox"}
    | {"mlx", "mxnet", "paddle", "tinygrad", "theano", "chainer", "onnx", "onnxruntime", "lightning"}
)
BACKENDS = frozenset({"charkit_torch", "charkit_tensorflow", "charkit_jax"})
_RUNNER = '''
import json, sys

foreign, answer_to, commands = json.loads(sys.argv[1])
asked = []

class Without:
    """A finder to which foreign modules are not there; all else is as it was."""
    def __init__(self, finder):
        self._finder = finder
    def __getattr__(self, name):
        return getattr(self._finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if is_foreign(name) else self._finder.find_spec(name, path, target)

class Record:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if is_foreign(name):
            asked.append((name, importer()))

def is_foreign(name):
    return name.partition(".")[0] in foreign

def importer():
    frame = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "importlib":
        frame = frame.f_back
    return "unknown" if frame is None else frame.f_globals.get("__name__", "unknown")

sys.meta_path[:] = [Record, *map(Without, sys.meta_path)]
from charkit_cli.main import run
statuses = [run(command) for command in commands]
loaded = [name for name in sys.modules if name.partition(".")[0] in foreign]
with open(answer_to, "w", encoding="utf-8") as answer:
    json.dump({"asked": asked, "statuses": statuses, "loaded": loaded}, answer)
'''


class Asked(NamedTuple):
    """A foreign module that was asked for, and the module that did."""

    module: str
    by: str

    @property
    def by_charkit(self) -> bool:
        """Whether charkit, its command line or a plugin asked, rather than a framework."""
        top = self.by.partition(".")[0]
        return top == "charkit" or top.startswith("charkit_")


class Company(NamedTuple):
    """What a backend asked for, which foreign modules it got after all, and each command's exit status."""

    asked: list[Asked]
    loaded: list[str]
    statuses: list[int]
    said: str


def watch(
    backend: str, text: Path, *, allowed: Collection[str] = (), environment: Mapping[str, str] | None = None
) -> Company:
    """Trains, scores, samples and verifies on the backend in a fresh process, where only ``allowed`` is to be had."""
    on = ("--backend", backend)
    commands = [
        ("train", str(text), *TINY, "--max-steps=5", "--dropout=0.2", "--run=alone", *on),
        ("train", "--resume=alone", "--max-steps=8", *on),
        ("evaluate", "alone", *on),
        ("sample", "alone", "--length=20", *on),
        ("verify", "--stage=build", "--stage=forward", *on),
        ("backends", "--help"),
    ]
    foreign = sorted((FRAMEWORKS | BACKENDS) - {*allowed, f"charkit_{backend}"})
    answer = Path("company.json").resolve()
    child = subprocess.run(
        [sys.executable, "-c", _RUNNER, json.dumps([foreign, str(answer), commands])],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        env=environment,
        timeout=300,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    told = json.loads(answer.read_text("utf-8"))
    asked = [Asked(*pair) for pair in told["asked"]]
    return Company(asked, told["loaded"], told["statuses"], child.stderr)


def check(backend: str, text: Path, *, allowed: Collection[str] = ()) -> Company:
    """Fails where a command fails without the other frameworks, or where charkit or the plugin asks for one."""
    company = watch(backend, text, allowed=allowed)
    assert not any(company.statuses), company.said
    assert company.loaded == []
    assert [asked for asked in company.asked if asked.by_charkit] == []
    return company
