"""Objects on the web: one request for all of an object, and one more for the rest after each cut connection.

The connection is fsspec's, with the credentials and settings that it has for ``http``. What fsspec itself does for
ranges takes an answer on faith, so requests and the checks of their answers are made here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import aiohttp
import fsspec
from fsspec.asyn import sync

from charkit.text.transport import (
    DOWNLOAD,
    AbsentError,
    ChangedError,
    LastingError,
    PassingError,
    Stream,
    Version,
)

_TIMES = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60)
PIECE_BYTES = 64 << 10
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18})", re.ASCII)
#: A date of change that is older than this when it is told belongs to one content (RFC 9110, 8.8.2.2).
_SETTLED = timedelta(seconds=60)

Result = TypeVar("Result")


class HttpTransport:
    """An object on the web."""

    def __init__(self, url: str) -> None:
        configured = fsspec.config.conf.get("http", {}).get("client_kwargs", {})
        # trust_env: proxies of the environment, and passwords of ~/.netrc
        self._system = fsspec.filesystem(
            "http", encoded="%" in url, client_kwargs={"trust_env": True, **configured}
        )
        self._url = url

    def find(self) -> Version:
        """The version that the server has now, by a request for the first byte: HEAD is often not allowed."""
        response = self._request({"Range": "bytes=0-0"})
        self._close(response)
        if response.status == 416 and (found := _content_range(response)) and found[2] == 0:
            return Version(0, _tokens(response))
        return _version(response)

    def open(self, version: Version, offset: int) -> Stream:
        """The object from a byte on, if the server can say for sure that it is this version; else from its start."""
        headers, proof = {}, dict(version.tokens).get("proof", "")
        if offset and proof:
            headers = {"Range": f"bytes={offset}-", "If-Range": proof}
        response = self._request(headers)
        try:
            found = _version(response)
            if response.status == 206 and _content_range(response)[:2] != (offset, version.size - 1):
                raise PassingError("the server sent a part other than the one requested")
            version.check(found)
            if response.status == 206 and offset and proof not in dict(found.tokens).values():
                raise LastingError(
                    "the server continues a dropped download without saying which version of the file it is sending; "
                    f"{DOWNLOAD}"
                )
        except BaseException:
            self._close(response)
            raise
        return _HttpStream(self, response, offset if response.status == 206 else 0)

    def files(self) -> None:
        """The web has no folders."""

    def _request(self, headers: dict[str, str]) -> aiohttp.ClientResponse:
        response = self.run(lambda: self._get(headers))
        try:
            _check_answer(response, self._url)
        except BaseException:
            self._close(response)
            raise
        return response

    async def _get(self, headers: dict[str, str]) -> aiohttp.ClientResponse:
        session = await self._system.set_session()
        options = dict(self._system.kwargs)
        # Identity: the bytes of a compressed answer can't be counted, nor continued.
        asked = {**options.pop("headers", {}), "Accept-Encoding": "identity", **headers}
        url = self._system.encode_url(self._url)
        answer = await session.get(url, headers=asked, timeout=_TIMES, **options)
        assert isinstance(answer, aiohttp.ClientResponse)
        return answer

    def _close(self, response: aiohttp.ClientResponse) -> None:
        self._system.loop.call_soon_threadsafe(response.close)

    def run(self, action: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Runs a coroutine on fsspec's own thread. Raises PassingError and LastingError."""
        try:
            result: Result = sync(self._system.loop, action)
        except aiohttp.InvalidURL as error:
            raise LastingError("this is not a valid URL; check it") from error
        except aiohttp.TooManyRedirects as error:
            raise LastingError(f"the server redirects endlessly; {DOWNLOAD}") from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise LastingError(f"the server's certificate can't be verified; {DOWNLOAD}") from error
        except (TimeoutError, fsspec.FSTimeoutError) as error:
            raise PassingError("the server did not respond") from error
        except aiohttp.ClientConnectorError as error:
            reason = error.os_error.strerror or type(error.os_error).__name__
            raise PassingError(f"can't connect to the server ({reason})") from error
        except (aiohttp.ClientError, OSError) as error:
            raise PassingError(f"the connection was dropped ({type(error).__name__})") from error
        except ValueError as error:
            raise LastingError("this URL can't be requested; check it") from error
        return result

    def close(self, response: aiohttp.ClientResponse) -> None:
        """Ends a connection."""
        self._close(response)


class _HttpStream:
    """An answer whose body is read in pieces; the server waits while nothing is read."""

    def __init__(self, transport: HttpTransport, response: aiohttp.ClientResponse, offset: int) -> None:
        self.offset = offset
        self._transport, self._response = transport, response
        self._error: Exception | None = None

    def read(self, size: int) -> bytes:
        return self._transport.run(lambda: self._read(size))

    async def _read(self, size: int) -> bytes:
        """As many bytes as come, up to ``size``; an error comes with the next call, after what came before it."""
        parts: list[bytes] = []
        if self._error is not None:
            raise self._error
        try:
            # A larger piece would also be how much aiohttp holds, and what it holds is lost with the connection.
            while size and (part := await self._response.content.read(min(size, PIECE_BYTES))):
                parts.append(part)
                size -= len(part)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            if not parts:
                raise
            self._error = error
        return b"".join(parts)

    def close(self) -> None:
        self._transport.close(self._response)


def _check_answer(response: aiohttp.ClientResponse, url: str) -> None:
    """Raises PassingError and LastingError for an answer that is not the object, or a part of it."""
    status = response.status
    if status in (404, 410):
        raise AbsentError(f"the server has no such file ({status}); check the URL")
    if status in (401, 403, 407):
        raise LastingError(f"the server denied access ({status}); give fsspec credentials, or a signed URL")
    if status in _PASSING:
        raise PassingError(f"the server responded with status {status}")
    if status not in (200, 206, 416):
        raise LastingError(f"the server responded with status {status}; {DOWNLOAD}")
    hops = (*response.history, response)
    if url.lower().startswith("https:") and any(hop.url.scheme != "https" for hop in hops):
        raise LastingError(f"the server redirects to an unencrypted connection; {DOWNLOAD}")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise LastingError(
            "the server sends the file compressed although it was asked not to; download and decompress the file, "
            "and give its path"
        )


def _version(response: aiohttp.ClientResponse) -> Version:
    """The version of the object that an answer is about. Raises LastingError where it has no size."""
    if response.status == 206:
        size = _content_range(response)[2]
    elif response.status == 200 and response.headers.get("Content-Length", "").isdecimal():
        size = int(response.headers["Content-Length"])
    elif response.status == 416:
        raise ChangedError
    else:
        raise LastingError(
            f"the server does not report the size of the file, so a dropped connection can't be detected; {DOWNLOAD}"
        )
    return Version(size, _tokens(response))


def _tokens(response: aiohttp.ClientResponse) -> tuple[tuple[str, str], ...]:
    """ETag and date of change; ``proof`` is the one that surely belongs to a single content, if one does."""
    etag, modified = response.headers.get("ETag", ""), response.headers.get("Last-Modified", "")
    tokens = {"etag": etag, "modified": modified}
    if etag and not etag.startswith("W/"):
        tokens["proof"] = etag
    elif modified and _is_settled(modified, response.headers.get("Date", "")):
        tokens["proof"] = modified
    return tuple((name, value) for name, value in tokens.items() if value)


def _is_settled(modified: str, date: str) -> bool:
    try:
        return parsedate_to_datetime(date) - parsedate_to_datetime(modified) >= _SETTLED
    except (ValueError, TypeError):
        return False


def _content_range(response: aiohttp.ClientResponse) -> tuple[int, int, int]:
    """First byte, last byte and size that an answer says it has. Raises LastingError."""
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if found is None:
        raise LastingError(
            "the server sends a part of the file without saying which bytes it contains or how many the file has; "
            f"{DOWNLOAD}"
        )
    return int(found[1] or 0), int(found[2] or -1), int(found[3])
