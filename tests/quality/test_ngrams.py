"""The n-grams: a proper distribution, and the same numbers as a plain program that counts with dictionaries."""

from __future__ import annotations

from collections import Counter, defaultdict
from math import exp, log

import numpy as np
import pytest

from charkit.quality.ngrams import USUAL_DISCOUNTS, ngram_nats
from support import SMALL_TEXT

SIZE = len(set(SMALL_TEXT)) + 1  # the last symbol is in no text
NUMBER = {character: number for number, character in enumerate(sorted(set(SMALL_TEXT)))}
SYMBOLS = np.array([NUMBER[character] for character in SMALL_TEXT], dtype=np.uint8)
Gram = tuple[int, ...]


class PlainModel:
    """Interpolated modified Kneser-Ney as Chen and Goodman (1998) write it down, one probability at a time."""

    def __init__(self, training: list[int], order: int, size: int) -> None:
        self.order, self.size = order, size
        grams = {n: Counter(self._grams(training, n)) for n in range(1, order + 1)}
        self.counts: dict[int, Counter[Gram]] = {order: grams[order]}
        for n in range(1, order):
            neighbors: dict[Gram, set[Gram]] = defaultdict(set)
            for longer in grams[n + 1]:
                neighbors[longer[1:]].add(longer[:1])
            neighbors[tuple(training[:n])].add(())  # the beginning of the text
            self.counts[n] = Counter({gram: len(left) for gram, left in neighbors.items()})
        self.discounts = {n: self._estimated(counts) for n, counts in self.counts.items()}

    @staticmethod
    def _grams(training: list[int], n: int) -> list[Gram]:
        return [tuple(training[start : start + n]) for start in range(len(training) - n + 1)]

    @staticmethod
    def _estimated(counts: Counter[Gram]) -> list[float]:
        n = [sum(count == seen for count in counts.values()) for seen in range(5)]
        if 0 in n[1:4]:
            return [0, *USUAL_DISCOUNTS]
        y = n[1] / (n[1] + 2 * n[2])
        found = [seen - (seen + 1) * y * n[seen + 1] / n[seen] for seen in (1, 2, 3)]
        return [0, *(d if 0 < d <= i + 1 else USUAL_DISCOUNTS[i] for i, d in enumerate(found))]

    def probability(self, history: Gram, symbol: int, n: int | None = None) -> float:
        n = min(self.order, len(history) + 1) if n is None else n
        if n == 0:
            return 1 / self.size
        context = history[len(history) - n + 1 :]
        after = {gram: count for gram, count in self.counts[n].items() if gram[:-1] == context}
        lower = self.probability(history, symbol, n - 1)
        if not after:
            return lower
        discount = self.discounts[n]
        freed = sum(discount[min(count, 3)] for count in after.values())
        count = after.get((*context, symbol), 0)
        return (count - discount[min(count, 3)] + freed * lower) / sum(after.values())


def one_nats(training: np.ndarray, history: list[int], symbol: int, orders: int) -> np.ndarray:
    """The loss of a symbol after its history, by order."""
    text = np.array([*history, symbol], dtype=np.uint8)
    return ngram_nats(training, text, len(history), len(text), SIZE, orders=orders)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_it_is_what_plain_counting_gives(order: int) -> None:
    training, start, stop = SYMBOLS[:700], 900, 960
    found = ngram_nats(training, SYMBOLS, start, stop, SIZE, orders=5)
    plain = PlainModel(training.tolist(), order, SIZE)
    texts = SYMBOLS.tolist()
    expected = -sum(log(plain.probability(tuple(texts[:at]), texts[at])) for at in range(start, stop))
    assert found[order - 1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("length", [0, 1, 3, 6, 2000])
@pytest.mark.parametrize("history", ["", "T", "The gr", "zzzz", "sat on", "; it co"])
def test_probabilities_sum_to_one(length: int, history: str) -> None:
    symbols = [NUMBER.get(character, SIZE - 1) for character in history]
    nats = np.array([one_nats(SYMBOLS[:length], symbols, symbol, 8) for symbol in range(SIZE)])
    assert np.isfinite(nats).all()
    np.testing.assert_allclose(np.exp(-nats).sum(axis=0), 1, rtol=1e-12)


@pytest.mark.parametrize("text", ["abab" * 100, "a" * 300, "aaab" * 50 + "c", "abc"])
def test_every_symbol_stays_possible_after_any_text(text: str) -> None:
    training = np.array([ord(character) - ord("a") for character in text], dtype=np.uint8)
    for history in ([0, 0, 0], [0, 1, 0, 1, 0, 1, 0, 1], [2], []):
        nats = np.array([one_nats(training, history, symbol, 8) for symbol in range(SIZE)])
        np.testing.assert_allclose(np.exp(-nats).sum(axis=0), 1, rtol=1e-12)


def test_a_symbol_is_predicted_from_what_comes_before_the_range() -> None:
    whole = ngram_nats(SYMBOLS[:1000], SYMBOLS, 1000, 1200, SIZE)
    parts = [ngram_nats(SYMBOLS[:1000], SYMBOLS, start, start + 50, SIZE) for start in range(1000, 1200, 50)]
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-12)
    alone = ngram_nats(SYMBOLS[:1000], SYMBOLS[1000:1200], 0, 200, SIZE)
    assert (alone[2:] > whole[2:]).all()  # it lacks the symbols before the range
    assert alone[0] == pytest.approx(whole[0])


def test_a_large_vocabulary_is_counted_as_well() -> None:
    spread = SYMBOLS.astype(np.int32) * 997
    found = ngram_nats(spread[:1500], spread, 1500, 1800, 997 * SIZE)
    small = ngram_nats(SYMBOLS[:1500], SYMBOLS, 1500, 1800, SIZE)
    assert (found >= small).all()  # the same counts, over a uniform base that is spread thinner
    assert found[-1] == pytest.approx(small[-1], rel=0.1)


def test_longer_n_grams_predict_better_and_progress_is_heard() -> None:
    heard: list[float] = []
    nats = ngram_nats(SYMBOLS[:2000], SYMBOLS, 2000, 2400, SIZE, progress=heard.append)
    assert list(nats[:4]) == sorted(nats[:4], reverse=True)
    assert exp(nats[-1] / 400) < 3 < exp(nats[0] / 400)
    assert heard == [order / 8 for order in range(1, 9)]
