"""Messages between a driver and a local worker: a header in JSON and the bytes of arrays, nothing that executes.

A message is the length of its header, eight bytes, the header, and the arrays that the header lists, one after the
other. Arrays go from memory to the pipe and from the pipe to memory, without copies in between: gradients have the size
of the weights, and come from every worker in every step.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import IO, Any, cast

import numpy as np

from charkit.backend import Array

_LENGTH = struct.Struct("<Q")
#: The kinds of NumPy's types whose bytes are the numbers themselves.
_KINDS = "biuf"


class MessageEndError(EOFError):
    """The other side has closed its end, or died in the middle of a message."""


def write_message(stream: IO[bytes], values: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Writes one message.

    Raises BrokenPipeError when the reader has closed its end, and ValueError for arrays that hold no numbers.
    """
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    listed = [(name, _checked(array.dtype).str, arrays[name].shape) for name, array in contiguous.items()]
    header = json.dumps({"values": values, "arrays": listed}).encode()
    stream.write(_LENGTH.pack(len(header)))
    stream.write(header)
    for array in contiguous.values():
        stream.write(_bytes_of(array))
    stream.flush()


def read_message(stream: IO[bytes]) -> tuple[dict[str, Any], dict[str, Array]]:
    """Reads one message. Raises MessageEndError where there is no whole one."""
    length = bytearray(_LENGTH.size)
    _fill(stream, memoryview(length))
    header = bytearray(*_LENGTH.unpack(length))
    _fill(stream, memoryview(header))
    message = json.loads(header)
    arrays = {}
    for name, type_name, shape in message["arrays"]:
        arrays[name] = np.empty(shape, _checked(np.dtype(type_name)))
        _fill(stream, _bytes_of(arrays[name]))
    return message["values"], arrays


def _checked(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type. Raises ValueError for one whose bytes are not the numbers themselves."""
    if dtype.kind not in _KINDS:
        raise ValueError(f"arrays of type {dtype.str!r} can't be sent between processes")
    return dtype


def _bytes_of(array: Array) -> memoryview:
    """The memory of a contiguous array."""
    return array.reshape(-1).view(np.uint8).data


def _fill(stream: IO[bytes], memory: memoryview) -> None:
    """Reads as many bytes as the memory has. Raises MessageEndError where there are fewer."""
    if cast(Any, stream).readinto(memory) < len(memory):
        raise MessageEndError
