"""A worker of the local engine: a process that answers the calls of the driver until its standard input ends.

Run as ``python -m charkit.distributed.local_worker FOLDER``, where shared arrays lie in FOLDER.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import safetensors.numpy

from charkit.distributed.messages import MessageEndError, read_message, write_message
from charkit.distributed.services import ServiceHolder


def main() -> None:
    """Answers calls. What is printed here goes to standard error: standard output is for answers."""
    folder = Path(sys.argv[1])
    with os.fdopen(os.dup(0), "rb") as requests, os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        first, _ = read_message(requests)
        holder = ServiceHolder(first["service"], first["values"])
        while True:
            try:
                values, arrays = read_message(requests)
            except MessageEndError:
                return
            shared = safetensors.numpy.load_file(folder / values["shared"]) if values["shared"] else {}
            try:
                error, reply = holder.call(values["method"], values["values"], arrays, shared)
            except MemoryError as failure:
                sys.exit(f"out of memory: {failure}")  # another worker may have more, or less to do
            write_message(answers, {"error": error, "values": reply.values}, reply.arrays)


if __name__ == "__main__":
    main()
