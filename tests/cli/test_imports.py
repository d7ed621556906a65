"""What a help page imports: the main one nothing heavy, no command's a framework, installed or not.

Modules are tested, not milliseconds. A finder in front of all others notes every module that is asked for,
so an attempt to import a framework is found also where that framework is not installed.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from charkit_cli.main import COMMANDS

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
print(json.dumps({"status": status, "asked": sorted(asked)}), file=sys.stderr)
"""


def modules_asked_for(*arguments: str) -> set[str]:
    """The modules that a fresh process looks for while it runs the command line."""
    child = subprocess.run(
        [sys.executable, "-c", RUNNER, *arguments], capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    told = json.loads(child.stderr.splitlines()[-1])
    assert told["status"] == 0, child.stderr
    assert "Usage" in child.stdout
    return set(told["asked"])


def tops(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_the_main_page_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    asked = modules_asked_for(*arguments)
    assert "charkit_cli.main" in asked
    assert not tops(asked) & (FRAMEWORKS | HEAVY)
    assert not {f"charkit_cli.{command}" for command in COMMANDS} & asked


@pytest.mark.parametrize("command", COMMANDS)
def test_no_commands_page_imports_a_framework_or_a_backend(command: str) -> None:
    asked = modules_asked_for(command, "--help")
    assert f"charkit_cli.{command}" in asked
    assert not tops(asked) & FRAMEWORKS
    assert not {top for top in tops(asked) if top.startswith("charkit_")} - {"charkit_cli"}
