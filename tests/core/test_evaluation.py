"""Scoring: every symbol once, with context, whatever the number of streams."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest

import charkit
from charkit import evaluation
from charkit.config import DataConfig
from charkit.errors import TextError
from charkit.evaluation import evaluate
from charkit.text.corpus import open_string
from charkit.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.of_text("abcé€")


def symbols_of(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, VOCABULARY.size, length).astype(np.uint8)


def model(size: int = 5) -> charkit.CharRNN:
    return charkit.CharRNN(size, lstm_size=8, num_layers=2, precision="float64", seed=3)


def one_by_one(network: charkit.CharRNN, symbols: np.ndarray, start: int, stop: int) -> float:
    """Mean nats of the range in one stream from the text's first symbol on."""
    whole = symbols[None, :stop].astype(np.int32)
    nats, _ = network.nats(whole[:, :-1].copy(), whole[:, 1:].copy(), network.initial_state(1))
    return float(nats[0, max(start, 1) - 1 :].mean())


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 300), (0, 2), (1, 120), (40, 400), (499, 700), (501, 803), (900, 901)]
)
def test_one_stream_scores_what_reading_the_text_scores(start: int, stop: int) -> None:
    network, symbols = model(), symbols_of(1000)
    found = evaluate(network, symbols, VOCABULARY, start, stop)
    assert found.streams == 1
    assert found.symbols == stop - max(start, 1)
    # A warm-up of 500 symbols forgets what lies before it, but for less than this.
    assert found.loss == pytest.approx(one_by_one(network, symbols, start, stop), abs=1e-9)


def test_many_streams_score_every_symbol_once_with_context(monkeypatch: pytest.MonkeyPatch) -> None:
    network, symbols = model(), symbols_of(9000)
    monkeypatch.setattr(evaluation, "LEAST_SYMBOLS_PER_STREAM", 600)
    for start, stop in ((0, 8991), (200, 9000), (3000, 4207)):
        found = evaluate(network, symbols, VOCABULARY, start, stop)
        assert found.streams == (stop - max(start, 1)) // 600
        assert found.symbols == stop - max(start, 1)
        assert found.loss == pytest.approx(one_by_one(network, symbols, start, stop), abs=1e-9)


def test_bits_are_per_character_and_per_byte() -> None:
    network, symbols = model(), symbols_of(400)
    found = evaluate(network, symbols, VOCABULARY, 0, 400)
    text_bytes = len(VOCABULARY.decode(symbols[1:]).encode())
    assert found.bits_per_character == pytest.approx(found.loss / log(2))
    assert found.bits_per_byte == pytest.approx(found.loss * 399 / log(2) / text_bytes)
    assert found.perplexity == pytest.approx(exp(found.loss))


def test_a_byte_model_counts_characters_by_their_first_bytes() -> None:
    text = "né€" * 50
    with open_string(text, DataConfig(vocabulary="byte")) as corpus:
        network = model(256)
        found = evaluate(network, corpus.symbols, corpus.vocabulary, 0, len(text.encode()))
    assert found.symbols == len(text.encode()) - 1
    assert found.bits_per_byte == pytest.approx(found.loss / log(2))
    assert found.bits_per_character == pytest.approx(found.loss * found.symbols / log(2) / (len(text) - 1))


def test_nothing_to_score_is_told() -> None:
    for start, stop in ((0, 0), (0, 1), (7, 7)):
        with pytest.raises(TextError, match="nothing to score"):
            evaluate(model(), symbols_of(10), VOCABULARY, start, stop)


def test_progress_is_heard_to_the_end() -> None:
    heard: list[float] = []
    evaluate(model(), symbols_of(500), VOCABULARY, 0, 500, progress=heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
    assert len(heard) == 5
