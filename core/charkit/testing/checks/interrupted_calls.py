"""Calls that an interruption ends, as Ctrl-C does, leave nothing behind that later calls meet."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import sleep
from types import FrameType
from typing import Any, cast

import numpy as np

from charkit.backend import Array
from charkit.config import OptimizerConfig
from charkit.testing.backend_parts import Parts, Updater
from charkit.testing.cases import Case, gradients_of, make_case, unmasked_case, weights_of
from charkit.testing.checks.failed_calls import InterruptionError, require_right_gradients
from charkit.testing.error_location import sources_of_subject
from charkit.testing.interruption import cleans_up, lines_of
from charkit.testing.line_tracing import line_tracer
from charkit.testing.registry import check, check_precisions
from charkit.testing.subject import Subject
from charkit.testing.threaded_call import ThreadedCall
from charkit.testing.tolerances import BOUNDS, Mismatch, difference
from charkit.testing.updates import MODEL

#: How long a thread of an interrupted call is held up, and how long a later call then leaves it time to do damage.
_HELD_SECONDS, _HALF_DONE_SECONDS = 0.05, 0.03
#: Longer than a call takes. A call that takes longer waits for a lock that the interrupted one did not release.
_TIMEOUT_SECONDS = 60.0
#: After so many interrupted calls, each at another line, comes one that must be correct.
_LINES_AT_ONCE = 4
_LOOK_AT = (
    "what the plugin keeps between calls: it must be consistent wherever an exception ends a call; use `with` or "
    "`finally` for locks and for settings, and replace what is kept, rather than changing it piece by piece"
)


@check_precisions("gradients", among=("float32",))
def gradients_while_an_interrupted_call_ends(subject: Subject, precision: str) -> None:
    """After an interruption in one of several threads, the rest of that call does not disturb the next gradient."""
    case = make_case(num_layers=1, batch_size=8, masked=True)
    parts = Parts(subject.backend(precision), case.model, case.weights)
    parts.forward = interrupted = _InterruptedForward(parts.forward)
    with suppress(InterruptionError):
        parts.gradients(*case.batch)
    if not interrupted.has_rest():
        return  # all of it was in this thread, whose interruptions another check is about
    look_at = (
        "backend.py: differentiate(), where it uses several threads: each call waits for the threads of an "
        "interrupted one, or has arrays of its own"
    )
    require_right_gradients(parts, case, precision, look_at)


class _InterruptedForward:
    """A forward pass whose first call is interrupted in the caller's thread, while another thread is held up in it.

    That thread goes on when the next call is half done in another thread, or soon anyway.
    """

    def __init__(self, forward: Any) -> None:
        self._forward, self._caller = forward, threading.current_thread()
        self._is_interrupted = self._is_held = False
        self._held, self._next_is_half_done = threading.Event(), threading.Event()

    def __call__(self, *arguments: Any) -> Any:
        if threading.current_thread() is self._caller:
            result = self._forward(*arguments)
            if not self._is_interrupted:
                self._is_interrupted = True
                raise InterruptionError
            return result
        if not self._is_held:
            self._is_held = True
            self._held.set()
            self._next_is_half_done.wait(_HELD_SECONDS)
            return self._forward(*arguments)
        result = self._forward(*arguments)
        self._next_is_half_done.set()
        sleep(_HALF_DONE_SECONDS)
        return result

    def has_rest(self) -> bool:
        """Whether another thread has begun its part of the first call, or does so soon."""
        if threading.active_count() > 1:
            self._held.wait(_HELD_SECONDS)
        return self._is_held


@check("training")
def calls_after_an_interruption(subject: Subject) -> None:
    """After Ctrl-C at each line of the plugin in turn, gradients, losses, logits and updates are still correct."""
    case = unmasked_case()  # this model and optimizer are those of earlier checks
    other = replace(case, symbols=(case.symbols + 1) % np.int32(case.model.vocabulary_size))
    backend, sources = subject.new("float32"), sources_of_subject(subject)
    parts = Parts(backend, case.model, case.weights)
    weights = [case.weights, weights_of(case.model, 70)]

    def renew_weights(number: int) -> None:
        """Makes a new dictionary of the first weights or the second ones, for which a backend may prepare something."""
        parts.weights = parts.tensors(weights[number])

    def differentiate(case: Case) -> Mapping[str, Array]:
        gradients, nats, state = parts.gradients(*case.batch)
        return {**gradients, "nats": nats, **state._asdict()}

    def evaluate(case: Case) -> Mapping[str, Array]:
        nats, state = parts.nats(*case.batch)
        return {"nats": nats, **state._asdict()}

    def predict(case: Case) -> Mapping[str, Array]:
        first = case.steps(1)
        logits, state = parts.predict(first.symbols, first.state)
        return {"logits": logits, **state._asdict()}

    def update(case: Case) -> Mapping[str, Array]:
        updater = Updater(backend, OptimizerConfig(grad_clip=20.0), weights_of(MODEL))
        updater.update(gradients_of(MODEL, 300 + int(case.symbols[0, 0]), 1.0), 0.01, 1)
        return updater.observed()

    # Training may do more at the lines that it shares with predictions, and in two threads.
    for calls in ((predict,), (differentiate, evaluate, update)):
        tried: set[tuple[str, int]] = set()
        for call in calls:
            lines, rights = list[tuple[str, int]](), []
            for number in range(len(weights)):
                renew_weights(number)
                lines += lines_of(partial(call, other), sources)
                rights.append(call(case))
            new_lines = [line for line in dict.fromkeys(lines) if line not in tried]
            tried.update(new_lines)
            groups = [new_lines[at : at + _LINES_AT_ONCE] for at in range(0, len(new_lines), _LINES_AT_ONCE)]
            for index, group in enumerate(groups):
                number = index % len(weights)  # not that of the last call
                renew_weights(number)
                _require_same_after_interruptions(call, case, other, sources, group, rights[number])


def _require_same_after_interruptions(
    call: Callable[[Case], Mapping[str, Array]],
    case: Case,
    other: Case,
    sources: list[Path],
    lines: list[tuple[str, int]],
    right: Mapping[str, Array],
) -> None:
    """Interrupts calls with another case at each of these lines of the plugin, but for those that clean up.

    Raises Mismatch if a later call differs or does not end.
    """
    where = f"after interruptions at {', '.join(f'{file}:{number}' for file, number in lines)}"

    def interrupt_and_call() -> Mapping[str, Array]:
        for line in lines:
            _interrupt(lambda: call(other), sources, line)
        return call(case)

    results = _result(interrupt_and_call, where)
    gaps = {name: difference(results[name], array) for name, array in right.items()}
    worst = max(gaps, key=lambda name: gaps[name])
    if not gaps[worst] <= BOUNDS["float32"]["gradients"]:
        got = f"{worst}: a difference of {gaps[worst]:.1e} relative to its largest element, {where}"
        raise Mismatch("the same results before and after interrupted calls", got, _LOOK_AT)


def _interrupt(call: Callable[[], object], sources: list[Path], line: tuple[str, int]) -> None:
    """Raises an exception in a call where it first comes to a line of the plugin, file and number, but to clean up."""

    def stop(frame: FrameType) -> None:
        if (frame.f_code.co_filename, frame.f_lineno) == line and not cleans_up(frame, sources):
            raise InterruptionError  # which ends the tracing

    with suppress(InterruptionError, Exception):  # other checks judge what comes out
        sys.settrace(line_tracer(sources, stop))
        try:
            call()
        finally:
            sys.settrace(None)


def _result(call: Callable[[], Mapping[str, Array]], where: str) -> Mapping[str, Array]:
    """What a call in another thread returns. Raises what it raises, and Mismatch if it does not end."""
    later = ThreadedCall(call)
    if not later.ends(_TIMEOUT_SECONDS):
        got = f"no result within {_TIMEOUT_SECONDS:g} s {where}; a lock may still be held"
        raise Mismatch("a call that finishes even after interrupted calls", got, _LOOK_AT)
    if later.error is not None:
        raise later.error
    return cast(Mapping[str, Array], later.result)
