"""A worker's service in training: the gradients of blocks of shards.

It holds the backend and what that compiled, and nothing of the run: weights, state and masks come with each call.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from charkit.backend import State
from charkit.backend_choice import BackendChoice
from charkit.charrnn import CharRNN
from charkit.config import ModelConfig, OptimizerConfig, build
from charkit.distributed.descriptions import describe
from charkit.distributed.engine import Arrays, Reply, Values
from charkit.distributed.gradients import BlockInput, BlockResult, block_gradients
from charkit.plugins.failures import backend_errors
from charkit.weights import weight_shapes

NAME = "charkit.distributed.gradient_service:GradientService"
_GRADIENT = "gradient."


class GradientService:
    """Computes blocks on one backend. Raises BackendError or ConfigurationError where it can't be made."""

    def __init__(
        self,
        *,
        backend: str,
        precision: str,
        device: str,
        threads: int,
        model: dict[str, Any],
        rows: int,
        num_steps: int,
    ) -> None:
        config = build(ModelConfig, model)
        made = BackendChoice(backend, device, threads).create(precision)
        made.divides_batches = False  # its batches are shards
        zeros = {name: np.zeros(shape, np.float32) for name, shape in weight_shapes(config).items()}
        self._model = CharRNN.from_config(
            config,
            OptimizerConfig(),
            made,
            batch_size=rows,
            num_steps=num_steps,
            weights=zeros,
            training=False,
        )
        self._weights_of: int | None = None  # the step whose weights the model has

    def call(self, method: str, values: Values, arrays: Arrays, shared: Arrays) -> Reply:
        """Carries out ``describe`` or ``gradients``. Raises BackendError for what goes wrong in the backend's code."""
        if method == "describe":
            return Reply(describe(self._model.backend), {})
        assert method == "gradients"
        with backend_errors(self._model.backend):
            if self._weights_of != values["step"]:
                self._model.replace_weights(shared)
                self._weights_of = values["step"]
            result = block_gradients(self._model, _block(self._model.config, values, arrays))
        return Reply({}, _result_arrays(result))


def request_of(block: BlockInput, step: int) -> tuple[Values, Arrays]:
    """A block as the values and arrays of a call; its masks take a bit each."""
    arrays = {
        "inputs": block.inputs,
        "targets": block.targets,
        "hidden": block.state.hidden,
        "cell": block.state.cell,
    }
    if block.masks is not None:
        arrays["masks"] = np.packbits(block.masks)
    return {"step": step, "shards": block.shards}, arrays


def result_of(reply: Reply) -> BlockResult:
    """The inverse of what the service makes of a result."""
    arrays = reply.arrays
    gradients = {
        name.removeprefix(_GRADIENT): array for name, array in arrays.items() if name.startswith(_GRADIENT)
    }
    return BlockResult(gradients, arrays["nats"], State(arrays["hidden"], arrays["cell"]))


def _block(model: ModelConfig, values: Values, arrays: Arrays) -> BlockInput:
    masks, shape = None, (model.num_layers, *arrays["inputs"].shape, model.lstm_size)
    if "masks" in arrays:
        bits = np.unpackbits(arrays["masks"], count=int(np.prod(shape)))
        masks = bits.reshape(shape).view(np.bool_)
    state = State(arrays["hidden"], arrays["cell"])
    return BlockInput(values["shards"], arrays["inputs"], arrays["targets"], state, masks)


def _result_arrays(result: BlockResult) -> dict[str, Any]:
    gradients = {f"{_GRADIENT}{name}": array for name, array in result.gradients.items()}
    return {
        **gradients,
        "nats": result.nats,
        "hidden": result.state.hidden,
        "cell": result.state.cell,
    }
