"""Faults inside of workers, planted from outside, and what they cost."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from charkit.distributed.engine import Engine

#: Lets the first worker that comes to its fifth block do something, and all others go on. Run as a worker starts.
_AT_THE_FIFTH_BLOCK = """
import importlib.abc, importlib.machinery, os, sys

NAME = "charkit.distributed.gradients"

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != NAME or os.getpid() == {driver}:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        run = spec.loader.exec_module
        def exec_module(module):
            run(module)
            plant(module)
        spec.loader.exec_module = exec_module
        return spec

def plant(module):
    compute, calls = module.block_gradients, []
    def faulty(model, block):
        calls.append(1)
        if len(calls) == 5:
            try:
                os.close(os.open({once!r}, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                pass
            else:
                fault()
        return compute(model, block)
    module.block_gradients = faulty

{fault}
sys.meta_path.insert(0, Finder())
"""
#: Takes memory without end, under a limit of the process.
EXCEED_A_LIMIT = """
def fault():
    import resource
    import numpy as np
    with open("/proc/self/statm") as status:
        now = int(status.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + 2**26, resource.RLIM_INFINITY))
    taken = []
    while True:
        taken.append(np.ones(2**20))
"""
#: Sleeps in the middle of a block, as a machine does that swaps or is stopped.
SLEEP = f"""
def fault():
    os.kill(os.getpid(), {int(signal.SIGSTOP)})
"""


def plant(fault: str, folder: Path, *, driver: int) -> dict[str, str]:
    """Writes what plants the fault; returns the environment that workers need for it.

    The file ``folder/planted`` exists once the fault has happened, which it does once.
    """
    folder.mkdir()
    code = _AT_THE_FIFTH_BLOCK.format(driver=driver, once=str(folder / "planted"), fault=fault)
    (folder / "sitecustomize.py").write_text(code, "utf-8")
    return {"PYTHONPATH": str(folder)}


class Blocks:
    """The blocks that were sent to workers of an engine, by the number of their step."""

    def __init__(self, engine: type[Engine], monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[int] = []
        submit: Callable[..., Any] = engine.submit

        def counting(this: Engine, worker: Any, method: str, values: dict[str, Any], *others: Any) -> Any:
            if method == "gradients":
                self.steps.append(values["step"])
            return submit(this, worker, method, values, *others)

        monkeypatch.setattr(engine, "submit", counting)

    def repeated(self, each_step: int) -> int:
        """How many blocks were computed again, where each step has so many."""
        return len(self.steps) - each_step * len(set(self.steps))
