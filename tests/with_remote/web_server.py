"""A web server on loopback whose objects are cut, change and lie as a test wants."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler

from with_remote.loopback_server import LoopbackServer

#: Bytes that are sent at once.
PIECE = 64 << 10
#: Dates of change: long ago, which surely belong to one content, and one that may belong to two.
LONG_AGO, JUST_NOW = formatdate(0, usegmt=True), "now"


@dataclass
class Served:
    """An object as the server has it now."""

    content: bytes
    etag: str = ""
    modified: str = ""


@dataclass
class Request:
    """What was asked for."""

    path: str
    range: str
    if_range: str
    authorization: str


@dataclass
class Behavior:
    """What the server does; a test changes it at any time."""

    ranges: bool = True
    #: How many bytes of each answer's body are sent before the connection is cut: one number for each answer that has
    #: one, then none are cut.
    cuts: Iterable[int] = ()
    #: Statuses that are answered before anything else.
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    #: Answers to a range without asking whether the condition for it holds.
    ignores_conditions: bool = False
    has_length: bool = True
    content_range: str = ""
    #: Called with the bytes sent so far of a body, before each piece.
    before_piece: Callable[[int], None] = lambda _: None


class WebServer(LoopbackServer):
    """The server, on a free port; ``objects`` are by path."""

    def __init__(self) -> None:
        self.objects: dict[str, Served] = {}
        self.behavior = Behavior()
        self.requests: list[Request] = []
        self._cuts = iter(())
        super().__init__(_Handler, "web")

    def put(self, name: str, content: bytes, etag: str = '"1"', modified: str = "") -> str:
        """Serves an object; returns its URL."""
        modified = formatdate(usegmt=True) if modified == JUST_NOW else modified
        self.objects[f"/{name}"] = Served(content, etag, modified)
        return f"{self.address}/{name}"

    def next_cut(self) -> int | None:
        """After how many bytes the next body is cut; None for none."""
        if not isinstance(self.behavior.cuts, type(self._cuts)):
            self.behavior.cuts = iter(self.behavior.cuts)  # type: ignore[assignment]
        return next(self.behavior.cuts, None)  # type: ignore[call-overload, no-any-return]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: WebServer

    def do_GET(self) -> None:
        """Answers with an object, or a part of it."""
        get = self.headers.get
        asked = Request(self.path, get("Range", ""), get("If-Range", ""), get("Authorization", ""))
        self.web.requests.append(asked)
        behavior = self.web.behavior
        if behavior.statuses and (status := behavior.statuses.pop(0)):
            self._refuse(status)
            return
        objects = self.web.objects
        served = objects.get(self.path) or objects.get(self.path.partition("?")[0])
        if served is None:
            self._refuse(404)
            return
        self._answer(asked, Served(served.content, served.etag, served.modified), behavior)

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        for name, value in self.web.behavior.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, asked: Request, served: Served, behavior: Behavior) -> None:
        size = len(served.content)
        start, stop = self._range(asked, served, behavior, size)
        partly = start is not None
        first = start or 0
        self.send_response(206 if partly else 200)
        if partly:
            said = behavior.content_range or f"bytes {first}-{stop - 1}/{size}"
            self.send_header("Content-Range", said)
        for name, value in (("ETag", served.etag), ("Last-Modified", served.modified)):
            if value:
                self.send_header(name, value)
        for name, value in behavior.headers.items():
            self.send_header(name, value)
        if behavior.has_length:
            self.send_header("Content-Length", str(stop - first))
        else:
            self.close_connection = True
        self.end_headers()
        is_probe = asked.range == "bytes=0-0"
        self._send(served.content[first:stop], None if is_probe else self.web.next_cut(), is_probe)

    def _range(self, asked: Request, served: Served, behavior: Behavior, size: int) -> tuple[int | None, int]:
        condition = asked.if_range in ("", served.etag, served.modified) or behavior.ignores_conditions
        if not (asked.range and behavior.ranges and condition):
            return None, size
        first, _, last = asked.range.removeprefix("bytes=").partition("-")
        return int(first), min(size, int(last) + 1 if last else size)

    def _send(self, body: bytes, cut: int | None, is_probe: bool) -> None:
        end = len(body) if cut is None else min(cut, len(body))
        try:
            for start in range(0, end, PIECE):
                if not is_probe:
                    self.web.behavior.before_piece(start)
                self.wfile.write(body[start : min(start + PIECE, end)])
        except OSError:  # the client has read enough
            self.close_connection = True
        if end < len(body):
            self.close_connection = True

    def log_message(self, *_arguments: object) -> None:
        """Nothing is logged."""
