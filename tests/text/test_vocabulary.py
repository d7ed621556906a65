"""Symbols and indices: round trips, what is refused, and what is counted."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charkit.errors import ConfigurationError, RunError, TextError, UnknownSymbolsError
from charkit.text.vocabulary import UNKNOWN, Vocabulary

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def decode_streaming(vocabulary: Vocabulary, indices: list[int]) -> str:
    decoder = vocabulary.stream_decoder()
    return "".join(map(decoder.feed, indices)) + decoder.finish()


@given(TEXT)
def test_text_survives_encoding_whole_and_as_a_stream(text: str) -> None:
    for vocabulary in (Vocabulary.of_text(text), Vocabulary.bytes()):
        indices, skipped = vocabulary.encode(text)
        assert indices.dtype == np.int32
        assert skipped == 0
        assert vocabulary.decode(indices) == text
        assert decode_streaming(vocabulary, indices.tolist()) == text
        assert vocabulary.byte_lengths[indices].sum() == len(text.encode())
        assert vocabulary.starts_character[indices].sum() == len(text)


@given(st.lists(st.integers(0, 255)))
def test_any_bytes_decode_the_same_whole_and_as_a_stream(indices: list[int]) -> None:
    expected = bytes(indices).decode("utf-8", "replace")
    assert Vocabulary.bytes().decode(indices) == expected
    assert decode_streaming(Vocabulary.bytes(), indices) == expected


def test_a_stream_gives_a_character_as_soon_as_it_is_whole() -> None:
    decoder = Vocabulary.bytes().stream_decoder()
    assert [decoder.feed(byte) for byte in "a€".encode()] == ["a", "", "", "€"]
    assert [decoder.feed(byte) for byte in b"\xe2\x82z"] == ["", "", "\ufffdz"]
    assert decoder.feed(0xE2) == ""
    assert decoder.finish() == "\ufffd"


def test_symbols_are_sorted_code_points() -> None:
    vocabulary = Vocabulary.of_text("b😀aéb\n")
    assert vocabulary.symbols == ("\n", "a", "b", "é", "😀")
    assert vocabulary.size == 5
    assert vocabulary.byte_lengths.tolist() == [1, 1, 1, 2, 4]
    assert Vocabulary.of_code_points(np.array([[98, 97], [97, 98]])).symbols == ("a", "b")


def test_equality_and_hash_go_by_content() -> None:
    first, second = Vocabulary.of_text("abc"), Vocabulary.of_text("cabba")
    assert first == second
    assert hash(first) == hash(second)
    assert first != Vocabulary.of_text("abd")
    assert Vocabulary.bytes() == Vocabulary.bytes() != first


def test_the_lookup_table_marks_what_is_unknown() -> None:
    lookup = Vocabulary.of_text("ab").lookup
    assert lookup[ord("b")] == 1
    assert lookup[ord("c")] == UNKNOWN
    assert lookup[0x10FFFF] == UNKNOWN
    with pytest.raises(ValueError, match="read-only"):
        lookup[0] = 1


def test_unknown_symbols_are_an_error_with_counts_and_the_way_out() -> None:
    with pytest.raises(UnknownSymbolsError) as caught:
        Vocabulary.of_text("ab").encode("aézéb\n")
    message = str(caught.value)
    assert "'é' (2), '\\n' (1), 'z' (1);" in message
    assert "`unknown='skip'`" in message
    assert "\n" not in message


def test_no_more_than_eight_unknown_symbols_are_named() -> None:
    with pytest.raises(UnknownSymbolsError, match=r"'h' \(1\) and 3 more;"):
        Vocabulary.of_text("xyz").encode("abcdefghijk")


def test_unknown_symbols_can_be_skipped_and_counted() -> None:
    indices, skipped = Vocabulary.of_text("ab").encode("a-b--", unknown="skip")
    assert indices.tolist() == [0, 1]
    assert skipped == 3


@pytest.mark.parametrize("vocabulary", [Vocabulary.of_text("ab"), Vocabulary.bytes()])
def test_a_byte_of_argv_that_is_not_utf8_is_named(vocabulary: Vocabulary) -> None:
    argument = b"ab\xff".decode("utf-8", "surrogateescape")
    with pytest.raises(
        TextError, match=r"at position 2, the text contains the byte 0xff, which is not a character"
    ):
        vocabulary.encode(argument)


def test_other_lone_surrogates_are_refused() -> None:
    with pytest.raises(
        TextError, match=r"at position 1, the text contains U\+D800, which is not a character"
    ):
        Vocabulary.of_text("a\ud800")


@pytest.mark.parametrize("indices", [[-1], [0, 2]])
def test_indices_without_a_symbol_are_refused(indices: list[int]) -> None:
    with pytest.raises(IndexError, match="from 0 to 1"):
        Vocabulary.of_text("ab").decode(indices)


def test_extending_keeps_old_indices_and_sorts_the_new() -> None:
    vocabulary = Vocabulary.of_text("mn")
    extended = vocabulary.extended_with("zan")
    assert extended.symbols == ("m", "n", "a", "z")
    assert vocabulary.extended_with(np.array([ord("z"), ord("a")])) == extended
    assert vocabulary.extended_with("nm") is vocabulary
    assert Vocabulary.bytes().extended_with("é") == Vocabulary.bytes()


@pytest.mark.parametrize(
    "vocabulary",
    [Vocabulary.bytes(), Vocabulary.of_text('\n"é\u2028😀'), Vocabulary.of_text("mn").extended_with("az")],
)
def test_json_gives_the_same_vocabulary_back(vocabulary: Vocabulary) -> None:
    text = vocabulary.to_json()
    assert text.isascii()
    assert Vocabulary.from_json(text) == vocabulary


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "word"}, "kind must be 'char' or 'byte'; given 'word'"),
        ({"symbols": ["a", "bc"]}, "'bc' is not a single code point"),
        ({"symbols": ["a", ""]}, "'' is not a single code point"),
        ({"symbols": ["a", "b", "a"]}, "'a' is listed twice"),
        ({"symbols": []}, "lists no symbols"),
        ({"symbols": [1]}, "symbols must be a string; given 1"),
        ({"symbols": ["\ud800"]}, "U+D800 is half of a surrogate pair"),
        ({"kind": "byte"}, "kind 'byte' must not list symbols"),
        ({"format": 2}, "is in format 2, but this version of charkit reads format 1; use a later"),
        ({"code": "x"}, "code is not a known key; given 'x'"),
    ],
)
def test_damaged_json_is_refused_in_one_line(change: dict[str, object], message: str) -> None:
    content = {"format": 1, "kind": "char", "symbols": ["a", "b"]} | change
    with pytest.raises(RunError) as caught:
        Vocabulary.from_json(json.dumps(content))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1}', "[" * 10_000])
def test_what_is_no_vocabulary_at_all_is_refused(text: str) -> None:
    with pytest.raises(RunError, match=r"^the vocabulary is damaged: [^\n]*$"):
        Vocabulary.from_json(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("hello",), "kind must be 'char' or 'byte'; given 'hello'; to get the vocabulary of a text, use"),
        (("char", ("ab",)), "'ab' is not a single code point"),
        (("char", ("a", "a")), "'a' is listed twice"),
        (("char", (7,)), "7 is not a single code point"),
        (("byte", ("a",)), "must not list symbols"),
        (("char", "ab"), "the symbols must be a tuple; given 'ab'"),
        (("char", ["a"]), "the symbols must be a tuple; given"),
        (("char", None), "the symbols must be a tuple; given None"),
        (("char",), "invalid vocabulary: it lists no symbols"),
    ],
)
def test_what_is_no_vocabulary_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Vocabulary(*arguments)
