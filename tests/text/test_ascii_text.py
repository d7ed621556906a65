"""The fast way to encode text that is nearly all ASCII gives what looking up every code point gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charkit.text.ascii_text import ByteEncoder, SeenPoints, nearly_ascii
from charkit.text.vocabulary import UNKNOWN, Vocabulary, code_points

_ASCII, _OTHERS = "abcd \n", "é§€\u2020\U0001f600"
#: Mostly ASCII; "\u2020" ends in the byte of a space.
_TEXTS = st.lists(st.sampled_from([*_ASCII * 12, *_OTHERS]), min_size=1, max_size=90)


@given(_TEXTS, st.sets(st.sampled_from(_ASCII + _OTHERS), min_size=9))
def test_indices_are_those_of_the_lookup(characters: list[str], known: set[str]) -> None:
    points, vocabulary = code_points("".join(characters)), Vocabulary.of_text("".join(sorted(known)))
    expected = vocabulary.lookup[points]
    encoded = ByteEncoder(vocabulary).encode(points)
    if encoded is not None:
        assert bytes(encoded) == expected.astype(np.uint8).tobytes()
        assert UNKNOWN not in expected
    elif nearly_ascii(points) is not None:
        assert UNKNOWN in expected


@given(st.lists(_TEXTS, max_size=4))
def test_points_that_were_seen_are_those_of_all_pieces(pieces: list[list[str]]) -> None:
    seen = SeenPoints()
    for piece in pieces:
        seen.add(code_points("".join(piece)))
    assert seen.sorted().tolist() == sorted({ord(one) for piece in pieces for one in piece})


def test_a_large_share_of_other_characters_is_looked_up_as_a_whole() -> None:
    assert nearly_ascii(code_points("é" * 9)) is None
    assert nearly_ascii(code_points("aaaaaaé")) is None
    parts = nearly_ascii(code_points("éaaaaaaaa€"))
    assert parts is None
    codes, positions = nearly_ascii(code_points("b" * 20 + "é")) or (b"", None)
    assert (codes, np.asarray(positions).tolist()) == (b"b" * 21, [20])


def test_an_unknown_character_among_ascii_is_left_to_the_lookup() -> None:
    points, known = code_points("ab" * 20 + "é"), Vocabulary.of_text("ab")
    assert nearly_ascii(points) is not None
    assert ByteEncoder(known).encode(points) is None
    encoded = ByteEncoder(Vocabulary.of_text("abé")).encode(points)
    assert encoded is not None
    assert bytes(encoded) == bytes([0, 1] * 20 + [2])


def test_nothing_is_no_ascii() -> None:
    assert nearly_ascii(np.zeros(0, np.uint32)) is None


@pytest.mark.parametrize("size", [255, 256])
def test_the_mark_of_what_is_lacking_is_no_index(size: int) -> None:
    vocabulary = Vocabulary.of_text("".join(map(chr, range(97, 97 + size))))
    points = code_points("abc" * 10 + chr(97 + size - 1))
    encoded = ByteEncoder(vocabulary).encode(points)
    assert (encoded is None) == (size == 256)
    if encoded is not None:
        assert bytes(encoded) == vocabulary.lookup[points].astype(np.uint8).tobytes()


def test_bytes_are_their_own_indices() -> None:
    raw = np.arange(256, dtype=np.uint8)
    encoded = ByteEncoder(Vocabulary.bytes()).encode(raw)
    assert encoded is not None
    assert bytes(encoded) == raw.tobytes()
    assert ByteEncoder(Vocabulary.of_text("ab")).encode(raw) is None
