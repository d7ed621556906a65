"""As much of the Hugging Face hub as reading files of a dataset takes, on loopback."""

from __future__ import annotations

import hashlib
import json
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from with_remote.loopback_server import LoopbackServer

DATASET = "someone/books"


class HubServer(LoopbackServer):
    """A server of one dataset, whose files are blobs with an identity of their own."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        super().__init__(_Handler, "hub")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer

    def do_GET(self) -> None:
        """Answers with what is known of the dataset, with a list of files, or with a part of one."""
        url = urlsplit(self.path)
        path = unquote(url.path)
        of_dataset, of_files = f"/api/datasets/{DATASET}", f"/datasets/{DATASET}/resolve/main/"
        if path.startswith(f"{of_dataset}/tree/main"):
            folder = path.removeprefix(f"{of_dataset}/tree/main").strip("/")
            self._send_tree(folder, recursive=parse_qs(url.query).get("recursive") == ["true"])
        elif path in (of_dataset, f"{of_dataset}/revision/main"):
            self._send_json({"id": DATASET, "sha": 40 * "0", "private": False, "tags": [], "siblings": []})
        elif path.removeprefix(of_files) in self.hub.files and path.startswith(of_files):
            self._send_part(self.hub.files[path.removeprefix(of_files)])
        else:
            self._send_json({"error": "Repository not found"}, 401, "RepoNotFound")

    def _send_tree(self, folder: str, *, recursive: bool) -> None:
        start = len(folder) + 1 if folder else 0
        found: dict[str, dict[str, Any]] = {}
        for path, content in self.hub.files.items():
            if folder and not path.startswith(f"{folder}/"):
                continue
            name, _, rest = path[start:].partition("/")
            if rest:
                found[path[:start] + name] = {"type": "directory", "oid": 40 * "1", "size": 0}
            if not rest or recursive:
                oid = hashlib.sha1(content, usedforsecurity=False).hexdigest()
                found[path] = {"type": "file", "oid": oid, "size": len(content)}
        if found:
            self._send_json([{"path": path, **entry} for path, entry in found.items()])
        else:
            self._send_json({"error": "not found"}, 404, "EntryNotFound")

    def _send_part(self, content: bytes) -> None:
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last) + 1 if last else None]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def _send_json(self, content: Any, status: int = 200, error_code: str = "") -> None:
        raw = json.dumps(content).encode()
        self.send_response(status)
        if error_code:
            self.send_header("X-Error-Code", error_code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_arguments: object) -> None:
        """Nothing is logged."""
