"""What the tests of comparisons share: made-up outcomes and findings, and what a command has reported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from charkit_comparison.agreement.curve_differences import PairContext, compare_pairs
from charkit_comparison.agreement.findings import PrecisionFindings
from charkit_comparison.agreement.rounding_control import BAND_FACTOR
from charkit_comparison.plan import DECIDING_PRECISIONS
from charkit_comparison.report_parts import Control, Examination, Finding, Outcome, Pair
from charkit_comparison.starting_point import from_text
from cli_support import Outcome as CommandOutcome
from support import SMALL_TEXT

#: Options of a model that trains in milliseconds, and of a short comparison of it.
SHAPE = ("--lstm-size=8", "--batch-size=4", "--num-steps=8", "--threads=1", "--validation-share=0.1")
QUICK = (*SHAPE, "--max-steps=12", "--rounds=2")

#: Losses of three steps: of one backend, of one that departs at the last, and a band that is narrower than that.
FLAT = (2.0, 2.0, 2.0)
APART = (2.0, 2.0, 2.02)
NARROW = np.full(3, 1e-5)


def report_of(outcome: CommandOutcome, status: int) -> dict[str, Any]:
    """The report that ``--json`` printed."""
    assert outcome.status == status, outcome.err
    return dict(json.loads(outcome.out))


def variant(report: dict[str, Any], label: str) -> dict[str, Any]:
    """One variant's outcome."""
    return next(one for one in report["variants"] if one["label"] == label)


def interpreter(folder: Path, *lines: str) -> Path:
    """A program that stands where an environment's Python should: a script of these lines."""
    path = folder / "python"
    path.write_text("\n".join((*lines, "")))
    path.chmod(0o755)
    return path


def outcome(
    label: str, losses: Sequence[float], precision: str = "float32", kind: str = "backend"
) -> Outcome:
    """The outcome of a variant that has these losses and nothing else."""
    return Outcome.model_validate(
        {
            "label": label,
            "backend": label,
            "kind": kind,
            "precision": precision,
            "decides": kind == "backend" and precision in DECIDING_PRECISIONS,
            "status": "done",
            "losses": losses,
            "gradient_norms": [1.0] * len(losses),
        }
    )


def pairs(outcomes: Sequence[Outcome], band: Any = NARROW, **more: Any) -> tuple[Pair, ...]:
    """The pairs of these outcomes in float32 with such a band, nothing wrong in any of them."""
    given = {
        "weights": {},
        "bands": {"float32": band},
        "wrong": (),
        "explained": (),
        "bound": None,
        "first_step": 1,
    }
    return compare_pairs(outcomes, PairContext(**{**given, **more}))


def examined(
    *labels: str, wrong: Sequence[Finding] = (), control: float = 0.11, reason: str = ""
) -> PrecisionFindings:
    """The findings of an examination of six steps of each; ``reason``: why the last could not be examined."""
    found = PrecisionFindings("float32", 1, band=NARROW, findings=list(wrong))
    found.control = Control(
        precision="float32",
        variant=labels[0],
        rounding_unit=2**-24,
        trained=1,
        losses=FLAT,
        largest_loss_difference=control,
        band=tuple(NARROW),
        factor=BAND_FACTOR,
    )
    located = {finding.variant for finding in wrong if finding.step is not None}
    for label in labels:
        why = reason if label == labels[-1] else ""
        right = label not in located
        found.examinations.append(
            Examination(
                variant=label,
                steps=() if why else (1, 2, 3, 4, 5, 6)[: 6 if right else 1],
                matching=0 if why else 6 * right,
                largest_share_of_bound=None if why else 0.1,
                reason=why,
            )
        )
    return found


def spec_of_epochs(folder: Path, *, steps: int, num_steps: int, **sections: dict[str, Any]) -> Any:
    """What the workers of a comparison read, written to the folder: batches of 4 from a text of so many steps."""
    path = folder / "some.txt"
    path.write_text((SMALL_TEXT * 20)[: steps * 4 * num_steps + 1], "utf-8")
    data = {
        "text": (str(path),),
        "batch_size": 4,
        "num_steps": num_steps,
        "validation_share": 0,
        "test_share": 0,
    }
    with ExitStack() as hold:
        spec = from_text({"data": data, **sections}, hold).spec
    spec.write(folder)
    return spec
