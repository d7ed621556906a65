"""What the tests write into a new backend: every function on plain NumPy, with the way back by hand.

Copied into the new package. The parts note on a tape how gradients go back, and ``differentiate`` runs it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_info, threadpool_limits

from charkit.backend import Moments, State

Array = NDArray[Any]
Arrays = dict[str, Array]
#: Takes the gradient of a part's result, notes those of its weights, and gives that of the part's argument.
WayBack = Callable[[Array, Arrays], Array]


class _Thread(threading.local):
    tape: list[WayBack] | None = None


_thread = _Thread()


def _note(way_back: WayBack) -> None:
    if _thread.tape is not None:
        _thread.tape.append(way_back)


def set_threads(threads: int | None) -> int:
    """Sets the threads of BLAS, unless None is given; returns their number."""
    if threads is not None:
        threadpool_limits(threads, user_api="blas")
    return max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")


def versions() -> dict[str, str]:
    return {"numpy": np.__version__}


def tensor(dtype: Any, array: Array) -> Array:
    return np.array(array, dtype if array.dtype.kind == "f" else array.dtype)


def numpy(tensor: Array) -> Array:
    return np.array(tensor)


def lstm(
    model: Any, weights: Arrays, symbols: Array, state: State[Array], masks: Array | None
) -> tuple[Array, State[Array]]:
    dtype = state.hidden.dtype
    x = np.eye(model.vocabulary_size, dtype=dtype)[symbols]  # (batch, time, inputs)
    hidden, cell = [], []
    for layer in range(model.num_layers):
        factor = (
            np.ones((*symbols.shape, model.lstm_size), dtype)
            if masks is None
            else (masks[layer] / (1.0 - model.dropout)).astype(dtype)
        )
        x, h, c = _layer(weights, f"lstm.{layer}", x, state.hidden[layer], state.cell[layer], factor)
        hidden.append(h)
        cell.append(c)
    return x, State(np.stack(hidden), np.stack(cell))


def _layer(
    weights: Arrays, name: str, x: Array, h: Array, c: Array, factor: Array
) -> tuple[Array, Array, Array]:
    """One layer over all time steps: outputs ``(batch, time, unit)``, and h and c after the last."""
    w_ih, w_hh, bias = (weights[f"{name}.{kind}"] for kind in ("weight_ih", "weight_hh", "bias"))
    from_x = (
        x @ w_ih.T + bias
    )  # of all time steps at once, and so are their gradients: the kit calls this often
    seen, outputs = [], []
    for t in range(x.shape[1]):
        h_before, c_before = h, c
        z_i, z_f, z_g, z_o = np.split(from_x[:, t] + h_before @ w_hh.T, 4, axis=1)
        i, f, g, o = _sigmoid(z_i), _sigmoid(z_f), np.tanh(z_g), _sigmoid(z_o)
        c = f * c_before + i * g
        h = o * np.tanh(c)
        seen.append((h_before, c_before, i, f, g, o, np.tanh(c)))
        outputs.append(h * factor[:, t])

    def way_back(into_outputs: Array, gradients: Arrays) -> Array:
        into_z = np.empty_like(from_x)
        dh, dc = np.zeros_like(h), np.zeros_like(c)
        for t in reversed(range(x.shape[1])):
            _, c_before, i, f, g, o, tanh_c = seen[t]
            dh = dh + into_outputs[:, t] * factor[:, t]
            dc = dc + dh * o * (1 - tanh_c**2)
            blocks = (
                dc * g * i * (1 - i),
                dc * c_before * f * (1 - f),
                dc * i * (1 - g**2),
                dh * tanh_c * o * (1 - o),
            )
            into_z[:, t] = np.concatenate(blocks, axis=1)
            dh, dc = into_z[:, t] @ w_hh, dc * f
        before = np.stack([h_before for h_before, *_ in seen], axis=1)
        gradients[f"{name}.weight_ih"] = _rows(into_z).T @ _rows(x)
        gradients[f"{name}.weight_hh"] = _rows(into_z).T @ _rows(before)
        gradients[f"{name}.bias"] = _rows(into_z).sum(axis=0)
        return into_z @ w_ih

    _note(way_back)
    return np.stack(outputs, axis=1), h, c


def _rows(array: Array) -> Array:
    """``(batch, time, unit)`` as ``(batch * time, unit)``."""
    return array.reshape(-1, array.shape[-1])


def _sigmoid(z: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * z)))


def output(weights: Arrays, features: Array) -> Array:
    def way_back(into_logits: Array, gradients: Arrays) -> Array:
        gradients["output.weight"] = _rows(into_logits).T @ _rows(features)
        gradients["output.bias"] = into_logits.sum(axis=(0, 1))
        return into_logits @ weights["output.weight"]

    _note(way_back)
    return features @ weights["output.weight"].T + weights["output.bias"]


def loss(logits: Array, targets: Array) -> Array:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    wanted = np.eye(logits.shape[-1], dtype=logits.dtype)[targets]  # (batch, time, vocabulary)
    _note(lambda into_nats, gradients: into_nats[:, :, None] * (np.exp(logs) - wanted))
    return -np.take_along_axis(logs, targets[:, :, None], axis=-1)[:, :, 0]


def backward(forward: Any, weights: Arrays, *batch: Any) -> tuple[Arrays, Array, State[Array]]:
    tape = _thread.tape = []
    try:
        nats, state = forward(weights, *batch)
    finally:
        _thread.tape = None
    gradients: Arrays = {}
    gradient = np.full_like(nats, 1 / nats.size)
    for way_back in reversed(tape):
        gradient = way_back(gradient, gradients)
    return gradients, nats, state


def update(
    config: Any, weights: Arrays, moments: Moments[Array], gradients: Arrays, rates: Any
) -> tuple[Arrays, Moments[Array], Array]:
    norm = np.sqrt(sum(np.sum(gradient**2) for gradient in gradients.values()))
    scale = min(1.0, config.clip_threshold / float(norm)) if norm > 0 else 1.0
    mean, square, after = {}, {}, {}
    for name, gradient in gradients.items():
        clipped = gradient * scale
        mean[name] = config.beta1 * moments.exp_avg[name] + (1 - config.beta1) * clipped
        square[name] = config.beta2 * moments.exp_avg_sq[name] + (1 - config.beta2) * clipped**2
        root = np.sqrt(square[name] / rates.bias_correction2) + config.epsilon
        after[name] = weights[name] - rates.learning_rate * mean[name] / rates.bias_correction1 / root
    return after, Moments(mean, square), np.asarray(norm)
