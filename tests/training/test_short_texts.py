"""A text that is too short to learn anything but itself: the user reads so once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit.errors import ConfigurationError


def notices_of(length: int, **options: Any) -> str:
    texts: list[str] = []

    def note(event: charkit.events.Event) -> None:
        if isinstance(event, charkit.events.Started):
            texts.extend(event.notices)

    charkit.train(
        string="abcde " * (length // 6), recipe="classic", max_steps=1, lstm_size=4, on_event=note, threads=1,
        validation_share=0.1, test_share=0, batch_size=2, num_steps=4, **options,
    )  # fmt: skip
    return "\n".join(texts)


def test_a_short_text_is_memorized() -> None:
    assert "the text is short (540 symbols to train on), so the model will memorize it" in notices_of(
        600, run="short"
    )
    shortest = notices_of(60, run="shortest")
    assert "the text is short (54 symbols to train on), too short for a useful model" in shortest
    assert "the text is short" not in notices_of(1200)
    assert "the text is short" not in notices_of(600, init_from="short")


def test_workers_divide_a_batch() -> None:
    with pytest.raises(
        ConfigurationError,
        match="`batch_size` must be a multiple of 8 with `workers=2`, because each batch is divided into 8 shards; "
        "given 4; choose another `batch_size`, or set `shards` to a power of two that divides 4, "
        "and use at most that many workers",
    ):
        charkit.train(string="abc " * 300, batch_size=4, workers=2)
    assert not list(Path().iterdir())
