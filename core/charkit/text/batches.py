"""Contiguous batches of a text, with the true next symbol as the target of every input.

The text becomes ``batch_size`` parallel streams; a batch is the next ``num_steps`` symbols of each, so
that the state carried from batch to batch always fits. The target of a batch's last column is the
symbol that follows it in the text, which is the next batch's first input.

With random offsets the text is a circle, its end followed by its beginning, and each epoch begins at another place of
it, so that the streams and the batches of one epoch are not those of the last. The only target that is not the true
next symbol is then the text's first, after its last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from charkit.errors import TextError, counted
from charkit.randomness import Purpose, uniform

#: What is copied from the text at once, for many batches, so that its pages are touched seldom.
BLOCK_BYTES = 4 << 20
#: The most of a memory-mapped text that reading it should make resident.
RESIDENT_BYTES = 32 << 20
#: What touching one page may make resident: Linux maps the neighbors that it keeps together in its cache
#: (about 1 MiB was measured on 6.18).
MAPPED_AT_ONCE_BYTES = 1 << 20
STREAMS_AT_ONCE = RESIDENT_BYTES // MAPPED_AT_ONCE_BYTES


class Batches:
    """The batches of each epoch over ``symbols[start:stop]``.

    Args:
        symbols: the encoded text, any integer type, (time,); may be memory-mapped.
        batch_size: streams side by side.
        num_steps: symbols of each stream in one batch.
        start, stop: the half-open range of the text to use; by default all of it.
        offset_seed: where the offset of each epoch's streams is drawn from; None for streams that always begin at
            ``start``.
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
        offset_seed: int | None = None,
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
        #: Symbols of the range that are neither an input nor a target in an epoch: its last ones, with an offset those
        #: before it.
        self.left_over = text.size - 1 - self.count * self.characters_per_step
        self._text = text
        self._offset_seed = offset_seed
        self._epoch = 0
        self._release = release if text.nbytes > RESIDENT_BYTES else None
        self._batches_per_block = max(1, BLOCK_BYTES // (self.characters_per_step * text.itemsize))
        self._block_number = -1
        self._block = np.empty((batch_size, 0), dtype=text.dtype)
        self._begin_at(self.offset(0))

    def offset(self, epoch: int) -> int:
        """Where in the range the first stream of an epoch, counted from 0, begins."""
        if self._offset_seed is None:
            return 0
        draw = uniform(self._offset_seed, Purpose.EPOCH_OFFSET, epoch, size=1)[0]
        return int(draw * self._text.size)

    def of_step(self, step: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Inputs and targets of a training step, counted from 1 over all epochs; see ``batch``."""
        epoch, index = divmod(step - 1, self.count)
        return self.batch(index, epoch)

    def batch(self, index: int, epoch: int = 0) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Returns inputs and targets of batch ``index`` of an epoch, each a fresh int32 (batch, time), C-contiguous.

        Batches come in any order, and fastest in rising order; one thread at a time. Raises IndexError
        unless ``0 <= index < count``.
        """
        if not 0 <= index < self.count:
            raise IndexError(f"batches are numbered from 0 to {self.count - 1}; given {index}")
        number, position = divmod(index, self._batches_per_block)
        if epoch != self._epoch and self._offset_seed is not None:
            self._begin_at(self.offset(epoch))
            self._epoch = epoch
        if number != self._block_number:
            self._block = self._read_block(number)
            self._block_number = number
        columns = self._block[:, position * self.num_steps : (position + 1) * self.num_steps + 1]
        return columns[:, :-1].astype(np.int32, order="C"), columns[:, 1:].astype(np.int32, order="C")

    def _begin_at(self, offset: int) -> None:
        """Lays out the streams of an epoch that begins at the offset, as views of the text.

        They are (batch, time of the epoch + 1). Rows overlap by one symbol, the last target of one and the first input
        of the next. Some streams come before the end of the text, then at most one goes on at its beginning, and then
        some come from there.
        """
        length, size = self.count * self.num_steps, self._text.size  # of one stream's inputs, and of the text
        before = min(self.batch_size, (size - 1 - offset) // length)
        self._before = self._rows(offset, before)
        self._crossing_begin = offset + before * length  # if any is left
        self._after = self._rows(
            max(0, self._crossing_begin + length - size), max(0, self.batch_size - before - 1)
        )
        self._block_number = -1

    def _rows(self, begin: int, count: int) -> NDArray[np.integer[Any]]:
        """So many streams, one after the other from a place in the text, as a view; (batch, time)."""
        length, stride = self.count * self.num_steps, self._text.strides[0]
        return as_strided(self._text[begin:], (count, length + 1), (length * stride, stride), writeable=False)

    def _read_block(self, number: int) -> NDArray[np.integer[Any]]:
        """Copies the streams over some batches and one symbol, a few streams at a time; (batch, time)."""
        width = self._batches_per_block * self.num_steps
        first, last = number * width, min((number + 1) * width, self.count * self.num_steps) + 1
        block = np.empty((self.batch_size, last - first), dtype=self._text.dtype)
        before = len(self._before)
        self._copy(self._before[:, first:last], block[:before])
        if before < self.batch_size:
            self._copy_crossing(first, block[before])
            self._copy(self._after[:, first:last], block[before + 1 :])
        return block

    def _copy(self, streams: NDArray[np.integer[Any]], block: NDArray[np.integer[Any]]) -> None:
        for first in range(0, len(streams), STREAMS_AT_ONCE):
            rows = slice(first, first + STREAMS_AT_ONCE)
            block[rows] = streams[rows]
            if self._release is not None:
                self._release()

    def _copy_crossing(self, first: int, row: NDArray[np.integer[Any]]) -> None:
        """Copies from ``first`` on of the stream that goes on at the beginning of the text, in one piece or two."""
        begin = (self._crossing_begin + first) % self._text.size
        until_end = min(len(row), self._text.size - begin)
        row[:until_end] = self._text[begin : begin + until_end]
        row[until_end:] = self._text[: len(row) - until_end]
        if self._release is not None:
            self._release()


def _too_short(size: int, batch_size: int, num_steps: int) -> str:
    needed = batch_size * num_steps + 1
    fits = [
        f"a {name} of at most {largest:,} (with {other})"
        for name, largest, other in (
            ("`batch_size`", (size - 1) // num_steps, f"`num_steps` {num_steps:,}"),
            ("`num_steps`", (size - 1) // batch_size, f"`batch_size` {batch_size:,}"),
        )
        if largest >= 1
    ]
    if not fits and size > 1:  # neither fits beside the other as it is, but a single sequence does
        fits = [f"a `batch_size` of 1 with a `num_steps` of at most {size - 1:,}"]
    *commas, last = [*fits, "a longer text"]
    advice = f"use {', '.join(commas)}{',' * (len(commas) > 1)} or {last}" if commas else "give a longer text"
    return (
        f"{counted(size, 'symbol')} {'is' if size == 1 else 'are'} too few for one batch: `batch_size` {batch_size:,} "
        f"and `num_steps` {num_steps:,} need {needed:,}; {advice}"
    )
