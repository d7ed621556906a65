"""A character-level LSTM as a PyTorch user would write it from PyTorch's documentation.

``nn.LSTM`` over one-hot symbols, dropout between layers and after the last, ``nn.Linear``, cross-entropy, Adam,
clipping by the global norm, and the hidden state carried from batch to batch.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from charkit.config import ModelConfig, OptimizerConfig
from charkit_comparison.processes.spec import ComparisonSpec


class CharLstm(nn.Module):
    """One-hot symbols ``(batch, time)`` to logits ``(batch, time, vocabulary)``."""

    def __init__(self, vocabulary_size: int, lstm_size: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        self.vocabulary_size = vocabulary_size
        between = dropout if num_layers > 1 else 0.0  # PyTorch warns of a dropout that has no effect
        self.lstm = nn.LSTM(vocabulary_size, lstm_size, num_layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(lstm_size, vocabulary_size)

    def forward(
        self, symbols: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor] | None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        one_hot = nn.functional.one_hot(symbols, self.vocabulary_size).float()
        features, state = self.lstm(one_hot, state)
        return self.output(self.dropout(features)), state

    def take(self, weights: Mapping[str, np.ndarray]) -> None:
        """Starts from canonical weights; the second bias starts at zero, and is trained like the first."""
        names = {"output.weight": self.output.weight, "output.bias": self.output.bias}
        for layer in range(self.lstm.num_layers):
            names[f"lstm.{layer}.weight_ih"] = getattr(self.lstm, f"weight_ih_l{layer}")
            names[f"lstm.{layer}.weight_hh"] = getattr(self.lstm, f"weight_hh_l{layer}")
            names[f"lstm.{layer}.bias"] = getattr(self.lstm, f"bias_ih_l{layer}")
        with torch.no_grad():
            for name, parameter in names.items():
                parameter.copy_(torch.tensor(weights[name]))
            for layer in range(self.lstm.num_layers):
                getattr(self.lstm, f"bias_hh_l{layer}").zero_()


class PlainTorch:
    """The training loop around it; ``bfloat16`` uses autocast, the documented way."""

    def __init__(
        self,
        model: ModelConfig,
        optimizer: OptimizerConfig,
        weights: Mapping[str, np.ndarray],
        threads: int,
        precision: str = "float32",
    ) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.versions = {"torch": torch.__version__}
        self.notices = (
            "its LSTM trains two biases per gate, so their sum changes faster than a single bias",
        )
        self._model = CharLstm(model.vocabulary_size, model.lstm_size, model.num_layers, model.dropout)
        self._model.take(weights)
        self._clip = optimizer.clip_threshold
        betas = (optimizer.beta1, optimizer.beta2)
        self._optimizer = torch.optim.Adam(
            self._model.parameters(), lr=optimizer.learning_rate, betas=betas, eps=optimizer.epsilon
        )
        self._criterion = nn.CrossEntropyLoss()
        self._autocast = precision == "bfloat16"
        self._state: tuple[torch.Tensor, torch.Tensor] | None = None

    def compile(self) -> None:
        """Compiles the model, as PyTorch's documentation has it."""
        self._model.compile()

    def reset_state(self, streams: np.ndarray | None = None) -> None:
        """Sets the state of the streams to zero, bool ``(batch,)``; None for all of them."""
        if streams is None:
            self._state = None
        elif self._state is not None:
            reset = torch.from_numpy(streams)[:, None]
            hidden, cell = self._state  # (layer, batch, unit)
            self._state = (hidden.masked_fill(reset, 0.0), cell.masked_fill(reset, 0.0))

    def step(self, inputs: np.ndarray, targets: np.ndarray, learning_rate: float) -> float:
        """One update; returns the loss in nats per symbol."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        symbols, wanted = torch.from_numpy(inputs).long(), torch.from_numpy(targets).long()
        self._optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self._autocast):
            logits, state = self._model(symbols, self._state)
            loss = self._criterion(logits.flatten(0, 1).float(), wanted.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(self._model.parameters(), self._clip)
        self._optimizer.step()
        self._state = (state[0].detach(), state[1].detach())
        return float(loss.item())


def make(spec: ComparisonSpec, framework: str, threads: int) -> PlainTorch:
    """From a comparison's spec."""
    return PlainTorch(spec.config.model, spec.config.optimizer, spec.start.weights, threads)
