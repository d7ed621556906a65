"""Stage training: two backends in two threads at once, each called by its own thread."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from charkit.backend import Array, Backend
from charkit.config import OptimizerConfig
from charkit.plugins.supervision import kept_process
from charkit.testing.backend_parts import Parts, Updater
from charkit.testing.cases import gradients_of, make_case, realistic_case, weights_of
from charkit.testing.isolated.process_settings import (
    FILES,
    changed_settings,
    changed_thread_pools,
    process_settings,
    thread_pools,
)
from charkit.testing.overlap import call_overlapping
from charkit.testing.registry import check
from charkit.testing.subject import Subject
from charkit.testing.tolerances import BOUNDS, difference, require

#: How long a network waits for the other: a backend may let one begin only when the other has ended.
_PAUSE_SECONDS = 0.25
#: How long a thread waits for the other to begin.
_START_SECONDS = 5.0
#: How many updates each thread makes, and how often Python changes threads meanwhile.
_UPDATES, _SWITCH_SECONDS = 10, 1e-5
#: Large enough that updates in two threads overlap; the sizes and the optimizer of another check, which are compiled.
_WIDE = realistic_case().model.model_copy(update={"vocabulary_size": 600})
_OPTIMIZER = OptimizerConfig(grad_clip=2.0)
#: What other programs may change meanwhile.
_OF_OTHERS = (FILES,)


@check("training")
def backends_work_at_the_same_time(subject: Subject) -> None:
    """Two backends, one of which is called in another thread while the other works, leave no setting changed."""
    backends = [subject.new("float32") for _ in range(2)]
    with _unchanged_settings():
        call_overlapping(*backends)


@contextmanager
def _unchanged_settings() -> Iterator[None]:
    """Raises Mismatch if settings of the process differ afterwards."""
    pools, settings = thread_pools(), process_settings()
    yield
    changed = changed_thread_pools(pools, thread_pools())
    changed += [name for name in changed_settings(settings, process_settings()) if name not in _OF_OTHERS]
    require(
        not changed,
        expected="the settings of the process as before two calls of which one began within the other",
        got=f"changed: {', '.join(changed)}",
        look_at="backend.py: compile() and differentiate(): a setting of the process that is changed during a call "
        "needs a lock that all backends share",
    )


@dataclass(frozen=True)
class _PausingOutput:
    """An output layer that calls ``pause`` first, when its LSTM has run; equal to others with an equal output layer."""

    inner: Any
    pause: Callable[[], object] = field(compare=False)

    def __call__(self, weights: Any, features: Any) -> Any:
        self.pause()
        return self.inner(weights, features)


@check("training")
def networks_work_at_the_same_time(subject: Subject) -> None:
    """Two networks of the same sizes predict and differentiate in two threads: their calls overlap."""
    case = make_case(num_layers=1, num_steps=1)
    first_halfway, second_halfway, first_ended = (threading.Event() for _ in range(3))

    def pause_first() -> None:
        first_halfway.set()
        second_halfway.wait(_PAUSE_SECONDS)

    def pause_second() -> None:
        second_halfway.set()
        first_ended.wait(_PAUSE_SECONDS)

    first, second = (
        Parts(
            subject.new("float32"),
            case.model,
            weights_of(case.model, stream),
            partial(_PausingOutput, pause=pause),
        )
        for stream, pause in ((50, pause_first), (70, pause_second))
    )

    def predict(parts: Parts) -> dict[str, Array]:
        logits, state = parts.predict(case.symbols, case.state)
        return {"logits": logits, **state._asdict()}

    def differentiate(parts: Parts) -> dict[str, Array]:
        gradients, nats, state = parts.gradients(*case.batch)
        return {**gradients, "nats": nats, **state._asdict()}

    def end_first(_: object) -> None:
        first_halfway.set()  # a compiled function doesn't pause
        first_ended.set()

    for call in (predict, differentiate):
        second_halfway.set()
        alone = call(first)
        for event in (first_halfway, second_halfway, first_ended):
            event.clear()
        with _unchanged_settings(), ThreadPoolExecutor(1) as pool:
            paused = pool.submit(_kept, call, first)
            paused.add_done_callback(end_first)
            first_halfway.wait(_PAUSE_SECONDS)
            _kept(call, second)
        _require_same(alone, paused.result(), "each network, or each thread")


def _kept(call: Callable[[Parts], dict[str, Array]], parts: Parts) -> dict[str, Array]:
    with kept_process():
        return call(parts)


@check("training")
def optimizers_work_at_the_same_time(subject: Subject) -> None:
    """Two optimizers on two backends, each in its own thread, update weights as each does alone."""
    backends = [subject.new("float32") for _ in range(2)]
    alone = [_updated(backend, number, lambda: None) for number, backend in enumerate(backends)]
    both_are_ready = threading.Barrier(2, timeout=_START_SECONDS)
    with _frequent_switches(), ThreadPoolExecutor(1) as pool:
        other = pool.submit(_updated, backends[1], 1, both_are_ready.wait)
        together = [_updated(backends[0], 0, both_are_ready.wait), other.result()]
    for right, results in zip(alone, together, strict=True):
        _require_same(right, results, "each optimizer, or each thread")


def _updated(backend: Backend[Any], number: int, await_other: Callable[[], object]) -> dict[str, Array]:
    """Weights and moments after some updates with gradients of one optimizer's own size."""
    gradients = gradients_of(_WIDE, 200 + 20 * number, (0.5, 15.0)[number])
    with kept_process():
        updater = Updater(backend, _OPTIMIZER, weights_of(_WIDE, 50 + 20 * number))
        with suppress(threading.BrokenBarrierError):  # the other thread raised, or began far too late
            await_other()
        for step in range(1, _UPDATES + 1):
            updater.update(gradients, 0.01, step)
        return {name: np.asarray(array) for name, array in updater.observed().items()}


def _require_same(alone: dict[str, Array], together: dict[str, Array], owner: str) -> None:
    gaps = {name: difference(together[name], array) for name, array in alone.items()}
    wrong = [name for name, gap in gaps.items() if not gap <= BOUNDS["float32"]["update"]]
    require(
        not wrong,
        expected="the numbers of one thread alone, where another works at the same time",
        got="; ".join(f"{name}: a difference of {gaps[name]:.1e} of its largest element" for name in wrong),
        look_at=f"arrays that are kept between calls and shared by two threads: {owner}, needs its own",
    )


@contextmanager
def _frequent_switches() -> Iterator[None]:
    """Python changes threads often, so that calls in two threads overlap wherever they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
