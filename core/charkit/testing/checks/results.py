"""Stage training: what a call returned stays as it was, whatever is called or written to afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from charkit.errors import counted
from charkit.testing.backend_parts import Parts
from charkit.testing.cases import Case, unmasked_case
from charkit.testing.registry import check_precisions
from charkit.testing.returned_values import description
from charkit.testing.subject import Subject
from charkit.testing.tolerances import require, require_equal

#: How often each function is called before its results are read again.
_CALLS = 3


def _cases() -> tuple[Case, ...]:
    """Several streams and one, of models and sizes of earlier checks."""
    return unmasked_case(), unmasked_case().sequences([0])


def _predictions(parts: Parts, case: Case, call: int) -> dict[str, Any]:
    """The tensors that one of several predictions returns, each of another symbol."""
    symbols = (case.symbols[:, :1] + call) % np.int32(case.model.vocabulary_size)
    logits, after = parts.predict_tensors(symbols, parts.state(case.state))
    return {"logits": logits, **after._asdict()}


@check_precisions("training", among=("float32",))
def logits_can_be_read_later(subject: Subject, precision: str) -> None:
    """The logits of several predictions, read later, have not been changed by the calls after them."""
    for case in _cases():
        parts = subject.parts(precision, case.model, case.weights)
        results = []
        for call in range(_CALLS):
            tensors = _predictions(parts, case, call)
            results.append((tensors, {name: parts.backend.numpy(each) for name, each in tensors.items()}))
        for tensors, early in results:
            require_equal(
                {name: parts.backend.numpy(tensor) for name, tensor in tensors.items()},
                early,
                expected=f"unchanged results of a prediction for {counted(len(case.symbols), 'stream')}",
                look_at="output.py and lstm.py: logits and state are new arrays, not buffers that later calls write to",
            )


@check_precisions("training", among=("float32",))
def results_out_are_copies(subject: Subject, precision: str) -> None:
    """Arrays that numpy() returns for results of any call can be written to, and the results keep their values."""
    for case in _cases():
        parts = subject.parts(precision, case.model, case.weights)
        for results in _results(parts, case):
            for name, tensor in results.items():
                _require_own_copy(parts, name, tensor)


def _results(parts: Parts, case: Case) -> Iterator[dict[str, Any]]:
    """The tensors of a prediction and, for several streams, whose functions are compiled, of all other calls."""
    yield _predictions(parts, case, 0)
    if len(case.symbols) > 1:
        nats, after = parts.nats_tensors(*case.batch)
        yield {"nats": nats, **after._asdict()}
        gradients, nats, after = parts.gradient_tensors(*case.batch)
        yield {f"the gradient of {name}": tensor for name, tensor in gradients.items()}
        yield {"nats": nats, **after._asdict()}


def _require_own_copy(parts: Parts, name: str, tensor: Any) -> None:
    """Writes to the array that numpy() returns; raises Mismatch if that is refused or changes the tensor."""
    look_at = "backend.py: numpy() returns a copy that the caller owns, even of views and results"
    out = parts.backend.numpy(tensor)
    require(
        bool(out.flags.writeable),
        expected=f"{name}: a writable array",
        got=f"a read-only one: {description(out)}",
        look_at=look_at,
    )
    before = out.copy()
    out[...] = before + 1
    require_equal(
        {name: parts.backend.numpy(tensor)},
        {name: before},
        expected="a result that stays unchanged when the array that numpy() returned is written to",
        look_at=look_at,
    )
