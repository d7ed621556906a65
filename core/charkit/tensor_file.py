"""Reading safetensors in Python, so that everything about a stranger's file is checked before an array is made.

The format is eight bytes with the length of a header, the header as JSON, and the bytes of the arrays one after the
other. What is checked goes beyond what its own library checks: equal keys, what charkit writes and nothing else, and
numbers that are not finite.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit.backend import Array
from charkit.errors import shown
from charkit.strict_json import parse_json

#: Bytes of a header that are read at most. A checkpoint of the largest model has less than a tenth of this.
MOST_HEADER_BYTES = 1 << 20
LENGTH_BYTES = 8
#: The bytes of one number of each type of the format.
ITEM_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 8),
}
#: The types that NumPy has, by their names in the format.
_NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4"}
#: The keys of a header's entry.
_ENTRY = {"dtype", "shape", "data_offsets"}


@dataclass(frozen=True)
class TensorEntry:
    """What a header says of one array: its type by the format's name, its shape, and where its bytes are."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class TensorHeader:
    """The entries of a file by name, its metadata, and the position of the first array's first byte."""

    entries: dict[str, TensorEntry]
    metadata: dict[str, str]
    data_start: int

    @classmethod
    def parse(
        cls, content: bytes, size: int | None = None, *, most_bytes: int = MOST_HEADER_BYTES
    ) -> TensorHeader:
        """Reads the header at the beginning of ``content``; ``size`` is the whole file's, if that is more.

        Raises ValueError, with one sentence, unless the entries describe all bytes that come after it, each once.
        """
        if len(content) < LENGTH_BYTES:
            raise ValueError("it is too short to be a safetensors file")
        length = int.from_bytes(content[:LENGTH_BYTES], "little")
        if length > most_bytes:
            raise ValueError(
                f"its header would have {length:,} bytes, but at most {most_bytes:,} are allowed"
            )
        start = LENGTH_BYTES + length
        if len(content) < start:
            raise ValueError("its header is truncated")
        try:
            header = parse_json(memoryview(content)[LENGTH_BYTES:start])
        except ValueError as error:
            raise ValueError(f"its header can't be read: {error}") from error
        if not isinstance(header, dict):
            raise ValueError("its header is not a JSON object")
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
            raise ValueError("its metadata is not a JSON object whose values are strings")
        entries = {name: _entry(name, entry) for name, entry in header.items()}
        _check_layout(entries, (len(content) if size is None else size) - start)
        return cls(entries, metadata, start)

    def array(self, content: bytes, name: str) -> Array:
        """A copy of the array of this name in ``content``, the whole file.

        bfloat16, which NumPy lacks, comes as float32. Raises ValueError for a type that is no array of NumPy's.
        """
        entry = self.entries[name]
        dtype, start, count = entry.dtype, self.data_start + entry.start, prod(entry.shape)
        if dtype == "BF16":  # the upper half of a float32
            halves = np.frombuffer(content, "<u2", count, start)
            return (halves.astype(np.uint32) << 16).view(np.float32).reshape(entry.shape)
        if dtype not in _NUMPY:
            raise ValueError(f"the array {shown(name)} has the type {dtype}, which can't be read")
        return np.frombuffer(content, _NUMPY[dtype], count, start).reshape(entry.shape).copy()


def read_arrays(
    content: bytes, shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype[Any]
) -> dict[str, Array]:
    """The arrays of a file that must hold these names and shapes in this type, float32 or float64, and no more.

    Raises ValueError, with one sentence, for anything else, and for numbers that are not finite.
    """
    header = TensorHeader.parse(content)
    if header.metadata:
        raise ValueError(
            f"it has metadata ({shown(next(iter(header.metadata)))}), which does not belong in this file"
        )
    for name in sorted(shapes.keys() | header.entries.keys()):
        if name not in header.entries:
            raise ValueError(f"the array {name} is missing")
        if name not in shapes:
            raise ValueError(f"the array {shown(name)} does not belong in this file")
        entry = header.entries[name]
        if _NUMPY.get(entry.dtype) != dtype.str:
            raise ValueError(f"the array {name} has the type {shown(entry.dtype)}; it must be {dtype}")
        if entry.shape != shapes[name]:
            raise ValueError(f"the array {name} has the shape {entry.shape}; it must be {shapes[name]}")
    arrays = {name: header.array(content, name) for name in shapes}
    wrong = first_not_finite(arrays.items())
    if wrong is not None:
        raise ValueError(f"the array {wrong} contains non-finite numbers")
    return arrays


def first_not_finite(arrays: Iterable[tuple[str, NDArray[Any]]]) -> str | None:
    """The name of the first array that holds nan or infinity; None where all numbers are finite.

    Both show in the smallest or the largest number, which NumPy finds without making an array.
    """
    for name, array in arrays:
        if array.size and not (isfinite(array.min()) and isfinite(array.max())):
            return name
    return None


def _entry(name: str, entry: Any) -> TensorEntry:
    array = shown(name)
    if not isinstance(entry, dict) or entry.keys() != _ENTRY:
        raise ValueError(f"its header does not describe {array} by type, shape and offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise ValueError(f"{array} has the type {shown(dtype)}, which the format does not define")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(
            f"the shape of {array} is not a list of non-negative integers, or its offsets are not two such integers"
        )
    start, stop = offsets
    if stop - start != prod(shape) * ITEM_BYTES[dtype]:
        raise ValueError(f"the offsets of {array} don't fit its shape and type")
    return TensorEntry(dtype, tuple(shape), start, stop)


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _check_layout(entries: Mapping[str, TensorEntry], size: int) -> None:
    """Raises ValueError unless the arrays lie one after the other, from the first byte to the last."""
    position = 0
    for entry in sorted(entries.values(), key=lambda entry: (entry.start, entry.stop)):
        if entry.start != position:
            raise ValueError("its arrays overlap or have unused bytes between them")
        position = entry.stop
    if position != size:
        raise ValueError(f"its arrays have {position:,} bytes, but {size:,} come after the header")
