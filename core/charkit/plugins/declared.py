"""What a backend declares about itself, checked where it is read: a wrong type is an error of one line."""

from __future__ import annotations

from typing import Any

from charkit.backend import Backend
from charkit.errors import BackendError


def devices_of(backend: type[Backend[Any]]) -> list[str]:
    """The devices that a backend's class declares. Raises BackendError unless they are a list of names."""
    devices: Any = backend.devices()
    if not isinstance(devices, list) or not all(map(_is_line, devices)):
        raise _wrong(backend, "devices()", devices, 'a list of names such as ["cpu"], the default first')
    if len(set(devices)) < len(devices):
        raise _wrong(backend, "devices()", devices, "each name once")
    return list(devices)


def notices_of(backend: Backend[Any]) -> tuple[str, ...]:
    """What the user should read before training. Raises BackendError unless it is a tuple of lines."""
    notices: Any = backend.notices()
    if not isinstance(notices, tuple) or not all(map(_is_line, notices)):
        raise _wrong(type(backend), "notices()", notices, "a tuple of lines of text, which may be empty")
    return tuple(map(str, notices))


def versions_of(backend: Backend[Any]) -> dict[str, str]:
    """The versions of its libraries. Raises BackendError unless they are a dictionary from text to text."""
    versions: Any = backend.versions()
    if not isinstance(versions, dict) or not all(
        _is_line(text) for text in (*versions.keys(), *versions.values())
    ):
        raise _wrong(type(backend), "versions()", versions, "a dictionary of library names and versions")
    return {str(name): str(version) for name, version in versions.items()}


def device_memory_bytes_of(backend: Backend[Any]) -> int | None:
    """The most memory of its device that was used. Raises BackendError unless it is a number of bytes or None."""
    memory: Any = backend.device_memory_bytes()
    if memory is not None and (type(memory) is not int or memory < 0):
        raise _wrong(type(backend), "device_memory_bytes()", memory, "a whole number of bytes, or None")
    return memory


def _is_line(text: Any) -> bool:
    return isinstance(text, str) and bool(text.strip()) and len(text.splitlines()) == 1


def _wrong(backend: type[Backend[Any]], method: str, given: Any, wanted: str) -> BackendError:
    name = getattr(backend, "name", backend.__name__)
    given = repr(given)
    return BackendError(
        f"backend {name!r} is broken: {method} returned {given:.120}; it must return {wanted}"
    )
