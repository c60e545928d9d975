"""Captions from a stub endpoint on loopback: asked once each, kept where known, patient, honest about failures."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from asap.core.errors import InputError
from asap.workflows.pairs.captions import Endpoint, caption_photos
from asap.workflows.pairs.sources import caption_of, list_sources


class Stub(ThreadingHTTPServer):
    """Answers with the next status of ``script``, then with 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[int] = []
        self.asked: list[dict[str, object]] = []
        self.text = "A woman waves.\n"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        stub = self.server
        assert isinstance(stub, Stub)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        stub.asked.append({"path": self.path, "key": self.headers.get("Authorization"), **body})
        status = stub.script.pop(0) if stub.script else 200
        reply = json.dumps({"choices": [{"message": {"content": stub.text}}]}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def stub() -> Iterator[Stub]:
    server = Stub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(("a.png", "b.png", "c.png")):
        picture = np.full((96, 96, 3), 40 * number, np.uint8)
        Image.fromarray(picture).save(tmp_path / name)
    (tmp_path / "b.txt").write_text("A man\nwith a cup")
    return tmp_path


def endpoint(stub: Stub) -> Endpoint:
    return Endpoint(url=f"http://127.0.0.1:{stub.server_port}/v1/", model="seer", key="k", pause=0.01)


def test_only_photographs_without_a_caption_are_asked_about(folder: Path, stub: Stub) -> None:
    counts = caption_photos(folder, endpoint(stub))
    assert counts == {"kept": 1, "made": 2, "refused": 0, "failed": 0}
    captions = {source.name: caption_of(source) for source in list_sources(folder)}
    assert captions == {"a.png": "A woman waves.", "b.png": "A man with a cup", "c.png": "A woman waves."}
    assert {(row["path"], row["key"], row["model"]) for row in stub.asked} == {
        ("/v1/chat/completions", "Bearer k", "seer")
    }
    assert caption_photos(folder, endpoint(stub)) == {"kept": 3, "made": 0, "refused": 0, "failed": 0}
    assert len(stub.asked) == 2


def test_a_busy_endpoint_is_asked_again(folder: Path, stub: Stub) -> None:
    stub.script = [429, 503]
    assert caption_photos(folder, endpoint(stub), concurrency=1)["made"] == 2
    assert len(stub.asked) == 4


def test_failures_are_counted_and_not_written(folder: Path, stub: Stub) -> None:
    stub.script = [401]
    (folder / "d.png").write_bytes(b"no image")
    counts = caption_photos(folder, endpoint(stub), concurrency=1)
    assert counts == {"kept": 1, "made": 1, "refused": 1, "failed": 1}
    assert len((folder / "captions.jsonl").read_text().splitlines()) == 1


def test_not_one_answer_is_an_error_with_the_reason(folder: Path, stub: Stub) -> None:
    stub.script = [500] * 8
    with pytest.raises(InputError, match="status 500"):
        caption_photos(folder, endpoint(stub))
    assert not (folder / "captions.jsonl").exists()


def test_an_empty_answer_is_no_caption(folder: Path, stub: Stub) -> None:
    stub.text = "  "
    with pytest.raises(InputError, match="holds no text"):
        caption_photos(folder, endpoint(stub))
