"""Single calls of a backend's parts, compared with the oracle without trying known mistakes.

For cases so large that trying each mistake would take a second, and for checks whose subject is not a formula but
where the call comes from: sizes, layouts in memory, and the calls before it.
"""

from __future__ import annotations

from charkit.backend import Array
from charkit.testing.backend_parts import Parts
from charkit.testing.cases import Case
from charkit.testing.oracle import Oracle
from charkit.testing.tolerances import require_close


def check_prediction(parts: Parts, precision: str, case: Case, look_at: str) -> None:
    """Predicts from the first symbol of each sequence; raises Mismatch unless logits and state are the oracle's."""
    first = case.steps(1)
    logits, after = parts.predict(first.symbols, first.state, first.masks)
    expected = Oracle(case.model).forward(case.weights, first.symbols, first.state, first.masks)
    require_close(
        {"logits": logits, "hidden after one symbol": after.hidden, "cell after one symbol": after.cell},
        {
            "logits": expected.logits[:, 0],
            "hidden after one symbol": expected.state.hidden,
            "cell after one symbol": expected.state.cell,
        },
        precision=precision,
        kind="forward",
        look_at=look_at,
    )


def check_nats(parts: Parts, precision: str, case: Case, look_at: str) -> None:
    """Scores the batch; raises Mismatch unless nats and state are the oracle's."""
    nats, after = parts.nats(*case.batch)
    expected, expected_after = Oracle(case.model).nats(case.weights, *case.batch)
    require_close(
        {"nats": nats, **after._asdict()},
        {"nats": expected, **expected_after._asdict()},
        precision=precision,
        kind="forward",
        look_at=look_at,
    )


def check_gradients(parts: Parts, precision: str, case: Case, look_at: str) -> dict[str, Array]:
    """Raises Mismatch unless the batch's gradients, nats and state are the oracle's; returns the gradients."""
    gradients, nats, after = parts.gradients(*case.batch)
    step = Oracle(case.model).step(case.weights, *case.batch)
    require_close(
        {**gradients, "nats": nats, **after._asdict()},
        {**step.gradients, "nats": step.nats, **step.state._asdict()},
        precision=precision,
        kind="gradients",
        look_at=look_at,
    )
    return gradients
