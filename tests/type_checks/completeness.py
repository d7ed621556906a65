"""Fails if a type checker can't know the type of something that a name of ``charkit.__all__`` shows to a user.

``python tests/type_checks/completeness.py``, which tox's environment ``types`` runs, asks ``pyright --verifytypes``.
What other packages leave open (pydantic, NumPy) is not looked at.
"""

from __future__ import annotations

import json
import subprocess
import sys

import charkit

#: What authors of checks use; its types are those of ``charkit.testing``.
FOR_AUTHORS = {"Check"}


def incomplete() -> list[str]:
    """A line for everything that is public, has an open type, and is not open because something private is."""
    asked = subprocess.run(
        [
            "pyright",
            "--pythonpath",
            sys.executable,
            "--verifytypes",
            "charkit",
            "--ignoreexternal",
            "--outputjson",
        ],
        capture_output=True,
        text=True,
        check=False,  # it fails unless everything in every module is complete
    )
    public = [f"{module}.{name}" for name, module in charkit._MODULES.items() if name not in FOR_AUTHORS]
    symbols = json.loads(asked.stdout)["typeCompleteness"]["symbols"]
    found = {symbol["name"] for symbol in symbols}
    missing = {name for name in public if name.startswith("charkit.")} - found - {"charkit.training.events"}
    lines = [f"{name}: pyright does not list it" for name in sorted(missing)]
    for symbol in symbols:
        if any(symbol["name"] == name or symbol["name"].startswith(f"{name}.") for name in public):
            lines += [
                f"{symbol['name']}: {' '.join(each['message'].split())}"
                for each in symbol["diagnostics"]
                if each["severity"] == "error"
            ]
    return lines


if __name__ == "__main__":
    sys.exit("\n".join(incomplete()) or None)
