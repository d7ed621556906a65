"""A worker of the local engine: a process that answers the calls of the driver until its standard input ends.

Run as ``python -m charkit.distributed.local_worker FOLDER``, where shared arrays lie in FOLDER.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path
from typing import IO

import safetensors.numpy

from charkit.distributed.engine import Arrays
from charkit.distributed.messages import MessageEndError, read_message, write_message
from charkit.distributed.services import ServiceHolder


def main() -> None:
    """Answers calls. The standard streams are theirs: here, output goes to standard error, and there is no input."""
    folder = Path(sys.argv[1])
    with os.fdopen(os.dup(0), "rb") as requests, os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)  # a process that is started here would hold the pipe open
        try:
            _answer(requests, answers, folder)
        except MemoryError as failure:
            # Another worker may have more, or less to do. Not sys.exit: what it would run needs memory, too.
            os.write(2, f"out of memory: {failure}\n".encode())
            os._exit(1)
        except (MessageEndError, BrokenPipeError):
            # Workers that are stopped are killed, so this is the end of the driver, which may have been killed itself:
            # while the worker waited for a call, or while it computed.
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(0)  # not sys.exit: it would try to write the unread answer again


def _answer(requests: IO[bytes], answers: IO[bytes], folder: Path) -> None:
    """Answers calls until there are no more, which raises MessageEndError."""
    first, _ = read_message(requests)
    holder = ServiceHolder(first["service"], first["values"])
    while True:
        values, arrays = read_message(requests)
        error, reply = holder.call(
            values["method"], values["values"], arrays, _shared(folder, values["shared"])
        )
        write_message(answers, {"error": error, "values": reply.values}, reply.arrays)


def _shared(folder: Path, name: str) -> Arrays:
    """The shared arrays of that name; none without a name."""
    if not name:
        return {}
    try:
        return safetensors.numpy.load_file(folder / name)
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise MemoryError("the shared arrays can't be mapped") from error
        raise


if __name__ == "__main__":
    main()
