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
    symbols = json.loads(asked.stdout)["typeCompleteness"]["symbols"]
    public = {f"charkit.{name}" for name in charkit.__all__ if name not in FOR_AUTHORS}
    lines = [
        f"{name}: pyright does not list it" for name in sorted(public - {each["name"] for each in symbols})
    ]
    # What a public name resolves to has the name as an alternate; its members are listed below its own name.
    shown = public | {each["name"] for each in symbols if public.intersection(each.get("alternateNames", ()))}
    for symbol in symbols:
        if any(symbol["name"] == name or symbol["name"].startswith(f"{name}.") for name in shown):
            lines += [
                f"{symbol['name']}: {' '.join(each['message'].split())}"
                for each in symbol["diagnostics"]
                if each["severity"] == "error"
            ]
    return lines


if __name__ == "__main__":
    sys.exit("\n".join(incomplete()) or None)
