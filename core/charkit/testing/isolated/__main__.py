"""Starts the program of an isolated process, at a lower priority from its first import on."""

import json
import os
import sys

from charkit.system.processors import lower_priority

#: The kit's other checks, which wait for this process at their end, go first.
_NICENESS = 5

if __name__ == "__main__":
    lower_priority(_NICENESS)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a framework's output must not mix with the answers

    from charkit.testing.isolated.plugin_import import plugin_imports

    folder, name, threads, device = sys.argv[1:]
    print(json.dumps(plugin_imports(name)), file=answers, flush=True)

    from charkit.testing.isolated.worker import work

    with answers:
        work(answers, folder, name, int(threads), device)
