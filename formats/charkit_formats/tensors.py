"""Reading a safetensors file of another program. Anything else is refused; a pickle is recognized and named.

The content decides, not the name of the file. Nothing that is read here is executed.
"""

from __future__ import annotations

import json
import pickletools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize, safe_open

from charkit_formats.errors import FormatError

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
#: What a pickle without the mark of a protocol may be at most, to be tried as one.
_TRIED_BYTES = 1 << 20
_FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16}


_SAVE = "safetensors.torch.save_model(model, 'FILE.safetensors')"
_PICKLE = (
    "{!r} is a pickle (torch.save writes them, also inside a zip archive), which can execute code when it is read; "
    f"charkit reads safetensors only; save the model again where it is at hand: {_SAVE}"
)
_OTHER = f"{{!r}} is not a safetensors file; give one, as {_SAVE} writes it"


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
        try:
            with safe_open(path, framework="np"):
                pass  # opening checks that the header fits the file
            with path.open("rb") as file:
                header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        except (SafetensorError, ValueError) as error:
            raise FormatError(
                f"{str(path)!r} is not a whole safetensors file ({error}); copy or save it again"
            ) from error
        metadata = header.pop("__metadata__", {})
        tensors = {name: Tensor(entry["dtype"], tuple(entry["shape"])) for name, entry in header.items()}
        return cls(path, tensors, metadata)

    def read(self, names: Iterable[str]) -> dict[str, NDArray[Any]]:
        """The tensors of these names; bfloat16 and float16 as float32, which holds them exactly."""
        wanted = set(names)
        read: Callable[[bytes], list[tuple[str, dict[str, Any]]]] = deserialize
        found = dict(read(self.path.read_bytes()))
        return {name: _array(entry) for name, entry in found.items() if name in wanted}


def _array(entry: dict[str, Any]) -> NDArray[Any]:
    if entry["dtype"] == "BF16":  # the upper half of a float32
        halves = np.frombuffer(entry["data"], dtype="<u2")
        return (halves.astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])
    array = np.frombuffer(entry["data"], dtype=_FLOATS[entry["dtype"]]).reshape(entry["shape"])
    return array.astype(np.float32) if entry["dtype"] == "F16" else array


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(16)
    except OSError as error:
        raise FormatError(
            f"can't read {str(path)!r}: {error.strerror}; give the path of a safetensors file"
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
