"""Which rows are whose, and the order in which gradients are added."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from charkit.distributed.shards import Block, TreeSum, aligned_blocks, row_slices


@pytest.mark.parametrize(
    ("shards", "workers", "sizes"),
    [(1, 1, [1]), (8, 1, [8]), (8, 2, [4, 4]), (8, 3, [2] * 4), (8, 8, [1] * 8), (4, 9, [1] * 4)],
)
def test_blocks_are_aligned_and_cover_all(shards: int, workers: int, sizes: list[int]) -> None:
    blocks = aligned_blocks(shards, workers)
    assert [block.count for block in blocks] == sizes
    assert [shard for block in blocks for shard in range(block.first, block.first + block.count)] == list(
        range(shards)
    )
    assert all(block.first % block.count == 0 for block in blocks)


def test_rows_of_shards_and_blocks_are_the_same() -> None:
    rows = list(row_slices(24, 8))
    assert rows[6] == slice(18, 21)
    assert Block(6, 2).rows(3) == slice(rows[6].start, rows[7].stop)


def _numbers(count: int) -> list[np.float32]:
    return [np.float32((number + 1) ** 0.5 * 10.0 ** (number % 3)) for number in range(count)]


def test_leaves_are_added_as_a_binary_tree() -> None:
    a, b, c, d, e, f, g, h = _numbers(8)
    tree = TreeSum()
    for number in _numbers(8):
        tree.add({"x": np.array([number])})
    assert tree.result()["x"][0] == ((a + b) + (c + d)) + ((e + f) + (g + h))
    assert tree.result()["x"][0] != sum([a, b, c, d, e, f, g, h])  # the order shows in these numbers


def test_sums_of_subtrees_give_the_bits_of_the_whole() -> None:
    def total(leaves: list[dict[str, Any]]) -> dict[str, Any]:
        tree = TreeSum()
        for leaf in leaves:
            tree.add({name: array.copy() for name, array in leaf.items()})
        return tree.result()

    leaves: list[dict[str, Any]] = [{"x": np.array([number])} for number in _numbers(8)]
    for size in (1, 2, 4, 8):
        parts = [total(leaves[first : first + size]) for first in range(0, 8, size)]
        assert total(parts)["x"].tobytes() == total(leaves)["x"].tobytes()
