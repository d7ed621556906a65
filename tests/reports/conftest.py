"""Made-up reports: small, and of every shape that a comparison can come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from charkit.comparison import Report
from charkit.comparison.agreement import pairs_of, verdict_of
from charkit.comparison.report import Finding, Machine, Outcome, Round, Text, Validation
from charkit.config import resolve
from charkit_reports.facts import Facts
from charkit_reports.page import page

BOUNDS = {"float32": 1e-4, "float64": 1e-9}
SAMPLE = "It was a wet day, and the old\n  grey cat\tsat by the fire. " * 4
MakeOutcome = Callable[..., Outcome]
MakeReport = Callable[..., Report]


def _outcome(
    label: str, place: int = 0, *, steps: int = 40, rounds: int = 2, off: float = 1e-7, **more: Any
) -> Outcome:
    """A variant whose losses fall like all others' and whose differences to them are ``off`` at most."""
    at = np.arange(steps)
    noise = np.random.default_rng(0).normal(0, 0.02, steps)
    own = np.random.default_rng(place + 1).uniform(-0.5, 0.5, steps) * off
    losses = 1.3 + 3.1 * np.exp(-at / (steps / 4)) + noise + own
    share = steps // max(1, rounds)
    pace = 100_000 / (1 + 0.4 * place)
    told: dict[str, Any] = {
        "label": label,
        "backend": label.split(maxsplit=1)[0],
        "kind": "backend",
        "precision": "float32",
        "decides": True,
        "status": "done",
        "device": "cpu",
        "threads": 2,
        "versions": {"numpy": "2.4.6", label: "1.0"},
        "import_seconds": 0.3 + place,
        "first_step_seconds": 0.05 + 0.5 * place,
        "losses": tuple(losses.tolist()),
        "gradient_norms": tuple((0.5 + abs(noise)).tolist()),
        "validations": tuple(
            Validation(
                step=share * (number + 1),
                loss=1.4 + 3 / (number + 1),
                elapsed_seconds=0.35 + 1.5 * place + (number + 1) * 3200 * share / pace,
            )
            for number in range(rounds)
        ),
        "rounds": tuple(
            Round(
                steps=share,
                seconds=3200 * share / pace,
                characters_per_second=pace * (1 + 0.05 * (-1) ** number),
                sampling_characters_per_second=pace / 5 * (1 + 0.03 * (-1) ** number),
            )
            for number in range(rounds)
        ),
        "peak_memory_bytes": 110_000_000 * (1 + place),
        "sample": SAMPLE,
    }
    told |= more
    norms = (told["gradient_norms"] * len(told["losses"]))[: len(told["losses"])]
    return Outcome(**{**told, "gradient_norms": norms})


def _report(
    variants: Sequence[Outcome], findings: Sequence[Finding] = (), partial: bool = False, **more: Any
) -> Report:
    """The report of what came of these variants."""
    with np.errstate(all="ignore"):  # some of these losses are wild
        pairs = pairs_of(variants, {}, BOUNDS)
    told: dict[str, Any] = {
        "charkit": "0.1.0",
        "created": "2026-11-25T16:01:03+00:00",
        "command": "toolkit compare anna.txt --max-steps 40 --rounds 2",
        "partial": partial,
        "agree": all(pair.agrees is not False for pair in pairs),
        "verdict": verdict_of(variants, pairs, findings, partial),
        "text": Text(name="anna", sha256="56" * 32, symbols=1_985_223, vocabulary_size=83),
        "machine": Machine(
            processor="A processor", cores=2, memory_bytes=25_000_000_000, system="Linux 6", python="3.11.7"
        ),
        "config": resolve(
            {"data": {"text": ("/home/somebody/books/anna.txt",)}, "model": {"dropout": 0.3}}, 83
        ),
        "first_step": 1,
        "steps": max((len(one.losses) for one in variants), default=40),
        "planned_rounds": max((len(one.rounds) for one in variants), default=2),
        "threads": 2,
        "bounds": BOUNDS,
        "sample_seed": 0,
        "variants": tuple(variants),
        "pairs": pairs,
        "findings": tuple(findings),
    }
    return Report(**{**told, **more})


@pytest.fixture
def make_outcome() -> MakeOutcome:
    """Makes what came of one variant: ``make_outcome(label, place, steps=, rounds=, off=, field=...)``."""
    return _outcome


@pytest.fixture
def make_report() -> MakeReport:
    """Makes a report: ``make_report([outcome, ...], findings, partial, field=...)``."""
    return _report


@pytest.fixture(scope="session")
def report() -> Report:
    """Two backends that agree, one that does not and was found out, one that failed, bfloat16 and own layers."""
    wrong = _outcome("swapped", 2, off=0.2, sample="Another text altogether. " * 8)
    finding = Finding(
        variant="swapped",
        reference="numpy",
        differs_from_step=1,
        by_nats=0.1,
        step=1,
        array="the logits",
        expected="the oracle's, within 2e-05 of its largest (float32)",
        got="off by 5.8e+01 of its largest",
        look_at="it looks like a swapped gate order; see lstm.py",
    )
    return _report(
        [
            _outcome("numpy", 0, off=0),
            _outcome("torch", 1),
            wrong,
            _outcome(
                "jax",
                3,
                losses=_outcome("jax", 3).losses[:20],
                rounds=1,
                status="failed",
                reason="took longer than 600 s for one turn; --turn-limit gives it more",
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
        [finding],
        notes=("CRLF line ends read as LF: 40,263", "not installed: tensorflow"),
        steps=40,
        planned_rounds=2,
    )


@pytest.fixture(scope="session")
def html(report: Report) -> str:
    """The page of that report."""
    return page(Facts(report))
