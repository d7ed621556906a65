"""Serves the report on this machine alone, and makes it anew while a run trains.

It listens on the loopback address. A page of another site can send a browser here under a name of its own (DNS
rebinding), so requests that name another host are refused. The page holds no script: the browser reads it again by
itself, as the header ``Refresh`` says.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from charkit.errors import ConfigurationError, RunError
from charkit_reports.html_page import render_html, render_problem
from charkit_reports.reading import read_run

ADDRESS = "127.0.0.1"
#: Seconds after which the browser reads the page again.
REFRESH_SECONDS = 5
#: How many times as long as the drawing of a page took no other one is drawn.
IDLE_TIMES = 4
_HTTP_PORT = 80
#: Seconds that a client may take to send its request.
_PATIENCE_SECONDS = 10
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class LivePage:
    """The page about runs as they are now.

    It is made again only when one of their files has changed, and only after some time without drawing: a page of very
    many reports takes seconds, which training needs too.
    """

    def __init__(self, paths: Sequence[Path], refresh_seconds: int = REFRESH_SECONDS) -> None:
        self._paths, self.refresh_seconds = paths, refresh_seconds
        self._lock = threading.Lock()  # matplotlib draws on one thread at a time
        self._of: object = None
        self._page = b""
        self._not_before = 0.0

    def read(self) -> bytes:
        """The page. It never fails: what is wrong with a run is what the page says then."""
        with self._lock:
            state = [_state(path) for path in self._paths]
            began = time.monotonic()
            if not self._page or (state != self._of and began >= self._not_before):
                self._page, self._of = self._render().encode("utf-8", "replace"), state
                ended = time.monotonic()
                self._not_before = ended + IDLE_TIMES * (ended - began)
            return self._page

    def _render(self) -> str:
        try:
            runs = [read_run(path) for path in self._paths]
            return render_html(runs, refresh_seconds=self.refresh_seconds)
        except RunError as error:
            return render_problem(str(error), self.refresh_seconds)


def _state(path: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times of a run's files: whether one of them has changed."""
    try:
        with os.scandir(path) as entries:
            found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except OSError:
        return []
    return sorted((name, status.st_size, status.st_mtime_ns) for name, status in found)


class ReportServer(ThreadingHTTPServer):
    """The server of one report. Raises ConfigurationError where the port can't be had."""

    daemon_threads = True  # an open request keeps nobody from ending it
    allow_reuse_address = True

    def __init__(self, page: LivePage, port: int = 0) -> None:
        self.page = page
        try:
            super().__init__((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as error:
            raise ConfigurationError(
                f"port {port} on this machine can't be used: {getattr(error, 'strerror', None) or error}; choose "
                "another `port`, or 0 for any free port"
            ) from error

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the page."""
        return f"http://{ADDRESS}:{self.server_port}/"

    @property
    def hosts(self) -> frozenset[str]:
        """What a browser on this machine may call it. Browsers leave out the port that http has without one."""
        names = (ADDRESS, "localhost")
        return frozenset(f"{name}:{self.server_port}" for name in names) | (
            frozenset(names) if self.server_port == _HTTP_PORT else frozenset()
        )

    def handle_error(self, request: object, client_address: object) -> None:
        """Does nothing: a browser that has gone is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: ReportServer
    timeout = _PATIENCE_SECONDS
    server_version = "charkit"
    sys_version = ""

    def do_GET(self) -> None:
        """Answers with the page."""
        self._answer(send_content=True)

    def do_HEAD(self) -> None:
        """Answers with its headers."""
        self._answer(send_content=False)

    def _answer(self, *, send_content: bool) -> None:
        if self.headers.get("Host", "").lower() not in self.server.hosts:
            self._refuse(
                HTTPStatus.MISDIRECTED_REQUEST, f"This server answers only requests for {self.server.url}"
            )
        elif self.path.partition("?")[0] != "/":
            self._refuse(HTTPStatus.NOT_FOUND, f"The only page here is {self.server.url}")
        else:
            content = self.server.page.read()
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", content, send_content=send_content)

    def _refuse(self, status: HTTPStatus, line: str) -> None:
        self._send(status, "text/plain; charset=utf-8", f"{line}\n".encode(), send_content=True)

    def _send(self, status: HTTPStatus, kind: str, content: bytes, *, send_content: bool) -> None:
        self.send_response(status)
        headers = {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}
        if status == HTTPStatus.OK:
            headers["Refresh"] = str(self.server.page.refresh_seconds)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if send_content:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that it has there
        """Logs nothing: the terminal shows the address, and stays as it is."""
