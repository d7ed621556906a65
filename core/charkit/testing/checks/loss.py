"""Stage loss: the nats of each symbol against the oracle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from charkit.testing.agreement import require_agreement
from charkit.testing.cases import Case, make_case, stepping_case, unmasked_case
from charkit.testing.oracle import Oracle
from charkit.testing.registry import check_precisions
from charkit.testing.returned_values import require_precision
from charkit.testing.subject import Subject

_LOSS = "loss.py: -log softmax(logits)[target] for each symbol, of shape (batch, time)"


def _check_nats(subject: Subject, precision: str, case: Case, look_at: str) -> None:
    parts = subject.parts(precision, case.model, case.weights)
    nats, state = parts.nats(*case.batch)

    def compute(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        expected, after = oracle(case.model).nats(case.weights, *case.batch)
        return {"nats": expected, "hidden": after.hidden, "cell": after.cell}

    observed = {"nats": nats, "hidden": state.hidden, "cell": state.cell}
    require_agreement(observed, compute, precision=precision, kind="forward", look_at=look_at)
    require_precision(observed, precision, "loss.py and lstm.py")


@check_precisions("loss", among=("float32", "float64"))
def nats_of_each_symbol(subject: Subject, precision: str) -> None:
    """Three layers from a nonzero state: the loss of each symbol in nats, as (batch, time), and the last state."""
    _check_nats(subject, precision, unmasked_case(), _LOSS)


@check_precisions("loss", among=("float32",))
def eleven_layers(subject: Subject, precision: str) -> None:
    """Eleven layers from a nonzero state, in numerical order: layer 10 comes after layer 9, not before layer 2."""
    look_at = f"lstm.py: layers are ordered by number, not by name; {_LOSS}"
    _check_nats(subject, precision, make_case(num_layers=11), look_at)


@check_precisions("loss", among=("float32",))
def nats_of_a_single_symbol(subject: Subject, precision: str) -> None:
    """A batch of one sequence of one symbol: its loss has the shape (1, 1)."""
    _check_nats(subject, precision, make_case(batch_size=1, num_steps=1), _LOSS)


@check_precisions("loss")
def nats_with_masks(subject: Subject, precision: str) -> None:
    """The losses with dropout masks on every layer at every time step."""
    case = stepping_case()
    _check_nats(subject, precision, case, f"{_LOSS}; lstm.py: masks (layer, batch, time, unit)")


@check_precisions("loss", among=("float32",))
def targets_of_a_large_vocabulary(subject: Subject, precision: str) -> None:
    """Two targets per sequence, from a vocabulary of 600: most are above 255 and don't fit into eight bits."""
    case = make_case(num_layers=1, num_steps=2, vocabulary_size=600)
    assert (case.targets > 255).any()
    _check_nats(
        subject, precision, case, f"{_LOSS}, with softmax over the whole vocabulary; targets stay int32"
    )


@check_precisions("loss")
def extreme_logits_do_not_overflow(subject: Subject, precision: str) -> None:
    """Logits of plus and minus 2,000, or all so low that exp is 0, give finite losses: the maximum is subtracted."""
    case = stepping_case()
    low = -2000.0 if precision == "float64" else -128.0  # float32 represents logits near -2000 too coarsely
    for lowest, highest in ((-2000.0, 2000.0), (low, low + 1.0)):
        bias = np.linspace(lowest, highest, case.model.vocabulary_size)
        extreme = replace(case, weights=case.weights | {"output.bias": bias})
        _check_nats(
            subject,
            precision,
            extreme,
            f"{_LOSS}, for logits of any magnitude, here from about {lowest:,.0f} to {highest:,.0f}",
        )
