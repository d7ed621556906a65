"""Sweeps of trials that train in milliseconds, and what is compared of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import charkit
from charkit.runs.run import Run
from charkit_sweep.journal import Assigned, Entry, Reached, read_journal

#: The settings that all trials share.
FIXED: dict[str, Any] = {
    "recipe": "classic",
    "model": {"lstm_size": 8, "num_layers": 1, "dropout": 0.2},
    "data": {"batch_size": 4, "num_steps": 8, "validation_share": 0.1, "test_share": 0.1},
    "training": {"max_steps": 18, "sample_length": 0, "log_every": 2, "schedule": "cosine"},
}
LEARNING_RATES = {"optimizer.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}}


def spec_of(file: Path | None, **changes: Any) -> dict[str, Any]:
    """A sweep of nine trials with two rungs, drawn at random, or with what is changed of that."""
    spec: dict[str, Any] = {
        "name": "small",
        "search": "random",
        "trials": 9,
        "halving": {"first_rung": 2},
        "fixed": FIXED,
        "axes": LEARNING_RATES,
        **({} if file is None else {"text": str(file)}),
    }
    return {key: value for key, value in (spec | changes).items() if value is not None}


def to_toml(table: Mapping[str, Any]) -> str:
    """The sweep as a TOML file; its inner tables stand in braces."""
    top = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"{key} = {_value(value)}" for key, value in top.items()]
    for name, inside in table.items():
        if isinstance(inside, Mapping):
            lines += [
                "",
                f"[{name}]",
                *(f"{json.dumps(key)} = {_value(value)}" for key, value in inside.items()),
            ]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_value(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)


def sweep(spec: Mapping[str, Any] | None = None, **options: Any) -> charkit.SweepResult:
    """Runs a sweep with a thread per trial."""
    return charkit.sweep(spec, **({} if options.get("resume") else {"threads": 1}), **options)


def decisions(folder: Path) -> list[dict[str, Any]]:
    """The journal without what differs from run to run: the seconds that training took."""
    return [entry.model_dump(exclude={"seconds"}) for entry in read_journal(folder)]


def assigned(entries: tuple[Entry, ...]) -> Iterator[tuple[int, int]]:
    """The trials and levels of all assignments, in order."""
    return ((entry.trial, entry.level) for entry in entries if isinstance(entry, Assigned))


def reached(trial: int, step: int, loss: float, *, ended: bool = False) -> Reached:
    """The entry of a trial that got where it was sent."""
    return Reached(trial=trial, step=step, loss=loss, last_loss=loss, ended=ended, seconds=1.0)


def bits_of(run: Path) -> dict[str, bytes]:
    """Weights, moments, state and step of the latest checkpoint, as bytes."""
    snapshot = Run.open(run).checkpoint("latest")[0].snapshot
    return {name: array.tobytes() for name, array in snapshot.arrays().items()}
