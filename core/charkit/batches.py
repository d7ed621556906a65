"""Contiguous batches of a text, with the true next symbol as the target of every input.

The text becomes ``batch_size`` parallel streams; a batch is the next ``num_steps`` symbols of each, so
that the state carried from batch to batch always fits. The target of a batch's last column is the
symbol that follows it in the text, which is the next batch's first input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit.errors import TextError

#: What one touch of a memory-mapped page may make resident, since the kernel maps its neighbours too.
MAPPED_AT_ONCE_BYTES = 1 << 16
#: Mapped bytes after which the pages are given back.
RELEASE_BYTES = 32 << 20
#: Streams copied before resident pages are counted; bounds what one batch of many streams can map.
STREAMS_AT_ONCE = RELEASE_BYTES // MAPPED_AT_ONCE_BYTES


class Batches:
    """The batches of one epoch over ``symbols[start:stop]``.

    Args:
        symbols: the encoded text, any integer type, (time,); may be memory-mapped.
        batch_size: streams side by side.
        num_steps: symbols of each stream in one batch.
        start, stop: the half-open range of the text to use; by default all of it.
        release: called whenever about 32 MiB of ``symbols`` may have become resident.

    Raises TextError where the range is too short for one batch.
    """

    def __init__(
        self,
        symbols: NDArray[np.integer[Any]],
        batch_size: int,
        num_steps: int,
        *,
        start: int = 0,
        stop: int | None = None,
        release: Callable[[], None] | None = None,
    ) -> None:
        text = symbols[start:stop]
        self.batch_size = batch_size
        self.num_steps = num_steps
        self.characters_per_step = batch_size * num_steps
        #: Batches in one epoch.
        self.count = (text.size - 1) // self.characters_per_step
        if self.count < 1:
            raise TextError(_too_short(text.size, batch_size, num_steps))
        used = self.count * self.characters_per_step
        #: Symbols at the end of the range that are neither an input nor a target.
        self.left_over = text.size - 1 - used
        self._inputs = text[:used].reshape(batch_size, -1)  # (batch, time of the epoch), views
        self._targets = text[1 : used + 1].reshape(batch_size, -1)
        self._release = release
        self._mapped_bytes = 0

    def batch(self, index: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Returns inputs and targets of batch ``index``, each a fresh int32 (batch, time), C-contiguous.

        Raises IndexError unless ``0 <= index < count``.
        """
        if not 0 <= index < self.count:
            raise IndexError(f"batch {index} of {self.count}")
        columns = slice(index * self.num_steps, (index + 1) * self.num_steps)
        inputs = np.empty((self.batch_size, self.num_steps), dtype=np.int32)
        targets = np.empty_like(inputs)
        for first in range(0, self.batch_size, STREAMS_AT_ONCE):
            rows = slice(first, first + STREAMS_AT_ONCE)
            inputs[rows] = self._inputs[rows, columns]
            targets[rows] = self._targets[rows, columns]
            self._give_back(len(inputs[rows]))
        return inputs, targets

    def _give_back(self, streams: int) -> None:
        if self._release is None:
            return
        read = self.num_steps * self._inputs.itemsize
        self._mapped_bytes += streams * max(read, MAPPED_AT_ONCE_BYTES)
        if self._mapped_bytes >= RELEASE_BYTES:
            self._mapped_bytes = 0
            self._release()


def _too_short(size: int, batch_size: int, num_steps: int) -> str:
    needed = batch_size * num_steps + 1
    fits = [
        f"{name} {largest:,} (at {other})"
        for name, largest, other in (
            ("batch_size", (size - 1) // num_steps, f"num_steps {num_steps:,}"),
            ("num_steps", (size - 1) // batch_size, f"batch_size {batch_size:,}"),
        )
        if largest >= 1
    ]
    advice = f"the largest that fits is {' or '.join(fits)}" if fits else "the text is too short for either"
    return (
        f"{size:,} symbols are too few for one batch of batch_size {batch_size:,} and "
        f"num_steps {num_steps:,}, which takes {needed:,}; {advice}; or give a longer text"
    )
