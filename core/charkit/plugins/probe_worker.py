"""A child of ``probe``: tries one backend and prints what it found as one JSON object.

Run as ``python -m charkit.plugins.probe_worker NAME SECONDS``.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys

from charkit.errors import BackendError, CharkitError
from charkit.plugins import loading, supervision
from charkit.plugins.discovery import find


def _answer(name: str) -> dict[str, object]:
    """What the child found, as the keys of a row."""
    row: dict[str, object] = {
        "status": "usable",
        "devices": [],
        "precisions": [],
        "capabilities": [],
        "reason": "",
    }
    try:
        find(name)
    except BackendError as error:
        return {**row, "status": "conflicting", "reason": str(error)}
    try:
        info = loading.load_info(name)
        row |= {"summary": str(info.summary), "verified": info.verified}
        backend = loading.backend_class(name)
        return {
            **row,
            "devices": loading.devices(name, backend),
            "precisions": sorted(backend.precisions),
            "capabilities": sorted(backend.capabilities),
        }
    except loading.FrameworkMissingError as error:
        return {**row, "status": "framework missing", "reason": str(error)}
    except loading.WrongVersionError as error:
        return {**row, "status": "wrong version", "reason": str(error)}
    except CharkitError as error:
        return {**row, "status": "broken", "reason": str(error)}


def main() -> None:
    """Answers on standard output, and ends the process."""
    supervision.watched_from_outside = True
    faulthandler.enable(all_threads=False)  # says where it was when a signal ends it
    # What a plugin prints goes to standard error; only the answer goes to standard output.
    answer_to = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    print(file=answer_to, flush=True)  # an empty line: from here on the limit counts
    faulthandler.dump_traceback_later(float(sys.argv[2]), exit=True)  # says where it hangs, and ends it
    json.dump(_answer(sys.argv[1]), answer_to)
    answer_to.flush()
    os._exit(0)  # a framework's threads must not keep the child from ending


if __name__ == "__main__":
    main()
