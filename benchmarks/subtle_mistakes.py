"""Mistakes of a size, planted in the NumPy backend: how small is the smallest that ``toolkit compare`` finds?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from charkit.backend import Backend
from charkit_numpy.backend import NumpyBackend

Make = Callable[..., Backend[Any]]


def _with_optimizer(change: Callable[..., Any]) -> Callable[[float], Make]:
    """Backends whose update is ``change(size, config)``."""

    def sized(size: float) -> Make:
        class Wrong(NumpyBackend):
            def build_optimizer(self, optimizer: Any) -> Any:
                return change(size, optimizer, super().build_optimizer)

        return Wrong

    return sized


def _after_steps(size: float, optimizer: Any, build: Any, step: int | None, act: Callable[..., Any]) -> Any:
    """The right update, with ``act(size, weights)`` after it, at every step or at one."""
    inner, count = build(optimizer), 0

    def update(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        weights, moments, norm = inner(*arguments)
        if step is None or count == step:
            act(size, weights)
        return weights, moments, norm

    return update


def _move_bias(size: float, weights: dict[str, Any]) -> None:
    weights["lstm.0.bias"][0] += size


def _scale_step(size: float, optimizer: Any, build: Any) -> Any:
    inner = build(optimizer)

    def update(weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        rate = np.asarray((1 + size) * rates.learning_rate, rates.learning_rate.dtype)
        return inner(weights, moments, gradients, rates._replace(learning_rate=rate))

    return update


def _other_number(name: str) -> Callable[..., Any]:
    """An optimizer with a constant that is off by a share of its size."""

    def change(size: float, optimizer: Any, build: Any) -> Any:
        return build(optimizer.model_copy(update={name: getattr(optimizer, name) * (1 + size)}))

    return change


def _one_sequence(size: float) -> Make:
    """One sequence of the batch counts ``1 + size`` times in the gradient."""

    class Wrong(NumpyBackend):
        def differentiate(self, forward: Any) -> Any:
            inner = super().differentiate(forward)

            def backward(weights: Any, symbols: Any, targets: Any, state: Any, masks: Any) -> Any:
                gradients, nats, after = inner(weights, symbols, targets, state, masks)
                gradients = {name: np.array(array) for name, array in gradients.items()}
                last = slice(len(symbols) - 1, len(symbols))
                part = type(state)(state.hidden[:, last].copy(), state.cell[:, last].copy())
                few = None if masks is None else masks[:, last].copy()
                alone, _, _ = inner(weights, symbols[last].copy(), targets[last].copy(), part, few)
                for name in gradients:
                    gradients[name] += size / len(symbols) * alone[name]
                return gradients, nats, after

            return backward

    return Wrong


#: What is wrong, what the size is of, the sizes, and settings of its own.
SUBTLE: tuple[tuple[str, Callable[[float], Make], tuple[float, ...], int], ...] = (
    (
        "the step's length, by a share",
        _with_optimizer(_scale_step),
        (1e-2, 1e-3, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6),
        30,
    ),
    (
        "epsilon, times 1 + size (9 is 1e-7 for 1e-8)",
        _with_optimizer(_other_number("epsilon")),
        (9, 1, 0.1, 0.01, 1e-3),
        30,
    ),
    (
        "beta2, by a share (1e-4 is 0.9990 for 0.9991)",
        _with_optimizer(_other_number("beta2")),
        (1e-3, 1e-4, 1e-5, 1e-6, 1e-7),
        30,
    ),
    ("beta1, by a share", _with_optimizer(_other_number("beta1")), (1e-2, 1e-3, 1e-4, 1e-5, 1e-6), 30),
    (
        "one bias moved after every step, by",
        _with_optimizer(lambda size, config, build: _after_steps(size, config, build, None, _move_bias)),
        (1e-4, 1e-5, 1e-6, 3e-7, 1e-7, 1e-8),
        30,
    ),
    (
        "one bias moved after step 150 of 300, by",
        _with_optimizer(lambda size, config, build: _after_steps(size, config, build, 150, _move_bias)),
        (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6),
        300,
    ),
    (
        "one sequence of 64 counts more in the gradient, by a share",
        _one_sequence,
        (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5),
        30,
    ),
)
