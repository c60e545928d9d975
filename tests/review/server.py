"""The real command in a process of its own, and requests to it as a browser makes them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

ROOT = Path(__file__).parents[2]


@dataclass
class Served:
    """A running `asap pairs review`."""

    process: subprocess.Popen[str]
    address: str

    @property
    def port(self) -> int:
        return int(urlsplit(self.address).port or 0)

    @property
    def token(self) -> str:
        return parse_qs(urlsplit(self.address).query)["token"][0]

    @property
    def headers(self) -> dict[str, str]:
        """What the page sends with a change."""
        return {
            "Cookie": f"asap-review-{self.port}={self.token}",
            "X-Asap-Token": self.token,
            "Content-Type": "application/json",
        }

    def ask(self, path: str, body: object = None) -> Any:  # noqa: ANN401
        """GET, or POST of ``body``; returns the JSON of the answer, which must not be an error."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET" if body is None else "POST", path, json.dumps(body) if body else None, self.headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        assert answer.status in (200, 201), data
        return json.loads(data)

    def decide(self, uid: str, decision: str = "accept", error: str = "") -> Any:  # noqa: ANN401
        return self.ask("/api/decisions", {"uid": uid, "decision": decision, "error": error, "seconds": 1.5})

    def kill(self) -> None:
        """As hard as can be."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def command(pairs: Path, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    call = [sys.executable, "-m", "asap.cli", "pairs", "review", str(pairs), "--no-browser", *words]
    return subprocess.Popen(
        call,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=_interruptible,  # noqa: PLW1509  no threads here
    )


def _interruptible() -> None:
    """Heed Ctrl-C even where the tests themselves run in the background of a shell, whose children ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def served(pairs: Path, *words: str) -> Iterator[Served]:
    """The command, running from the moment at which it has printed its address; killed at the end."""
    process = command(pairs, *words)
    assert process.stdout is not None
    assert process.stderr is not None
    started = time.monotonic()
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), process.stderr.read()
        assert time.monotonic() - started < 60
        yield Served(process, address)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
