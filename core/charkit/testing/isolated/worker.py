"""The program of an isolated process: reports what an installed backend computes and changes, then works on request.

    python -m charkit.testing.isolated FOLDER NAME THREADS DEVICE

FOLDER is an empty folder, which becomes the current one. DEVICE is used if the backend has no CPU device; if it is
empty too, the backend's first device is. The process writes two lines of JSON, what the plugin's module imports and a
report on the backend, and then reads requests from standard input, one per line: ``train``, ``train whole``,
``evaluate``, ``evaluate some``, ``evaluate few``, ``train other`` and ``rest`` are repeated until the next request
arrives; ``more threads``, ``no particular number of threads``, ``two threads``, ``user defaults``, ``lasting
threads``, ``exhaust memory`` and ``repeat exhausted calls`` are answered by one more line of JSON, and ``prepare
other`` by one that is empty. When the requests end, the process with more than one thread trains once more, in a
thread that outlives the main thread.
"""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
from threadpoolctl import threadpool_limits

from charkit import plugins
from charkit.backend import Backend, State
from charkit.plugins.supervision import kept_process
from charkit.system.pipes import readable
from charkit.testing.cases import make_case
from charkit.testing.isolated.actions import Action, call_after_the_main_thread, warm_actions
from charkit.testing.isolated.memory_exhaustion import exhaust_memory, repeat_exhausted_calls
from charkit.testing.isolated.own_changes import noting_own_changes
from charkit.testing.isolated.process_settings import (
    changed_settings,
    changed_thread_pools,
    process_settings,
    set_later_user_settings,
    set_user_defaults,
    set_user_settings,
    settings_during_imports,
    settings_that_imports_keep,
    start_thread_with_undecodable_name,
    thread_pools,
    thread_variables,
)
from charkit.testing.isolated.reports import (
    other_backend,
    report_lasting_threads,
    report_more_threads,
    report_user_defaults,
    result_digests,
    small_network,
)
from charkit.testing.overlap import call_overlapping


def work(answers: IO[str], folder: str, name: str, threads: int, device: str) -> None:
    """Writes the report on the backend to ``answers``, then serves requests, as the arguments of the program say."""
    with TemporaryFile() as printed:
        variables, kept = thread_variables(), settings_that_imports_keep()
        plugin = plugins.find(name)
        own_packages = {
            re.split("[.:]", each)[0] for each in (plugin.entry_point.module, plugin.info.factory)
        }
        with noting_own_changes(own_packages, settings_during_imports) as own_changes:
            devices = plugin.backend_class.devices()
        changed = list(dict.fromkeys(own_changes + changed_settings(kept, settings_that_imports_keep())))
        gc.freeze()
        device = "cpu" if "cpu" in devices else device or devices[0]
        enter_folder(folder)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # an inherited SIG_IGN would hide a change
        start_thread_with_undecodable_name()
        if threads > 1:
            set_user_defaults()
            set_user_settings()
            with suppress(ImportError):  # most users of NumPy have it; its BLAS is another than NumPy's
                import_module("scipy.linalg")
        with kept_process():  # a process that the backend forks off must not answer as well
            backend, report, actions = _observe(name, device, threads, printed)
        variables_changed = changed_settings(variables, thread_variables())
        changed += [f"the environment variable {variable}" for variable in variables_changed]
        report["changed"]["imported"] = changed
        report["dtype"] = str(backend.numpy(backend.tensor(np.zeros(1))).dtype)
        print(json.dumps(report), file=answers, flush=True)
        _serve(backend, actions, answers)
        if threads > 1:
            call_after_the_main_thread(actions["train"])


def _observe(
    name: str, device: str, threads: int, printed: IO[bytes]
) -> tuple[Backend[Any], dict[str, Any], dict[str, Action]]:
    """Creates and uses the backend; returns it, the report, and its warm training and evaluation, by request."""
    before, frozen = process_settings(), gc.get_freeze_count()
    noted = _noting_variables()
    os.dup2(printed.fileno(), 1)
    backend = plugins.create(name, precision="float32", device=device, threads=threads)
    finest = "float64" if "float64" in backend.precisions else "float32"
    finest_backend = plugins.create(name, precision=finest, device=device, threads=threads)
    created, pools_before = changed_settings(before, process_settings()), thread_pools()
    if threads > 1:
        created += [*_changed_by_own_choice(backend), *_variables_not_restored(backend, noted)]
    digests = result_digests(finest_backend)
    dtypes = _dtypes_of_training(backend) if threads > 1 else {}
    actions = warm_actions(backend, evaluates=threads == 1)
    _fail_in_training(backend)
    pools_used = changed_thread_pools(pools_before, thread_pools())  # what follows may set them again
    call_overlapping(backend, other_backend(backend, threads))
    _ = backend.versions(), backend.notices(), backend.device_memory_bytes()  # these must change nothing
    sys.stdout.flush()
    output = ["standard output (something was printed)"] if os.fstat(printed.fileno()).st_size else []
    os.dup2(2, 1)
    used = [
        *changed_settings(before, process_settings()),
        *(_changed_later(backend, actions["train"]) if threads > 1 else []),
        *(pools_used or changed_thread_pools(pools_before, thread_pools())),
        *output,
        *([_FROZEN] if frozen < gc.get_freeze_count() or not gc.get_freeze_count() else []),
    ]
    report = {
        "threads": backend.threads,
        "versions": dict(backend.versions()),
        "digests": digests,
        "dtypes": dtypes,
        "changed": {"created": created, "used": used},
        "thread_pools": pools_before,
    }
    return backend, report, actions


#: The numbers of threads to which a user sets the libraries later: fewer than the backend's two, and more.
_LATER_THREADS = (1, 3)


def _changed_by_own_choice(backend: Backend[Any]) -> list[str]:
    """The thread pools, limited by a user, that creating a backend with the framework's own choice changes."""
    with threadpool_limits(1):
        limited = thread_pools()
        other_backend(backend, None)
        return changed_thread_pools(limited, thread_pools())


def _changed_later(backend: Backend[Any], train: Action) -> list[str]:
    """The settings that training changes, where a user has changed them since the backend was created and used.

    Backends may divide the work of a small step between fewer threads, or between threads of another library.
    """
    set_later_user_settings()
    case = make_case()
    small = small_network(backend, case)
    changed = list[str]()
    for threads in _LATER_THREADS:
        with threadpool_limits(threads):
            settings, pools = process_settings(), thread_pools()
            train()
            small.train_step(case.symbols, case.targets)
            changed += changed_settings(settings, process_settings())
            changed += changed_thread_pools(pools, thread_pools())
    return list(dict.fromkeys(changed))


def _noting_variables() -> dict[str, str]:
    """The environment variables that this process sets from now on, with the last value of each."""
    noted = dict[str, str]()

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.putenv":
            noted[os.fsdecode(arguments[0])] = os.fsdecode(arguments[1])

    sys.addaudithook(note)
    return noted


def _variables_not_restored(backend: Backend[Any], noted: dict[str, str]) -> list[str]:
    """The environment variables that creating a backend unsets or changes although a user has set them.

    ``noted`` are those that creating the others has set, with values. Those that are not set any more were set for a
    while: now the user has set them so.
    """
    of_user = {name: value for name, value in noted.items() if name not in os.environ}
    os.environ.update(of_user)
    other_backend(backend, backend.threads)
    changed = [name for name, value in of_user.items() if os.environ.pop(name, None) != value]
    return [f"the environment variable {name}" for name in sorted(changed)]


def _dtypes_of_training(backend: Backend[Any]) -> dict[str, str]:
    """The dtypes of what a network returns, after another one of the same sizes in another precision."""
    case = make_case()
    network = small_network(backend, case)
    result = network.train_step(case.symbols, case.targets)
    arrays = {"nats": result.nats, **network.weights(), **network.state()._asdict()}
    return {name: str(array.dtype) for name, array in arrays.items()}


def _fail_in_training(backend: Backend[Any]) -> None:
    """Two training steps, ended by an error and by Ctrl-C: afterwards, the process must be as it was."""
    reasons: list[BaseException] = [KeyboardInterrupt(), ArithmeticError("a step that fails on purpose")]

    def forward(weights: Any, symbols: Any, targets: Any, state: Any, masks: Any) -> Any:
        raise reasons[-1]  # the same in each part of a batch

    case = make_case()
    backward = backend.compile(backend.differentiate(forward))
    weights = {name: backend.tensor(array) for name, array in case.weights.items()}
    state = State(*map(backend.tensor, case.state))
    while reasons:
        with suppress(Exception, KeyboardInterrupt):  # other checks judge what comes out
            backward(weights, backend.tensor(case.symbols), backend.tensor(case.targets), state, None)
        reasons.pop()


def _serve(backend: Backend[Any], actions: dict[str, Action], answers: IO[str]) -> None:
    """Carries out requests until standard input ends."""
    # Unbuffered: select must see what has not been read.
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    other = backend
    for line in requests:
        request = line.decode().strip()
        if request in _REPORTS:
            with kept_process():
                answer = _REPORTS[request](backend)
            print(json.dumps(answer), file=answers, flush=True)
            continue
        if request in _OTHERS:
            with kept_process():
                other = other_backend(backend, _OTHERS[request])
            print(json.dumps({"reported": other.threads}), file=answers, flush=True)
            continue
        if request == "prepare other":
            with kept_process():
                actions["train other"] = warm_actions(other, evaluates=False)["train"]
            print(json.dumps({}), file=answers, flush=True)
            continue
        action = actions[request]
        while not readable([requests.fileno()], 0):
            action()


#: Requests for another backend with so many threads, which is trained on request; None is the framework's choice.
_OTHERS = {"no particular number of threads": None, "two threads": 2}


#: Requests that are answered by a line of JSON.
_REPORTS: dict[str, Callable[[Backend[Any]], dict[str, Any]]] = {
    "exhaust memory": exhaust_memory,
    "repeat exhausted calls": repeat_exhausted_calls,
    "lasting threads": report_lasting_threads,
    "more threads": report_more_threads,
    "user defaults": report_user_defaults,
}


#: Objects that the collector leaves out. Of those that this process froze itself, some may have been released since.
_FROZEN = "the objects that are never collected (gc.freeze)"


def enter_folder(folder: str) -> None:
    """Changes to an empty folder, where files that the backend leaves can be seen; imports keep working."""
    sys.path[:] = [os.path.abspath(entry) for entry in sys.path]
    os.chdir(folder)
