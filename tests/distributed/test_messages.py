"""Messages between a driver and a local worker: what is read is what was written, or an error."""

from __future__ import annotations

import io

import numpy as np
import pytest

from charkit.backend import Array
from charkit.distributed.messages import MessageEndError, read_message, write_message

ARRAYS: dict[str, Array] = {
    "gradient.lstm.0.weight_hh": np.arange(24, dtype=np.float32).reshape(4, 6)[:, ::2],  # not contiguous
    "columns": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    "masks": np.array([True, False]),
    "symbols": np.array([[1, 2, 300]], np.int32),
    "none": np.zeros((0, 5), np.float32),
    "number": np.array(0.5),
    "ä": np.array([255], np.uint8),
}


def _written(arrays: dict[str, Array]) -> bytes:
    stream = io.BytesIO()
    write_message(stream, {"step": 3, "name": "ü"}, arrays)
    return stream.getvalue()


def test_a_message_is_read_as_it_was_written() -> None:
    stream = io.BytesIO(2 * _written(ARRAYS))
    for _ in range(2):
        values, arrays = read_message(stream)
        assert values == {"step": 3, "name": "ü"}
        assert list(arrays) == list(ARRAYS)
        for name, array in arrays.items():
            assert array.dtype == ARRAYS[name].dtype
            assert array.shape == ARRAYS[name].shape
            assert np.array_equal(array, ARRAYS[name])
            assert array.flags.writeable
    with pytest.raises(MessageEndError):
        read_message(stream)


def test_a_message_that_ends_too_early_is_never_taken_for_a_whole_one() -> None:
    whole = _written(ARRAYS)
    for length in range(len(whole)):
        with pytest.raises(MessageEndError):
            read_message(io.BytesIO(whole[:length]))


def test_arrays_whose_bytes_are_not_numbers_are_not_sent() -> None:
    for array in (np.array([{}]), np.array(["text"])):
        with pytest.raises(ValueError, match="can't be sent"):
            write_message(io.BytesIO(), {}, {"array": array})
    written = _written({"array": np.zeros(2)})
    with pytest.raises(ValueError, match="can't be sent"):
        read_message(io.BytesIO(written.replace(b"<f8", b"|O8")))
