"""A process that imports an installed plugin's module and lists the modules that this imports."""

from __future__ import annotations

import json
import subprocess
import sys

from charkit.testing.subject import Subject

#: Run in the process: prints the modules that inspecting the plugin imports.
_PRINT_IMPORTS = """
import json, sys
from charkit import plugins
before = set(sys.modules)
plugin = plugins.find(sys.argv[1])
_ = plugin.info
allowed = {plugin.entry_point.module.split(".")[0], "charkit"}
after = {name.split(".")[0] for name in set(sys.modules) - before}
print(json.dumps(sorted(after - allowed - sys.stdlib_module_names)))
"""
_TIMEOUT_SECONDS = 60.0


class PluginImport:
    """The process, started at once; ``modules`` waits for it."""

    def __init__(self, name: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PRINT_IMPORTS, name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def modules(self) -> list[str] | str:
        """The modules outside of charkit, the plugin and Python, or why there is no answer, as one line."""
        try:
            output, errors = self._process.communicate(timeout=_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            return f"importing it takes longer than {_TIMEOUT_SECONDS:.0f} s"
        if self._process.returncode:
            return (errors.strip().splitlines() or ["it printed nothing"])[-1]
        modules: list[str] = json.loads(output.splitlines()[-1])
        return modules

    def end(self) -> None:
        """Ends the process if it still runs."""
        self._process.kill()
        self._process.communicate()


def shared_plugin_import(subject: Subject) -> PluginImport:
    """The process of an installed plugin, started once and ended with the subject."""
    return subject.cached("plugin import", lambda: subject.end_later(PluginImport(subject.name)))
