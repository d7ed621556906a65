"""Planted faults: the NumPy backend with one thing wrong, each as a backend class of its own.

Written without the kit's own list of mistakes, so that a fault and its name are found independently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from charkit.backend import Backend, State
from charkit.config import ModelConfig, OptimizerConfig
from charkit_numpy.backend import NumpyBackend
from charkit_numpy.lstm import NumpyLstm

BackendClass = type[NumpyBackend]
Wrap = Callable[..., Any]


def make(fault: BackendClass) -> Callable[[str], Backend[Any]]:
    """The factory of a faulty backend, as a Subject takes it."""
    return lambda precision: fault(precision=precision, device="cpu", threads=None)


# ---- one part wrapped ----------------------------------------------------------------------------------


def lstm(wrap: Wrap) -> BackendClass:
    """A backend whose LSTM is ``wrap(inner, model, weights, symbols, state, masks)``."""

    class Faulty(NumpyBackend):
        def build_lstm(self, model: ModelConfig) -> Any:
            inner = super().build_lstm(model)
            return lambda *arguments: wrap(inner, model, *arguments)

    return Faulty


def lstm_class(faulty: type[NumpyLstm]) -> BackendClass:
    """A backend with a faulty subclass of the NumPy LSTM."""

    class Faulty(NumpyBackend):
        def build_lstm(self, model: ModelConfig) -> Any:
            return faulty(model)

    return Faulty


def output(wrap: Wrap) -> BackendClass:
    """A backend whose projection is ``wrap(inner, weights, features)``."""

    class Faulty(NumpyBackend):
        def build_output(self, model: ModelConfig) -> Any:
            inner = super().build_output(model)
            return lambda *arguments: wrap(inner, *arguments)

    return Faulty


def loss(wrap: Wrap) -> BackendClass:
    """A backend whose loss is ``wrap(inner, logits, targets)``."""

    class Faulty(NumpyBackend):
        def build_loss(self, model: ModelConfig) -> Any:
            inner = super().build_loss(model)
            return lambda *arguments: wrap(inner, *arguments)

    return Faulty


def gradients(wrap: Wrap) -> BackendClass:
    """A backend whose gradient function is ``wrap(inner, weights, symbols, targets, state, masks)``."""

    class Faulty(NumpyBackend):
        def differentiate(self, forward: Any) -> Any:
            inner = super().differentiate(forward)
            return lambda *arguments: wrap(inner, *arguments)

    return Faulty


def returned_gradients(change: Callable[[dict[str, Any], Any], dict[str, Any]]) -> BackendClass:
    """A backend whose gradients are ``change(right ones, symbols)``."""

    def wrap(inner: Wrap, weights: Any, symbols: Any, *rest: Any) -> Any:
        right, nats, state = inner(weights, symbols, *rest)
        return change(right, symbols), nats, state

    return gradients(wrap)


def optimizer(faulty: Callable[[OptimizerConfig], Any]) -> BackendClass:
    """A backend with an optimizer of its own, which knows no weight decay."""

    class Faulty(NumpyBackend):
        capabilities = frozenset()

        def build_optimizer(self, optimizer: OptimizerConfig) -> Any:
            return faulty(optimizer)

    return Faulty


# ---- gates, biases, state ------------------------------------------------------------------------------


def reordered(arrays: dict[str, Any], positions: tuple[int, ...]) -> dict[str, Any]:
    """The LSTM's arrays with their four gate blocks taken from these positions."""
    return {
        name: np.concatenate([np.split(array, 4)[position] for position in positions])
        if name.startswith("lstm")
        else array
        for name, array in arrays.items()
    }


def changed_biases(weights: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """The arrays with the LSTM's biases changed."""
    return {
        name: change(array) if name.startswith("lstm") and name.endswith("bias") else array
        for name, array in weights.items()
    }


def plus_one_on_forget(bias: Any) -> Any:
    changed = bias.copy()
    changed[len(bias) // 4 : len(bias) // 2] += 1
    return changed


def zeros(state: State[Any]) -> State[Any]:
    return State(np.zeros_like(state.hidden), np.zeros_like(state.cell))


def flipped(state: State[Any]) -> State[Any]:
    return State(state.hidden[::-1].copy(), state.cell[::-1].copy())


def state_of(result: Any, change: Callable[[State[Any]], State[Any]]) -> Any:
    """An LSTM's result with its state changed."""
    features, state = result
    return features, change(state)


def in_float32(inner: Wrap, model: Any, weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
    dtype = weights["output.bias"].dtype
    small = {name: array.astype(np.float32) for name, array in weights.items()}
    features, after = inner(small, symbols, State(*(array.astype(np.float32) for array in state)), masks)
    return features.astype(dtype), State(after.hidden.astype(dtype), after.cell.astype(dtype))


def mixing_sequences(inner: Wrap, model: Any, weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
    return inner(
        weights, symbols, State(state.hidden - state.hidden.mean(axis=1, keepdims=True), state.cell), masks
    )


def squeezing(inner: Wrap, model: Any, weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
    features, after = inner(weights, symbols, state, masks)
    return features, State(after.hidden.squeeze(1), after.cell.squeeze(1)) if len(symbols) == 1 else after


def writing_to_state(inner: Wrap, model: Any, weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
    features, after = inner(weights, symbols, state, masks)
    state.hidden[:], state.cell[:] = after.hidden, after.cell
    return features, after


class StaleLstm(NumpyLstm):
    """Prepares the weights that it meets first and keeps them."""

    def _prepare(self, weights: Any) -> Any:
        return super()._prepare(weights if self._prepared is None else self._prepared[0])


def keeping_state_in_a_buffer() -> BackendClass:
    """The state after a gradient lies in one buffer of the backend, which the next gradient writes over."""
    buffer = np.empty((2, 4096))

    def wrap(inner: Wrap, *arguments: Any) -> Any:
        right, nats, after = inner(*arguments)
        views = [
            row.view(array.dtype)[: array.size].reshape(array.shape)
            for row, array in zip(buffer, after, strict=True)
        ]
        for view, array in zip(views, after, strict=True):
            view[:] = array
        return right, nats, State(*views)

    return gradients(wrap)


# ---- dropout -------------------------------------------------------------------------------------------


class LastLayerKept(NumpyLstm):
    def _drop(self, space: Any, index: int, hidden: Any, masks: Any) -> Any:
        return super()._drop(space, index, hidden, None if index == self._model.num_layers - 1 else masks)


class NotScaled(NumpyLstm):
    def _drop(self, space: Any, index: int, hidden: Any, masks: Any) -> Any:
        dropped = super()._drop(space, index, hidden, masks)
        return dropped if masks is None else dropped * (1.0 - self._model.dropout)


def masking_the_carried_state(
    inner: Wrap, model: ModelConfig, weights: Any, symbols: Any, state: Any, masks: Any
) -> Any:
    if masks is None:
        return inner(weights, symbols, state, masks)
    features = []
    for t in range(symbols.shape[1]):
        now = masks[:, :, t : t + 1]
        feature, state = inner(weights, symbols[:, t : t + 1], state, now)
        features.append(feature.copy())
        state = State(state.hidden * now[:, :, 0] / (1.0 - model.dropout), state.cell)
    return np.concatenate(features), state


# ---- loss ----------------------------------------------------------------------------------------------


def overflowing(inner: Wrap, logits: Any, targets: Any) -> Any:
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        picked = np.take_along_axis(probabilities, targets.T[..., None], axis=-1)
        return -np.log(picked[..., 0]).T


def masks_not_on_the_way_back(
    inner: Wrap, weights: Any, symbols: Any, targets: Any, state: Any, masks: Any
) -> Any:
    unmasked = inner(weights, symbols, targets, state, None)[0]
    wrong = {name: array.copy() for name, array in unmasked.items()}
    _, nats, after = inner(weights, symbols, targets, state, masks)
    return wrong, nats, after


# ---- the way back by hand ---------------------------------------------------------------------------------


class SameHidden(NumpyLstm):
    """Multiplies each symbol's deltas with its own hidden output instead of the one before."""

    def _weight_gradients(self, tape: Any, index: int, trace: Any, inputs: Any, deltas: Any) -> None:
        shifted = trace._replace(hidden=np.roll(trace.hidden, -1, axis=0))
        super()._weight_gradients(tape, index, shifted, inputs, deltas)


class ForgetsFirstHidden(NumpyLstm):
    """Starts from zero where the gradient of the recurrent weights should start from the given state."""

    def _weight_gradients(self, tape: Any, index: int, trace: Any, inputs: Any, deltas: Any) -> None:
        hidden = trace.hidden.copy()
        hidden[0] = 0
        super()._weight_gradients(tape, index, trace._replace(hidden=hidden), inputs, deltas)


class OverwritesRows(NumpyLstm):
    """Assigns to the rows of the symbols, where what falls on the same row must be added."""

    def _weight_gradients(self, tape: Any, index: int, trace: Any, inputs: Any, deltas: Any) -> None:
        super()._weight_gradients(tape, index, trace, inputs, deltas)
        if index == 0:
            columns = tape.gradients["lstm.0.weight_ih"].reshape(4, -1, self._model.vocabulary_size)
            for position, gate in enumerate((2, 0, 1, 3)):
                columns[gate].T[inputs.ravel()] = deltas[position].reshape(-1, deltas.shape[-1])


class MasksForwardOnly(NumpyLstm):
    def _backward(self, tape: Any, layers: Any, traces: Any, inputs: Any, masks: Any, gradient: Any) -> None:
        super()._backward(tape, layers, traces, inputs, None, gradient)


def cut_at_each_symbol(inner: Wrap, weights: Any, symbols: Any, targets: Any, state: Any, masks: Any) -> Any:
    """The gradient of each symbol by itself, as if the state before it were given."""
    total: dict[str, Any] = dict.fromkeys(weights, 0.0)
    nats = []
    for t in range(symbols.shape[1]):
        now = slice(t, t + 1)
        part, one, state = inner(weights, symbols[:, now], targets[:, now], state, masks)
        nats.append(one)
        total = {name: total[name] + part[name] / symbols.shape[1] for name in total}
    return total, np.concatenate(nats, axis=1), state


def hard_sigmoids(inner: Wrap, model: Any, weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
    """One layer, forward, with the piecewise linear gates of an older framework."""
    hidden, cell, features = state.hidden[0], state.cell[0], []
    for t in range(symbols.shape[1]):
        z = weights["lstm.0.weight_ih"].T[symbols[:, t]] + hidden @ weights["lstm.0.weight_hh"].T
        i, f, g, o = np.split(z + weights["lstm.0.bias"], 4, axis=1)
        i, f, o = (np.clip(gate / 5 + 0.5, 0, 1) for gate in (i, f, o))
        cell = f * cell + i * np.tanh(g)
        hidden = o * np.tanh(cell)
        features.append(hidden)
    return np.stack(features), State(hidden[None], cell[None])
