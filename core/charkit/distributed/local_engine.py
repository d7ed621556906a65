"""The engine that needs nothing installed: workers are processes of this machine."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, ClassVar

from charkit.distributed.engine import (
    Arrays,
    Engine,
    Handle,
    Reply,
    Values,
    WorkerFailedError,
    WorkerLostError,
)
from charkit.distributed.messages import MessageEndError, read_message, write_message
from charkit.distributed.shared_folder import SharedFolder
from charkit.errors import EngineError
from charkit.machine import most_threads
from charkit.plugins.failures import describe_error
from charkit.system.pipes import enlarge
from charkit.system.processes import kill_group, own_group
from charkit.system.signals import signal_name


@dataclass(eq=False)
class _Call:
    """One call: what is sent, and then the reply or the error."""

    message: Values
    arrays: Arrays
    reply: Reply | None = None
    error: WorkerLostError | WorkerFailedError | None = None
    ended: bool = False


@dataclass(eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    errors: Any  # the file of its standard error
    calls: SimpleQueue[_Call | None] = field(default_factory=SimpleQueue)


class LocalEngine(Engine):
    """Workers are processes of this machine, which end with this one, however it ends."""

    name: ClassVar[str] = "local"

    def __init__(self, shared_bytes: int = 0) -> None:
        self._folder = SharedFolder(shared_bytes)
        self._workers: list[_Worker] = []
        self._ended = threading.Condition()
        self._closed = False

    @classmethod
    def most_workers(cls, address: str | None) -> int:
        """As many as a process may have threads: more would only take memory."""
        return most_threads()

    @classmethod
    def connect(cls, address: str | None, processors: int, shared_bytes: int = 0) -> LocalEngine:
        """A new engine.

        Raises EngineError for an address, since local workers are on this machine, and where no directory has room for
        what is to be shared.
        """
        if address is not None:
            raise EngineError(
                f"`address` {address!r} is for engines on other machines; the local engine's workers run on this "
                "machine; leave `address` out, or choose another `engine`"
            )
        return cls(shared_bytes)

    def notices(self) -> tuple[str, ...]:
        """Says where arrays are shared, if that is not in memory."""
        return self._folder.notices

    def start_worker(self, service: str, values: Values) -> _Worker:
        """Starts a process; a thread of this one speaks with it. Raises EngineError where the system starts none."""
        errors = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - closed when the worker is stopped
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "charkit.distributed.local_worker", str(self._folder.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                **own_group(),  # Ctrl-C is for the driver alone
            )
        except OSError as error:
            errors.close()
            raise EngineError(f"a worker can't be started: {error.strerror}; use fewer `workers`") from error
        assert process.stdout is not None
        enlarge(process.stdout.fileno())  # gradients are larger than what is sent
        worker = _Worker(process, errors)
        self._workers.append(worker)
        hello: Values = {"service": service, "values": values}
        threading.Thread(target=self._speak, args=(worker, hello), name="charkit-worker", daemon=True).start()
        return worker

    def stop_worker(self, worker: _Worker) -> None:
        """Kills the process, and what a framework started in it. Does nothing the second time.

        By then another process may have its number.
        """
        if worker not in self._workers:
            return
        kill_group(worker.process)
        self._workers.remove(worker)
        worker.calls.put(None)
        worker.process.wait()

    def share(self, arrays: Arrays) -> str:
        """Writes the arrays to a file in memory, where there is such a folder, and returns its name."""
        return self._folder.add(arrays)

    def submit(
        self, worker: _Worker, method: str, values: Values, arrays: Arrays, shared: str | None = None
    ) -> _Call:
        """Hands the call to the worker's thread."""
        call = _Call({"method": method, "values": values, "shared": shared or ""}, arrays)
        worker.calls.put(call)
        return call

    def wait(self, calls: Sequence[Handle], timeout_seconds: float) -> list[Handle]:
        """Waits for the threads of the workers."""
        with self._ended:
            self._ended.wait_for(lambda: any(call.ended for call in calls), timeout_seconds)
            return [call for call in calls if call.ended]

    def result(self, call: _Call) -> Reply:
        """The reply that came."""
        if call.error is not None:
            raise call.error
        assert call.reply is not None
        return call.reply

    def close(self) -> None:
        """Kills what still runs, and removes the shared arrays."""
        if self._closed:
            return
        self._closed = True
        for worker in list(self._workers):
            self.stop_worker(worker)
        self._folder.remove()

    def _speak(self, worker: _Worker, hello: Values) -> None:
        """Sends calls and reads replies, one after the other, until the worker is lost or stopped."""
        assert worker.process.stdin is not None
        assert worker.process.stdout is not None
        lost: WorkerLostError | None = None
        first = hello
        with worker.process.stdin as requests, worker.process.stdout as answers:
            while (call := worker.calls.get()) is not None:
                if lost is None:
                    try:
                        if first:
                            write_message(requests, first, {})
                            first = {}
                        write_message(requests, call.message, call.arrays)
                        values, arrays = read_message(answers)
                        reply, failed = Reply(values["values"], arrays), values["error"]
                    except (MessageEndError, BrokenPipeError):
                        lost = WorkerLostError(_reason(worker))
                    except Exception as error:  # noqa: BLE001 - a call that never ended would be waited for
                        lost = WorkerLostError(f"a worker's response can't be read: {describe_error(error)}")
                    else:
                        self._end(call, reply, failed)
                if lost is not None:
                    self._end(call, None, "", lost)
            with contextlib.suppress(BrokenPipeError):
                requests.close()
        worker.errors.close()

    def _end(
        self, call: _Call, reply: Reply | None, failed: str, lost: WorkerLostError | None = None
    ) -> None:
        with self._ended:
            call.reply, call.error = reply, WorkerFailedError(failed) if failed else lost
            call.ended = True
            self._ended.notify_all()


def _reason(worker: _Worker) -> str:
    """How a worker ended: its status, and the last line that it wrote to standard error."""
    status = worker.process.wait()
    how = f"was killed by signal {signal_name(-status)}" if status < 0 else f"ended with status {status}"
    worker.errors.seek(0)
    lines = worker.errors.read().decode("utf-8", "replace").strip().splitlines()
    return f"a worker {how}" + (f": {lines[-1]:.200}" if lines else "")
