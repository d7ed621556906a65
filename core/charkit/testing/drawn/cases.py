"""Draws cases: a model, an optimizer, a precision and some calls, all from a seed and a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

from charkit.config import ModelConfig, OptimizerConfig
from charkit.randomness import Purpose, uniform

ValueT = TypeVar("ValueT")
Kind = Literal["gradients", "nats", "prediction", "update"]

#: Sizes on both sides of powers of two, where blocks, vectors and threads' shares begin and end.
_LAYERS = (1, 1, 2, 2, 3, 4)
_UNITS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64)
_VOCABULARIES = (2, 3, 4, 5, 7, 16, 26, 65, 97, 130, 257, 300, 600)
_SEQUENCES = (1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 17, 33, 64)
_SYMBOLS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 33, 50)
_DROPOUTS = (0.0, 0.0, 0.01, 0.1, 0.5, 0.9)
_KINDS: tuple[Kind, ...] = ("gradients", "gradients", "nats", "prediction", "prediction", "update")
_MOST_CALLS = 6
#: Numbers of the optimizer; learning rates around those that people use.
_RATES = (1e-4, 1e-3, 0.01, 0.1, 1.0)
_BETAS1, _BETAS2 = (0.0, 0.5, 0.8, 0.9, 0.99), (0.5, 0.9, 0.95, 0.99, 0.999)
_EPSILONS = (1e-8, 1e-6, 1e-3)
_CLIPS = (0.0, 0.5, 5.0, 20.0)
_DECAYS = (0.0, 0.01, 0.1, 2.0)
_MOST_DRAWS = 64


@dataclass(frozen=True)
class DrawnCall:
    """A call: of what, with how many sequences of how many symbols, and whether with masks."""

    kind: Kind
    batch_size: int = 1
    num_steps: int = 1
    masked: bool = False

    def __str__(self) -> str:
        if self.kind == "update":
            return "an update"
        sequences = _counted(self.batch_size, "sequence")
        if self.kind == "prediction":
            return f"a prediction for {_counted(self.batch_size, 'stream')}"
        masks = " with masks" if self.masked else ""
        return f"{self.kind} of {sequences} of {_counted(self.num_steps, 'symbol')}{masks}"


@dataclass(frozen=True)
class DrawnCase:
    """A network, and the calls that are made of it in this order."""

    precision: str
    model: ModelConfig
    optimizer: OptimizerConfig
    calls: tuple[DrawnCall, ...]

    def __str__(self) -> str:
        model = self.model
        sizes = (
            f"{_counted(model.num_layers, 'layer')} of {_counted(model.lstm_size, 'unit')}, "
            f"{model.vocabulary_size} symbols"
        )
        parts = [self.precision, sizes]
        if any(call.masked for call in self.calls):
            parts.append(f"dropout {model.dropout}")
        if any(call.kind == "update" for call in self.calls):
            changed = self.optimizer.model_dump(exclude_defaults=True)
            parts += [f"{name} {value}" for name, value in changed.items()]
        return f"{', '.join(parts)}: {', then '.join(map(str, self.calls))}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


class _Draws:
    """Draws in order, each from [0, 1)."""

    def __init__(self, seed: int, number: int) -> None:
        self._seed, self._number = seed, number
        self._next = 0

    @cached_property
    def _values(self) -> Sequence[float]:
        values: list[float] = uniform(
            self._seed, Purpose.EXAMINATION, self._number, size=_MOST_DRAWS
        ).tolist()
        return values

    def one_of(self, options: Sequence[ValueT]) -> ValueT:
        """One of the options."""
        draw = self._values[self._next]
        self._next += 1
        return options[int(draw * len(options))]


def draw_case(seed: int, number: int, precisions: Sequence[str], capabilities: frozenset[str]) -> DrawnCase:
    """Case ``number`` of a seed, for a backend with these precisions and capabilities."""
    draws = _Draws(seed, number)
    model = ModelConfig(
        num_layers=draws.one_of(_LAYERS),
        lstm_size=draws.one_of(_UNITS),
        vocabulary_size=draws.one_of(_VOCABULARIES),
        dropout=draws.one_of(_DROPOUTS),
    )
    decay = draws.one_of(_DECAYS)
    optimizer = OptimizerConfig(
        learning_rate=draws.one_of(_RATES),
        beta1=draws.one_of(_BETAS1),
        beta2=draws.one_of(_BETAS2),
        epsilon=draws.one_of(_EPSILONS),
        grad_clip=draws.one_of(_CLIPS),
        weight_decay=decay if "weight_decay" in capabilities else 0.0,
    )
    precision = draws.one_of(precisions)
    count = draws.one_of(range(1, _MOST_CALLS + 1))
    calls = tuple(_draw_call(draws, has_dropout=model.dropout > 0.0) for _ in range(count))
    return DrawnCase(precision, model, optimizer, calls)


def _draw_call(draws: _Draws, *, has_dropout: bool) -> DrawnCall:
    kind, batch_size = draws.one_of(_KINDS), draws.one_of(_SEQUENCES)
    num_steps, masked = draws.one_of(_SYMBOLS), draws.one_of((False, True, True))
    if kind == "update":
        return DrawnCall(kind)
    if kind == "prediction":
        return DrawnCall(kind, batch_size)
    return DrawnCall(kind, batch_size, num_steps, masked and has_dropout)
