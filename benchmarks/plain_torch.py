"""The peer: a character-level LSTM as a PyTorch user would write it from PyTorch's documentation.

``nn.LSTM`` over one-hot symbols, dropout between layers, ``nn.Linear``, cross-entropy, Adam, clipping by
the global norm, and the hidden state carried from batch to batch.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


class CharLstm(nn.Module):
    """One-hot symbols ``(batch, time)`` to logits ``(batch, time, vocabulary)``."""

    def __init__(self, vocabulary_size: int, lstm_size: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        self.vocabulary_size = vocabulary_size
        self.lstm = nn.LSTM(vocabulary_size, lstm_size, num_layers, batch_first=True, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(lstm_size, vocabulary_size)

    def forward(
        self, symbols: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor] | None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        one_hot = nn.functional.one_hot(symbols, self.vocabulary_size).float()
        features, state = self.lstm(one_hot, state)
        return self.output(self.dropout(features)), state


class PlainTorch:
    """The training loop around it; ``bfloat16`` uses autocast, the documented way."""

    def __init__(
        self,
        vocabulary_size: int,
        lstm_size: int,
        num_layers: int,
        dropout: float,
        precision: str,
        threads: int,
    ) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self._model = CharLstm(vocabulary_size, lstm_size, num_layers, dropout)
        self._optimizer = torch.optim.Adam(self._model.parameters(), lr=0.001)
        self._criterion = nn.CrossEntropyLoss()
        self._autocast = precision == "bfloat16"
        self._state: tuple[torch.Tensor, torch.Tensor] | None = None

    def step(self, inputs: np.ndarray, targets: np.ndarray) -> float:
        """One update; returns the loss in nats per symbol."""
        symbols, wanted = torch.from_numpy(inputs).long(), torch.from_numpy(targets).long()
        self._optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self._autocast):
            logits, state = self._model(symbols, self._state)
            loss = self._criterion(logits.flatten(0, 1).float(), wanted.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(self._model.parameters(), 5.0)
        self._optimizer.step()
        self._state = (state[0].detach(), state[1].detach())
        return loss.item()
