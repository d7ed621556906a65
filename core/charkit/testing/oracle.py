"""The judge: the model, the loss, clipping and Adam in plain float64, one formula after the other.

Written to be read, not to be fast: one sequence, one symbol, one layer at a time, and nothing shared with
any backend. It is itself checked against finite differences and against ``torch.nn.LSTM``.

``charkit.testing.mistakes`` makes the known mistakes by overriding one method each.
"""

from __future__ import annotations

from math import exp, inf, log, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charkit.backend import Moments, State
from charkit.config import ModelConfig, OptimizerConfig
from charkit.weights import decays

Floats = NDArray[np.float64]
Ints = NDArray[Any]
Arrays = dict[str, Floats]


class Cell(NamedTuple):
    """One layer at one symbol: what went in, the gates, and what came out. Each ``(unit,)`` but ``x``."""

    x: Floats  # (inputs,)
    h_before: Floats
    c_before: Floats
    i: Floats
    f: Floats
    g: Floats
    o: Floats
    c: Floats
    output: Floats


class Sequence(NamedTuple):
    """One sequence's forward pass."""

    logits: Floats  # (time, vocabulary)
    hidden: Floats  # (layer, unit), after the last symbol
    cell: Floats  # (layer, unit)
    cells: list[list[Cell]]  # by time, then layer


class Result(NamedTuple):
    """A batch's forward pass."""

    logits: Floats  # (batch, time, vocabulary)
    state: State[Floats]  # each (layer, batch, unit)


class Oracle:
    """The reference for one model and one optimiser. Holds no weights; every method is a pure function."""

    def __init__(self, model: ModelConfig, optimizer: OptimizerConfig | None = None) -> None:
        self.model = model
        self.optimizer = optimizer or OptimizerConfig()

    # ---- forward --------------------------------------------------------------------------------------

    def forward(self, weights: Arrays, symbols: Ints, state: State[Floats], masks: Any = None) -> Result:
        """Logits and new state of int32 ``(batch, time)`` symbols; masks ``(layer, batch, time, unit)``."""
        factors = self.dropout_factors(masks, symbols.shape)
        sequences = [
            self.sequence(weights, symbols[n], state.hidden[:, n], state.cell[:, n], factors[:, n])
            for n in range(len(symbols))
        ]
        after = State(
            np.stack([sequence.hidden for sequence in sequences], axis=1),
            np.stack([sequence.cell for sequence in sequences], axis=1),
        )
        return Result(np.stack([sequence.logits for sequence in sequences]), after)

    def sequence(
        self, weights: Arrays, symbols: Ints, hidden: Floats, cell: Floats, factors: Floats
    ) -> Sequence:
        """Runs one sequence. ``hidden``, ``cell``: ``(layer, unit)``; ``factors``: ``(layer, time, unit)``."""
        hidden, cell = hidden.astype(np.float64), cell.astype(np.float64)
        logits, cells = [], []
        for t, symbol in enumerate(symbols):
            x = np.zeros(self.model.vocabulary_size)
            x[symbol] = 1.0
            column = []
            for layer in range(self.model.num_layers):
                z = (
                    weights[f"lstm.{layer}.weight_ih"] @ x
                    + weights[f"lstm.{layer}.weight_hh"] @ hidden[layer]
                    + weights[f"lstm.{layer}.bias"]
                )
                z_i, z_f, z_g, z_o = np.split(z, 4)
                i, f, g, o = self.gate(z_i), self.gate(z_f), np.tanh(z_g), self.gate(z_o)
                c = f * cell[layer] + i * g
                h = o * np.tanh(c)
                output = h * factors[layer, t]
                column.append(Cell(x, hidden[layer].copy(), cell[layer].copy(), i, f, g, o, c, output))
                hidden[layer], cell[layer] = self.carried(h, factors[layer, t]), c
                x = output
            cells.append(column)
            logits.append(weights["output.weight"] @ x + weights["output.bias"])
        return Sequence(np.stack(logits), hidden, cell, cells)

    def gate(self, z: Floats) -> Floats:
        """What opens and closes: the sigmoid."""
        return sigmoid(z)

    def slope(self, gate: Floats) -> Floats:
        """The derivative of a gate at its value."""
        return gate * (1.0 - gate)

    def dropout_factors(self, masks: Any, shape: tuple[int, ...]) -> Floats:
        """What a layer's output is multiplied with: ``mask / (1 - dropout)``, every layer; 1 without masks."""
        if masks is None:
            return np.ones((self.model.num_layers, *shape, self.model.lstm_size))
        return np.asarray(masks / (1.0 - self.model.dropout))

    def carried(self, hidden: Floats, factor: Floats) -> Floats:
        """The hidden output as it is carried to the next symbol, and its gradient on the way back: not masked."""
        return hidden

    # ---- loss -----------------------------------------------------------------------------------------

    def loss(self, logits: Floats, target: int) -> float:
        """``-log softmax(logits)[target]`` in nats, for logits ``(vocabulary,)``."""
        highest = float(logits.max())
        total = sum(exp(float(logit) - highest) for logit in logits)
        return highest + log(total) - float(logits[target])

    def nats(
        self, weights: Arrays, symbols: Ints, targets: Ints, state: State[Floats], masks: Any = None
    ) -> tuple[Floats, State[Floats]]:
        """The loss of each symbol, nats ``(batch, time)``, and the new state."""
        result = self.forward(weights, symbols, state, masks)
        nats = np.empty(symbols.shape)
        for n, t in np.ndindex(*symbols.shape):
            nats[n, t] = self.loss(result.logits[n, t], int(targets[n, t]))
        return nats, result.state

    # ---- gradients ------------------------------------------------------------------------------------

    def gradients(
        self, weights: Arrays, symbols: Ints, targets: Ints, state: State[Floats], masks: Any = None
    ) -> Arrays:
        """The gradient of the mean of the nats over batch and time, by weight name."""
        gradients = {name: np.zeros(array.shape) for name, array in weights.items()}
        factors = self.dropout_factors(masks, symbols.shape)
        for n in range(len(symbols)):
            run = self.sequence(weights, symbols[n], state.hidden[:, n], state.cell[:, n], factors[:, n])
            into_logits = np.stack([softmax(logits) for logits in run.logits])  # (time, vocabulary)
            for t, target in enumerate(targets[n]):
                into_logits[t, target] -= 1.0
            self.back(weights, gradients, run, into_logits / symbols.size, factors[:, n])
        return gradients

    def back(
        self, weights: Arrays, gradients: Arrays, run: Sequence, into_logits: Floats, factors: Floats
    ) -> None:
        """Adds one sequence's part to the gradients, going back through time. ``d_x``: gradient of x."""
        d_hidden = np.zeros((self.model.num_layers, self.model.lstm_size))
        d_cell = np.zeros((self.model.num_layers, self.model.lstm_size))
        for t in reversed(range(len(run.cells))):
            gradients["output.weight"] += np.outer(into_logits[t], run.cells[t][-1].output)
            gradients["output.bias"] += into_logits[t]
            d_output = weights["output.weight"].T @ into_logits[t]
            for layer in reversed(range(self.model.num_layers)):
                x, _, c_before, i, f, g, o, c, _ = run.cells[t][layer]
                d_h = d_output * factors[layer, t] + self.carried(d_hidden[layer], factors[layer, t])
                d_c = d_cell[layer] + d_h * o * (1.0 - np.tanh(c) ** 2)
                d_z = np.concatenate(
                    [
                        d_c * g * self.slope(i),
                        d_c * c_before * self.slope(f),
                        d_c * i * (1.0 - g**2),
                        d_h * np.tanh(c) * self.slope(o),
                    ]
                )
                gradients[f"lstm.{layer}.weight_ih"] += self.input_gradient(layer, d_z, x)
                gradients[f"lstm.{layer}.weight_hh"] += self.recurrent_gradient(t, d_z, run.cells[t][layer])
                gradients[f"lstm.{layer}.bias"] += d_z
                d_hidden[layer] = self.through_time(weights[f"lstm.{layer}.weight_hh"].T @ d_z)
                d_cell[layer] = self.through_time(d_c * f)
                d_output = weights[f"lstm.{layer}.weight_ih"].T @ d_z

    def input_gradient(self, layer: int, d_z: Floats, x: Floats) -> Floats:
        """One symbol's part of the gradient of a layer's weight_ih."""
        return np.outer(d_z, x)

    def recurrent_gradient(self, t: int, d_z: Floats, cell: Cell) -> Floats:
        """One symbol's part of the gradient of a layer's weight_hh."""
        return np.outer(d_z, cell.h_before)

    def through_time(self, d_carried: Floats) -> Floats:
        """What goes back from one symbol to the one before it, within a batch: all of it."""
        return d_carried

    # ---- update ---------------------------------------------------------------------------------------

    def update(
        self, weights: Arrays, moments: Moments[Floats], gradients: Arrays, learning_rate: float, step: int
    ) -> tuple[Arrays, Moments[Floats], float]:
        """One clipped AdamW update; ``step`` counts from 1. Returns weights, moments, norm before clipping."""
        beta1, beta2 = self.optimizer.beta1, self.optimizer.beta2
        norm = self.norm(gradients)
        clipped = self.clipped(gradients, norm)
        after, exp_avg, exp_avg_sq = {}, {}, {}
        for name, gradient in clipped.items():
            exp_avg[name] = beta1 * moments.exp_avg[name] + (1.0 - beta1) * gradient
            exp_avg_sq[name] = beta2 * moments.exp_avg_sq[name] + (1.0 - beta2) * gradient**2
            change = self.change(exp_avg[name], exp_avg_sq[name], learning_rate, step)
            after[name] = weights[name] - self.decay(name, weights[name], learning_rate) - change
        return after, Moments(exp_avg, exp_avg_sq), norm

    def decay(self, name: str, weight: Floats, learning_rate: float) -> Floats:
        """What decoupled weight decay subtracts: ``learning_rate * weight_decay * weight``, of matrices alone."""
        rate = learning_rate * self.optimizer.weight_decay if decays(name) else 0.0
        return np.asarray(rate * weight)

    def norm(self, gradients: Arrays) -> float:
        """The global norm: the root of the sum of all squares of all arrays."""
        return sqrt(sum(float(np.sum(gradient**2)) for gradient in gradients.values()))

    def clipped(self, gradients: Arrays, norm: float) -> Arrays:
        """All gradients times ``min(1, grad_clip / norm)``, no epsilon; ``grad_clip`` 0 is off."""
        bound = self.optimizer.grad_clip or inf
        scale = min(1.0, bound / norm) if norm > 0 else 1.0
        return {name: gradient * scale for name, gradient in gradients.items()}

    def change(self, exp_avg: Floats, exp_avg_sq: Floats, learning_rate: float, step: int) -> Floats:
        """What Adam subtracts: ``learning_rate * m_hat / (sqrt(v_hat) + epsilon)``."""
        m_hat = exp_avg / (1.0 - self.optimizer.beta1**step)
        v_hat = exp_avg_sq / (1.0 - self.optimizer.beta2**step)
        return np.asarray(learning_rate * m_hat / (np.sqrt(v_hat) + self.optimizer.epsilon))

    # ---- sampling -------------------------------------------------------------------------------------

    def choose(self, logits: Floats, temperature: float, draw: float) -> tuple[int, float]:
        """The next symbol for logits ``(vocabulary,)`` and a draw in [0, 1), and how clear the choice was.

        Temperature 0 takes the highest logit, the lowest index of equals. Otherwise it is the first index
        whose cumulative sum of ``exp(z - max)``, ``z = logits / temperature``, is above ``draw`` times the
        total. Clearness is the distance to the next other choice, in logits or as a share of the total.
        """
        if temperature == 0:
            ordered = np.sort(logits)
            return int(np.argmax(logits)), float(ordered[-1] - ordered[-2])
        z = logits / temperature
        cumulative = np.cumsum(np.exp(z - z.max()))
        for index, value in enumerate(cumulative):
            if value > draw * cumulative[-1]:
                return index, float(np.min(np.abs(cumulative / cumulative[-1] - draw)))
        raise ValueError(f"a draw lies in [0, 1); given {draw}")


class Run:
    """A training run on the oracle: weights, moments, carried state and step count, as CharRNN keeps them."""

    def __init__(self, oracle: Oracle, weights: Arrays, batch_size: int) -> None:
        self.oracle = oracle
        self.weights = weights
        zeros = {name: np.zeros(array.shape) for name, array in weights.items()}
        self.moments = Moments(zeros, zeros)
        self.state = zero_state(oracle.model, batch_size)
        self.step = 0

    def train_step(
        self, symbols: Ints, targets: Ints, masks: Any = None, learning_rate: float | None = None
    ) -> tuple[float, float]:
        """One update from ``(batch, time)`` symbols; returns loss (nats per symbol) and gradient norm."""
        self.step += 1
        rate = self.oracle.optimizer.learning_rate if learning_rate is None else learning_rate
        nats, after = self.oracle.nats(self.weights, symbols, targets, self.state, masks)
        gradients = self.oracle.gradients(self.weights, symbols, targets, self.state, masks)
        self.weights, self.moments, norm = self.oracle.update(
            self.weights, self.moments, gradients, rate, self.step
        )
        self.state = after
        return float(nats.mean()), norm


def zero_state(model: ModelConfig, batch_size: int) -> State[Floats]:
    """A zero state, each array ``(layer, batch, unit)``."""
    shape = (model.num_layers, batch_size, model.lstm_size)
    return State(np.zeros(shape), np.zeros(shape))


def sigmoid(z: Floats) -> Floats:
    """``1 / (1 + exp(-z))``, in the form that can't overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * z)))


def softmax(logits: Floats) -> Floats:
    """Probabilities of logits ``(vocabulary,)``."""
    exponentials = np.exp(logits - logits.max())
    return np.asarray(exponentials / exponentials.sum())
