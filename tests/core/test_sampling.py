"""From logits and draws to text."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import charkit
from charkit.config import SamplingConfig
from charkit.sampling import sample_pieces, sample_texts, start_symbol
from charkit.symbol_sampling import PRIME_CHUNK, choose, fresh_seed
from charkit.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.of_text("\n abcdefgh")
CONFIG = SamplingConfig(length=40, seed=5)


def network(**changes: Any) -> charkit.CharRNN:
    return charkit.CharRNN(VOCABULARY.size, lstm_size=12, num_layers=1, **changes)


def logits_of(*probabilities: float) -> Any:
    return np.log(np.array([probabilities]))


def pick(draw: float, *probabilities: float, **config: Any) -> int:
    return int(choose(logits_of(*probabilities), np.array([draw]), SamplingConfig(**config))[0])


@pytest.mark.parametrize(
    ("draw", "symbol"), [(0.0, 0), (0.19, 0), (0.21, 1), (0.69, 1), (0.71, 2), (0.999, 2)]
)
def test_a_draw_falls_into_its_symbols_share(draw: float, symbol: int) -> None:
    assert pick(draw, 0.2, 0.5, 0.3) == symbol


def test_a_symbol_without_probability_is_never_drawn() -> None:
    logits = np.array([[-np.inf, 0.0, -np.inf]])
    assert int(choose(logits, np.array([0.0]), SamplingConfig())[0]) == 1


def test_zero_temperature_takes_the_lowest_index_on_a_tie() -> None:
    assert pick(0.99, 0.2, 0.4, 0.4, temperature=0) == 1


def test_temperature_sharpens_and_flattens() -> None:
    assert pick(0.3, 0.25, 0.75, temperature=1) == 1
    assert pick(0.3, 0.25, 0.75, temperature=100) == 0
    assert pick(0.2, 0.25, 0.75, temperature=0.2) == 1


def test_a_tiny_temperature_is_greedy() -> None:
    assert pick(0.5, 0.2, 0.5, 0.3, temperature=1e-308) == 1


def test_a_temperature_divides_the_logits() -> None:
    logits, draws = np.log(np.array([[0.25, 0.75]])), np.array([0.3])
    for temperature in (0.5, 2.0, 3.0):
        weight = 0.25 ** (1 / temperature), 0.75 ** (1 / temperature)
        chosen = int(choose(logits, draws, SamplingConfig(temperature=temperature))[0])
        assert chosen == int(weight[0] / sum(weight) <= 0.3)


def test_an_overflow_of_a_tiny_temperature_is_no_warning() -> None:
    model = network()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        coldest = model.sample(20, seed=1, temperature=1e-308)
    assert np.array_equal(coldest, model.sample(20, temperature=0))


@pytest.mark.parametrize("kept", [{"top_k": 2}, {"top_p": 0.6}])
def test_each_stream_keeps_its_own_likeliest_symbols(kept: dict[str, Any]) -> None:
    logits = np.concatenate([logits_of(0.1, 0.5, 0.4), logits_of(0.7, 0.1, 0.2)])
    config = SamplingConfig(**kept)
    for draw in np.linspace(0, 0.999, 20):
        alone = [int(choose(row[None], np.array([draw]), config)[0]) for row in logits]
        assert choose(logits, np.array([draw, draw]), config).tolist() == alone


def test_each_stream_is_chosen_by_its_own_logits() -> None:
    logits = np.concatenate([logits_of(0.2, 0.5, 0.3), logits_of(0.2, 0.5, 0.3) - 1000])
    assert choose(logits, np.array([0.9, 0.9]), SamplingConfig()).tolist() == [2, 2]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_choice_is_int32_whatever_the_vocabulary(temperature: float) -> None:
    logits = np.full((1, 400), -1000.0)
    logits[0, 300] = 0.0
    chosen = choose(logits, np.array([0.5]), SamplingConfig(temperature=temperature))
    assert (chosen.dtype, chosen.tolist()) == (np.int32, [300])


def test_top_k_keeps_the_likeliest_and_ties_go_by_index() -> None:
    chosen = {pick(draw, 0.1, 0.3, 0.3, 0.3, top_k=2) for draw in np.linspace(0, 0.999, 50)}
    assert chosen == {1, 2}
    assert pick(0.999, 0.1, 0.3, 0.3, 0.3, top_k=99) == 3


def test_top_p_keeps_the_smallest_set_that_sums_to_p() -> None:
    draws = np.linspace(0, 0.999, 50)
    assert {pick(draw, 0.5, 0.3, 0.15, 0.05, top_p=0.7) for draw in draws} == {0, 1}
    assert {pick(draw, 0.5, 0.3, 0.15, 0.05, top_p=0.2) for draw in draws} == {0}
    assert {pick(draw, 0.5, 0.3, 0.15, 0.05, top_p=1.0) for draw in draws} == {0, 1, 2, 3}


def test_the_seed_decides_the_text() -> None:
    model = network()
    first, again = sample_texts(model, VOCABULARY, CONFIG), sample_texts(model, VOCABULARY, CONFIG)
    other = sample_texts(model, VOCABULARY, CONFIG.model_copy(update={"seed": 6}))
    assert first == again != other
    assert len(first[0]) == 40


def test_streams_side_by_side_are_what_they_are_alone() -> None:
    model = network(precision="float64")
    three = sample_texts(model, VOCABULARY, CONFIG.model_copy(update={"count": 3}))
    assert three[0] == sample_texts(model, VOCABULARY, CONFIG)[0]
    assert len(set(three)) == 3


def test_a_long_prime_gives_the_state_that_step_by_step_gives() -> None:
    model = network(precision="float64")
    prime = np.random.default_rng(0).integers(0, VOCABULARY.size, 2 * PRIME_CHUNK + 17).astype(np.int32)
    state = model.initial_state(1)
    for symbol in prime:
        logits, state = model.predict(np.array([[symbol]], np.int32), state)
    greedy = SamplingConfig(length=1, temperature=0, seed=0)
    assert sample_texts(model, VOCABULARY, greedy, prime)[0] == VOCABULARY.decode([int(logits.argmax())])


@pytest.mark.parametrize(
    "length", [1, 2, PRIME_CHUNK, PRIME_CHUNK + 1, 2 * PRIME_CHUNK + 2, 2 * PRIME_CHUNK + 18]
)
def test_each_symbol_of_a_prime_is_fed_once_and_in_order(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network()
    advance, predict, fed, drawn_from = model.advance, model.next_logits, list[int](), list[int]()

    def advancing(symbols: Any, state: Any) -> Any:
        assert symbols.dtype == np.int32
        fed.extend(symbols.ravel().tolist())
        return advance(symbols, state)

    def predicting(symbols: Any, state: Any) -> Any:
        drawn_from.extend(symbols.ravel().tolist())
        return predict(symbols, state)

    monkeypatch.setattr(model, "advance", advancing)
    monkeypatch.setattr(model, "next_logits", predicting)
    prime = np.random.default_rng(1).integers(0, VOCABULARY.size, length).astype(np.int32)
    sample_texts(model, VOCABULARY, SamplingConfig(length=1, seed=0), prime)
    assert fed == prime[:-1].tolist()
    assert drawn_from == [prime[-1]]  # the input of the first draw


@pytest.mark.parametrize("count", [2, 3])
def test_every_stream_continues_the_prime(count: int) -> None:
    model = network(precision="float64")
    prime = np.random.default_rng(2).integers(0, VOCABULARY.size, 30).astype(np.int32)
    config = SamplingConfig(length=1, temperature=0, seed=0)
    predict, states = model.next_logits, list[Any]()

    def recording(symbols: Any, state: Any) -> Any:
        states.append(state)
        return predict(symbols, state)

    model.next_logits = recording  # type: ignore[method-assign]
    sample_texts(model, VOCABULARY, config, prime)
    sample_texts(model, VOCABULARY, config.model_copy(update={"count": count}), prime)
    alone, together = states
    assert np.any(alone.hidden)
    for one, several in ((alone.hidden, together.hidden), (alone.cell, together.cell)):
        assert np.array_equal(several, np.repeat(one, count, axis=1))


def test_without_a_prime_a_sample_starts_after_a_line_end() -> None:
    assert VOCABULARY.decode(start_symbol(VOCABULARY)) == "\n"
    assert start_symbol(Vocabulary.of_text("ab")).tolist() == [0]
    model = network()
    newline, _ = VOCABULARY.encode("\n")
    assert sample_texts(model, VOCABULARY, CONFIG) == sample_texts(model, VOCABULARY, CONFIG, newline)


def test_stop_ends_a_sample_with_the_text_it_names() -> None:
    model = network()
    whole = sample_texts(model, VOCABULARY, CONFIG)[0]
    stop = whole[10:13]
    cut = sample_texts(model, VOCABULARY, CONFIG.model_copy(update={"stop": stop}))[0]
    assert cut == whole[: whole.index(stop) + len(stop)]


def test_stop_ends_each_stream_by_itself() -> None:
    model = network()
    config = CONFIG.model_copy(update={"count": 4, "stop": "a"})
    for text in sample_texts(model, VOCABULARY, config):
        assert text.count("a") <= 1
        assert text.endswith("a") or len(text) == CONFIG.length


def test_a_byte_model_gives_valid_text_as_characters_become_whole() -> None:
    model = charkit.CharRNN(256, lstm_size=4, num_layers=1)
    pieces = list(sample_pieces(model, Vocabulary.bytes(), SamplingConfig(length=300, seed=1)))
    text = "".join(piece.text for piece in pieces)
    assert text.encode("utf-8").decode("utf-8") == text
    assert "\ufffd" in text  # an untrained model makes bytes that are no UTF-8


class _Scripted:
    """A network that draws given symbols: a list for each step, with one for each stream."""

    def __init__(self, *steps: list[int]) -> None:
        self._steps = steps

    def draw(self, _config: SamplingConfig, _prime: Any) -> Any:
        return iter([np.array(step, np.int32) for step in self._steps])


def _scripted_pieces(vocabulary: Vocabulary, *steps: list[int], **config: Any) -> list[tuple[int, str]]:
    config = {"length": len(steps), "count": len(steps[0]), "seed": 0, **config}
    model: Any = _Scripted(*steps)
    return [tuple(piece) for piece in sample_pieces(model, vocabulary, SamplingConfig(**config))]


def test_a_character_that_is_cut_off_by_the_length_is_given_out_at_the_end() -> None:
    pieces = _scripted_pieces(Vocabulary.bytes(), [97, 98], [0xC3, 0xC3])
    assert pieces == [(0, "a"), (1, "b"), (0, "\ufffd"), (1, "\ufffd")]


def test_no_piece_is_empty() -> None:
    assert _scripted_pieces(Vocabulary.of_text("ab"), [0], [1]) == [(0, "a"), (0, "b")]
    assert _scripted_pieces(Vocabulary.bytes(), [0xC3], [0xA9]) == [(0, "é")]


def test_a_stopped_sample_gives_out_nothing_more_at_the_end() -> None:
    """The second of two bytes that begin a character makes a replacement of the first, and is itself still open."""
    pieces = _scripted_pieces(Vocabulary.bytes(), [0xC3, 97], [0xC3, 98], stop="\ufffd")
    assert pieces == [(1, "a"), (0, "\ufffd"), (1, "b")]


def test_a_fresh_seed_is_any_number_that_is_short_enough_to_type() -> None:
    seeds = {fresh_seed() for _ in range(20)}
    assert len(seeds) == 20
    assert min(seeds) >= 0
    assert 2**24 < max(seeds) < 2**31


def test_a_fresh_seed_has_31_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charkit.symbol_sampling.secrets.randbelow", lambda bound: bound - 1)
    assert fresh_seed() == 2**31 - 1
