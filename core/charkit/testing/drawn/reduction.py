"""Reduces a failing case to a simple one that fails too, so that its author sees what matters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from charkit.config import OptimizerConfig
from charkit.testing.drawn.cases import DrawnCall, DrawnCase

#: Each attempt makes every call of a case; a framework that compiles takes a second for some of them.
_MOST_ATTEMPTS = 80


def reduced(case: DrawnCase, fails: Callable[[DrawnCase], bool]) -> DrawnCase:
    """The simplest failing case that is found in a number of attempts, beginning with this one."""
    tried = [case]
    progress = True
    while progress:
        progress = False
        for simpler in _simpler(case):
            if simpler in tried:
                continue
            if len(tried) > _MOST_ATTEMPTS:
                return case
            tried.append(simpler)
            if fails(simpler):
                case, progress = simpler, True
                break
    return case


def _simpler(case: DrawnCase) -> Iterator[DrawnCase]:
    """Cases that are simpler in one respect, the greatest simplifications first."""
    if len(case.calls) > 1:
        yield replace(case, calls=case.calls[-1:])
    for index in range(len(case.calls) if len(case.calls) > 1 else 0):
        yield replace(case, calls=case.calls[:index] + case.calls[index + 1 :])
    if case.precision != "float32":
        yield replace(case, precision="float32")
    for size, least in (("num_layers", 1), ("lstm_size", 1), ("vocabulary_size", 2)):
        for smaller in _smaller(getattr(case.model, size), least):
            yield replace(case, model=case.model.model_copy(update={size: smaller}))
    for index, call in enumerate(case.calls):
        for simpler in _simpler_calls(call):
            yield replace(case, calls=(*case.calls[:index], simpler, *case.calls[index + 1 :]))
    for name in case.optimizer.model_dump(exclude_defaults=True):
        default = OptimizerConfig.model_fields[name].default
        yield replace(case, optimizer=case.optimizer.model_copy(update={name: default}))


def _simpler_calls(call: DrawnCall) -> Iterator[DrawnCall]:
    if call.masked:
        yield replace(call, masked=False)
    batch_size, num_steps = call.batch_size, call.num_steps
    if min(batch_size, num_steps) > 2:  # both at once, since some failures need a ratio of the two
        for smaller, shorter in (
            (batch_size // 2, num_steps // 2),
            (batch_size - 1, num_steps - 1),
            (batch_size - 2, num_steps - 1),
        ):
            yield replace(call, batch_size=smaller, num_steps=shorter)
    for smaller in _smaller(call.batch_size, 1):
        yield replace(call, batch_size=smaller)
    for smaller in _smaller(call.num_steps, 1):
        yield replace(call, num_steps=smaller)


def _smaller(size: int, least: int) -> list[int]:
    """The least size, half, and a little less: both even and odd, since some failures need one of them."""
    candidates = (least, size // 2, size // 2 + 1, size - 2, size - 1)
    return sorted({max(least, candidate) for candidate in candidates if candidate < size} - {size})
