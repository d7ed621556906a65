"""The worker process of ``probe``: tries one backend and prints what it found as one JSON object.

Run as ``python -m charkit.plugins.probe_worker NAME SECONDS [CHANNEL]``. Where the process is when it is ended goes
to the channel (see ``system.processes``), by default standard error; a plugin that writes without end can't come
between there.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys

from charkit.errors import BackendError, CharkitError
from charkit.plugins import supervision
from charkit.plugins.compatibility import FrameworkMissingError, WrongVersionError
from charkit.plugins.discovery import find
from charkit.plugins.failures import printable_line
from charkit.system.processes import open_side_channel


def _answer(name: str) -> dict[str, object]:
    """What was found, as the fields of ``InstalledBackend``."""
    answer: dict[str, object] = {
        "status": "usable",
        "devices": [],
        "precisions": [],
        "capabilities": [],
        "reason": "",
    }
    try:
        plugin = find(name)
    except BackendError as error:
        return {**answer, "status": "conflicting", "reason": str(error)}
    try:
        answer |= {"summary": str(plugin.info.summary), "verified": plugin.info.verified}
        backend = plugin.backend_class
        return {
            **answer,
            "devices": plugin.devices(),
            "precisions": sorted(backend.precisions),
            "capabilities": sorted(backend.capabilities),
        }
    except FrameworkMissingError as error:
        return {**answer, "status": "framework missing", "reason": str(error)}
    except WrongVersionError as error:
        return {**answer, "status": "wrong version", "reason": str(error)}
    except CharkitError as error:
        return {**answer, "status": "broken", "reason": printable_line(str(error))}


def main() -> None:
    """Answers on standard output, and ends the process."""
    supervision.is_worker = True
    # A copy of its own, since a plugin may redirect standard error meanwhile.
    stacks = open_side_channel(sys.argv[3] if len(sys.argv) > 3 else "2")
    # Writes where it was when a signal ends it; from Python 3.14 on, it would add a stack without lines of Python.
    options = {"c_stack": False} if sys.version_info >= (3, 14) else {}
    faulthandler.enable(stacks, all_threads=False, **options)
    # What a plugin prints goes to standard error; only the answer goes to standard output.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    print(file=answers, flush=True)  # an empty line: from here on the limit counts
    # Writes where it hangs, and ends it.
    faulthandler.dump_traceback_later(float(sys.argv[2]), exit=True, file=stacks)
    json.dump(_answer(sys.argv[1]), answers)
    answers.flush()
    os._exit(0)  # a framework's threads must not keep the process from ending


if __name__ == "__main__":
    main()
