"""What toys don't show: rows that lie far apart, sizes at which arrays are worked on in parts, a call that failed."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from charkit.backend import Moments
from charkit.charrnn import CharRNN
from charkit.config import OptimizerConfig
from charkit.testing.agreement import agree
from charkit.testing.cases import (
    STEPPING,
    gradients_of,
    make_case,
    real_case,
    stepping_case,
    symbols_of,
)
from charkit.testing.checks.processes import MEMORY, what_ran_out
from charkit.testing.companions import runs_on_cpu
from charkit.testing.judge import near, require
from charkit.testing.memory import only_new_garbage
from charkit.testing.oracle import Oracle
from charkit.testing.registry import check, check_precisions
from charkit.testing.subject import Parts, Subject, Updater
from charkit.weights import weight_shapes

_WAY_BACK = "backend.py: differentiate(); lstm.py, output.py and loss.py where the way back is by hand"


@check_precisions("loss")
def rows_far_apart_do_not_underflow(subject: Subject, precision: str) -> None:
    """Logits of a million and more, far apart from row to row, give finite nats: each row's highest is subtracted."""
    case = stepping_case()
    weights = case.weights | {"output.weight": 2_000_000.0 * case.weights["output.weight"]}
    far_apart = replace(case, weights=weights)
    parts = subject.parts(precision, far_apart.model, weights)
    nats, _ = parts.nats(*far_apart.batch)
    agree(
        {"nats": nats},
        lambda oracle: {"nats": oracle(far_apart.model).nats(weights, *far_apart.batch)[0]},
        precision=precision,
        kind="forward",
        look_at="loss.py: -log softmax(logits)[target] of each symbol, however far apart the rows are",
    )


@check_precisions("gradients", among=("float32",))
def gradients_at_a_real_size(subject: Subject, precision: str) -> None:
    """128 units, 64 sequences of 20 symbols: what is worked on in parts is put together rightly."""
    case = real_case()
    gradients, nats, _ = subject.parts(precision, case.model, case.weights).gradients(*case.batch)
    step = Oracle(case.model).step(case.weights, *case.batch)
    near(
        {**gradients, "nats": nats},
        {**step.gradients, "nats": step.nats},
        precision=precision,
        kind="gradients",
        look_at=f"{_WAY_BACK}; arrays that are worked on in blocks",
    )


@check_precisions("optimiser", among=("float32",))
def update_at_a_real_size(subject: Subject, precision: str) -> None:
    """Two clipped steps of a weight of 512 by 600 and its smaller neighbors: every element moves as it should.

    The symbols of one half have no gradient in the second step, and go on moving by what they had in the first.
    """
    model = real_case().model.model_copy(update={"vocabulary_size": 600})
    optimizer = OptimizerConfig(grad_clip=2.0)
    zeros = {name: np.zeros(shape) for name, shape in weight_shapes(model).items()}
    updater = Updater(subject.backend(precision), optimizer, zeros)
    judge, weights, moments = Oracle(model, optimizer), zeros, Moments(zeros, zeros)
    norms, expected = [], []
    for step in (1, 2):
        gradients = gradients_of(model, 500 + 20 * step, 0.02)
        if step == 2:
            gradients["lstm.0.weight_ih"][:, 300:] = 0
        norms.append(updater.update(gradients, 0.01, step))
        weights, moments, norm = judge.update(weights, moments, gradients, 0.01, step)
        expected.append(norm)
    observed = {name: array for name, array in updater.observed().items() if name in weights}
    observed |= {"the norm before clipping": np.array(norms)}
    look_at = "optimizer.py: arrays that are updated in chunks"
    near(
        observed,
        {**weights, "the norm before clipping": expected},
        precision=precision,
        kind="update",
        look_at=look_at,
    )


class _InterruptionError(Exception):
    """Comes out of a forward pass, as it does where memory runs out."""


@check_precisions("gradients", among=("float32",))
def gradients_after_a_failed_call(subject: Subject, precision: str) -> None:
    """An exception at the end of the forward pass leaves nothing behind: the next gradient is right."""
    case, backend = make_case(num_layers=1, masked=True), subject.backend(precision)
    parts = Parts(backend, case.model, case.weights)
    whole = parts.forward
    failed: list[bool] = []

    def forward(*arguments: Any) -> Any:
        result = whole(*arguments)
        if not failed:
            failed.append(True)
            raise _InterruptionError
        return result

    parts.forward = forward
    with suppress(_InterruptionError):
        parts.gradients(*case.batch)
    gradients, _, _ = parts.gradients(*case.batch)
    agree(
        gradients,
        lambda oracle: oracle(case.model).gradients(case.weights, *case.batch),
        precision=precision,
        kind="gradients",
        look_at=f"{_WAY_BACK}; what a failed call leaves behind",
    )


@check("sampling")
def memory_that_runs_out_is_a_memory_error(subject: Subject) -> None:
    """Logits larger than the memory that is left are a MemoryError, whatever the framework calls it."""
    if subject.factory is not None or not runs_on_cpu(subject):
        return  # no plugin that another process can make, or a device whose memory is not the process's
    report = subject.kept("ran out", lambda: what_ran_out(subject))
    raised, other = report.get("raised"), report.get("other")
    require(
        raised is None or raised.startswith("MemoryError"),
        expected="a MemoryError where memory runs out",
        got=str(raised)[:200],
        look_at=MEMORY,
    )
    require(
        other is None or report["raised_for_other"].startswith(f"{other}:"),
        expected=f"{_an(other)} that says nothing of memory, as it was raised",
        got=str(report.get("raised_for_other"))[:200],
        look_at=MEMORY,
    )


def _an(name: str | None) -> str:
    return f"{'an' if str(name)[0] in 'AEIOU' else 'a'} {name}"


#: Rounds of calls. A framework that compiles or caches anew does so in one of them, a leak grows in each.
_ROUNDS, _CALLS = 3, 40


@check("training")
def calls_leave_no_objects(subject: Subject) -> None:
    """Training steps, and evaluations and predictions after them, leave no Python objects behind."""
    case = stepping_case()  # the model, and below the shapes, of the checks before
    network = CharRNN.from_config(case.model, STEPPING, subject.backend("float32"), batch_size=3, num_steps=6)
    one, several = network.initial_state(3), network.initial_state(2)
    inputs, targets = symbols_of(80, (2, 4), 7), symbols_of(81, (2, 4), 7)
    calls: dict[str, Callable[[], Any]] = {
        "training step": lambda: network.train_step(case.symbols, case.targets).loss,
        "evaluated batch": lambda: network.nats(inputs, targets, several),
        "predicted symbol": lambda: network.predict(case.symbols[:, :1], one),
    }
    for what, call in calls.items():
        left = _objects_left(call)
        require(
            left < _CALLS,
            expected=f"no Python object more after each {what}",
            got=f"{left / _CALLS:.1f} more after each",
            look_at=f"{_WAY_BACK}; lists and tapes that are not emptied",
        )


def _objects_left(call: Callable[[], Any]) -> int:
    """How many more objects there are after a round of calls than before it: of the rounds, the least.

    There are no more rounds after one that leaves fewer than one for each call.
    """
    call()
    least = math.inf
    with only_new_garbage():
        count = _objects_after(call, 0)
        for _ in range(_ROUNDS):
            before, count = count, _objects_after(call, _CALLS)
            least = min(least, count - before)
            if least < _CALLS:
                break
    return int(least)


def _objects_after(call: Callable[[], Any], times: int) -> int:
    for _ in range(times):
        call()
    gc.collect()
    return len(gc.get_objects())
