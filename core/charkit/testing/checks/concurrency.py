"""Stage training: two backends in two threads at once, each called by its own thread."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from charkit.backend import Array
from charkit.config import OptimizerConfig
from charkit.testing.alternation import alternating_threads, call_alternating
from charkit.testing.backend_parts import Parts, Updater
from charkit.testing.cases import case_of_equal_axes, gradients_of, make_case, unmasked_case, weights_of
from charkit.testing.error_location import sources_of_subject
from charkit.testing.interruption import call_interrupting, lines_of
from charkit.testing.oracle import Oracle
from charkit.testing.overlap import call_overlapping
from charkit.testing.registry import check
from charkit.testing.subject import Subject
from charkit.testing.tolerances import BOUNDS, difference, require, require_close
from charkit.testing.unchanged_settings import unchanged_settings
from charkit.testing.updates import MODEL

#: How many updates each thread makes, with an optimizer of other checks, which is compiled; and the size of each
#: thread's gradients, which are clipped in one of them.
_UPDATES, _OPTIMIZER, _SIZES = 2, OptimizerConfig(grad_clip=20.0), (0.5, 15.0)
#: So many streams of a model so wide that threads pay off even for one time step.
_MANY_STREAMS, _WIDE = 64, 256
_OF_ONE_CALL = (
    "lstm.py, output.py, loss.py and backend.py: where two threads of one call compute parts of a batch, each needs "
    "arrays of its own to write to, even if the parts are of equal size"
)


@check("training")
def backends_work_at_the_same_time(subject: Subject) -> None:
    """Two backends, one of which is called in another thread while the other works, leave no setting changed."""
    backends = [subject.new("float32") for _ in range(2)]
    with unchanged_settings():
        call_overlapping(*backends)


@check("training")
def networks_work_at_the_same_time(subject: Subject) -> None:
    """Two networks of the same sizes predict, score and differentiate in two threads, which alternate line by line."""
    case = unmasked_case()  # model and shapes of earlier checks, which are compiled
    sources = sources_of_subject(subject)
    parts = [Parts(subject.new("float32"), case.model, weights_of(case.model, stream)) for stream in (50, 70)]
    others = [(some + 1) % np.int32(case.model.vocabulary_size) for some in (case.symbols, case.targets)]
    cases = [case, replace(case, symbols=others[0], targets=others[1])]

    def predict(number: int) -> dict[str, Array]:
        first = cases[number].steps(1)
        logits, state = parts[number].predict(first.symbols, first.state)
        return {"logits": logits, **state._asdict()}

    def predict_one(number: int) -> dict[str, Array]:
        """The prediction of a single stream, which often has a separate path."""
        first = case.sequences([0]).steps(1)
        logits, state = parts[number].predict(first.symbols + np.int32(number), first.state)
        return {"logits": logits, **state._asdict()}

    def score(number: int) -> dict[str, Array]:
        nats, state = parts[number].nats(*cases[number].batch)
        return {"nats": nats, **state._asdict()}

    def differentiate(number: int) -> dict[str, Array]:
        gradients, nats, state = parts[number].gradients(*cases[number].batch)
        return {**gradients, "nats": nats, **state._asdict()}

    for call in (predict, predict_one, score, differentiate):
        alone = [call(number) for number in range(2)]
        with unchanged_settings():
            together = call_alternating([partial(call, number) for number in range(2)], sources)
        for right, results in zip(alone, together, strict=True):
            _require_same(right, results, "each network, or each thread")


@check("training")
def threads_of_a_call_work_at_the_same_time(subject: Subject) -> None:
    """Threads that share the work of one call don't interfere, even if they alternate line by line."""
    # Many streams are divided where few are not; the other shapes are those of an earlier check.
    many = make_case(batch_size=_MANY_STREAMS, num_steps=1, lstm_size=_WIDE)
    some = case_of_equal_axes(batch_size=6, num_layers=1)
    with alternating_threads(sources_of_subject(subject)) as begin:
        predicting, training = (
            Parts(subject.new("float32"), case.model, case.weights) for case in (many, some)
        )

        def compute() -> tuple[Any, Any]:
            return predicting.predict(many.symbols, many.state), training.gradients(*some.batch)

        compute()  # starts threads, and makes what is kept between calls
        begin()
        (logits, after), (gradients, nats, _) = compute()
    right = Oracle(many.model).forward(many.weights, many.symbols, many.state)
    require_close(
        {"logits": logits, **after._asdict()},
        {"logits": right.logits[:, 0], **right.state._asdict()},
        precision="float32",
        kind="forward",
        look_at=_OF_ONE_CALL,
    )
    step = Oracle(some.model).step(some.weights, *some.batch)
    require_close(
        {"nats": nats, **gradients},
        {"nats": step.nats, **step.gradients},
        precision="float32",
        kind="gradients",
        look_at=_OF_ONE_CALL,
    )


@check("training")
def networks_are_interrupted(subject: Subject) -> None:
    """Two networks, each paused at any line of the plugin while the other goes on, give correct results."""
    case = make_case(num_layers=1, num_steps=1)  # of earlier checks, and with few lines
    sources = sources_of_subject(subject)
    parts = [Parts(subject.new("float32"), case.model, weights_of(case.model, stream)) for stream in (50, 70)]

    def predict(number: int) -> dict[str, Array]:
        logits, state = parts[number].predict(case.symbols, case.state)
        return {"logits": logits, **state._asdict()}

    def differentiate(number: int) -> dict[str, Array]:
        gradients, nats, state = parts[number].gradients(*case.batch)
        return {**gradients, "nats": nats, **state._asdict()}

    tried: set[tuple[str, int]] = set()
    for call in (differentiate, predict):
        calls = [partial(call, number) for number in range(2)]
        alone = [each() for each in calls]
        lines = lines_of(calls[0], sources)
        first_places = {each: len(lines) - number for number, each in enumerate(reversed(lines))}
        places = sorted(place for line, place in first_places.items() if line not in tried)
        with unchanged_settings():
            for pair in _halves_paired(places):
                together = call_interrupting(calls, sources, pair)
                for right, results in zip(alone, together, strict=True):
                    _require_same(right, results, "each network, or each thread")
        tried |= first_places.keys()


def _halves_paired(places: list[int]) -> list[tuple[int, int]]:
    """Pairs each place of the first half with one of the second half.

    The first call stops early, before most of what the second call does, and the second stops late, before the rest of
    the first: whatever one call keeps for later, the other may replace.
    """
    early, late = places[: (len(places) + 1) // 2], places[len(places) // 2 :]
    return list(zip(early, late, strict=True))


@check("training")
def optimizers_work_at_the_same_time(subject: Subject) -> None:
    """Two optimizers on two backends update weights in two threads, which alternate line by line."""
    sources = sources_of_subject(subject)
    backends = [subject.new("float32") for _ in range(2)]

    def update(number: int) -> dict[str, Array]:
        updater = Updater(backends[number], _OPTIMIZER, weights_of(MODEL, 50 + 20 * number))
        for step in range(1, _UPDATES + 1):
            updater.update(gradients_of(MODEL, 200 + 20 * number, _SIZES[number]), 0.01, step)
        return {name: np.asarray(array) for name, array in updater.observed().items()}

    alone = [update(number) for number in range(2)]
    together = call_alternating([partial(update, number) for number in range(2)], sources)
    for right, results in zip(alone, together, strict=True):
        _require_same(right, results, "each optimizer, or each thread")


def _require_same(alone: dict[str, Array], together: dict[str, Array], owner: str) -> None:
    gaps = {name: difference(together[name], array) for name, array in alone.items()}
    wrong = [name for name, gap in gaps.items() if not gap <= BOUNDS["float32"]["update"]]
    require(
        not wrong,
        expected="the same numbers whether or not another thread is working at the same time",
        got="; ".join(
            f"{name}: a difference of {gaps[name]:.1e} relative to its largest element" for name in wrong
        ),
        look_at=f"arrays that are kept between calls and shared by two threads: {owner}, needs its own",
    )
