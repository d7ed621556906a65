"""A small text and small settings that tests share."""

from __future__ import annotations

from typing import Any

#: A text with enough structure to learn something from, and some characters beyond ASCII.
SMALL_TEXT = "".join(
    f"{number}. The grey cat naïvely sat on mat number {number * 7 % 31}; it cost {number % 5} €.\n"
    for number in range(60)
)
#: Settings that train in milliseconds.
SMALL: dict[str, Any] = {
    "recipe": "classic",
    "lstm_size": 8,
    "num_layers": 2,
    "batch_size": 4,
    "num_steps": 8,
    "sample_length": 12,
    "log_every": 5,
    "validation_share": 0.1,
    "test_share": 0.1,
}
