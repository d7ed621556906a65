"""The program of a worker process: carries out requests on its worker until there are no more.

Run as ``python -m charkit_comparison.processes``. It reads one request per line from standard input, as JSON, and
answers each with one line of JSON on what was standard output; whatever a framework prints goes to standard error. A
response with the key ``error`` says in one line why a request could not be carried out. While it trains, lines with
the one key ``progress`` come before the response, with the share of the steps that are done.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from charkit import plugins
from charkit.errors import CharkitError
from charkit.plugins.failures import (
    describe_error,
    is_interruption,
    last_line_in,
    printable_line,
    sources_of_class,
)
from charkit.plugins.supervision import kept_process
from charkit_comparison.processes.worker import VariantWorker


def _respond(
    worker: VariantWorker | None, request: dict[str, Any], report_progress: Callable[[float], None]
) -> tuple[VariantWorker, dict[str, Any]]:
    if worker is None or request["action"] == "prepare":
        if worker is not None:
            worker.close()
        worker = VariantWorker(request)
        worker.report_progress = report_progress
    action: Callable[[dict[str, Any]], dict[str, Any]] = getattr(worker, request["action"])
    return worker, action(request)


def _sources(worker: VariantWorker | None, request: dict[str, Any]) -> list[Path]:
    """The files and folders of the backend that a request is for; none for a framework's own layers."""
    if request["action"] != "prepare":
        return sources_of_class(type(worker.model.backend)) if worker and worker.model else []
    if not request["module"]:
        with suppress(CharkitError):
            return sources_of_class(plugins.find(request["backend"]).backend_class)
    return []


def main() -> None:
    """Carries out requests until there are no more."""
    responses = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a framework prints is no response
    worker: VariantWorker | None = None

    def send(response: dict[str, Any]) -> None:
        responses.write(json.dumps(response) + "\n")
        responses.flush()

    for line in sys.stdin:
        request = json.loads(line)
        try:
            with kept_process():  # a process that the backend forks off must not respond as well
                worker, response = _respond(worker, request, lambda share: send({"progress": share}))
        except MemoryError as error:
            response = {"error": f"out of memory{f': {error}' if str(error) else ''}"}
        except BaseException as error:  # whatever a framework raises is this variant's outcome
            sources = _sources(worker, request)
            if is_interruption(error, sources):
                raise
            if isinstance(error, CharkitError):
                text = printable_line(str(error))
            else:
                where = last_line_in(error, sources)
                text = f"{describe_error(error)}{f', at {where}' if where else ''}"
            response = {"error": text[:500]}
        send(response)
        if "error" in response:
            break
    responses.flush()
    os._exit(0)  # a framework's threads must not keep the process


if __name__ == "__main__":
    main()
