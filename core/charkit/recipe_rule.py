"""The rule of a recipe: settings that follow from the length of the text, its vocabulary, and a time limit.

A rule is data, a few rows of settings at given lengths. Between two rows each number is interpolated over the logarithm
of the length, so that a text that is a little longer gets settings that are a little different, and outside of the rows
the nearest holds. Nothing is measured on the machine, so the same text has the same settings everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import ceil, floor, log, log10, sqrt
from typing import Any, Self

from pydantic import Field, model_validator

from charkit.config import Section
from charkit.settings import Settings

#: LSTM sizes are multiples of this, which vector instructions and matrix libraries like.
SIZE_MULTIPLE = 16


class LengthRow(Section):
    """What suits a text of ``training_symbols`` symbols in its training split."""

    training_symbols: int = Field(ge=2)
    lstm_size: int = Field(ge=SIZE_MULTIPLE)
    num_layers: int = Field(ge=1)
    dropout: float = Field(ge=0, lt=1)
    batch_size: int = Field(ge=1)
    num_steps: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    #: All rows by length and time limit have it, or none does, and then the recipe may have one for all texts.
    grad_clip: float | None = Field(None, gt=0)
    max_steps: int = Field(ge=1)
    #: With a time limit: the largest model that such a text deserves, and the most passes over it.
    largest_lstm_size: int = Field(ge=SIZE_MULTIPLE)
    most_epochs: float = Field(gt=0)


class TimeRow(Section):
    """What suits a time limit of ``seconds``, in place of what suits the length alone.

    ``training_symbols`` is about how many such a run reads, repetitions included, on two cores.
    """

    seconds: float = Field(gt=0)
    training_symbols: int = Field(ge=1)
    lstm_size: int = Field(ge=SIZE_MULTIPLE)
    #: The batch is no larger than this, nor than the length's own.
    batch_size: int = Field(ge=1)
    num_steps: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    grad_clip: float | None = Field(None, gt=0)


class PassesRow(Section):
    """What suits a time limit that allows about so many passes over the text.

    A text that is read often needs dropout, and deserves a larger model than the time alone would suggest.
    """

    passes: float = Field(gt=0)
    dropout: float = Field(ge=0, lt=1)
    lstm_size_factor: float = Field(1.0, gt=0)


class VocabularyRow(Section):
    """By which factors settings change at a vocabulary of this size.

    The size of the model changes only with a time limit: a large output layer takes time that a smaller model makes up.
    """

    vocabulary_size: int = Field(ge=2)
    learning_rate_factor: float = Field(gt=0)
    lstm_size_factor: float = Field(1.0, gt=0)


class Rule(Section):
    """The rows of a rule; ``validations`` is about how often the validation split is scored over the whole run."""

    validations: int = Field(10, ge=1)
    by_length: tuple[LengthRow, ...] = Field(min_length=1)
    by_time_limit: tuple[TimeRow, ...] = Field(min_length=1)
    by_passes: tuple[PassesRow, ...] = Field(min_length=1)
    by_vocabulary: tuple[VocabularyRow, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _rises(self) -> Self:
        for name, key in (
            ("by_length", "training_symbols"),
            ("by_time_limit", "seconds"),
            ("by_passes", "passes"),
            ("by_vocabulary", "vocabulary_size"),
        ):
            if any(
                getattr(after, key) <= getattr(before, key) for before, after in pairwise(getattr(self, name))
            ):
                raise ValueError(f"the rows of {name} must be in strictly ascending order of {key}")
        rows: tuple[LengthRow | TimeRow, ...] = (*self.by_length, *self.by_time_limit)
        if 0 < sum(row.grad_clip is not None for row in rows) < len(rows):
            raise ValueError(
                "either all rows of by_length and by_time_limit must have a grad_clip, or none of them"
            )
        return self


#: The settings that every rule decides, by section.
_DECIDED = {
    "model": ("lstm_size", "num_layers", "dropout"),
    "optimizer": ("learning_rate",),
    "data": ("batch_size", "num_steps"),
    "training": ("epochs", "max_steps", "eval_every"),
}


def decided_by(rule: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The settings that a rule, as a recipe has it, decides, by section. Its recipe can't give them beside it."""
    rows = rule.get("by_length")
    gives_clip = isinstance(rows, list | tuple) and any(
        "grad_clip" in row for row in rows if isinstance(row, Mapping)
    )
    return {**_DECIDED, "optimizer": (*_DECIDED["optimizer"], *(["grad_clip"] if gives_clip else []))}


def settings_by_rule(
    rule: Rule,
    training_symbols: int,
    vocabulary_size: int,
    time_limit_seconds: float | None = None,
    shards: int = 1,
) -> Settings:
    """The settings for a text of so many symbols in its training split and so many distinct ones.

    The batch always fits a text of two symbols or more. With a time limit the model is as large as the time and the
    text allow, and ``max_steps`` bounds the passes over the text: the limit is expected to come first. The steps
    between validations are left to ``eval_every``, which needs the length that the run has in the end. A batch can be
    cut into so many ``shards``.
    """
    row = _at(rule.by_length, "training_symbols", training_symbols)
    if time_limit_seconds is not None:
        row = _within(rule, row, training_symbols, time_limit_seconds)
    factors = _at(rule.by_vocabulary, "vocabulary_size", vocabulary_size)
    size = row["lstm_size"]
    if time_limit_seconds is not None:
        size = min(size * factors["lstm_size_factor"], row["largest_lstm_size"])
    batch_size, num_steps = fitting_batch(
        training_symbols,
        _multiple(max(1, round(row["batch_size"])), shards),
        max(1, round(row["num_steps"])),
        shards=shards,
    )
    steps = row["max_steps"]
    if time_limit_seconds is not None:
        steps = most_steps(rule, training_symbols, batch_size * num_steps)
    return {
        "model": {
            "lstm_size": max(1, round(size / SIZE_MULTIPLE)) * SIZE_MULTIPLE,
            "num_layers": round(row["num_layers"]),
            "dropout": round(row["dropout"], 2),
        },
        "optimizer": {
            "learning_rate": _two_digits(row["learning_rate"] * factors["learning_rate_factor"]),
            **({} if row["grad_clip"] is None else {"grad_clip": _two_digits(row["grad_clip"])}),
        },
        "data": {"batch_size": batch_size, "num_steps": num_steps},
        "training": {"epochs": None, "max_steps": max(1, ceil(_two_digits(steps)))},
    }


def _within(rule: Rule, row: dict[str, Any], training_symbols: int, seconds: float) -> dict[str, Any]:
    """The settings by length with those that a time limit decides in their place."""
    by_time = _at(rule.by_time_limit, "seconds", seconds)
    by_passes = _at(rule.by_passes, "passes", by_time["training_symbols"] / max(1, training_symbols))
    return {
        **row,
        "lstm_size": by_time["lstm_size"] * by_passes["lstm_size_factor"],
        "dropout": by_passes["dropout"],
        "batch_size": min(row["batch_size"], by_time["batch_size"]),
        "num_steps": min(row["num_steps"], by_time["num_steps"]),
        "learning_rate": by_time["learning_rate"],
        "grad_clip": by_time["grad_clip"],
    }


def most_steps(rule: Rule, training_symbols: int, symbols_per_step: int) -> int:
    """The steps of the passes over the text that a run with a time limit makes at most."""
    row = _at(rule.by_length, "training_symbols", training_symbols)
    steps = row["most_epochs"] * training_symbols / symbols_per_step
    return ceil(_two_digits(max(1.0, steps)))


def fitting_batch(
    training_symbols: int, batch_size: int, num_steps: int, *, keep: Sequence[str] = (), shards: int = 1
) -> tuple[int, int]:
    """The largest batch of about the same form, up to this one, that so many symbols fill at least once.

    ``keep`` names what may not change; what does change of the batch size stays a multiple of ``shards``. Where nothing
    fits, the batch comes back as it is.
    """
    most = training_symbols - 1  # each input needs the symbol after it
    if batch_size * num_steps <= most or most < 1 or {"batch_size", "num_steps"} <= set(keep):
        return batch_size, num_steps
    if "batch_size" in keep:
        return (batch_size, most // batch_size) if batch_size <= most else (batch_size, num_steps)
    if "num_steps" in keep:
        fits = most // num_steps // shards * shards
        return (fits, num_steps) if fits else (batch_size, num_steps)
    if most < shards:
        return batch_size, num_steps
    scaled = min(most, floor(batch_size * sqrt(most / (batch_size * num_steps))))
    batch_size = max(shards, scaled // shards * shards)
    return batch_size, min(num_steps, most // batch_size)


def _multiple(number: int, of: int) -> int:
    """The least multiple that is not below the number."""
    return -(-number // of) * of


def eval_every(
    rule: Rule,
    total_steps: int,
    steps_per_epoch: int,
    symbols_per_step: int,
    time_limit_seconds: float | None,
) -> int:
    """The steps between validations: ``rule.validations`` of them in all.

    A time limit ends a run before its last step, so there a validation comes at each half of an epoch at least, unless
    the text is so short that there would be more than twice ``rule.validations`` in the expected steps.
    """
    every = ceil(total_steps / rule.validations)
    if time_limit_seconds is not None:
        symbols = _at(rule.by_time_limit, "seconds", time_limit_seconds)["training_symbols"]
        expected = min(total_steps, symbols / symbols_per_step)
        every = min(every, max(ceil(steps_per_epoch / 2), ceil(expected / (2 * rule.validations))))
    return max(1, every)


def _at(rows: Sequence[Section], key: str, place: float) -> dict[str, Any]:
    """The values at ``place``: interpolated over its logarithm between two rows, and the nearest row's outside."""
    places = [getattr(row, key) for row in rows]
    if place <= places[0]:
        return rows[0].model_dump()
    for (before, low), (after, high) in pairwise(zip(places, rows, strict=True)):
        if place <= after:
            share = log(place / before) / log(after / before)
            return {
                name: None if value is None else value + share * (getattr(high, name) - value)
                for name, value in low.model_dump().items()
            }
    return rows[-1].model_dump()


def _two_digits(number: float) -> float:
    """The number with two significant digits, as people write settings."""
    return round(number, 1 - floor(log10(number)))
