"""Messages between a driver and a local worker: plain values as JSON and arrays as safetensors, nothing that executes.

A message is the lengths of its two parts, eight bytes each, and the parts.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
import safetensors.numpy

from charkit.backend import Array

_LENGTHS = struct.Struct("<QQ")


class MessageEndError(EOFError):
    """The other side has closed its end, or died in the middle of a message."""


def write_message(stream: IO[bytes], values: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Writes one message. Raises BrokenPipeError when the reader has closed its end."""
    text = json.dumps(values).encode()
    data = safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    stream.write(_LENGTHS.pack(len(text), len(data)))
    stream.write(text)
    stream.write(data)
    stream.flush()


def read_message(stream: IO[bytes]) -> tuple[dict[str, Any], dict[str, Array]]:
    """Reads one message. Raises MessageEndError where there is no whole one."""
    of_values, of_arrays = _LENGTHS.unpack(_read(stream, _LENGTHS.size))
    values = json.loads(_read(stream, of_values))
    return values, safetensors.numpy.load(_read(stream, of_arrays))


def _read(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise MessageEndError
    return data
