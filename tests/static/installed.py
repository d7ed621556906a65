"""Writes what is installed, with its versions, as a file of requirements: ``python tests/static/installed.py FILE``.

Without editable distributions, which are charkit's own and on no package index.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    (target,) = sys.argv[1:]
    frozen = [sys.executable, "-m", "pip", "freeze", "--local", "--exclude-editable"]
    installed = subprocess.run(frozen, check=True, stdin=subprocess.DEVNULL, capture_output=True).stdout
    if not installed.strip():
        sys.exit("nothing is installed that could be audited")
    Path(target).write_bytes(installed)
