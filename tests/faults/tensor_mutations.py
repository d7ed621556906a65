"""safetensors files that charkit does not write: other types, shapes, names and numbers, and headers that lie."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

Header = dict[str, Any]
#: Numbers of float32 that don't belong into a network.
_ODD_NUMBERS = {
    "nan": b"\0\0\xc0\x7f",
    "inf": b"\0\0\x80\x7f",
    "-inf": b"\0\0\x80\xff",
    "3e38": b"\x99v\x61\x7f",
    "-1": b"\0\0\x80\xbf",
}


def split(content: bytes) -> tuple[Header, bytes]:
    """The header of a file, and what comes after it."""
    start = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:start]), content[start:]


def joined(header: str, data: bytes) -> bytes:
    """A file of a header and what comes after it."""
    text = header.encode("utf-8", "surrogatepass")
    return len(text).to_bytes(8, "little") + text + data


def mutate_tensors(content: bytes, random: Random) -> tuple[bytes, str]:
    """A file with one thing changed, and what that was."""
    header, data = split(content)
    name = random.choice([name for name in header if name != "__metadata__"])
    change = random.choice(_CHANGES)
    return change(header, data, name, random)


def _odd_number(header: Header, data: bytes, name: str, random: Random) -> tuple[bytes, str]:
    kind = random.choice(list(_ODD_NUMBERS))
    start, stop = header[name]["data_offsets"]
    at = start + 4 * random.randrange((stop - start) // 4)
    return joined(json.dumps(header), data[:at] + _ODD_NUMBERS[kind] + data[at + 4 :]), f"{kind} in {name}"


def _other_type(header: Header, data: bytes, name: str, random: Random) -> tuple[bytes, str]:
    dtype = random.choice(
        ("F16", "BF16", "F64", "I32", "I64", "U8", "BOOL", "C64", "F8_E4M3", "X9", "", 7, None)
    )
    was = header[name]["dtype"]
    header[name]["dtype"] = dtype
    if dtype == "I32" or random.random() < 0.5:
        return joined(json.dumps(header), data), f"the type {dtype} for {was} in {name}"
    sizes = {"F16": 2, "BF16": 2, "F64": 8, "I64": 8, "U8": 1, "BOOL": 1, "C64": 8, "F8_E4M3": 1}
    return _with_lengths(
        header, data, name, sizes.get(str(dtype), 4)
    ), f"the type {dtype} with its bytes in {name}"


def _with_lengths(header: Header, data: bytes, name: str, size: int) -> bytes:
    """The file with as many bytes for the array as its type needs."""
    start, stop = header[name]["data_offsets"]
    count = (stop - start) // 4
    length = count * size
    moved = length - (stop - start)
    for other, entry in header.items():
        if other != "__metadata__" and entry["data_offsets"][0] >= stop:
            entry["data_offsets"] = [offset + moved for offset in entry["data_offsets"]]
    header[name]["data_offsets"] = [start, start + length]
    return joined(json.dumps(header), data[:start] + bytes(length) + data[stop:])


def _other_shape(header: Header, data: bytes, name: str, random: Random) -> tuple[bytes, str]:
    shape = header[name]["shape"]
    odd: list[Any] = [
        [*shape[::-1], 1], [*shape, 1], [0, *shape], [], [-1], [2**62, 2**62], [1.5], ["4"], None, [10**25], shape[1:],
    ]  # fmt: skip
    chosen = random.choice(odd)
    header[name]["shape"] = chosen
    return joined(json.dumps(header), data), f"the shape {chosen} for {name}"


def _other_names(header: Header, data: bytes, name: str, random: Random) -> tuple[bytes, str]:
    kind = random.choice(("drop", "rename", "foreign", "metadata", "swap"))
    if kind == "drop":
        del header[name]
    elif kind == "rename":
        header[random.choice(("", "x", "../x", name.upper(), "\x1b[2J"))] = header.pop(name)
    elif kind == "foreign":
        header["foreign"] = {"dtype": "F32", "shape": [1], "data_offsets": [len(data), len(data) + 4]}
        data += bytes(4)
    elif kind == "metadata":
        header["__metadata__"] = random.choice(({"a": "b"}, {"a": 1}, [], "x", {"vocabulary": "["}))
    else:
        other = random.choice([each for each in header if each != "__metadata__"])
        header[name], header[other] = header[other], header[name]
    return joined(json.dumps(header), data), f"{kind} {name}"


def _offsets(header: Header, data: bytes, name: str, random: Random) -> tuple[bytes, str]:
    start, stop = header[name]["data_offsets"]
    odd: list[Any] = [
        [start + 4, stop + 4], [stop, start], [0, stop - start], [start], [-4, 0], [0, 2**63], None, ["0", "4"],
        [start, stop, stop],
    ]  # fmt: skip
    chosen = random.choice(odd)
    header[name]["data_offsets"] = chosen
    return joined(json.dumps(header), data), f"the offsets {chosen} for {name}"


def _bad_header(header: Header, data: bytes, _name: str, random: Random) -> tuple[bytes, str]:
    kind = random.choice(("length", "huge length", "double", "deep", "digits", "list", "not JSON", "blanks"))
    text = json.dumps(header)
    if kind == "length":
        return (len(text) + random.choice((-3, 1, 40))).to_bytes(8, "little") + text.encode() + data, kind
    if kind == "huge length":
        return random.choice((2**63, 2**40, 100_000_001)).to_bytes(8, "little") + text.encode() + data, kind
    texts = {
        "double": text[:-1] + "," + text[1:],
        "deep": '{"a":' * 30_000 + "1" + "}" * 30_000,
        "digits": text.replace('"shape": [', f'"shape": [{"9" * 5000}, ', 1),
        "list": f"[{text}]",
        "not JSON": text[: len(text) // 2],
        "blanks": text + " " * 2_000_000,
    }
    return joined(texts[kind], data), f"a header with {kind}"


_CHANGES: tuple[Callable[[Header, bytes, str, Random], tuple[bytes, str]], ...] = (
    _odd_number,
    _odd_number,
    _other_type,
    _other_shape,
    _other_names,
    _offsets,
    _bad_header,
)
