"""What a backend declares about itself, checked where it is read: a wrong type is an error of one line."""

from __future__ import annotations

from typing import Any

from charkit.backend import Backend
from charkit.errors import BackendError
from charkit.plugins.failures import represent

#: A declaration beyond these is no list that anyone reads; it would fill terminals, messages and memory.
MOST_NAMES = 1000
MOST_CHARACTERS = 1000


def devices_of(backend: type[Backend[Any]]) -> list[str]:
    """The devices that a backend's class declares. Raises BackendError unless they are a list of names."""
    devices: Any = backend.devices()
    if not isinstance(devices, list) or not all(map(is_name, devices[:MOST_NAMES])):
        raise _wrong(backend, "devices()", devices, 'a list of names such as ["cpu"], the default first')
    if len(devices) > MOST_NAMES:
        raise _wrong(backend, "devices()", devices, f"at most {MOST_NAMES:,} names, not {len(devices):,}")
    if len(set(devices)) < len(devices):
        raise _wrong(backend, "devices()", devices, "each name once")
    return list(devices)


def notices_of(backend: Backend[Any]) -> tuple[str, ...]:
    """What the user should read before training. Raises BackendError unless it is a tuple of lines."""
    notices: Any = backend.notices()
    if not isinstance(notices, tuple) or not all(map(is_name, notices)):
        raise _wrong(type(backend), "notices()", notices, "a tuple, possibly empty, of lines of text")
    return tuple(map(str, notices))


def versions_of(backend: Backend[Any]) -> dict[str, str]:
    """The versions of its libraries. Raises BackendError unless they are a dictionary from text to text."""
    versions: Any = backend.versions()
    if not isinstance(versions, dict) or not all(
        is_name(text) for text in (*versions.keys(), *versions.values())
    ):
        raise _wrong(type(backend), "versions()", versions, "a dictionary of library names and versions")
    return {str(name): str(version) for name, version in versions.items()}


def settings_of(backend: Backend[Any]) -> dict[str, str | int]:
    """Its precision, device and threads. Raises BackendError unless they are two names and a number above 0."""
    names = {name: getattr(backend, name, None) for name in ("precision", "device")}
    threads = getattr(backend, "threads", None)
    for name, value in names.items():
        if not is_name(value):
            raise _broken(
                type(backend),
                f"its {name} is {represent(value)}; it must be the value that the backend was created with",
            )
    if type(threads) is not int or threads < 1:
        number = "the number of CPU threads that the backend uses"
        raise _broken(type(backend), f"its threads attribute is {represent(threads)}; it must be {number}")
    return {**{name: str(value) for name, value in names.items()}, "threads": threads}


def device_memory_bytes_of(backend: Backend[Any]) -> int | None:
    """The most memory of its device that was used. Raises BackendError unless it is a number of bytes or None."""
    memory: Any = backend.device_memory_bytes()
    if memory is not None and (type(memory) is not int or memory < 0):
        raise _wrong(type(backend), "device_memory_bytes()", memory, "an integer (a number of bytes) or None")
    return memory


def is_name(text: object) -> bool:
    """Whether it is a text of one line that shows as it is, without characters that a terminal would obey."""
    return (
        isinstance(text, str) and bool(text.strip()) and len(text) <= MOST_CHARACTERS and text.isprintable()
    )


def _wrong(backend: type[Backend[Any]], method: str, given: Any, wanted: str) -> BackendError:
    return _broken(backend, f"{method} returned {represent(given)}; it must return {wanted}")


def _broken(backend: type[Backend[Any]], what: str) -> BackendError:
    return BackendError(f"backend {getattr(backend, 'name', backend.__name__)!r} is broken: {what}")
