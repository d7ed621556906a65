"""Where did a variant leave the others? Finds the first step whose own arithmetic is wrong, and the array.

The variant trains once more in a new process. At some steps everything is written down: the arrays before,
what the step gave, and the arrays after. The float64 oracle of the conformance kit makes the same step from
the same arrays. So a step is judged by itself, whatever came before it; and a mistake that the kit knows is
named. The steps looked at are those where the difference of the losses jumps, then those between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from charkit.backend import Array, Moments, State
from charkit.comparison.child import Child, scratch
from charkit.comparison.job import Snapshot, load_arrays
from charkit.comparison.plan import Plan, Variant
from charkit.config import RunConfig
from charkit.testing.diagnosis import diagnose
from charkit.testing.judge import BOUNDS, Compute, Kind, difference
from charkit.testing.oracle import Oracle

#: Steps that are looked at because the difference jumps there, and so many before each.
JUMPS = 8
#: Steps between a sound one and a wrong one that are all looked at; more are halved.
SCANNED = 12


@dataclass(frozen=True)
class Place:
    """The first wrong step found, and what is wrong in it."""

    step: int
    array: str
    expected: str
    got: str
    look_at: str


Tell = Callable[[str], None]


def find_place(
    variant: Variant, plan: Plan, first_step: int, gaps: Sequence[float], tell: Tell
) -> Place | None:
    """The first wrong step of a variant, or None where every step looked at is right.

    ``gaps`` are the differences of its losses to the reference's, of the steps from ``first_step`` on, up to
    the first beyond the bound. Raises ChildFailedError.
    """
    found = _look(variant, plan, first_step, candidates(gaps, first_step), tell)
    while found.wrong is not None and found.wrong.step - found.sound > 1:
        between = range(found.sound + 1, found.wrong.step)
        steps = list(between) if len(between) <= SCANNED else [between[len(between) // 2]]
        closer = _look(variant, plan, first_step, steps, tell)
        found = _Looked(max(closer.sound, found.sound), closer.wrong or found.wrong)
        if len(between) <= SCANNED:
            break
    return found.wrong


def candidates(gaps: Sequence[float], first_step: int) -> list[int]:
    """The steps to look at first: the beginning, the end, and where the difference jumps; with those before."""
    differences = np.asarray(gaps, np.float64)
    before = np.maximum.accumulate(np.concatenate([[0.0], differences[:-1]]))
    jumps = differences / np.maximum(before, 1e-12)
    chosen = {0, 1, len(gaps) - 2, len(gaps) - 1, *np.argsort(-jumps)[:JUMPS].tolist()}
    near = {index - back for index in chosen for back in (0, 1)}
    return sorted(first_step + index for index in near if 0 <= index < len(gaps))


@dataclass(frozen=True)
class _Looked:
    sound: int  # the last step before the wrong one that was looked at and is right, or 0
    wrong: Place | None


def _look(variant: Variant, plan: Plan, first_step: int, steps: Sequence[int], tell: Tell) -> _Looked:
    """Trains anew and judges some steps, in order, up to the first wrong one."""
    child = Child(variant, plan, steps=steps[-1] - first_step + 1)
    sound = first_step - 1
    try:
        child.prepare()
        now = first_step - 1
        for step in steps:
            tell(f"{variant.label}: looking at step {step:,}")
            while now < step - 1:  # in turns no longer than those that it has made within the limit
                turn = min(step - 1 - now, max(plan.turns()))
                child.order("train", steps=turn)
                now += turn
            path = scratch(plan, "inspected")
            child.order("inspect", to=str(path))
            now = step
            wrong = judge(load_arrays(path), plan.config, variant.precision, step)
            if wrong is not None:
                return _Looked(sound, wrong)
            sound = step
        return _Looked(sound, None)
    finally:
        child.close()


def judge(arrays: Mapping[str, Array], config: RunConfig, precision: str, step: int) -> Place | None:
    """Holds one written-down step against the oracle, array by array in the order of the computation."""
    for check in (_first_logits, _forward, _gradients, _update):
        came, compute, kind = check(arrays, config, step)
        wrong = _first_wrong(came, compute, precision, kind)
        if wrong is not None:
            return Place(step, *wrong)
    return None


def _first_wrong(
    came: Mapping[str, ArrayLike], compute: Compute, precision: str, kind: Kind
) -> tuple[str, str, str, str] | None:
    """The first array that is not the oracle's: its name, what was expected, what came, and the known mistake."""
    limit = BOUNDS[precision][kind]
    reference = compute(Oracle)
    gaps = {name: difference(came[name], expected) for name, expected in reference.items()}
    name = next((name for name in gaps if gaps[name] > limit), None)
    if name is None:
        return None
    mistake = diagnose(came, compute, gaps, precision=precision, limit=limit)
    expected = f"the oracle's, within {limit:.0e} of its largest ({precision})"
    return name, expected, f"off by {gaps[name]:.1e} of its largest", mistake


def _group(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _few(
    arrays: Mapping[str, Array],
) -> tuple[dict[str, Array], tuple[Array, Array, State[Array], Array | None]]:
    """The weights before the step, and the few sequences that the oracle computes."""
    before = Snapshot.from_named(_group(arrays, "before."))
    count = len(arrays["inputs"])
    state = State(before.state.hidden[:, :count], before.state.cell[:, :count])
    weights = {name: array.astype(np.float64) for name, array in before.weights.items()}
    return weights, (arrays["inputs"], arrays["targets"], state, arrays.get("masks"))


#: What came, what computes it on an oracle, and which bound it has.
Judged = tuple[Mapping[str, ArrayLike], Compute, Kind]


def _first_logits(arrays: Mapping[str, Array], config: RunConfig, step: int) -> Judged:
    weights, (symbols, _, state, _) = _few(arrays)

    def compute(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        return {"the logits": oracle(config.model).forward(weights, symbols[:, :1], state).logits[:, 0]}

    return {"the logits": arrays["few.logits"]}, compute, "forward"


def _forward(arrays: Mapping[str, Array], config: RunConfig, step: int) -> Judged:
    weights, batch = _few(arrays)
    count = len(batch[0])
    after = Snapshot.from_named(_group(arrays, "after.")).state

    def compute(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        nats, state = oracle(config.model).nats(weights, *batch)
        return {"the loss": nats, "the hidden state": state.hidden, "the cell state": state.cell}

    came = {
        "the loss": arrays["nats"],
        "the hidden state": after.hidden[:, :count],
        "the cell state": after.cell[:, :count],
    }
    return came, compute, "forward"


def _gradients(arrays: Mapping[str, Array], config: RunConfig, step: int) -> Judged:
    weights, batch = _few(arrays)

    def compute(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        expected = oracle(config.model).gradients(weights, *batch)
        return {f"the gradient of {name}": array for name, array in expected.items()}

    came = {f"the gradient of {name}": array for name, array in _group(arrays, "few.gradient.").items()}
    return came, compute, "gradients"


def _update(arrays: Mapping[str, Array], config: RunConfig, step: int) -> Judged:
    """The update from the variant's own gradients, so that only the optimiser is judged."""
    before, after = (Snapshot.from_named(_group(arrays, prefix)) for prefix in ("before.", "after."))
    gradients = _exact(_group(arrays, "gradient."))
    moments = Moments(_exact(before.moments.exp_avg), _exact(before.moments.exp_avg_sq))

    def compute(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        judge = oracle(config.model, config.optimizer)
        weights, moved, norm = judge.update(
            _exact(before.weights), moments, gradients, float(arrays["rate"]), step
        )
        return _named_update(weights, moved, norm)

    return _named_update(after.weights, after.moments, arrays["norm"]), compute, "update"


def _named_update(
    weights: Mapping[str, ArrayLike], moments: Moments[Array], norm: ArrayLike
) -> dict[str, ArrayLike]:
    """An update by the names that a reader is told, in the order of its computation."""
    return {
        "the gradient norm": norm,
        **{f"the first moment of {name}": array for name, array in moments.exp_avg.items()},
        **{f"the second moment of {name}": array for name, array in moments.exp_avg_sq.items()},
        **{f"the updated {name}": array for name, array in weights.items()},
    }


def _exact(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name: array.astype(np.float64) for name, array in arrays.items()}
