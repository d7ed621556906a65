"""What a help page imports: the main one nothing heavy, no command's a framework, installed or not.

Modules are tested, not milliseconds. A finder in front of all others notes every module that is asked for,
so an attempt to import a framework is found also where that framework is not installed. The backends are
looked for among the loaded modules, since coverage asks for those that it measures.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import NamedTuple

import pytest

from charkit_cli.main import COMMANDS, module_of

FRAMEWORKS = {"torch", "tensorflow", "keras", "jax", "jaxlib", "flax", "optax", "mlx"}
HEAVY = {"numpy", "pydantic", "pydantic_core", "safetensors", "threadpoolctl"}
RUNNER = """
import json, sys

asked = set()

class Watch:
    @staticmethod
    def find_spec(name, path=None, target=None):
        asked.add(name)

sys.meta_path.insert(0, Watch)
from charkit_cli.main import run
status = run(sys.argv[1:])
print(json.dumps({"status": status, "asked": sorted(asked), "loaded": sorted(sys.modules)}), file=sys.stderr)
"""


class Imports(NamedTuple):
    """The modules that a fresh process looked for, and those that it has, after it ran the command line."""

    asked: set[str]
    loaded: set[str]


def imports(*arguments: str) -> Imports:
    """Runs the command line in a fresh process, where it must print a help page."""
    child = subprocess.run(
        [sys.executable, "-c", RUNNER, *arguments], capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    told = json.loads(child.stderr.splitlines()[-1])
    assert told["status"] == 0, child.stderr
    assert "Usage" in child.stdout
    return Imports(set(told["asked"]), set(told["loaded"]))


def tops(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_the_main_page_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    asked, loaded = imports(*arguments)
    assert "charkit_cli.main" in asked
    assert not tops(asked) & (FRAMEWORKS | HEAVY)
    assert not set(map(module_of, COMMANDS)) & loaded


@pytest.mark.parametrize("command", COMMANDS)
def test_no_commands_page_imports_a_framework_or_a_backend(command: str) -> None:
    asked, loaded = imports(command, "--help")
    assert module_of(command) in loaded
    assert not tops(asked) & FRAMEWORKS
    assert not {top for top in tops(loaded) if top.startswith("charkit_")} - {
        "charkit_cli",
        "charkit_comparison",
        "charkit_pages",
        "charkit_sweep",
    }
