"""The CharRNN as an ONNX graph: one standard LSTM operator per layer, and the output layer.

ONNX has the gates in the order i, o, f, c (c is charkit's g), two biases in one array, and time before
batch; features are ``(time, batch, unit)`` between the two transpositions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit.config import ModelConfig

#: The positions of the gates i, o, f, g among charkit's i, f, g, o.
GATES = (0, 3, 1, 2)


def build_graph(model: ModelConfig, weights: dict[str, NDArray[Any]]) -> Any:
    """The graph of a model with canonical float32 weights, as an ``onnx.GraphProto``."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("OneHot", ["symbols", "vocabulary_size", "off_on"], ["one_hot"], axis=-1),
        helper.make_node("Transpose", ["one_hot"], ["features.0"], perm=[1, 0, 2]),
    ]
    layers = range(model.num_layers)
    for name in ("hidden", "cell"):
        parts = [f"{name}.{layer}" for layer in layers]
        nodes.append(helper.make_node("Split", [name, "layer_sizes"], parts, axis=0))
    for layer in layers:
        arrays = [f"lstm.{layer}.{kind}" for kind in ("W", "R", "B")]
        state = [f"hidden.{layer}", f"cell.{layer}"]
        after = [f"next_hidden.{layer}", f"next_cell.{layer}"]
        outputs = [f"directions.{layer}", *after]
        nodes += [
            helper.make_node(
                "LSTM",
                [f"features.{layer}", *arrays, "", *state],
                outputs,
                hidden_size=model.lstm_size,
            ),
            helper.make_node("Squeeze", [f"directions.{layer}", "direction_axis"], [f"features.{layer + 1}"]),
        ]
    for name in ("next_hidden", "next_cell"):
        nodes.append(helper.make_node("Concat", [f"{name}.{layer}" for layer in layers], [name], axis=0))
    nodes += [
        helper.make_node("Transpose", [f"features.{model.num_layers}"], ["features"], perm=[1, 0, 2]),
        helper.make_node("MatMul", ["features", "output.weight"], ["products"]),
        helper.make_node("Add", ["products", "output.bias"], ["logits"]),
    ]
    state_shape: list[str | int | None] = [model.num_layers, "batch", model.lstm_size]
    states = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, state_shape)
        for name in ("hidden", "cell", "next_hidden", "next_cell")
    }
    logits_shape: list[str | int | None] = ["batch", "time", model.vocabulary_size]
    return helper.make_graph(
        nodes,
        "CharRNN",
        inputs=[
            helper.make_tensor_value_info("symbols", TensorProto.INT64, ["batch", "time"]),
            states["hidden"],
            states["cell"],
        ],
        outputs=[
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, logits_shape),
            states["next_hidden"],
            states["next_cell"],
        ],
        initializer=[
            numpy_helper.from_array(array, name) for name, array in constants(model, weights).items()
        ],
    )


def constants(model: ModelConfig, weights: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The graph's arrays by name, the LSTM's in ONNX's layout with one direction as the first axis."""
    arrays: dict[str, NDArray[Any]] = {
        "vocabulary_size": np.array(model.vocabulary_size, dtype=np.int64),
        "off_on": np.array([0, 1], dtype=np.float32),
        "layer_sizes": np.ones(model.num_layers, dtype=np.int64),
        "direction_axis": np.array([1], dtype=np.int64),
        "output.weight": np.ascontiguousarray(weights["output.weight"].T),  # (unit, vocabulary)
        "output.bias": weights["output.bias"],
    }
    for layer in range(model.num_layers):
        bias = _reordered(weights[f"lstm.{layer}.bias"])
        arrays[f"lstm.{layer}.W"] = _reordered(weights[f"lstm.{layer}.weight_ih"])[
            None
        ]  # (1, 4 units, inputs)
        arrays[f"lstm.{layer}.R"] = _reordered(weights[f"lstm.{layer}.weight_hh"])[
            None
        ]  # (1, 4 units, units)
        arrays[f"lstm.{layer}.B"] = np.concatenate([bias, np.zeros_like(bias)])[None]  # (1, 8 units)
    return arrays


def _reordered(array: NDArray[Any]) -> NDArray[Any]:
    """The array with the gates along its first axis in ONNX's order."""
    gates = np.split(array, 4)
    return np.concatenate([gates[gate] for gate in GATES])
