"""Copied spans are found exactly: the same shares as looking for every span with ``in``."""

from __future__ import annotations

import numpy as np
import pytest

from charkit.quality.copied import copied_shares

LENGTHS = (1, 2, 3, 5, 8, 11)


def slow_share(training: np.ndarray, pieces: list[np.ndarray], length: int) -> float:
    """The share by looking for each span of each piece in the training text."""
    text = training.astype(np.uint8).tobytes()
    inside = []
    for piece in pieces:
        marks = np.zeros(len(piece), dtype=bool)
        for start in range(len(piece) - length + 1):
            if piece[start : start + length].astype(np.uint8).tobytes() in text:
                marks[start : start + length] = True
        inside += marks.tolist()
    return float(np.mean(inside)) if inside else 0.0


@pytest.mark.parametrize("seed", range(12))
def test_shares_are_those_of_a_plain_search(seed: int) -> None:
    draw = np.random.default_rng(seed)
    training = draw.integers(0, 2, draw.integers(0, 150))
    sampled = [draw.integers(0, 2, draw.integers(0, 40)) for _ in range(3)]
    held_out = [draw.integers(0, 2, 25), training[3:17]]
    found = copied_shares(training, [sampled, held_out], 2, lengths=LENGTHS)
    expected = [[slow_share(training, each, length) for length in LENGTHS] for each in (sampled, held_out)]
    np.testing.assert_allclose(found, expected)


def test_a_copy_among_noise_is_its_share_and_no_span_crosses_pieces() -> None:
    draw = np.random.default_rng(0)
    training, noise = draw.integers(0, 90, 5000), draw.integers(0, 90, 200)
    copy = np.concatenate([noise[:100], training[1000:1050], noise[100:150]])
    halves = [np.concatenate([noise[:50], training[1000:1015]]), training[1015:1030]]
    (whole, parts) = copied_shares(training, [[copy], halves], 90)
    assert whole == [pytest.approx(50 / 200), pytest.approx(50 / 200), 0.0]
    assert parts == [0.0, 0.0, 0.0]


def test_a_text_shorter_than_a_span_has_none() -> None:
    assert copied_shares(np.arange(5), [[np.arange(5)], []], 9) == [[0, 0, 0], [0, 0, 0]]


def test_progress_is_heard_to_the_end() -> None:
    heard: list[float] = []
    copied_shares(np.arange(50), [[np.arange(50)]], 50, progress=heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
