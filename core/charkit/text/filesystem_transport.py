"""Objects in a store that fsspec has a file system for: S3, Google Cloud Storage, the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

import fsspec

from charkit.text.transport import (
    DOWNLOAD,
    AbsentError,
    ChangedError,
    LastingError,
    PassingError,
    Stream,
    Version,
)

#: Bytes that are asked for at once.
BLOCK_BYTES = 8 << 20
#: What stores have, under which name, for one content of an object.
_TOKENS = (
    *("ETag", "etag", "generation", "md5Hash", "VersionId", "version_id", "blob_id", "xet_hash"),
    *("LastModified", "last_modified", "updated", "mtime"),
)
#: Stores whose file systems raise a plain ValueError, or one of these, for a path that nothing can have.
_CHECKING_PATHS, _OF_PATHS = ("hf", "s3"), ("HFValidationError", "HfUriError")
_LASTING = (FileNotFoundError, IsADirectoryError, PermissionError, ImportError, NotImplementedError)

Result = TypeVar("Result")


@cache
def file_system(scheme: str) -> Any:
    """The file system of a store, which is made once: that can take a second."""
    # Listings that are kept would hide a change.
    return fsspec.get_filesystem_class(scheme)(skip_instance_cache=True, use_listings_cache=False)


class FilesystemTransport:
    """An object, or a folder, in a store. Raises ImportError where the store's package is not installed."""

    def __init__(self, scheme: str, url: str) -> None:
        self._scheme = scheme
        get_class: Any = fsspec.get_filesystem_class(scheme)
        self._path: str = get_class._strip_protocol(url.partition("#")[0].partition("?")[0])

    def find(self) -> Version:
        """The version that the store has now."""
        found = self._info()
        if found.get("type") == "directory":
            raise LastingError("this is a directory; give the URL of a file")
        return _version(found)

    def open(self, version: Version, offset: int) -> Stream:
        """The object from a byte on; every part that is fetched is of this version, where the store can see to it."""
        # s3fs requests each part by the ETag that it found; gcsfs requests a generation only when one is given.
        generation = dict(version.tokens).get("generation")
        pinned = {"generation": generation} if generation and self._scheme == "gs" else {}
        file = self._try(
            lambda system: system.open(
                self._path, "rb", block_size=BLOCK_BYTES, cache_type="readahead", **pinned
            )
        )
        try:
            version.check(_version(self._try(lambda _: file.details)))
            self._try(lambda _: file.seek(offset))
        except BaseException:
            file.close()
            raise
        return _FileStream(self, file, offset)

    def files(self) -> list[str] | None:
        """The URLs of all files in the folder, sorted; None for what is no folder."""
        if self._info().get("type") != "directory":
            return None
        return [
            f"{self._scheme}://{path}"
            for path in sorted(self._try(lambda system: system.find(self._path), looks_up=True))
        ]

    def _info(self) -> Mapping[str, Any]:
        def info(system: Any) -> Mapping[str, Any]:
            system.invalidate_cache()
            found: Mapping[str, Any] = system.info(self._path)
            return found

        return self._try(info, looks_up=True)

    def read(self, file: Any, size: int) -> bytes:
        """At most so many bytes of an open file."""
        try:
            raw: bytes = self._try(lambda _: file.read(size))
        except AbsentError as error:  # it was there a moment ago
            raise ChangedError from error
        return raw

    def _try(self, action: Callable[[Any], Result], *, looks_up: bool = False) -> Result:
        """The result of an action on the store's file system, which may look the path up.

        Raises PassingError and LastingError.
        """
        try:
            return action(file_system(self._scheme))
        except FileNotFoundError as error:
            raise AbsentError("the store has no such object; check the URL") from error
        except PermissionError as error:
            raise LastingError("the store denied access; give fsspec credentials that allow it") from error
        except _LASTING as error:
            raise LastingError(f"fsspec raised {type(error).__name__}; {DOWNLOAD}") from error
        except Exception as error:
            name = type(error).__name__
            if name == "FileExpired":  # what s3fs raises where the ETag is another
                raise ChangedError from error
            if "Credential" in name or "Auth" in name or "Token" in name:
                raise LastingError(
                    f"fsspec has no credentials that the store accepts ({name}); give it valid credentials"
                ) from error
            if (
                looks_up
                and self._scheme in _CHECKING_PATHS
                and (type(error) is ValueError or name in _OF_PATHS)
            ):
                raise LastingError("the store can't have an object with this URL; check the URL") from error
            raise PassingError(f"the store can't be reached, or returned an error ({name})") from error


class _FileStream:
    def __init__(self, transport: FilesystemTransport, file: Any, offset: int) -> None:
        self.offset = offset
        self._transport, self._file = transport, file

    def read(self, size: int) -> bytes:
        return self._transport.read(self._file, size)

    def close(self) -> None:
        self._file.close()


def _version(info: Mapping[str, Any]) -> Version:
    size = info.get("size")
    if not isinstance(size, int):
        raise LastingError(f"the store does not report the size of the object; {DOWNLOAD}")
    return Version(size, tuple((key, str(info[key])) for key in _TOKENS if info.get(key) is not None))
