"""The report of a comparison: the content of ``report.json``, with a version of its own.

Losses are in nats per symbol, times in seconds, memory in bytes.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from pydantic import Field

from charkit.config import RunConfig
from charkit_comparison.report_parts import (
    Control,
    Examination,
    Finding,
    Machine,
    Outcome,
    Pair,
    Part,
    Text,
)
from charkit_comparison.speeds import Speeds
from charkit_pages import formatting

SCHEMA_VERSION = 2


class ComparisonReport(Part):
    """A whole comparison."""

    schema_version: int = SCHEMA_VERSION
    charkit: str
    created: str
    command: str
    partial: bool = Field(description="whether the comparison was interrupted")
    agree: bool = Field(
        description="whether every examination was completed, every examined step is correct and every judged pair "
        "agrees"
    )
    verdict: str
    text: Text
    machine: Machine
    config: RunConfig
    start: str = Field(
        "",
        description="the run that the comparison started from, and its step; empty if from initial weights",
    )
    first_step: int = Field(description="the number of the first step")
    steps: int = Field(description="how many steps each variant was asked to take")
    planned_rounds: int
    threads: int
    bound: float | None = Field(
        description="the largest difference allowed between two losses, if one was given"
    )
    sample_seed: int
    variants: tuple[Outcome, ...]
    pairs: tuple[Pair, ...]
    controls: tuple[Control, ...] = Field(description="one for each precision that the verdict depends on")
    examinations: tuple[Examination, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the run's directory, or of the text, that the backends were compared on."""
        run, _, _ = self.start.rpartition(" at step ")
        return Path(run).resolve().name if run else self.text.name

    def speeds(self) -> Speeds:
        """The speed of each variant, from the rounds that count."""
        return Speeds(self.variants, self.threads, self.machine.cores)

    def __repr__(self) -> str:
        return f"<ComparisonReport: {formatting.one_line(self.verdict)}>"

    def _repr_html_(self) -> str:
        """The verdict and a table of the variants, for a notebook."""
        speeds = self.speeds()
        columns = (
            "variant",
            "status",
            "train, characters/s",
            "relative time",
            "sample, characters/s",
            "memory, MB",
            "last loss",
        )
        rows = [
            (
                formatting.one_line(one.label),
                one.status,
                formatting.speed(trained.median),
                formatting.ratio(trained.times_as_long),
                formatting.speed(sampled.median),
                formatting.megabytes(one.peak_memory_bytes),
                formatting.loss(one.losses[-1] if one.losses else None),
            )
            for one, trained, sampled in zip(self.variants, speeds.training, speeds.sampling, strict=True)
        ]
        head = "".join(f"<th>{escape(column)}</th>" for column in columns)
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
        verdict = escape(formatting.one_line(self.verdict))
        return f"<p>{verdict}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
