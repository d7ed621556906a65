"""The next batch and its dropout masks, prepared on a thread while the backend computes."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charkit.charrnn import CharRNN
from charkit.text.batches import Batches


class Prepared(NamedTuple):
    """One step's input. int32 ``(batch, time)`` each; masks bool ``(layer, batch, time, unit)`` or None."""

    inputs: NDArray[np.int32]
    targets: NDArray[np.int32]
    masks: NDArray[np.bool_] | None


def prepared_batches(
    model: CharRNN, batches: Batches, first_step: int, last_step: int
) -> Generator[Prepared, None, None]:
    """Yields the batches of the steps first to last, counted from 1, one step ahead of its caller.

    Every array is fresh and never written to again, since a framework may still read it later. Close the generator
    if it may not be exhausted: the garbage collector could run in its own thread, which can't end itself.
    """

    def prepare(step: int) -> Prepared:
        inputs, targets = batches.of_step(step)
        return Prepared(inputs, targets, model.masks(step, inputs.shape))

    with ThreadPoolExecutor(1, "charkit-prefetch") as pool:
        coming = pool.submit(prepare, first_step)
        for step in range(first_step, last_step + 1):
            ready = coming.result()
            if step < last_step:
                coming = pool.submit(prepare, step + 1)
            yield ready
