"""A stand-in for the Hugging Face Hub on loopback: enough of its HTTP interface to take an upload of small files."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hub:
    """What it was asked, and what it holds."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.tokens: set[str] = set()
        """Those that came with requests that change something."""
        self.private = False
        self.made = False
        self.broken = False
        self.endpoint = ""

    def asked_for(self, end: str) -> int:
        return sum(path.endswith(end) for _, path in self.asked)


def _oid(data: bytes) -> str:
    """The name that git has for a file of this content."""
    return sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Hub

    def do_GET(self) -> None:
        self._note()
        if "/api/datasets/" in self.path:
            head = {"id": "me/hands", "private": self.state.private, "sha": "0" * 40, "siblings": [], "tags": []}
            self._answer(200, head)
        else:
            self._answer(404, {"error": f"no such page {self.path}"})

    def do_POST(self) -> None:
        self._note()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/api/repos/create":
            self._create(json.loads(body))
        elif self.path == "/api/validate-yaml":
            self._answer(200, {"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            self._answer(200, {"files": [self._mode(file) for file in json.loads(body)["files"]]})
        elif "/commit/" in self.path:
            self._commit(body)
        else:
            self._answer(200, {})

    def _create(self, asked: dict[str, Any]) -> None:
        if self.state.made:
            self._answer(409, {"error": "exists", "url": f"{self.state.endpoint}/datasets/me/hands"})
            return
        self.state.made, self.state.private = True, asked.get("visibility") == "private" or asked.get("private") is True
        self._answer(200, {"url": f"{self.state.endpoint}/datasets/me/hands", "id": "1", "name": "me/hands"})

    def _mode(self, file: dict[str, Any]) -> dict[str, Any]:
        held = self.state.files.get(file["path"])
        oid = None if held is None else _oid(held)
        return {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": oid}

    def _commit(self, body: bytes) -> None:
        if self.state.broken:
            self._answer(403, {"error": "the disk of the Hub is full"})
            return
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                self.state.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        url = f"{self.state.endpoint}/datasets/me/hands/commit/{'0' * 40}"
        self._answer(200, {"success": True, "commitOid": "0" * 40, "commitUrl": url})

    def _note(self) -> None:
        self.state.asked.append((self.command, self.path.partition("?")[0]))
        if "/commit/" in self.path or self.path.endswith("/create"):
            self.state.tokens.add(self.headers.get("Authorization", ""))

    def _answer(self, code: int, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def hub() -> Iterator[Hub]:
    """A running stand-in; ``HF_ENDPOINT`` is its ``endpoint``."""
    state = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    state.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
