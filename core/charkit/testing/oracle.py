"""The oracle: the model, the loss, clipping and Adam in plain float64, the reference for every backend.

It shares no code with any backend. Time steps and layers are loops, and the sequences of a batch an array axis, so
that a whole training batch takes seconds. It is itself tested against finite differences, against a plain loop over
sequences, and against ``torch.nn.LSTM``.

``charkit.testing.mistakes`` makes the known mistakes by overriding one method each.
"""

# Over 300 lines: the reference is read as a whole, formula by formula, beside its backward pass.

from __future__ import annotations

from math import inf, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charkit.backend import Moments, State
from charkit.config import ModelConfig, OptimizerConfig
from charkit.testing.blas_threads import one_blas_thread
from charkit.weights import decays

Floats = NDArray[np.float64]
Ints = NDArray[Any]
Arrays = dict[str, Floats]


class Cell(NamedTuple):
    """One layer at one symbol of each sequence: inputs, gates and outputs."""

    x: Floats  # (batch, inputs); the fields below are (batch, unit)
    h_before: Floats
    c_before: Floats
    i: Floats
    f: Floats
    g: Floats
    o: Floats
    c: Floats
    output: Floats


class Result(NamedTuple):
    """A batch's forward pass."""

    logits: Floats  # (batch, time, vocabulary)
    state: State[Floats]  # each (layer, batch, unit)


class Unrolled(NamedTuple):
    """A batch's forward pass, with everything that the backward pass needs."""

    result: Result
    cells: list[list[Cell]]  # by time, then layer


class Step(NamedTuple):
    """A batch's forward and backward pass."""

    gradients: Arrays  # of the mean of the nats over batch and time, by weight name
    nats: Floats  # (batch, time)
    state: State[Floats]  # each (layer, batch, unit)


class Oracle:
    """The reference for one model and one optimizer. Holds no weights; every method is a pure function.

    What the checks call is quiet: a user may have NumPy raise errors (``np.seterr``), and zero is the right result of
    an underflow.
    """

    def __init__(self, model: ModelConfig, optimizer: OptimizerConfig | None = None) -> None:
        self.model = model
        self.optimizer = optimizer or OptimizerConfig()

    # ---- a batch --------------------------------------------------------------------------------------

    @one_blas_thread()
    @np.errstate(all="ignore")
    def forward(self, weights: Arrays, symbols: Ints, state: State[Floats], masks: Any = None) -> Result:
        """Logits and new state of int32 ``(batch, time)`` symbols; masks ``(layer, batch, time, unit)``."""
        return self.unrolled(weights, symbols, state, self.dropout_factors(masks, symbols.shape)).result

    @one_blas_thread()
    @np.errstate(all="ignore")
    def nats(
        self, weights: Arrays, symbols: Ints, targets: Ints, state: State[Floats], masks: Any = None
    ) -> tuple[Floats, State[Floats]]:
        """The loss of each symbol, nats ``(batch, time)``, and the new state."""
        factors = self.dropout_factors(masks, symbols.shape)
        result = self.unrolled(weights, symbols, state, factors).result
        return self.loss(result.logits, targets), result.state

    def gradients(
        self, weights: Arrays, symbols: Ints, targets: Ints, state: State[Floats], masks: Any = None
    ) -> Arrays:
        """The gradient of the mean of the nats over batch and time, by weight name."""
        return self.step(weights, symbols, targets, state, masks).gradients

    @one_blas_thread()
    @np.errstate(all="ignore")
    def step(
        self, weights: Arrays, symbols: Ints, targets: Ints, state: State[Floats], masks: Any = None
    ) -> Step:
        """Gradients, nats and new state of a batch, from one forward pass."""
        factors = self.dropout_factors(masks, symbols.shape)
        run = self.unrolled(weights, symbols, state, factors)
        nats = self.loss(run.result.logits, targets)
        into_logits = self.loss_slope(run.result.logits, targets) / symbols.size
        return Step(self.backward(weights, run, into_logits, factors), nats, run.result.state)

    # ---- forward --------------------------------------------------------------------------------------

    def unrolled(self, weights: Arrays, symbols: Ints, state: State[Floats], factors: Floats) -> Unrolled:
        """Runs all sequences in parallel. ``factors``: ``(layer, batch, time, unit)``."""
        hidden, cell = (np.array(array, np.float64) for array in state)
        logits, cells = [], []
        for t in range(symbols.shape[1]):
            x = one_hot(symbols[:, t], self.model.vocabulary_size)
            column = []
            for layer in range(self.model.num_layers):
                z = (
                    x @ weights[f"lstm.{layer}.weight_ih"].T
                    + hidden[layer] @ weights[f"lstm.{layer}.weight_hh"].T
                    + weights[f"lstm.{layer}.bias"]
                )
                z_i, z_f, z_g, z_o = np.ascontiguousarray(z.reshape(len(z), 4, -1).swapaxes(0, 1))
                i, f, g, o = self.gate(z_i), self.gate(z_f), self.candidate(z_g), self.gate(z_o)
                c = f * cell[layer] + i * g
                h = o * self.squashed(c)
                factor = factors[layer, :, t]
                output = h * factor
                column.append(Cell(x, hidden[layer].copy(), cell[layer].copy(), i, f, g, o, c, output))
                hidden[layer], cell[layer] = self.carried(h, factor), c
                x = output
            cells.append(column)
            logits.append(x @ weights["output.weight"].T + weights["output.bias"])
        return Unrolled(Result(np.stack(logits, axis=1), State(hidden, cell)), cells)

    def gate(self, z: Floats) -> Floats:
        """The activation of the gates i, f and o: the sigmoid."""
        return sigmoid(z)

    def gate_slope(self, gate: Floats) -> Floats:
        """The derivative of a gate at its value."""
        return gate * (1.0 - gate)

    def candidate(self, z: Floats) -> Floats:
        """The activation of the candidate g: the hyperbolic tangent."""
        return np.tanh(z)

    def candidate_slope(self, g: Floats) -> Floats:
        """The derivative of the candidate at its value."""
        return 1.0 - g**2

    def squashed(self, c: Floats) -> Floats:
        """The cell as the output gate sees it: its hyperbolic tangent."""
        return np.tanh(c)

    def squashed_slope(self, c: Floats) -> Floats:
        """The derivative of ``squashed`` at ``c``."""
        return 1.0 - np.tanh(c) ** 2

    def dropout_factors(self, masks: Any, shape: tuple[int, ...]) -> Floats:
        """The factors of each layer's output: ``mask / (1 - dropout)``, or 1 without masks."""
        if masks is None:
            return np.ones((self.model.num_layers, *shape, self.model.lstm_size))
        return np.asarray(masks / (1.0 - self.model.dropout))

    def carried(self, hidden: Floats, factor: Floats) -> Floats:
        """The hidden output as carried to the next symbol, and its gradient in the backward pass: not masked."""
        return hidden

    # ---- loss -----------------------------------------------------------------------------------------

    def loss(self, logits: Floats, targets: Ints) -> Floats:
        """``-log softmax(logits)[target]`` in nats, ``(batch, time)``, for ``(batch, time, vocabulary)``."""
        highest = logits.max(axis=-1)
        total = np.exp(logits - highest[..., None]).sum(axis=-1)
        at_target = np.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
        return np.asarray(highest + np.log(total) - at_target)

    def loss_slope(self, logits: Floats, targets: Ints) -> Floats:
        """The derivative of each symbol's nats by its logits, ``(batch, time, vocabulary)``."""
        return softmax(logits) - one_hot(targets, logits.shape[-1])

    # ---- gradients ------------------------------------------------------------------------------------

    def backward(self, weights: Arrays, run: Unrolled, into_logits: Floats, factors: Floats) -> Arrays:
        """The gradients, by backpropagation through time. ``d_x``: gradient of the mean loss by x."""
        gradients = {name: np.zeros(array.shape) for name, array in weights.items()}
        d_hidden, d_cell = (np.zeros(array.shape) for array in run.result.state)
        for t in reversed(range(len(run.cells))):
            d_logits = into_logits[:, t]
            gradients["output.weight"] += self.output_gradient(d_logits, run.cells[t][-1].output)
            gradients["output.bias"] += self.bias_gradient(d_logits)
            d_output = d_logits @ weights["output.weight"]
            for layer in reversed(range(self.model.num_layers)):
                cell, factor = run.cells[t][layer], factors[layer, :, t]
                d_h = d_output * factor + self.carried(d_hidden[layer], factor)
                d_c = d_cell[layer] + d_h * cell.o * self.squashed_slope(cell.c)
                d_z = np.concatenate(self.into_gates(cell, d_h, d_c), axis=1)
                gradients[f"lstm.{layer}.weight_ih"] += self.input_gradient(layer, d_z, cell)
                gradients[f"lstm.{layer}.weight_hh"] += self.recurrent_gradient(t, d_z, cell)
                gradients[f"lstm.{layer}.bias"] += self.bias_gradient(d_z)
                d_hidden[layer], d_cell[layer] = self.through_time(
                    t, d_z @ weights[f"lstm.{layer}.weight_hh"], d_c * cell.f
                )
                d_output = d_z @ weights[f"lstm.{layer}.weight_ih"]
        return gradients

    def into_gates(self, cell: Cell, d_h: Floats, d_c: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """The gradients of z_i, z_f, z_g and z_o, each ``(batch, unit)``."""
        return (
            d_c * cell.g * self.gate_slope(cell.i),
            d_c * cell.c_before * self.gate_slope(cell.f),
            d_c * cell.i * self.candidate_slope(cell.g),
            d_h * self.squashed(cell.c) * self.gate_slope(cell.o),
        )

    def output_gradient(self, d_logits: Floats, output: Floats) -> Floats:
        """One time step's part of the gradient of output.weight, from ``(batch, vocabulary)``, ``(batch, unit)``."""
        return d_logits.T @ output

    def bias_gradient(self, d: Floats) -> Floats:
        """One time step's part of the gradient of a bias, from ``(batch, element of the bias)``."""
        return np.asarray(d.sum(axis=0))

    def input_gradient(self, layer: int, d_z: Floats, cell: Cell) -> Floats:
        """One time step's part of the gradient of a layer's weight_ih. ``d_z``: ``(batch, 4*unit)``."""
        return d_z.T @ cell.x

    def recurrent_gradient(self, t: int, d_z: Floats, cell: Cell) -> Floats:
        """One time step's part of the gradient of a layer's weight_hh. ``d_z``: ``(batch, 4*unit)``."""
        return d_z.T @ cell.h_before

    def through_time(self, t: int, d_hidden: Floats, d_cell: Floats) -> tuple[Floats, Floats]:
        """The gradients that flow from symbol ``t`` to the one before it, within a batch: all of them."""
        return d_hidden, d_cell

    # ---- update ---------------------------------------------------------------------------------------

    @np.errstate(all="ignore")
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
        """What decoupled weight decay subtracts: ``learning_rate * weight_decay * weight``, of matrices only."""
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
        correction1, correction2 = self.corrections(step)
        m_hat, v_hat = exp_avg / correction1, exp_avg_sq / correction2
        return np.asarray(learning_rate * m_hat / (np.sqrt(v_hat) + self.optimizer.epsilon))

    def corrections(self, step: int) -> tuple[float, float]:
        """What the moments are divided by: ``1 - beta**step`` of the first and of the second."""
        return 1.0 - self.optimizer.beta1**step, 1.0 - self.optimizer.beta2**step

    # ---- sampling -------------------------------------------------------------------------------------

    @np.errstate(all="ignore")
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
        raise ValueError(f"a draw must lie in [0, 1); given {draw}")


def zero_state(model: ModelConfig, batch_size: int) -> State[Floats]:
    """A zero state, each array ``(layer, batch, unit)``."""
    shape = (model.num_layers, batch_size, model.lstm_size)
    return State(np.zeros(shape), np.zeros(shape))


def one_hot(symbols: Ints, vocabulary_size: int) -> Floats:
    """``(..., vocabulary)``: 1 at each symbol, 0 elsewhere."""
    x = np.zeros((symbols.size, vocabulary_size))
    x[np.arange(symbols.size), symbols.ravel()] = 1.0
    return x.reshape(*symbols.shape, vocabulary_size)


def sigmoid(z: Floats) -> Floats:
    """``1 / (1 + exp(-z))``, in the form that can't overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * z)))


def softmax(logits: Floats) -> Floats:
    """Probabilities of logits ``(..., vocabulary)``."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))
