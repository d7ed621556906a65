"""Lists what an installed plugin's module imports, in a process that has imported nothing else."""

from __future__ import annotations

import sys

from charkit import plugins


def plugin_imports(name: str) -> list[str]:
    """The modules outside of charkit, the plugin and Python that finding and inspecting the plugin imports.

    A module that the process has imported before is not seen.
    """
    before = set(sys.modules)
    plugin = plugins.find(name)
    _ = plugin.info
    allowed = {plugin.entry_point.module.split(".")[0], "charkit"}
    after = {module.split(".")[0] for module in set(sys.modules) - before}
    return sorted(after - allowed - sys.stdlib_module_names)
