"""Made-up reports: small, and of every shape that a comparison can come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from charkit.settings import resolve
from charkit_comparison import ComparisonReport
from charkit_comparison.agreement.curve_differences import (
    PairContext,
    compare_pairs,
    first_outside_band,
    loss_differences,
    most_central,
)
from charkit_comparison.agreement.findings import PrecisionFindings
from charkit_comparison.agreement.rounding_control import BAND_FACTOR, ROUNDING_UNITS, band
from charkit_comparison.agreement.verdict_text import verdict_text
from charkit_comparison.page.html_page import render_html
from charkit_comparison.page.view import ReportView
from charkit_comparison.report_parts import (
    Control,
    Examination,
    Finding,
    Machine,
    Outcome,
    Round,
    Text,
    Validation,
)

#: By how much a made-up control moves the losses at the end, in rounding units of its precision.
AMPLIFIED = 100.0
SAMPLE = "It was a wet day, and the old\n  grey cat\tsat by the fire. " * 4
MakeOutcome = Callable[..., Outcome]
MakeReport = Callable[..., ComparisonReport]


def _outcome(
    label: str, index: int = 0, *, steps: int = 40, rounds: int = 2, off: float = 1e-7, **more: Any
) -> Outcome:
    """A variant whose losses fall like all others' and whose differences to them are ``off`` at most."""
    at = np.arange(steps)
    noise = np.random.default_rng(0).normal(0, 0.02, steps)
    own = np.random.default_rng(index + 1).uniform(-0.5, 0.5, steps) * off
    losses = 1.3 + 3.1 * np.exp(-at / (steps / 4)) + noise + own
    share = steps // max(1, rounds)
    speed = 100_000 / (1 + 0.4 * index)
    fields: dict[str, Any] = {
        "label": label,
        "backend": label.split(maxsplit=1)[0],
        "kind": "backend",
        "precision": "float32",
        "decides": True,
        "status": "done",
        "device": "cpu",
        "threads": 2,
        "versions": {"numpy": "2.4.6", label: "1.0"},
        "import_seconds": 0.3 + index,
        "first_step_seconds": 0.05 + 0.5 * index,
        "losses": tuple(losses.tolist()),
        "gradient_norms": tuple((0.5 + abs(noise)).tolist()),
        "validations": tuple(
            Validation(
                step=share * (number + 1),
                loss=1.4 + 3 / (number + 1),
                elapsed_seconds=0.35 + 1.5 * index + (number + 1) * 3200 * share / speed,
            )
            for number in range(rounds)
        ),
        "rounds": tuple(
            Round(
                steps=share,
                seconds=3200 * share / speed,
                characters_per_second=speed * (1 + 0.05 * (-1) ** number),
                sampling_characters_per_second=speed / 5 * (1 + 0.03 * (-1) ** number),
            )
            for number in range(rounds)
        ),
        "peak_memory_bytes": 110_000_000 * (1 + index),
        "sample": SAMPLE,
    }
    fields |= more
    norms = (fields["gradient_norms"] * len(fields["losses"]))[: len(fields["losses"])]
    return Outcome(**{**fields, "gradient_norms": norms})


def _control(reference: Outcome, factor: float = BAND_FACTOR, trained: int = 1) -> Control:
    """A control whose losses part from the reference's ever faster."""
    losses = np.asarray(reference.losses, np.float64)
    unit = ROUNDING_UNITS[reference.precision]
    moved = losses + unit * AMPLIFIED ** np.linspace(0, 1, len(losses))
    return Control(
        precision=reference.precision,
        variant=reference.label,
        rounding_unit=unit,
        trained=trained,
        losses=tuple(moved.tolist()),
        largest_loss_difference=float(np.abs(losses - moved).max()),
        band=tuple(band(losses.tolist(), moved.tolist(), reference.precision, 60).tolist()),
        factor=factor,
    )


def _examination(outcome: Outcome, wrong_step: int | None, reason: str) -> Examination:
    """Four steps that were examined, up to the first that is wrong."""
    if reason:
        return Examination(
            variant=outcome.label, steps=(), matching=0, largest_share_of_bound=None, reason=reason
        )
    last = len(outcome.losses)
    steps = sorted({1, max(1, last // 3), max(1, last // 2), last} | ({wrong_step} if wrong_step else set()))
    steps = [step for step in steps if wrong_step is None or step <= wrong_step]
    return Examination(
        variant=outcome.label,
        steps=tuple(steps),
        matching=len(steps) - (wrong_step is not None),
        largest_share_of_bound=0.031 if wrong_step is None else 2.9e6,
    )


def _apart(outcomes: Sequence[Outcome], found: PrecisionFindings) -> list[Finding]:
    """A finding for each that leaves the band without a wrong step, beside the control's reference."""
    assert found.control is not None
    reference = next(one for one in outcomes if one.label == found.control.variant)
    findings = []
    for one in outcomes:
        index = first_outside_band(one, reference, found.band)
        if index is not None and one.label not in found.wrong:
            findings.append(
                Finding(
                    variant=one.label,
                    reference=reference.label,
                    differs_from_step=1 + index,
                    by_nats=float(loss_differences(one, reference).max()),
                    step=None,
                    look_at="all 12 steps that were examined there match the float64 reference",
                )
            )
    return findings


def _examined(
    outcomes: Sequence[Outcome], findings: Sequence[Finding], reasons: Mapping[str, str], trained: int
) -> list[PrecisionFindings]:
    """What the examination of each precision that decides found, as ``Comparison`` would have it."""
    groups: dict[str, list[Outcome]] = {}
    for one in outcomes:
        if one.decides and one.losses and (one.status != "failed" or one.not_finite_at is not None):
            groups.setdefault(one.precision, []).append(one)
    examined = []
    for precision, group in groups.items():
        control = _control(most_central(group), trained=trained)
        labels = {one.label for one in group}
        ours = [finding for finding in findings if finding.variant in labels]
        wrong = {finding.variant: finding.step for finding in ours}
        found = PrecisionFindings(precision, 1, control, np.asarray(control.band), findings=ours)
        found.examinations = [
            _examination(one, wrong.get(one.label), reasons.get(one.label, "")) for one in group
        ]
        found.findings += _apart(group, found)
        examined.append(found)
    return examined


def _report(
    variants: Sequence[Outcome],
    findings: Sequence[Finding] = (),
    partial: bool = False,
    *,
    reasons: Mapping[str, str] | None = None,
    examined: bool = True,
    bound: float | None = None,
    first_step: int = 1,
    trained: int = 1,
    **more: Any,
) -> ComparisonReport:
    """The report of these outcomes.

    ``findings`` are the wrong steps; those outside the band are found here. ``reasons`` say, by label, why an
    examination was not completed; without ``examined`` none was begun.
    """
    with np.errstate(all="ignore"):  # some of these losses are wild
        groups = _examined(variants, findings, reasons or {}, trained) if examined else []
        wrong = {label for group in groups for label in group.wrong}
        bands = {group.precision: group.band for group in groups if group.band is not None}
        pairs = compare_pairs(variants, PairContext({}, bands, wrong, (), bound, first_step))
    found = [finding for group in groups for finding in group.findings]
    deciding = {one.label for one in variants if one.decides and one.losses and one.status != "failed"}
    complete = {one.variant for group in groups for one in group.examinations if not one.reason}
    fields: dict[str, Any] = {
        "charkit": "0.1.0",
        "created": "2026-11-25T16:01:03+00:00",
        "command": "toolkit compare anna.txt --max-steps 40 --rounds 2",
        "partial": partial,
        "agree": deciding <= complete and not found and all(pair.agrees is not False for pair in pairs),
        "verdict": verdict_text(variants, pairs, groups, bound=bound, partial=partial),
        "text": Text(name="anna", sha256="56" * 32, symbols=1_985_223, vocabulary_size=83),
        "machine": Machine(
            processor="A processor", cores=2, memory_bytes=25_000_000_000, system="Linux 6", python="3.11.7"
        ),
        "config": resolve(
            {"data": {"text": ("/home/somebody/books/anna.txt",)}, "model": {"dropout": 0.3}}, 83
        ),
        "first_step": first_step,
        "steps": max((len(one.losses) for one in variants), default=40),
        "planned_rounds": max((len(one.rounds) for one in variants), default=2),
        "threads": 2,
        "bound": bound,
        "sample_seed": 0,
        "variants": tuple(variants),
        "pairs": pairs,
        "controls": tuple(group.control for group in groups if group.control is not None),
        "examinations": tuple(one for group in groups for one in group.examinations),
        "findings": tuple(found),
    }
    return ComparisonReport(**{**fields, **more})


def _located(variant: str, step: int = 1, **more: Any) -> Finding:
    """A wrong step."""
    fields: dict[str, Any] = {
        "variant": variant,
        "reference": "numpy",
        "differs_from_step": step,
        "by_nats": 0.1,
        "step": step,
        "array": "the logits",
        "expected": "the float64 reference's values, to within 2e-05 times the largest element (float32)",
        "got": "off by 5.8e+01 times the largest element",
        "look_at": "it looks like the wrong gate order; see lstm.py",
    }
    return Finding(**{**fields, **more})


@pytest.fixture
def located() -> Callable[..., Finding]:
    """Makes a wrong step: ``located(label, step, field=...)``."""
    return _located


@pytest.fixture
def make_outcome() -> MakeOutcome:
    """Makes the outcome of one variant: ``make_outcome(label, index, steps=, rounds=, off=, field=...)``."""
    return _outcome


@pytest.fixture
def make_report() -> MakeReport:
    """Makes a report: ``make_report([outcome, ...], findings, partial, reasons=, bound=, field=...)``."""
    return _report


@pytest.fixture(scope="session")
def report() -> ComparisonReport:
    """Two backends that agree, one that is wrong, one that failed, bfloat16 and own layers."""
    wrong = _outcome("swapped", 2, off=0.2, sample="Another text altogether. " * 8)
    return _report(
        [
            _outcome("numpy", 0, off=0),
            _outcome("torch", 1, off=-1e-7),  # so that numpy is still nearest to all
            wrong,
            _outcome(
                "jax",
                3,
                losses=_outcome("jax", 3).losses[:20],
                rounds=1,
                status="failed",
                reason="it took longer than 600 s for one turn; raise `turn_limit` to allow it",
            ),
            _outcome("torch bfloat16", 4, off=0.02, precision="bfloat16", decides=False),
            _outcome(
                "plain torch.nn.LSTM",
                5,
                off=0.3,
                kind="own layers",
                decides=False,
                gradient_norms=(),
                validations=(),
                sample="",
            ),
        ],
        [_located("swapped")],
        notes=("CRLF line endings read as LF: 40,263", "not installed: tensorflow"),
        steps=40,
        planned_rounds=2,
    )


@pytest.fixture(scope="session")
def html(report: ComparisonReport) -> str:
    """The page of that report."""
    return render_html(ReportView(report))
