"""Whether a safetensors file that was made for PyTorch holds the run's weights and vocabulary, as another reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit.errors import CharkitError, shown
from charkit.tensor_file import TensorHeader
from charkit.text.vocabulary import Vocabulary
from charkit_formats.errors import FormatError
from charkit_formats.tensors import MOST_HEADER_BYTES

#: The types of an export, by their names in NumPy and in the format.
_TYPES = {"float32": "F32", "float64": "F64"}


def check(
    content: bytes,
    vocabulary_file: bytes,
    expected: Mapping[str, NDArray[Any]],
    vocabulary: Vocabulary,
    *,
    is_rounded: bool = False,
) -> tuple[str, ...]:
    """Reads both files back and compares them with the arrays and the vocabulary; returns what was checked.

    ``is_rounded``: the arrays are the run's, rounded to the precision of the export.

    Raises FormatError where they differ.
    """
    try:
        header = TensorHeader.parse(content, most_bytes=MOST_HEADER_BYTES)
        wrong = _difference(header, content, expected)
        for text in (vocabulary_file, header.metadata.get("vocabulary", "")):
            if wrong is None and Vocabulary.from_json(text) != vocabulary:
                wrong = "its vocabulary differs"
    except (CharkitError, ValueError) as error:
        wrong = str(error)
    if wrong is not None:
        raise FormatError(
            f"the exported safetensors file doesn't match the run, so it was not written: {wrong}; report this as a bug"
        )
    if is_rounded:
        precision = next(iter(expected.values())).dtype.name
        arrays = f"every array equals the run's weights in {precision}, bit for bit"
        return (f"read back: {arrays}, and the vocabulary is the run's",)
    return ("read back: every array and the vocabulary equal the run's, bit for bit",)


def _difference(header: TensorHeader, content: bytes, expected: Mapping[str, NDArray[Any]]) -> str | None:
    """How the arrays of the file differ, as a sentence; None if they are the same bits."""
    if header.entries.keys() != expected.keys():
        differing = sorted(header.entries.keys() ^ expected.keys())
        return f"its arrays have different names: {', '.join(map(shown, differing))}"
    for name, array in expected.items():
        entry = header.entries[name]
        if (entry.dtype, entry.shape) != (_TYPES.get(array.dtype.name), array.shape):
            return f"the array {name} has a different type or shape"
        found = header.array(content, name)
        if not np.array_equal(_bits(found), _bits(array)):
            return f"the array {name} differs"
    return None


def _bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
