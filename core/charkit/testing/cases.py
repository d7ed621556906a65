"""The fixed models, weights and batches of the checks. No two axes have the same length."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from charkit.backend import Array, State
from charkit.config import ModelConfig, OptimizerConfig
from charkit.randomness import Purpose, dropout_masks, uniform
from charkit.testing.oracle import Arrays, Oracle, Step, zero_state
from charkit.weights import weight_shapes

ValueT = TypeVar("ValueT")
SEED = 20
#: How many steps the core may take before it reads their losses.
UNREAD_STEPS = 100
#: Dropout of the cases with masks; at 0.5, swapping kept and dropped outputs would not show in the scale.
DROPOUT = 0.3
#: Units of a wide layer: just above a usual size of blocks, and no multiple of one.
WIDE = 515
#: The optimizer of whole steps. Its bound clips some of ten steps, and its rate is large enough for errors to show.
STEPPING = OptimizerConfig(learning_rate=0.02, grad_clip=0.45)


@dataclass(frozen=True)
class Case:
    """One model, its weights, a batch, a state to start from, and masks or None."""

    model: ModelConfig
    weights: Arrays
    symbols: NDArray[np.int32]  # (batch, time)
    targets: NDArray[np.int32]  # (batch, time)
    state: State[Array]  # each (layer, batch, unit)
    masks: NDArray[np.bool_] | None  # (layer, batch, time, unit)

    @property
    def batch(self) -> tuple[Any, Any, Any, Any]:
        """Symbols, targets, state and masks, the arguments of oracle and backend."""
        return self.symbols, self.targets, self.state, self.masks

    def sequences(self, indices: slice | list[int]) -> Case:
        """The case with only these sequences of its batch."""
        return replace(
            self,
            symbols=self.symbols[indices].copy(),
            targets=self.targets[indices].copy(),
            state=State(self.state.hidden[:, indices].copy(), self.state.cell[:, indices].copy()),
            masks=None if self.masks is None else self.masks[:, indices].copy(),
        )

    def steps(self, count: int) -> Case:
        """The case with only the first time steps of its batch."""
        return replace(
            self,
            symbols=self.symbols[:, :count].copy(),
            targets=self.targets[:, :count].copy(),
            masks=None if self.masks is None else self.masks[:, :, :count].copy(),
        )


def make_case(
    *,
    num_layers: int = 2,
    batch_size: int = 3,
    num_steps: int = 6,
    vocabulary_size: int = 7,
    lstm_size: int = 4,
    masked: bool = False,
    with_state: bool = True,
) -> Case:
    """A case of these sizes, with every array drawn from its own stream."""
    model = ModelConfig(
        vocabulary_size=vocabulary_size,
        lstm_size=lstm_size,
        num_layers=num_layers,
        dropout=DROPOUT if masked else 0.0,
    )
    text = symbols_of(1, (batch_size, num_steps + 1), vocabulary_size)
    shape = (num_layers, batch_size, lstm_size)
    state = State(spread(2, shape), spread(3, shape)) if with_state else zero_state(model, batch_size)
    masks_shape = (num_layers, batch_size, num_steps, lstm_size)
    return Case(
        model=model,
        weights=weights_of(model),
        symbols=text[:, :-1].copy(),
        targets=text[:, 1:].copy(),
        state=state,
        masks=dropout_masks(SEED, 1, masks_shape, DROPOUT) if masked else None,
    )


def stepping_case() -> Case:
    """Three layers with masks; the checks of masks and of whole steps share it, so that it compiles once."""
    return make_case(num_layers=3, masked=True)


def unmasked_case(*, num_steps: int = 6, with_state: bool = True) -> Case:
    """The model and batch of ``stepping_case`` without masks; most checks without masks share it."""
    return replace(
        make_case(num_layers=3, num_steps=num_steps, masked=True, with_state=with_state), masks=None
    )


def case_of_equal_axes(*, num_layers: int, batch_size: int) -> Case:
    """Three steps, symbols and units, with masks, for the checks of batches whose halves have three sequences too."""
    return make_case(
        num_layers=num_layers,
        batch_size=batch_size,
        num_steps=3,
        vocabulary_size=3,
        lstm_size=3,
        masked=True,
    )


def realistic_case() -> Case:
    """One layer of 128 units, 65 sequences of 20 symbols, a low dropout: arrays of a megabyte and more.

    The halves of the batch differ. Of 200 symbols, some fit into eight bits only without a sign.
    """
    case = make_case(
        num_layers=1, batch_size=65, num_steps=20, vocabulary_size=200, lstm_size=128, masked=True
    )
    return replace(
        case,
        model=case.model.model_copy(update={"dropout": 0.004}),
        weights={name: 0.1 * array for name, array in case.weights.items()},
    )


@lru_cache(maxsize=1)
def realistic_step() -> Step:
    """The oracle's step of ``realistic_case``, which is not to be changed; it takes a few tenths of a second."""
    case = realistic_case()
    return Oracle(case.model).step(case.weights, *case.batch)


def reordered(arrays: Mapping[str, ValueT], start: int) -> dict[str, ValueT]:
    """The dictionary in another order: reversed, and rotated by ``start``."""
    names = list(arrays)[::-1]
    return {name: arrays[name] for name in (*names[start:], *names[:start])}


def weights_of(model: ModelConfig, stream: int = 10) -> Arrays:
    """Weights without special values: biases are not zero, and gates differ."""
    return {
        name: spread(stream + index, shape)
        for index, (name, shape) in enumerate(weight_shapes(model).items())
    }


def gradients_of(model: ModelConfig, stream: int, size: float) -> Arrays:
    """Made-up gradients by weight name, each element between ``-size`` and ``size``."""
    return {name: size * array for name, array in weights_of(model, stream).items()}


def zeros_of(model: ModelConfig) -> Arrays:
    """Zeros by weight name."""
    return {name: np.zeros(shape) for name, shape in weight_shapes(model).items()}


def symbols_of(stream: int, shape: tuple[int, ...], vocabulary_size: int) -> NDArray[np.int32]:
    """Made-up symbols of that shape."""
    draws = uniform(SEED, Purpose.SAMPLING, stream, size=int(np.prod(shape)))
    return (draws * vocabulary_size).astype(np.int32).reshape(shape)


def spread(stream: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Numbers between -1 and 1, float64, of that shape; a new array each time."""
    return _spread(stream, math.prod(shape)).reshape(shape).copy()


@lru_cache(maxsize=128)
def _spread(stream: int, size: int) -> NDArray[np.float64]:
    """The numbers, drawn once for the many checks that use the same small model."""
    return 2.0 * uniform(SEED, Purpose.WEIGHTS, stream, size=size) - 1.0
