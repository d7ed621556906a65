"""What small cases don't show: distant logits, arrays that are processed in parts, exhausted memory."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from charkit.backend import Moments
from charkit.charrnn import CharRNN
from charkit.config import OptimizerConfig
from charkit.testing.agreement import require_agreement
from charkit.testing.backend_parts import Parts, Updater
from charkit.testing.cases import (
    STEPPING,
    gradients_of,
    realistic_case,
    realistic_step,
    stepping_case,
    symbols_of,
)
from charkit.testing.checks.failed_calls import parts_after_a_failed_call
from charkit.testing.isolated.observations import MEMORY, error_of_repeated_calls, memory_exhaustion_report
from charkit.testing.isolated.process import runs_on_cpu
from charkit.testing.memory import frozen_objects
from charkit.testing.oracle import Oracle
from charkit.testing.registry import check, check_precisions
from charkit.testing.subject import Subject
from charkit.testing.tolerances import require, require_close, require_equal
from charkit.weights import weight_shapes

_BACKWARD = (
    "backend.py: differentiate(); lstm.py, output.py and loss.py if the backward pass is written by hand"
)

#: How often a call is repeated: a backend may try one way in the first call, another in the second, and then choose.
_REPETITIONS = 4


@check_precisions("loss")
def distant_logits_do_not_underflow(subject: Subject, precision: str) -> None:
    """Logits above a million that differ widely between rows give finite losses: each row's maximum is subtracted."""
    case = stepping_case()
    weights = case.weights | {"output.weight": 2_000_000.0 * case.weights["output.weight"]}
    far_apart = replace(case, weights=weights)
    parts = subject.parts(precision, far_apart.model, weights)
    nats, _ = parts.nats(*far_apart.batch)
    require_agreement(
        {"nats": nats},
        lambda oracle: {"nats": oracle(far_apart.model).nats(weights, *far_apart.batch)[0]},
        precision=precision,
        kind="forward",
        look_at="loss.py: -log softmax(logits)[target] for each symbol, however much the logits differ between rows",
    )


@check_precisions("gradients", among=("float32",))
def gradients_at_a_realistic_size(subject: Subject, precision: str) -> None:
    """With 128 units and 65 sequences of 20 symbols, arrays that are processed in parts are combined correctly."""
    case, step = realistic_case(), realistic_step()
    parts = subject.parts(precision, case.model, case.weights)
    gradients, nats, _ = parts.gradients(*case.batch)
    require_close(
        {**gradients, "nats": nats},
        {**step.gradients, "nats": step.nats},
        precision=precision,
        kind="gradients",
        look_at=f"{_BACKWARD}; arrays that are processed in blocks",
    )
    scored, after = parts.nats(*case.batch)
    require_close(
        {"nats": scored, **after._asdict()},
        {"nats": step.nats, **step.state._asdict()},
        precision=precision,
        kind="forward",
        look_at="backend.py: compile(); lstm.py outside of differentiate(): batches that are divided into parts",
    )


@check_precisions("gradients", among=("float32",))
def repeated_gradients_are_identical(subject: Subject, precision: str) -> None:
    """The gradient of 66 sequences with 128 units has the same bits each time, and each loss is correct."""
    size = len(realistic_case().symbols)
    indices = [*range(size), size - 1]  # an even number: threads may have halves of equal shapes
    case, step = realistic_case().sequences(indices), realistic_step()
    parts = subject.parts(precision, case.model, case.weights)
    calls = [parts.gradients(*case.batch) for _ in range(_REPETITIONS)]
    for _, nats, after in calls:
        require_close(
            {"nats": nats, **after._asdict()},
            {
                "nats": step.nats[indices],
                **{name: array[:, indices] for name, array in step.state._asdict().items()},
            },
            precision=precision,
            kind="forward",
            look_at="lstm.py and loss.py: arrays that two threads share, or that keep what an earlier call wrote",
        )
    for gradients, *_ in calls[1:]:
        require_equal(
            gradients,
            calls[0][0],
            expected="the same bits from the same call, every time",
            look_at="backend.py: differentiate() and compile(): ways of computing chosen by time or by chance, and "
            "sums whose order varies",
        )


@check_precisions("gradients", among=("float32",))
def gradients_of_undivided_batches(subject: Subject, precision: str) -> None:
    """divides_batches set to False, as for shards, before differentiate() or after it: gradients are correct."""
    case, backend = realistic_case(), subject.backend(precision)
    before = backend.divides_batches
    parts = subject.parts(precision, case.model, case.weights)
    parts.gradients(*case.batch)  # what is made or compiled at the first call is made for whole batches
    backend.divides_batches = False
    try:
        set_later, _, _ = parts.gradients(*case.batch)
        set_first, _, _ = Parts(backend, case.model, case.weights).gradients(*case.batch)
    finally:
        backend.divides_batches = before
    require_close(
        set_later,
        realistic_step().gradients,
        precision=precision,
        kind="gradients",
        look_at="backend.py: differentiate() where divides_batches is False",
    )
    require_equal(
        set_later,
        set_first,
        expected="the same bits whether divides_batches was set before differentiate() or after it",
        look_at="backend.py: the function that differentiate() returns reads divides_batches in each call",
    )


@check_precisions("optimizer", among=("float32",))
def update_at_a_realistic_size(subject: Subject, precision: str) -> None:
    """Two clipped steps correctly update every element of a 512-by-600 weight array and of smaller ones.

    Half of the symbols have no gradient in the second step, and keep moving by that of the first.
    """
    model = realistic_case().model.model_copy(update={"vocabulary_size": 600})
    optimizer = OptimizerConfig(grad_clip=2.0)
    zeros = {name: np.zeros(shape) for name, shape in weight_shapes(model).items()}
    updater = Updater(subject.backend(precision), optimizer, zeros)
    reference, weights, moments = Oracle(model, optimizer), zeros, Moments(zeros, zeros)
    norms, expected = [], []
    for step in (1, 2):
        gradients = gradients_of(model, 500 + 20 * step, 0.02)
        if step == 2:
            gradients["lstm.0.weight_ih"][:, 300:] = 0
        norms.append(updater.update(gradients, 0.01, step))
        weights, moments, norm = reference.update(weights, moments, gradients, 0.01, step)
        expected.append(norm)
    observed = {name: array for name, array in updater.observed().items() if name in weights}
    observed |= {"the norm before clipping": np.array(norms)}
    look_at = (
        "optimizer.py: arrays that are updated in blocks; columns of weight_ih whose gradient is 0: their "
        "moments still change them; backend.py: numpy() returns a new array each time"
    )
    require_close(
        observed,
        {**weights, "the norm before clipping": expected},
        precision=precision,
        kind="update",
        look_at=look_at,
    )


@check("sampling")
def running_out_of_memory_raises_memory_error(subject: Subject) -> None:
    """Logits and copies that don't fit in memory raise MemoryError, whatever error the framework raises."""
    if subject.factory is not None or not runs_on_cpu(subject):
        return  # no installed plugin, or a device with its own memory
    report = memory_exhaustion_report(subject)
    if not report:
        return  # the framework itself ended the process, or the system can't limit memory
    require(
        {"raised", "is_memory_error"} <= report.keys(),
        expected="a report of what was raised when memory ran out",
        got=f"a report of {', '.join(report)}",
        look_at=MEMORY,
    )
    other = report.get("other")
    wrong = report["wrong_errors_of_tensor"]
    require(
        not wrong,
        expected="MemoryError from tensor() if the copy of an array does not fit in memory",
        got="; ".join(f"{what}: {raised[:200]}" for what, raised in wrong.items()),
        look_at=MEMORY,
    )
    require(
        report["is_memory_error"],
        expected="MemoryError from a prediction if its logits do not fit in memory",
        got=str(report["raised"])[:200],
        look_at=MEMORY,
    )
    require(
        other is None or report["raised_for_other"].startswith(f"{other}:"),
        expected=f"{_with_article(other)} unrelated to memory, raised unchanged",
        got=str(report.get("raised_for_other"))[:200],
        look_at=MEMORY,
    )


@check("sampling")
def errors_of_exhausted_memory_are_released(subject: Subject) -> None:
    """After memory runs out, the error isn't kept: its traceback refers to the arrays of the failed call."""
    if subject.factory is not None or not runs_on_cpu(subject):
        return  # no installed plugin, or a device with its own memory
    report = memory_exhaustion_report(subject)
    kept = report.get("keeps_error")
    require(
        not kept,
        expected="no reference to the error after the caller has dropped it",
        got=f"{kept}; the memory of the failed call stays in use",
        look_at="backend.py: compile() and numpy() keep no exception; if a local variable holds one, delete the "
        "variable in a finally clause",
    )


@check("sampling")
def calls_work_once_memory_is_free(subject: Subject) -> None:
    """A prediction and a training step that ran out of memory work when they are made again with enough memory."""
    if subject.factory is not None or not runs_on_cpu(subject):
        return  # no installed plugin, or a device with its own memory
    raised = error_of_repeated_calls(subject)
    require(
        not raised,
        expected="a result when a call that ran out of memory is made again with enough memory",
        got=raised[:200],
        look_at="backend.py: compile(): a call that ran out of memory leaves nothing behind, such as a record of "
        "the shapes that failed",
    )


def _with_article(name: str | None) -> str:
    return f"{'an' if str(name)[0] in 'AEIOU' else 'a'} {name}"


#: Rounds of calls. A framework that compiles or fills a cache does so in one of them; a leak grows in each.
_ROUNDS, _CALLS = 3, 20


@check("training")
def calls_leak_no_objects(subject: Subject) -> None:
    """Training steps leak no Python objects, nor do later evaluations and predictions, even after a failed step."""
    case = stepping_case()  # model and shapes of earlier checks, already compiled
    network = CharRNN.from_config(case.model, STEPPING, subject.backend("float32"), batch_size=3, num_steps=6)
    state, smaller_state = network.initial_state(3), network.initial_state(2)
    inputs, targets = symbols_of(80, (2, 4), 7), symbols_of(81, (2, 4), 7)
    calls: dict[str, Callable[[], Any]] = {
        "training step": lambda: network.train_step(case.symbols, case.targets).loss,
        "evaluated batch": lambda: network.nats(inputs, targets, smaller_state),
        "predicted symbol": lambda: network.predict(case.symbols[:, :1], state),
    }
    for name, call in calls.items():
        if name == "evaluated batch":
            parts_after_a_failed_call(network.backend, case)
        leaked = _leaked_objects(call)
        require(
            leaked < _CALLS,
            expected=f"no additional Python objects after each {name}",
            got=f"{leaked / _CALLS:.1f} more after each",
            look_at=f"{_BACKWARD}; lists and tapes that are not emptied, including after a failed call",
        )


def _leaked_objects(call: Callable[[], Any]) -> int:
    """The smallest growth of the number of objects in a round of calls.

    Stops after a round that leaves fewer than one for each call.
    """
    call()
    least = math.inf
    with frozen_objects():
        count = _count_objects_after(call, 0)
        for _ in range(_ROUNDS):
            before, count = count, _count_objects_after(call, _CALLS)
            least = min(least, count - before)
            if least < _CALLS:
                break
    return int(least)


def _count_objects_after(call: Callable[[], Any], times: int) -> int:
    for _ in range(times):
        call()
    gc.collect()
    return len(gc.get_objects())
