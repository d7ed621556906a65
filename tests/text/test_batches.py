"""Batches against the definition: parallel contiguous streams, targets one symbol on."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import charkit.text.batches
from charkit.errors import TextError, counted
from charkit.text.batches import BLOCK_BYTES, RESIDENT_BYTES, STREAMS_AT_ONCE, Batches


@given(st.data(), st.integers(1, 5), st.integers(1, 7), st.integers(0, 3))
def test_every_target_is_the_next_symbol_of_the_text(
    data: st.DataObject, batch_size: int, num_steps: int, start: int
) -> None:
    length = data.draw(st.integers(batch_size * num_steps + 1, 200))
    symbols = np.arange(1000, 1000 + start + length + 5, dtype=np.uint16)  # each symbol is its own position
    batches = Batches(symbols, batch_size, num_steps, start=start, stop=start + length)
    read = [batches.batch(index) for index in range(batches.count)]
    inputs = np.concatenate([pair[0] for pair in read], axis=1)
    targets = np.concatenate([pair[1] for pair in read], axis=1)
    used = batches.count * batches.characters_per_step
    np.testing.assert_array_equal(inputs.ravel(), symbols[start : start + used])
    np.testing.assert_array_equal(targets, inputs + 1)
    assert used + 1 + batches.left_over == length
    assert batches.left_over < batches.characters_per_step


def test_streams_go_on_from_batch_to_batch() -> None:
    batches = Batches(np.arange(101), 2, 10)
    assert (batches.count, batches.left_over, batches.characters_per_step) == (5, 0, 20)
    for (_, targets), (inputs, _) in pairwise(batches.batch(index) for index in range(5)):
        np.testing.assert_array_equal(targets[:, -1], inputs[:, 0])


def test_symbols_need_not_be_contiguous() -> None:
    inputs, targets = Batches(np.arange(26)[::2], 3, 4).batch(0)
    np.testing.assert_array_equal(inputs.ravel(), np.arange(0, 24, 2))
    np.testing.assert_array_equal(targets, inputs + 2)


def test_arrays_are_fresh_contiguous_int32() -> None:
    symbols = np.zeros(50, dtype=np.uint8)
    batches = Batches(symbols, 3, 4)
    first, again = batches.batch(0), batches.batch(0)
    for array in (*first, *again):
        assert array.dtype == np.int32
        assert array.shape == (3, 4)
        assert array.flags.c_contiguous
        assert array.flags.owndata
    for one, other in zip(first, again, strict=True):
        assert not np.shares_memory(one, other)


def test_more_streams_than_are_copied_at_once() -> None:
    batch_size = 2 * STREAMS_AT_ONCE + 3
    symbols = np.arange(batch_size * 2 + 1, dtype=np.uint32)
    inputs, targets = Batches(symbols, batch_size, 2).batch(0)
    np.testing.assert_array_equal(inputs.ravel(), symbols[:-1])
    np.testing.assert_array_equal(targets.ravel(), symbols[1:])


@pytest.mark.parametrize("block_bytes", [1, 100, 240, 10_000])
def test_batches_do_not_depend_on_blocks_or_order(monkeypatch: pytest.MonkeyPatch, block_bytes: int) -> None:
    symbols = np.arange(1, 1003, dtype=np.uint16)
    expected = symbols[:1000].reshape(4, 250)
    monkeypatch.setattr(charkit.text.batches, "BLOCK_BYTES", block_bytes)
    batches = Batches(symbols, 4, 10)
    for index in (*range(25), 3, 24, 0, 11):
        inputs, targets = batches.batch(index)
        np.testing.assert_array_equal(inputs, expected[:, index * 10 : index * 10 + 10])
        np.testing.assert_array_equal(targets, inputs + 1)


@given(st.data(), st.integers(1, 6), st.integers(1, 7), st.integers(0, 3), st.integers(0, 2**63 - 1))
def test_with_random_offsets_each_epoch_is_one_way_around_the_text(
    data: st.DataObject, batch_size: int, num_steps: int, start: int, seed: int
) -> None:
    size = data.draw(st.integers(batch_size * num_steps + 1, 200))
    symbols = np.arange(1000 - start, 1000 + size + 5, dtype=np.uint16)  # in the range, 1000 and the position
    batches = Batches(symbols, batch_size, num_steps, start=start, stop=start + size, offset_seed=seed)
    used = batches.count * batches.characters_per_step
    for epoch in range(4):
        read = [batches.batch(index, epoch) for index in range(batches.count)]
        inputs = np.concatenate([pair[0] for pair in read], axis=1) - 1000
        targets = np.concatenate([pair[1] for pair in read], axis=1) - 1000
        np.testing.assert_array_equal(inputs.ravel(), (batches.offset(epoch) + np.arange(used)) % size)
        np.testing.assert_array_equal(targets, (inputs + 1) % size)


def test_every_offset_is_drawn_and_every_symbol_is_used() -> None:
    symbols = np.arange(23)
    batches = Batches(symbols, 2, 5, offset_seed=1)
    assert {batches.offset(epoch) for epoch in range(300)} == set(range(23))
    inputs = [batches.of_step(step)[0] for step in range(1, 21)]
    assert set(np.concatenate(inputs, axis=None)) == set(range(23))
    assert batches.left_over == 2


def test_offsets_come_from_the_seed_and_the_epoch() -> None:
    symbols = np.arange(5000)
    one, again, other = (Batches(symbols, 2, 10, offset_seed=seed) for seed in (1, 1, 2))
    offsets = [one.offset(epoch) for epoch in range(20)]
    assert len(set(offsets)) == 20
    assert offsets == [again.offset(epoch) for epoch in range(20)]
    assert offsets != [other.offset(epoch) for epoch in range(20)]
    assert [Batches(symbols, 2, 10).offset(epoch) for epoch in range(3)] == [0, 0, 0]


def test_steps_go_through_the_epochs_in_any_order() -> None:
    for seed in (None, 3):
        batches = Batches(np.arange(101), 2, 10, offset_seed=seed)
        for step in (1, 5, 6, 13, 2, 500, 6):
            np.testing.assert_array_equal(
                batches.of_step(step)[0], batches.batch((step - 1) % 5, (step - 1) // 5)[0]
            )


@pytest.mark.parametrize("block_bytes", [1, 100, 240, 10_000])
def test_streams_around_the_end_do_not_depend_on_blocks(
    monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    monkeypatch.setattr(charkit.text.batches, "BLOCK_BYTES", block_bytes)
    for batch_size in (1, 4):
        batches = Batches(np.arange(1003, dtype=np.uint16), batch_size, 10, offset_seed=1)
        for epoch in range(5):
            for index in (*range(batches.count), 3, batches.count - 1, 0):
                inputs, targets = batches.batch(index, epoch)
                begin = batches.offset(epoch) + index * 10 + np.arange(batch_size) * batches.count * 10
                np.testing.assert_array_equal(inputs, (begin[:, None] + np.arange(10)) % 1003)
                np.testing.assert_array_equal(targets, (inputs + 1) % 1003)


def test_the_text_is_not_copied_for_an_offset() -> None:
    """With a single stream, which nearly always goes on at the beginning of the text."""
    symbols = np.zeros(64 << 20, dtype=np.uint8)
    tracemalloc.start()
    batches = Batches(symbols, 1, 100, offset_seed=1)
    for epoch in range(3):
        batches.batch(0, epoch)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * BLOCK_BYTES


@pytest.mark.parametrize("index", [-1, 5])
def test_a_batch_that_is_not_there(index: int) -> None:
    with pytest.raises(IndexError, match=f"batches are numbered from 0 to 4; given {index}"):
        Batches(np.arange(101), 2, 10).batch(index)


@pytest.mark.parametrize(("batch_size", "calls_per_block"), [(1, 1), (4 * STREAMS_AT_ONCE, 4)])
def test_pages_of_a_large_text_are_given_back(batch_size: int, calls_per_block: int) -> None:
    calls: list[int] = []
    symbols = np.zeros(RESIDENT_BYTES + 1, dtype=np.uint8)
    num_steps = BLOCK_BYTES // batch_size // 2
    batches = Batches(symbols, batch_size, num_steps, release=lambda: calls.append(1))
    for index in range(4):
        batches.batch(index)
    assert len(calls) == 2 * calls_per_block


def test_a_text_that_may_stay_resident_does() -> None:
    calls: list[int] = []
    symbols = np.zeros(RESIDENT_BYTES, dtype=np.uint8)
    Batches(symbols, 4 * STREAMS_AT_ONCE, 1, release=lambda: calls.append(1)).batch(0)
    assert calls == []


@pytest.mark.parametrize(
    ("size", "batch_size", "num_steps", "advice"),
    [
        (
            3200,
            64,
            50,
            "use a `batch_size` of at most 63 (with `num_steps` 50), a `num_steps` of at most 49 (with `batch_size` 64)"
            ", or a longer text",
        ),
        (60, 64, 50, "use a `batch_size` of at most 1 (with `num_steps` 50) or a longer text"),
        (60, 50, 64, "use a `num_steps` of at most 1 (with `batch_size` 50) or a longer text"),
        (10, 64, 50, "use a `batch_size` of 1 with a `num_steps` of at most 9 or a longer text"),
        (0, 1, 1, "need 2; give a longer text"),
    ],
)
def test_a_text_too_short_says_what_fits(size: int, batch_size: int, num_steps: int, advice: str) -> None:
    with pytest.raises(TextError) as caught:
        Batches(np.zeros(size + 9, dtype=np.uint8), batch_size, num_steps, start=4, stop=4 + size)
    message = str(caught.value)
    assert message.startswith(
        f"{counted(size, 'symbol')} {'is' if size == 1 else 'are'} too few for one batch: `batch_size` {batch_size}"
    )
    assert f" need {batch_size * num_steps + 1:,}; " in message
    assert advice in message


def test_what_the_error_says_fits_does_fit() -> None:
    symbols = np.zeros(3200, dtype=np.uint8)
    assert Batches(symbols, 63, 50).count == 1
    assert Batches(symbols, 64, 49).count == 1
    with pytest.raises(TextError):
        Batches(symbols, 64, 50)
