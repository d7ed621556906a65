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
        self._no_bias = torch.zeros(4 * model.lstm_size, dtype=dtype, device=device)

    def __call__(
        self,
        weights: Weights[torch.Tensor],
        symbols: torch.Tensor,
        state: State[torch.Tensor],
        masks: torch.Tensor | None,
    ) -> tuple[torch.Tensor, State[torch.Tensor]]:
        features = torch.zeros(
            (*symbols.shape, self._vocabulary_size), dtype=self._dtype, device=symbols.device
        ).scatter_(2, symbols.long()[:, :, None], 1.0)  # (batch, time, vocabulary)
        # cuDNN goes back only through what it computed in training mode, with masks or without.
        training = weights["lstm.0.weight_hh"].requires_grad
        hidden_before, cell_before = state.hidden.to(self._dtype), state.cell.to(self._dtype)
        hiddens, cells = [], []
        for layer in range(self._num_layers):
            features, hidden, cell = torch.lstm(
                features,
                (hidden_before[layer : layer + 1], cell_before[layer : layer + 1]),
                (
                    weights[f"lstm.{layer}.weight_ih"].to(self._dtype),
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
