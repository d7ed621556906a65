"""Reading a safetensors file of another program. Anything else is refused; a pickle is recognized and named.

The content decides, not the name of the file. Nothing that is read here is executed.
"""

from __future__ import annotations

import pickletools
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit.tensor_file import LENGTH_BYTES, TensorHeader
from charkit_formats.errors import FormatError

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
#: What a pickle without the mark of a protocol may be at most, to be tried as one.
_TRIED_BYTES = 1 << 20
#: What the header of a file may have at most: metadata hold the vocabulary, which may be every character there is.
MOST_HEADER_BYTES = 32 << 20


_SAVE = "safetensors.torch.save_model(model, 'FILE.safetensors')"
_PICKLE = (
    "{!r} is a pickle (the format of torch.save, with or without a zip archive around it), which can execute code "
    f"when it is read; charkit reads safetensors only; save the model again with: {_SAVE}"
)
_OTHER = f"{{!r}} is not a safetensors file; give a file written by {_SAVE}"


@dataclass(frozen=True)
class Tensor:
    """A tensor as the header describes it: its type by its name in safetensors, and its shape."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class TensorFile:
    """A safetensors file whose header has been read and checked."""

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str]

    @classmethod
    def open(cls, path: Path) -> TensorFile:
        """Reads the header. Raises FormatError for a file that is no safetensors file, or not a whole one."""
        start = _first_bytes(path)
        if not _seems_safetensors(start):
            raise FormatError(
                _PICKLE.format(str(path)) if _is_pickle(start, path) else _OTHER.format(str(path))
            )
        header = _header(path, _read(path, MOST_HEADER_BYTES + LENGTH_BYTES), path.stat().st_size)
        tensors = {name: Tensor(entry.dtype, entry.shape) for name, entry in header.entries.items()}
        return cls(path, tensors, header.metadata)

    def read(self, names: Iterable[str]) -> dict[str, NDArray[Any]]:
        """The tensors of these names; bfloat16 and float16 as float32, which represents them exactly.

        Raises FormatError where the file has changed since it was opened.
        """
        content = _read(self.path)
        header = _header(self.path, content, len(content))
        found = {name: Tensor(entry.dtype, entry.shape) for name, entry in header.entries.items()}
        if found != self.tensors:
            raise FormatError(f"{str(self.path)!r} changed while it was being read; import it again")
        return {name: _widened(header.array(content, name)) for name in names}


def _header(path: Path, start: bytes, size: int) -> TensorHeader:
    try:
        return TensorHeader.parse(start, size, most_bytes=MOST_HEADER_BYTES)
    except ValueError as error:
        raise FormatError(
            f"{str(path)!r} is not a valid safetensors file ({error}); copy or save it again"
        ) from error


def _widened(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _first_bytes(path: Path) -> bytes:
    return _read(path, 16)


def _read(path: Path, most: int = -1) -> bytes:
    """The first ``most`` bytes of a file, or all of it. Raises FormatError for a pipe, which would never end, too."""
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
            raise FormatError(f"{str(path)!r} is a pipe or a device; give the path of a safetensors file")
        with path.open("rb") as file:
            return file.read(most)
    except (OSError, ValueError) as error:  # a path with a NUL in it is a ValueError
        reason = getattr(error, "strerror", None) or str(error)
        raise FormatError(
            f"can't read {str(path)!r}: {reason}; give the path of a safetensors file"
        ) from error


def _seems_safetensors(start: bytes) -> bool:
    """Whether a file starts with the length of a header, which the format keeps far below 4 GiB, and a header."""
    return start[4:9] == b"\0\0\0\0{"


def _is_pickle(start: bytes, path: Path) -> bool:
    """Whether a file is a pickle, or an archive as ``torch.save`` writes it. Looks at its opcodes at most."""
    if start.startswith(_ZIP) or (start[:1] == b"\x80" and start[1:2] <= b"\x05"):
        return True
    if not start or path.stat().st_size > _TRIED_BYTES:
        return False
    try:
        opcodes = sum(1 for _ in pickletools.genops(path.read_bytes()))  # protocol 0 has no mark of its own
    except (ValueError, OverflowError):  # it makes no sense as one
        return False
    return opcodes > 1
