"""What may go into a network: one check of symbols, states, masks, weights and numbers in front of every backend.

Frameworks differ in what they do with a symbol that does not exist, or a state for another batch; some do not fail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from charkit.argument_checks import integer
from charkit.backend import Array, Moments, State
from charkit.config import ModelConfig
from charkit.durations import MOST_STEPS
from charkit.errors import InputError, counted, shown
from charkit.snapshot import Snapshot
from charkit.tensor_file import first_not_finite
from charkit.weights import mismatch

#: As in the configuration; in float32, a rate far above it would be infinite.
MOST_LEARNING_RATE = 100
#: Of the sequences in a batch, and of the symbols in each; and what the file of a network can hold.
MOST_SYMBOLS, MOST_SEED = 1_000_000, 2**63 - 1
#: Batch and time.
_AXES_OF_BATCH = 2


@dataclass(frozen=True)
class DeviceState:
    """A state as tensors of the framework, as returned by ``initial_state``, ``nats``, ``predict`` and ``advance``."""

    tensors: State[Any]
    batch_size: int
    model: ModelConfig


@dataclass(frozen=True)
class InputChecker:
    """Raises InputError for arrays and numbers that do not fit a model."""

    model: ModelConfig

    def symbols(self, symbols: Array, name: str, *, time: int | None = None) -> None:
        """int32 ``(batch, time)``, each from 0 to vocabulary_size - 1; ``time`` is the one length that fits, if any."""
        shape = "(batch, time)" if time is None else f"(batch, {time})"
        if not isinstance(symbols, np.ndarray):
            raise InputError(
                f"{name} must be an int32 NumPy array of shape {shape}; given {type(symbols).__name__}; convert it "
                "with numpy.asarray(..., dtype=numpy.int32)"
            )
        fits = symbols.dtype == np.int32 and symbols.ndim == 2 and symbols.size > 0
        if not fits or (time is not None and symbols.shape[1] != time):
            raise InputError(
                f"{name} must be a non-empty int32 array of shape {shape}; given {symbols.dtype} {symbols.shape}"
                f"{_advice_to_convert(symbols)}"
            )
        last = self.model.vocabulary_size - 1
        if symbols.size == 1:  # a sampled symbol: reductions would take longer than its share of a step
            lowest = highest = symbols.item()
        else:
            lowest, highest = int(symbols.min()), int(symbols.max())
        if lowest < 0 or highest > last:
            wrong = lowest if lowest < 0 else highest
            raise InputError(
                f"{name} must contain indices from 0 to {last:,}, for the {last + 1:,} symbols of the model's "
                f"vocabulary; given {wrong}"
            )

    def prime(self, prime: Array) -> None:
        """int32 ``(time,)``, one symbol at least."""
        if not isinstance(prime, np.ndarray) or prime.ndim != 1 or prime.dtype != np.int32 or not prime.size:
            raise InputError(
                f"prime must be a non-empty int32 array of shape (time,); given {described(prime)}"
                f"{_advice_to_convert(prime)}"
            )
        self.symbols(prime[None], "prime")

    def batch(self, inputs: Array, targets: Array) -> None:
        """Inputs and targets: symbols, and of one shape."""
        self.symbols(inputs, "inputs")
        self.symbols(targets, "targets")
        if inputs.shape != targets.shape:
            raise InputError(
                f"targets must have the same shape as inputs, {inputs.shape}; given {targets.shape}"
            )

    def streams(self, inputs: Array, batch_size: int) -> None:
        """A training batch has as many sequences as the state that is carried along."""
        if len(inputs) != batch_size:
            raise InputError(
                f"a training batch must have {counted(batch_size, 'sequence')}, the network's batch_size; "
                f"given {len(inputs)}"
            )

    def masks(self, masks: Array | None, inputs: Array) -> None:
        """bool ``(layer, batch, time, unit)``, or None."""
        if masks is None:
            return
        wanted = (self.model.num_layers, *inputs.shape, self.model.lstm_size)
        if not isinstance(masks, np.ndarray) or masks.dtype != np.bool_ or masks.shape != wanted:
            raise InputError(f"masks must be a bool array of shape {wanted}; given {described(masks)}")

    def state(self, state: State[Array], batch_size: int) -> None:
        """Both arrays floating-point ``(layer, batch, unit)``."""
        wanted = (self.model.num_layers, batch_size, self.model.lstm_size)
        if not isinstance(state, State):
            raise InputError(
                f"a state must be a State of two arrays, hidden and cell; given {type(state).__name__}"
            )
        for name, array in zip(("hidden", "cell"), state, strict=True):
            fits = isinstance(array, np.ndarray) and array.shape == wanted and array.dtype.kind == "f"
            if not fits:
                raise InputError(
                    f"the state's {name} array must be floating-point, of shape (layer, batch, unit) = {wanted}; "
                    f"given {described(array)}"
                )

    def reset(self, streams: Array, batch_size: int) -> None:
        """Which sequences to reset: bool ``(batch,)``."""
        if not isinstance(streams, np.ndarray) or streams.dtype != np.bool_ or streams.shape != (batch_size,):
            raise InputError(
                f"streams must be a bool array of shape (batch,) = ({batch_size},); given {described(streams)}"
            )

    def is_of_one(self, state: State[Array]) -> bool:
        """Whether it is the state of a single sequence."""
        try:
            self.state(state, batch_size=1)
        except InputError:
            return False
        return True

    def is_device_state(self, state: DeviceState) -> None:
        """A state as tensors, of any model."""
        if not isinstance(state, DeviceState):
            raise InputError(
                f"the state must come from initial_state() or from the previous call; given {type(state).__name__}"
            )

    def device_state(self, state: DeviceState, symbols: Array) -> None:
        """A state of this model, for as many sequences as the symbols have."""
        self.is_device_state(state)
        if state.model is not self.model and state.model != self.model:
            raise InputError("the state belongs to another model; start with this model's initial_state()")
        if state.batch_size != len(symbols):
            raise InputError(
                f"the state is for {counted(state.batch_size, 'sequence')}; given symbols for {len(symbols)}; "
                f"start with initial_state({len(symbols)})"
            )

    def weights(self, arrays: Mapping[str, Array], name: str, *, finite: bool = False) -> None:
        """Every canonical array of the model, and no other, floating-point and in its shape.

        If ``finite``, without nan and infinity: that takes time, and a step must pass them on for the core to detect.
        """
        if not isinstance(arrays, Mapping):
            raise InputError(
                f"{name} must be a dictionary that maps names to arrays; given {type(arrays).__name__}"
            )
        wrong = mismatch(arrays, self.model)
        if wrong:
            raise InputError(f"{name} must match this model: {wrong}")
        not_finite = first_not_finite(arrays.items()) if finite else None
        if not_finite:
            raise InputError(f"{name} must be finite; {not_finite} contains NaN or infinity")

    def snapshot(self, snapshot: Snapshot, batch_size: int) -> None:
        """Weights, moments and state that fit, and a step count."""
        if not isinstance(snapshot, Snapshot):
            raise InputError(f"a snapshot must come from snapshot(); given {type(snapshot).__name__}")
        if not isinstance(snapshot.moments, Moments):
            raise InputError(
                "a snapshot's moments must be a Moments of two dictionaries, exp_avg and exp_avg_sq; "
                f"given {type(snapshot.moments).__name__}"
            )
        self.weights(snapshot.weights, "weights")
        for name, arrays in snapshot.moments._asdict().items():
            self.weights(arrays, name)
        self.state(snapshot.state, batch_size)
        self.step(snapshot.step)

    def shape(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """That of a batch: two integers from 1."""
        if not isinstance(shape, Sequence) or len(shape) != _AXES_OF_BATCH:
            raise InputError(f"shape must be two integers, (batch, time); given {shown(shape)}")
        batch, time = (integer("each element of shape", length, 1, error=InputError) for length in shape)
        return batch, time

    def step(self, step: int) -> int:
        """A number of steps taken, returned as an int."""
        return integer("step", step, 0, MOST_STEPS, error=InputError)

    def learning_rate(self, rate: float) -> float:
        """A number from 0 to MOST_LEARNING_RATE, of any type that can be converted to a float; no text. Returns it."""
        try:
            number = None if isinstance(rate, bool | str | bytes) else float(rate)
        except (TypeError, ValueError, OverflowError):
            number = None
        if number is None or not 0 <= number <= MOST_LEARNING_RATE:
            raise InputError(
                f"learning_rate must be a number from 0 to {MOST_LEARNING_RATE}; given {shown(rate)}"
            )
        return number


def _advice_to_convert(symbols: Any) -> str:
    """What to do with integers of another size, such as NumPy's default."""
    is_convertible = (
        isinstance(symbols, np.ndarray) and symbols.dtype.kind in "iu" and symbols.dtype != np.int32
    )
    return "; convert it with .astype(numpy.int32)" if is_convertible else ""


def described(value: Any) -> str:
    """An array's type and shape, or the type of what is no array."""
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
