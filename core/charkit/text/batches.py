"""Contiguous batches of a text, with the true next symbol as the target of every input.

The text becomes ``batch_size`` parallel streams; a batch is the next ``num_steps`` symbols of each, so
that the state carried from batch to batch always fits. The target of a batch's last column is the
symbol that follows it in the text, which is the next batch's first input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from charkit.errors import TextError

#: What is copied from the text at once, for many batches, so that its pages are touched seldom.
BLOCK_BYTES = 4 << 20
#: The most of a memory-mapped text that reading it should make resident.
RESIDENT_BYTES = 32 << 20
#: What touching one page may make resident: Linux maps the neighbours that it keeps together in its cache
#: (about 1 MiB was measured on 6.18).
MAPPED_AT_ONCE_BYTES = 1 << 20
STREAMS_AT_ONCE = RESIDENT_BYTES // MAPPED_AT_ONCE_BYTES


class Batches:
    """The batches of one epoch over ``symbols[start:stop]``.

    Args:
        symbols: the encoded text, any integer type, (time,); may be memory-mapped.
        batch_size: streams side by side.
        num_steps: symbols of each stream in one batch.
        start, stop: the half-open range of the text to use; by default all of it.
        release: gives the resident pages of ``symbols`` back; called whenever they may have reached
            RESIDENT_BYTES, so never for a text that is smaller.

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
        # (batch, time of the epoch + 1): rows overlap by one symbol, the last target of one and the first
        # input of the next.
        self._streams: NDArray[np.integer[Any]] = as_strided(
            text,
            (batch_size, used // batch_size + 1),
            (used // batch_size * text.strides[0], text.strides[0]),
            writeable=False,
        )
        self._release = release if text.nbytes > RESIDENT_BYTES else None
        self._batches_per_block = max(1, BLOCK_BYTES // (self.characters_per_step * text.itemsize))
        self._block_number = -1
        self._block = np.empty((batch_size, 0), dtype=text.dtype)

    def batch(self, index: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Returns inputs and targets of batch ``index``, each a fresh int32 (batch, time), C-contiguous.

        Batches come in any order, and fastest in rising order; one thread at a time. Raises IndexError
        unless ``0 <= index < count``.
        """
        if not 0 <= index < self.count:
            raise IndexError(f"batch {index} of {self.count}")
        number, position = divmod(index, self._batches_per_block)
        if number != self._block_number:
            self._block = self._read_block(number)
            self._block_number = number
        columns = self._block[:, position * self.num_steps : (position + 1) * self.num_steps + 1]
        return columns[:, :-1].astype(np.int32, order="C"), columns[:, 1:].astype(np.int32, order="C")

    def _read_block(self, number: int) -> NDArray[np.integer[Any]]:
        """Copies the streams over some batches and one symbol, a few streams at a time; (batch, time)."""
        width = self._batches_per_block * self.num_steps
        streams = self._streams[:, number * width : (number + 1) * width + 1]
        block = np.empty_like(streams, order="C")
        for first in range(0, self.batch_size, STREAMS_AT_ONCE):
            rows = slice(first, first + STREAMS_AT_ONCE)
            block[rows] = streams[rows]
            if self._release is not None:
                self._release()
        return block


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
    if not fits and size > 1:  # neither fits beside the other as it is, but a single sequence does
        fits = [f"batch_size 1 with num_steps {size - 1:,}"]
    advice = f"the largest that fits is {' or '.join(fits)}; or" if fits else "nothing fits:"
    return (
        f"{size:,} symbols are too few for one batch of batch_size {batch_size:,} and "
        f"num_steps {num_steps:,}, which takes {needed:,}; {advice} give a longer text"
    )
