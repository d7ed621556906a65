"""Stage training: nothing is recognized by its address, where Python soon puts another object.

A cache whose key is ``id(array)``, without a reference to the array, works until the array is released. Then the next
array of that kind is likely to have the same address, which these checks make nearly certain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from charkit.backend import Array, State
from charkit.testing.backend_parts import Parts
from charkit.testing.cases import Case, stepping_case, weights_of
from charkit.testing.oracle import Oracle
from charkit.testing.registry import check_precisions
from charkit.testing.subject import Subject
from charkit.testing.tolerances import require, require_close

ObjectT = TypeVar("ObjectT")
Call = Callable[[Parts, dict[str, Any]], dict[str, Array]]
#: So many new objects are made in the hope that one has the address. The first or the second has it, mostly.
_MOST_OBJECTS = 50
#: Tries, because another thread may be faster to take the address.
_MOST_TRIES = 5
_KEYS = "a cache must keep a reference to the array and recognize it with `is`; its id() may be reused"


def _at(address: int, make: Callable[[], ObjectT]) -> ObjectT:
    """A new object at this address, if one of several has it; otherwise the last one."""
    others = []
    for _ in range(_MOST_OBJECTS):
        made = make()
        if id(made) == address:
            break
        others.append(made)
    return made


@check_precisions("training", among=("float32",))
def arrays_at_an_old_address_are_copied(subject: Subject, precision: str) -> None:
    """An array at the address of a released one, of the same type and shape, is copied in anew."""
    backend = subject.backend(precision)
    for kind in (np.int32, np.bool_, np.float32):

        def make(value: int, dtype: Any = kind) -> Array:
            return np.full((3, 6), value, dtype)

        array = make(0)
        address = id(array)
        backend.tensor(array)
        del array
        copied = backend.numpy(backend.tensor(_at(address, lambda: make(1))))
        require(
            bool(np.all(copied == 1)),
            expected=f"a tensor of the new {np.dtype(kind)} array",
            got="a tensor of an earlier array, which has been released",
            look_at=f"backend.py: tensor(): {_KEYS}",
        )


@check_precisions("training", among=("float32",))
def tensors_at_an_old_address_are_read(subject: Subject, precision: str) -> None:
    """New weights, symbols, targets, states and masks are used, even if they have the addresses of released ones."""
    case = stepping_case()
    parts = subject.parts(precision, case.model, case.weights)
    for argument in ("weights", "symbols", "targets", "hidden", "cell", "masks"):
        for some in (case, case.sequences(slice(0, 2)).steps(1), case.sequences(slice(0, 1)).steps(1)):
            is_prediction = some is not case
            if is_prediction and argument in ("targets", "masks"):
                continue
            call = _predict if is_prediction else _gradients
            other = _with_other(some, argument)
            require_close(
                _after_replacing(argument, parts, some, other, call),
                _expected(other, is_prediction),
                precision=precision,
                kind="gradients",
                look_at=f"backend.py, lstm.py, output.py and loss.py: {_KEYS} (the argument replaced here: {argument})",
            )


def _after_replacing(argument: str, parts: Parts, case: Case, other: Case, call: Call) -> dict[str, Array]:
    """Calls with the tensors of a case, then with one of another case in the place of the one that is released."""
    old, new = _arrays(case), _arrays(other)[argument]
    for _ in range(_MOST_TRIES):
        tensors = {name: _copied_in(parts, array) for name, array in old.items()}
        call(parts, tensors)
        address = id(tensors.pop(argument))  # from here on, any new object may get the address
        tensors[argument] = _at(address, lambda: _copied_in(parts, new))
        if id(tensors[argument]) == address:
            break
    return call(parts, tensors)


def _arrays(case: Case) -> dict[str, Any]:
    """The arguments of a gradient, by name; weights are a dictionary."""
    return {
        "weights": case.weights,
        "symbols": case.symbols,
        "targets": case.targets,
        **case.state._asdict(),
        "masks": np.asarray(case.masks),
    }


def _copied_in(parts: Parts, array: Any) -> Any:
    return parts.tensors(array) if isinstance(array, dict) else parts.backend.tensor(array)


def _with_other(case: Case, argument: str) -> Case:
    """The case with another value of this argument."""
    if argument == "weights":
        return replace(case, weights=weights_of(case.model, 40))
    if argument in ("hidden", "cell"):
        return replace(case, state=case.state._replace(**{argument: -getattr(case.state, argument)}))
    if argument == "masks":
        return replace(case, masks=~np.asarray(case.masks))
    changed = (getattr(case, argument) + 1) % case.model.vocabulary_size
    return replace(case, **{argument: changed.astype(np.int32)})


def _predict(parts: Parts, tensors: dict[str, Any]) -> dict[str, Array]:
    state = State(tensors["hidden"], tensors["cell"])
    logits, _ = parts.predict_compiled(tensors["weights"], tensors["symbols"], state)
    return {"logits": parts.backend.numpy(logits).reshape(-1, parts.model.vocabulary_size)}


def _gradients(parts: Parts, tensors: dict[str, Any]) -> dict[str, Array]:
    state = State(tensors["hidden"], tensors["cell"])
    arguments = (tensors["symbols"], tensors["targets"], state, tensors["masks"])
    gradients, nats, _ = parts.backward(tensors["weights"], *arguments)
    return {**parts.arrays(gradients), "nats": parts.backend.numpy(nats)}


def _expected(case: Case, is_prediction: bool) -> dict[str, ArrayLike]:
    if is_prediction:
        return {"logits": Oracle(case.model).forward(case.weights, case.symbols, case.state).logits[:, 0]}
    step = Oracle(case.model).step(case.weights, *case.batch)
    return {**step.gradients, "nats": step.nats}
