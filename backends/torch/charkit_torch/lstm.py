"""The stacked LSTM on PyTorch's fused kernel, layer by layer, so that masks come between."""

from __future__ import annotations

from charkit.backend import State, Weights
from charkit.config import ModelConfig
from charkit_torch.framework import torch


class TorchLstm:
    """``(weights, symbols, state, masks) -> features (batch, time, unit), state``.

    The kernel takes two biases and charkit has one: the second is a constant zero that is never trained.
    ``dtype`` is that of the products' operands; weights and state come and go in that of the parameters.
    """

    def __init__(self, model: ModelConfig, dtype: torch.dtype, device: torch.device) -> None:
        self._dtype = dtype
        self._num_layers = model.num_layers
        self._scale = 1.0 / (1.0 - model.dropout)
        self._vocabulary_size = model.vocabulary_size
        self._steps_by_hand = device.type == "cpu" and dtype != torch.bfloat16
        self._no_bias = torch.zeros(4 * model.lstm_size, dtype=dtype, device=device)

    def __call__(
        self,
        weights: Weights[torch.Tensor],
        symbols: torch.Tensor,
        state: State[torch.Tensor],
        masks: torch.Tensor | None,
    ) -> tuple[torch.Tensor, State[torch.Tensor]]:
        # cuDNN goes back only through what it computed in training mode, with masks or without.
        training = weights["lstm.0.weight_hh"].requires_grad
        if symbols.shape[1] == 1 and self._steps_by_hand and not training and masks is None:
            return self._single_step(weights, symbols, state)
        features, weight_ih = self._inputs(weights["lstm.0.weight_ih"], symbols)
        hidden_before, cell_before = state.hidden.to(self._dtype), state.cell.to(self._dtype)
        hiddens, cells = [], []
        for layer in range(self._num_layers):
            if layer:
                weight_ih = weights[f"lstm.{layer}.weight_ih"].to(self._dtype)
            features, hidden, cell = torch.lstm(
                features,
                (hidden_before[layer : layer + 1], cell_before[layer : layer + 1]),
                (
                    weight_ih,
                    weights[f"lstm.{layer}.weight_hh"].to(self._dtype),
                    weights[f"lstm.{layer}.bias"].to(self._dtype),
                    self._no_bias,
                ),
                True,  # has_biases
                1,  # num_layers
                0.0,  # dropout: ours comes by mask
                training,
                False,  # bidirectional
                True,  # batch_first
            )
            hiddens.append(hidden)
            cells.append(cell)
            if masks is not None:
                features = features * masks[layer] * self._scale  # (batch, time, unit)
        kept = state.hidden.dtype
        return features, State(torch.cat(hiddens).to(kept), torch.cat(cells).to(kept))

    def _inputs(self, weight_ih: torch.Tensor, symbols: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Layer 0's inputs ``(batch, time, input)`` and their weights ``(4*unit, input)``.

        One-hot symbols and the weights as they are; where there are more symbols than gates, the symbols' columns of
        the weights, which a product with the identity leaves as they are. Then time no longer grows with the symbols.
        The columns are rounded after they are looked up, so that their gradients are added in float32.
        """
        gates = len(weight_ih)
        if self._vocabulary_size > gates:
            columns = torch.nn.functional.embedding(symbols, weight_ih.t()).to(self._dtype)
            return columns, torch.eye(gates, dtype=self._dtype, device=symbols.device)
        one_hot = torch.zeros(
            (*symbols.shape, self._vocabulary_size), dtype=self._dtype, device=symbols.device
        )
        return one_hot.scatter_(2, symbols.long()[:, :, None], 1.0), weight_ih.to(self._dtype)

    def _single_step(
        self, weights: Weights[torch.Tensor], symbols: torch.Tensor, state: State[torch.Tensor]
    ) -> tuple[torch.Tensor, State[torch.Tensor]]:
        """One time step on the processor, where the fused kernel would prepare the weights at each call."""
        features, hiddens, cells = None, [], []
        for layer in range(self._num_layers):
            weight_ih, weight_hh, bias = (
                weights[f"lstm.{layer}.{name}"] for name in ("weight_ih", "weight_hh", "bias")
            )
            gates = torch.nn.functional.linear(state.hidden[layer], weight_hh, bias)  # (batch, 4*unit)
            if features is None:  # a product with one-hot rows is a choice of columns
                gates += weight_ih.index_select(1, symbols[:, 0]).t()
            else:
                gates += torch.nn.functional.linear(features, weight_ih)
            i, f, g, o = gates.chunk(4, dim=1)
            cell = torch.sigmoid(f) * state.cell[layer] + torch.sigmoid(i) * torch.tanh(g)
            features = torch.sigmoid(o) * torch.tanh(cell)
            hiddens.append(features)
            cells.append(cell)
        return hiddens[-1][:, None], State(torch.stack(hiddens), torch.stack(cells))
