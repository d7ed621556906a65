"""Names, shapes and initial values of the canonical weights.

The arrays are ``lstm.{l}.weight_ih (4*lstm_size, inputs)``, ``lstm.{l}.weight_hh (4*lstm_size, lstm_size)``,
``lstm.{l}.bias (4*lstm_size,)``, ``output.weight (vocabulary_size, lstm_size)`` and ``output.bias
(vocabulary_size,)``, where ``l`` is the layer, counted from 0. The first axis of the LSTM's arrays holds the gates i,
f, g and o, in this order, with ``lstm_size`` rows each. ``inputs`` is the vocabulary size for layer 0 and
``lstm_size`` for the layers above.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit.backend import Array
from charkit.config import Initialization, ModelConfig
from charkit.randomness import Purpose, normal, uniform

#: The counters of the streams of initial values; part of every seed's meaning.
_INPUT, _RECURRENT, _OUTPUT, _UNIFORM = 0, 1, 2, 3
_EMBEDDING_LIMIT = 0.6


def weight_shapes(model: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Returns the canonical names, in canonical order, with the shapes of their arrays."""
    rows = 4 * model.lstm_size
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(model.num_layers):
        inputs = model.lstm_size if layer else model.vocabulary_size
        shapes[f"lstm.{layer}.weight_ih"] = (rows, inputs)
        shapes[f"lstm.{layer}.weight_hh"] = (rows, model.lstm_size)
        shapes[f"lstm.{layer}.bias"] = (rows,)
    shapes["output.weight"] = (model.vocabulary_size, model.lstm_size)
    shapes["output.bias"] = (model.vocabulary_size,)
    return shapes


def decays(name: str) -> bool:
    """Returns whether weight decay applies to the array with this canonical name.

    Weight decay applies to matrices, but not to biases. The matrices are ``output.weight`` and the ``weight_ih`` and
    ``weight_hh`` of every layer, including layer 0, so the column of a symbol that never occurs decays too.
    """
    return not name.endswith("bias")


def parameter_count(model: ModelConfig) -> int:
    """Returns the number of trainable parameters."""
    return sum(int(np.prod(shape)) for shape in weight_shapes(model).values())


def initial_weights(
    model: ModelConfig, seed: int, initialization: Initialization = "orthogonal"
) -> dict[str, NDArray[np.float64]]:
    """The weights that every backend starts from, float64; a backend rounds them as it copies them in.

    "orthogonal": ``weight_ih`` and ``output.weight`` are Glorot-uniform over the whole array (Glorot and Bengio, 2010,
    as in Keras's LSTM and Dense). Each gate's block of ``weight_hh`` is orthogonal (Saxe et al., 2014).
    Biases are 0, but 1 on the forget gate (Jozefowicz et al., 2015).

    "embedding": the same, but ``lstm.0.weight_ih`` is uniform within 0.6, whatever its shape. Each symbol selects one
    column of it, as of an embedding, so that Glorot's limit, which is meant for a sum over all columns, leaves the
    symbol too faint, the more so the larger the vocabulary is (docs/quality.md has what this gains).

    "uniform": every array is uniform within ``1/sqrt(lstm_size)``, and each bias of an LSTM layer is the sum of two
    such draws, as in a network of ``torch.nn.LSTM``, which has two biases, and ``torch.nn.Linear``.
    """
    if initialization == "uniform":
        return _uniform_weights(model, seed)
    weights: dict[str, NDArray[np.float64]] = {}
    for name, shape in weight_shapes(model).items():
        layer = int(name.split(".")[1]) if name.startswith("lstm") else model.num_layers
        if name == "lstm.0.weight_ih" and initialization == "embedding":
            weights[name] = _within(_EMBEDDING_LIMIT, shape, seed, layer, _INPUT)
        elif name.endswith("weight_ih"):
            weights[name] = _glorot(shape, seed, layer, _INPUT)
        elif name.endswith("weight_hh"):
            blocks = [_orthogonal(model.lstm_size, seed, layer, _RECURRENT, gate) for gate in range(4)]
            weights[name] = np.concatenate(blocks)
        elif name == "output.weight":
            weights[name] = _glorot(shape, seed, layer, _OUTPUT)
        else:
            weights[name] = np.zeros(shape)
            if name.startswith("lstm"):
                weights[name][model.lstm_size : 2 * model.lstm_size] = 1.0
    return weights


def _uniform_weights(model: ModelConfig, seed: int) -> dict[str, NDArray[np.float64]]:
    limit = 1.0 / np.sqrt(model.lstm_size)
    weights: dict[str, NDArray[np.float64]] = {}
    for counter, (name, shape) in enumerate(weight_shapes(model).items()):
        biases = 2 if name.startswith("lstm") and name.endswith("bias") else 1
        draws = uniform(seed, Purpose.WEIGHTS, counter, _UNIFORM, size=biases * int(np.prod(shape)))
        weights[name] = np.asarray((2.0 * draws - 1.0) * limit).reshape(biases, *shape).sum(axis=0)
    return weights


def _glorot(shape: tuple[int, ...], seed: int, *counters: int) -> NDArray[np.float64]:
    return _within(np.sqrt(6.0 / (shape[0] + shape[1])), shape, seed, *counters)


def _within(limit: float, shape: tuple[int, ...], seed: int, *counters: int) -> NDArray[np.float64]:
    draws = uniform(seed, Purpose.WEIGHTS, *counters, size=shape[0] * shape[1])
    return np.asarray((2.0 * draws - 1.0) * limit).reshape(shape)


def _orthogonal(size: int, seed: int, *counters: int) -> NDArray[np.float64]:
    square = normal(seed, Purpose.WEIGHTS, *counters, size=size * size).reshape(size, size)
    q, r = np.linalg.qr(square)
    return np.asarray(q * np.sign(np.diag(r)))  # the signs make the draw uniform over all rotations


def mismatch(arrays: Mapping[str, Array], model: ModelConfig) -> str | None:
    """Describes how the arrays differ from the model's names and shapes, floating-point; None if they don't."""
    shapes = weight_shapes(model)
    for name in sorted(shapes.keys() | arrays.keys(), key=str):
        if name not in arrays:
            return f"{name} is missing"
        if name not in shapes:
            return f"{name} does not belong to the model"
        array: Any = arrays[name]
        if not isinstance(array, np.ndarray):
            return f"{name} must be a NumPy array, not {type(array).__name__}"
        if array.dtype.kind != "f":
            return f"{name} must be floating-point, not {array.dtype}"
        if array.shape != shapes[name]:
            return f"{name} has shape {array.shape}, but the model has {shapes[name]}"
    return None
