"""A run prepared for the page: its name, its style, and the numbers that are shown of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log
from pathlib import Path
from typing import Any

import numpy as np

from charkit.config import SECTIONS
from charkit_pages import formatting
from charkit_pages.downsampling import Floats
from charkit_pages.palette import SeriesStyle
from charkit_reports.reading import RunRecords

#: Samples that are shown of each run.
SHOWN_SAMPLES = 6


@dataclass(frozen=True)
class Sample:
    """One sample: its heading, and the text with the prime text that the model did not write."""

    heading: str
    prime: str
    text: str


@dataclass(frozen=True)
class RunView:
    """One run of the page; a series of its charts and tables."""

    records: RunRecords
    label: str
    style: SeriesStyle
    note: str = ""

    def column(self, name: str) -> tuple[Floats, Floats, Floats]:
        """Steps, seconds and values of a column of the history, each (reports,), without those that lack a value.

        A speed of 0 is none: a session that begins with a validation reports it before its first step.
        """
        history = self.records.history
        values = np.asarray(history[name], np.float64)
        there = values > 0 if name == "characters_per_second" else ~np.isnan(values)
        steps = np.asarray(history["step"], np.float64)
        return steps[there], np.asarray(history["elapsed_seconds"], np.float64)[there], values[there]

    @property
    def backend(self) -> str:
        """The backend of the last session."""
        last = self.records.sessions[-1] if self.records.sessions else {}
        return formatting.one_line(str(last.get("backend", formatting.NOTHING)))

    @property
    def step(self) -> int:
        """The step of the last report, or of the newest checkpoint."""
        reported = self.records.history[-1].step if self.records.history else 0
        return max(reported, self.records.saved_step or 0)

    @property
    def loss(self) -> float | None:
        """The last training loss."""
        return self.records.history[-1].loss if self.records.history else None

    @cached_property
    def best(self) -> tuple[int, float] | None:
        """Step and loss of the best validation; None before there is one."""
        scored = [
            (record.validation_loss, record.step)
            for record in self.records.history
            if record.validation_loss is not None
        ]
        return (min(scored)[1], min(scored)[0]) if scored else None

    @property
    def seconds(self) -> float | None:
        """Seconds of training in all sessions."""
        return self.records.history[-1].elapsed_seconds if self.records.history else None

    @cached_property
    def median_speed(self) -> float | None:
        """Characters per second of the median report."""
        speeds = self.column("characters_per_second")[2]
        return float(np.median(speeds)) if len(speeds) else None

    @property
    def size(self) -> str:
        """Layers and units, as in ``2 x 128``."""
        model = self.records.config.model
        return f"{model.num_layers} x {model.lstm_size}"

    @cached_property
    def settings(self) -> dict[str, dict[str, str]]:
        """The current settings by section, without the text, which is named elsewhere."""
        current = self.records.config.model_copy(
            update={"optimizer": self.records.optimizer, "training": self.records.training}
        )
        sections: dict[str, dict[str, Any]] = current.model_dump(mode="json", include=set(SECTIONS))
        sections["data"].pop("text", None)
        return {
            section: {name: _value(value) for name, value in values.items()}
            for section, values in sections.items()
        }

    @cached_property
    def samples(self) -> list[Sample]:
        """Some samples, from the first to the last, at places that are evenly spaced."""
        found = self.records.samples
        places = sorted({round(place) for place in np.linspace(0, len(found) - 1, SHOWN_SAMPLES)})
        losses = {record.step: record.validation_loss for record in self.records.history}
        shown = []
        for sample in (found[place] for place in places if found):
            loss = losses.get(sample["step"])
            scored = "" if loss is None else f", validation loss {formatting.loss(loss)}"
            text, prime = sample["sample"], sample.get("prime", "")
            own = text.startswith(prime)
            shown.append(
                Sample(
                    f"Step {sample['step']:,}, epoch {sample['epoch']:,}{scored}",
                    formatting.visible(prime if own else ""),
                    formatting.visible(text[len(prime) :] if own else text),
                )
            )
        return shown


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)  # runs may differ in the seventh digit
    return formatting.one_line(str(value))


def bits(loss: float) -> float:
    """A loss in bits per symbol."""
    return loss / log(2)


def run_views(runs: Sequence[RunRecords]) -> tuple[RunView, ...]:
    """The runs with names that differ: that of the folder, or its path where two folders have one name."""
    names = [run.path.resolve().name for run in runs]
    shown = [
        name if names.count(name) == 1 else str(Path(run.path)) for name, run in zip(names, runs, strict=True)
    ]
    return tuple(
        RunView(run, formatting.one_line(name), SeriesStyle(index))
        for index, (run, name) in enumerate(zip(runs, shown, strict=True))
    )
