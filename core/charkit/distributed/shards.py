"""A batch in shards: which rows each has, and the sum of their gradients in an order that never changes.

Floating-point addition depends on its order. Shards are added in a binary tree over their numbers,
``(0 + 1) + (2 + 3)``, whoever computed them: a worker with an aligned block of shards returns the sum of that block's
subtree, so that any number of workers gives the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from charkit.backend import Array

Gradients = dict[str, Array]


@dataclass(frozen=True)
class Block:
    """The shards ``first`` to ``first + count - 1``; ``count`` is a power of two that divides ``first``."""

    first: int
    count: int

    def rows(self, rows_each: int) -> slice:
        """The rows of the batch that the block has, where each shard has ``rows_each``."""
        return slice(self.first * rows_each, (self.first + self.count) * rows_each)


def aligned_blocks(shards: int, workers: int) -> list[Block]:
    """The shards in blocks of equal size, at least as many as there are workers, unless there are fewer shards.

    ``shards`` is a power of two.
    """
    count = shards
    while count > 1 and shards // count < workers:
        count //= 2
    return [Block(first, count) for first in range(0, shards, count)]


class TreeSum:
    """Adds dictionaries of arrays, given in order, in a binary tree. Takes them over: they are written to."""

    def __init__(self) -> None:
        self._subtrees: list[tuple[int, Gradients]] = []  # with their heights, which fall

    def add(self, arrays: Gradients) -> None:
        """Adds the next leaf."""
        height = 0
        while self._subtrees and self._subtrees[-1][0] == height:
            left = self._subtrees.pop()[1]
            for name, array in left.items():
                np.add(array, arrays[name], out=array)
            arrays, height = left, height + 1
        self._subtrees.append((height, arrays))

    def result(self) -> Gradients:
        """The sum. The number of leaves must have been a power of two."""
        ((_, total),) = self._subtrees
        return total


def row_slices(rows: int, shards: int) -> Iterator[slice]:
    """The rows of each shard, in order; ``shards`` divides ``rows``."""
    each = rows // shards
    return (slice(shard * each, (shard + 1) * each) for shard in range(shards))
