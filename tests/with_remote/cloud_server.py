"""As much of Google Cloud Storage as reading an object takes, on loopback."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from with_remote.loopback_server import LoopbackServer


class CloudServer(LoopbackServer):
    """A server of one bucket, ``texts``; each ``put`` gives an object a new generation and forgets the old one."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[int, bytes]] = {}
        super().__init__(_Handler, "cloud")

    def put(self, name: str, content: bytes) -> None:
        """Writes an object."""
        generation, _ = self.objects.get(name, (0, b""))
        self.objects[name] = (generation + 1, content)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cloud: CloudServer

    def do_GET(self) -> None:
        """Answers with what is known of an object, with its content, or with a list of none."""
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        name = url.path.partition("/b/texts")[2].partition("/o")[2]
        name = unquote(name.lstrip("/"))
        if not name:
            self._send_json(
                {"kind": "storage#objects", "items": []} if "/o" in url.path else {"name": "texts"}
            )
            return
        generation, content = self.cloud.objects.get(name, (0, b""))
        if not generation or int(query.get("generation", generation)) != generation:
            self._send_json({"error": {"code": 404, "message": "not found"}}, 404)
        elif query.get("alt") == "media":
            self._send(content)
        else:
            self._send_json(
                {
                    "kind": "storage#object",
                    "bucket": "texts",
                    "name": name,
                    "size": str(len(content)),
                    "generation": str(generation),
                    "metageneration": "1",
                    "etag": f"tag{generation}",
                    "timeCreated": "2026-01-01T00:00:00.000Z",
                    "updated": "2026-01-01T00:00:00.000Z",
                }
            )

    def _send(self, content: bytes) -> None:
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last) + 1 if last else None]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def _send_json(self, content: dict[str, Any], status: int = 200) -> None:
        raw = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_arguments: object) -> None:
        """Nothing is logged."""
