"""A backend with its network written plainly, forward and back by hand: faults of the way back are planted in it.

Right as it stands, which a test shows. Time-major inside, ``(time, batch, unit)``, gate by gate; written without
the oracle, so that a mistake in one is not a mistake in the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from charkit.backend import State
from charkit.config import ModelConfig
from charkit_numpy.backend import NumpyBackend


class PlainNetwork:
    """LSTM, projection and loss of one model, and their gradients; subclasses are wrong in one place."""

    def __init__(self, model: ModelConfig) -> None:
        self.model = model

    # ---- the formulas ------------------------------------------------------------------------------------

    def sigmoid(self, z: Any) -> Any:
        return 1 / (1 + np.exp(-z))

    def sigmoid_derivative(self, s: Any) -> Any:
        return s - s * s

    def tanh_of_candidate(self, z: Any) -> Any:
        return np.tanh(z)

    def candidate_derivative(self, g: Any) -> Any:
        return 1 - g * g

    def tanh_of_cell(self, c: Any) -> Any:
        return np.tanh(c)

    def cell_derivative(self, c: Any, tanh_c: Any) -> Any:
        return 1 - tanh_c * tanh_c

    def deltas(self, i: Any, f: Any, g: Any, o: Any) -> tuple[Any, Any, Any, Any]:
        """The gradients of the four gates' pre-activations, as they go into the weights."""
        return i, f, g, o

    def carried_back(self, t: int, steps: int, hidden: Any, cell: Any) -> tuple[Any, Any]:
        """What the gradients of hidden and cell at the beginning of step ``t`` are for the step before."""
        return hidden, cell

    def mean_over(self, targets: Any) -> Any:
        """What the gradient of the sum is divided by."""
        return targets.size

    def kept(self, masks: Any, layer: int) -> Any:
        """What a layer's output is multiplied with, ``(time, batch, unit)``."""
        return masks[layer].transpose(1, 0, 2) / (1 - self.model.dropout)

    # ---- forward -----------------------------------------------------------------------------------------

    def lstm(self, weights: Any, symbols: Any, state: Any, masks: Any) -> tuple[Any, Any]:
        """Features ``(time, batch, unit)`` and the new state; what the way back needs is kept in ``trace``."""
        dtype = weights["output.bias"].dtype
        x = np.eye(self.model.vocabulary_size, dtype=dtype)[symbols.T]
        self.trace: list[dict[str, Any]] = []
        hidden_after, cell_after = [], []
        for layer in range(self.model.num_layers):
            kept = np.ones((), dtype) if masks is None else self.kept(masks, layer).astype(dtype)
            trace = self._layer(weights, layer, x, state.hidden[layer], state.cell[layer])
            trace["kept"] = np.broadcast_to(kept, trace["h"].shape)
            self.trace.append(trace)
            hidden_after.append(trace["h"][-1])
            cell_after.append(trace["c"][-1])
            x = trace["h"] * trace["kept"]
        return x, State(np.stack(hidden_after), np.stack(cell_after))

    def _layer(self, weights: Any, layer: int, x: Any, h: Any, c: Any) -> dict[str, Any]:
        names = ("i", "f", "g", "o", "c", "h", "c_before", "h_before")
        rows: dict[str, list[Any]] = {name: [] for name in names}
        into, across, bias = (weights[f"lstm.{layer}.{name}"] for name in ("weight_ih", "weight_hh", "bias"))
        for now in x:
            rows["c_before"].append(c)
            rows["h_before"].append(h)
            z = now @ into.T + h @ across.T + bias
            unit = self.model.lstm_size
            i, f = self.sigmoid(z[:, :unit]), self.sigmoid(z[:, unit : 2 * unit])
            g, o = self.tanh_of_candidate(z[:, 2 * unit : 3 * unit]), self.sigmoid(z[:, 3 * unit :])
            c = f * c + i * g
            h = o * self.tanh_of_cell(c)
            for name, value in zip(("i", "f", "g", "o", "c", "h"), (i, f, g, o, c, h), strict=True):
                rows[name].append(value)
        return {"x": x} | {name: np.stack(values) for name, values in rows.items()}

    # ---- back --------------------------------------------------------------------------------------------

    def gradients(self, weights: Any, symbols: Any, targets: Any, state: Any, masks: Any) -> Any:
        """What ``differentiate`` gives back: gradients of the mean, nats ``(batch, time)``, the new state."""
        features, after = self.lstm(weights, symbols, state, masks)
        logits = features @ weights["output.weight"].T + weights["output.bias"]
        shifted = logits - logits.max(axis=-1, keepdims=True)
        totals = np.exp(shifted).sum(axis=-1, keepdims=True)
        wanted = np.eye(self.model.vocabulary_size, dtype=logits.dtype)[targets.T]
        nats = np.log(totals[..., 0]) - (shifted * wanted).sum(axis=-1)
        into_logits = (np.exp(shifted) / totals - wanted) / np.asarray(self.mean_over(targets), logits.dtype)
        found = {
            "output.weight": np.einsum("tbv,tbu->vu", into_logits, features),
            "output.bias": into_logits.sum(axis=(0, 1)),
        }
        back = into_logits @ weights["output.weight"]
        for layer in reversed(range(self.model.num_layers)):
            back = self._layer_back(weights, found, layer, back * self.trace[layer]["kept"])
        return found, np.ascontiguousarray(nats.T), after

    def _layer_back(self, weights: Any, found: Any, layer: int, into_h: Any) -> Any:
        trace = self.trace[layer]
        steps = len(into_h)
        deltas = [None] * steps
        from_hidden, from_cell = np.zeros_like(into_h[0]), np.zeros_like(into_h[0])
        for t in reversed(range(steps)):
            i, f, g, o, c, c_before = (trace[name][t] for name in ("i", "f", "g", "o", "c", "c_before"))
            tanh_c = self.tanh_of_cell(c)
            dh = into_h[t] + from_hidden
            dc = from_cell + dh * o * self.cell_derivative(c, tanh_c)
            parts = self.deltas(
                dc * g * self.sigmoid_derivative(i),
                dc * c_before * self.sigmoid_derivative(f),
                dc * i * self.candidate_derivative(g),
                dh * tanh_c * self.sigmoid_derivative(o),
            )
            delta = deltas[t] = np.concatenate(parts, axis=1)
            from_hidden, from_cell = self.carried_back(
                t, steps, delta @ weights[f"lstm.{layer}.weight_hh"], dc * f
            )
        all_deltas = np.stack(deltas)
        found[f"lstm.{layer}.weight_ih"] = np.einsum("tbz,tbx->zx", all_deltas, trace["x"])
        found[f"lstm.{layer}.weight_hh"] = np.einsum("tbz,tbh->zh", all_deltas, trace["h_before"])
        found[f"lstm.{layer}.bias"] = all_deltas.sum(axis=(0, 1))
        return all_deltas @ weights[f"lstm.{layer}.weight_ih"]


def backend(network: type[PlainNetwork]) -> type[NumpyBackend]:
    """A backend whose LSTM and gradients are this network's; loss, projection and optimizer are NumPy's."""

    class Plain(NumpyBackend):
        def build_lstm(self, model: ModelConfig) -> Any:
            self._network = network(model)
            return self._network.lstm

        def differentiate(self, forward: Any) -> Any:
            return self._network.gradients

    return Plain
