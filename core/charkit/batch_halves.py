"""Divides a batch into two halves, for backends that compute one on each of two threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from charkit.backend import State
from charkit.network import Advance, Forward, Predict

#: The functions of the core that treat each sequence of a batch by itself.
BY_SEQUENCE = (Forward, Predict, Advance)
#: ``(batch, time)``; what has more axes has the batch as its second.
_DIMENSIONS_OF_SYMBOLS = 2


def halves(*batch: Any) -> list[tuple[Any, ...]]:
    """The arguments for each half of a batch; one part where the batch, that of the first, is a single sequence.

    The arguments are symbols or targets ``(batch, time)``, states, masks ``(layer, batch, time, unit)`` or None.
    """
    size = len(batch[0])
    middle = (size + 1) // 2
    slices: Sequence[slice] = (slice(0, middle), slice(middle, None))
    return [tuple(_part(argument, part) for argument in batch) for part in slices[: min(2, size)]]


def _part(argument: Any, part: slice) -> Any:
    """Some sequences of symbols, targets, a state, or masks."""
    if isinstance(argument, State):
        return State(argument.hidden[:, part], argument.cell[:, part])
    if argument is None:
        return None
    return argument[part] if argument.ndim == _DIMENSIONS_OF_SYMBOLS else argument[:, part]


def joined(
    results: Sequence[Any], concatenate: Callable[[Sequence[Any], int], Any], *, batch_axis_of_logits: int
) -> Any:
    """Both halves of a state, of nats ``(batch, time)``, of logits, or of several.

    ``concatenate`` joins tensors along an axis.
    """
    first, second = results
    if isinstance(first, State):
        return State(*(concatenate(pair, 1) for pair in zip(first, second, strict=True)))
    if isinstance(first, tuple):
        return tuple(
            joined(pair, concatenate, batch_axis_of_logits=batch_axis_of_logits)
            for pair in zip(first, second, strict=True)
        )
    return concatenate(results, 0 if first.ndim == _DIMENSIONS_OF_SYMBOLS else batch_axis_of_logits)


class LastingThread:
    """A thread that makes one call after the other.

    A forked process has none of its parent's threads: it gets its own.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._process = 0
        self._executor: ThreadPoolExecutor | None = None

    def submit(self, call: Callable[[], Any]) -> Future[Any]:
        """Begins the call there, or makes it here if no thread can begin, as when the main thread has ended."""
        if self._executor is None or self._process != os.getpid():
            self._process = os.getpid()
            self._executor = ThreadPoolExecutor(1, self._name)
        try:
            return self._executor.submit(call)
        except RuntimeError:  # of submit alone: the call's own errors are raised by its future
            self._executor = None  # which may have queued the call
            return _made(call)


def _made(call: Callable[[], Any]) -> Future[Any]:
    """The call's future, once it has been made."""
    future: Future[Any] = Future()
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001 - the future raises it
        future.set_exception(error)
    return future
