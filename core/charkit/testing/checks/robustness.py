"""What toys don't show: rows that lie far apart, sizes at which arrays are worked on in parts, a call that failed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from charkit.backend import Moments
from charkit.config import OptimizerConfig
from charkit.testing.cases import Case, make_case, spread
from charkit.testing.judge import agree
from charkit.testing.oracle import Oracle
from charkit.testing.registry import check_precisions
from charkit.testing.subject import Parts, Subject, Updater

_WAY_BACK = "backend.py: differentiate(); lstm.py, output.py and loss.py where the way back is by hand"


@check_precisions("loss")
def rows_far_apart_do_not_underflow(subject: Subject, precision: str) -> None:
    """Logits that lie hundreds apart from row to row give finite nats: each row's own highest is subtracted."""
    case = make_case()
    weights = case.weights | {"output.weight": 2000.0 * case.weights["output.weight"]}
    far_apart = replace(case, weights=weights)
    parts = Parts(subject.backend(precision), far_apart.model, weights)
    nats, _ = parts.nats(*far_apart.batch)
    agree(
        {"nats": nats},
        lambda oracle: {"nats": oracle(far_apart.model).nats(weights, *far_apart.batch)[0]},
        precision=precision,
        kind="forward",
        look_at="loss.py: subtract the highest logit of each row, not of all, before exp",
    )


def _real_case() -> Case:
    """One layer of 128 units, 64 sequences of 20 symbols out of 90: arrays of a megabyte and more."""
    case = make_case(
        num_layers=1, batch_size=64, num_steps=20, vocabulary_size=90, lstm_size=128, masked=True
    )
    return replace(case, weights={name: 0.1 * array for name, array in case.weights.items()})


@check_precisions("gradients", among=("float32",))
def gradients_at_a_real_size(subject: Subject, precision: str) -> None:
    """128 units, 64 sequences of 20 symbols: what is worked on in parts is put together rightly."""
    case = _real_case()
    gradients, nats, state = Parts(subject.backend(precision), case.model, case.weights).gradients(
        *case.batch
    )

    def compute(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        step = oracle(case.model).step(case.weights, *case.batch)
        return {**step.gradients, "nats": step.nats, "hidden": step.state.hidden, "cell": step.state.cell}

    observed = {**gradients, "nats": nats, "hidden": state.hidden, "cell": state.cell}
    look_at = f"{_WAY_BACK}; arrays that are worked on in blocks"
    agree(observed, compute, precision=precision, kind="gradients", look_at=look_at)


@check_precisions("optimiser", among=("float32",))
def update_at_a_real_size(subject: Subject, precision: str) -> None:
    """Two clipped steps of a weight of 512 by 128 and its smaller neighbors: every element moves as it should."""
    shapes = {name: array.shape for name, array in _real_case().weights.items()}
    optimizer = OptimizerConfig(grad_clip=2.0)
    zeros = {name: np.zeros(shape) for name, shape in shapes.items()}
    gradients = [
        {name: 0.02 * spread(stream + index, shape) for index, (name, shape) in enumerate(shapes.items())}
        for stream in (500, 520)
    ]
    updater = Updater(subject.backend(precision), optimizer, zeros)
    norms = [updater.update(one, 0.01, step) for step, one in enumerate(gradients, start=1)]

    def compute(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        judge = oracle(_real_case().model, optimizer)
        weights, moments, expected = zeros, Moments(zeros, zeros), []
        for step, one in enumerate(gradients, start=1):
            weights, moments, norm = judge.update(weights, moments, one, 0.01, step)
            expected.append(norm)
        return {"the norm before clipping": expected, **weights}

    weights = {name: updater.backend.numpy(tensor) for name, tensor in updater.weights.items()}
    observed = {"the norm before clipping": norms, **weights}
    look_at = "optimizer.py: arrays that are updated in chunks"
    agree(observed, compute, precision=precision, kind="update", look_at=look_at)


class _InterruptionError(Exception):
    """Comes out of a forward pass, as it does where memory runs out."""


@check_precisions("gradients", among=("float32",))
def gradients_after_a_failed_call(subject: Subject, precision: str) -> None:
    """An exception at the end of the forward pass leaves nothing behind: the next gradient is right."""
    case, backend = make_case(masked=True), subject.backend(precision)
    parts = Parts(backend, case.model, case.weights)
    whole, failed = parts.forward, []

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
