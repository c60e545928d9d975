"""A loopback server that speaks as OpenAI does and behaves well or badly on request; a process of its own.

    python tests/workflows/seer.py LOG [LATENCY]

prints its port. The model's name in a question says how it behaves: ``good`` sees a defect where the image is red,
``slow``, ``busy`` (429 first), ``broken`` (500 first), ``dead`` (500 always), ``hang``, ``drip`` (a byte now and then),
``cut`` (truncated JSON), ``short`` (the connection ends within the reply), ``loose`` (breaks the schema), ``liar``
(wrong by its own checks, yet passes), ``prose`` (swears in words that it is fine), ``fine`` (passes whatever it sees),
``first`` (prefers whatever stands first). Each answered question is a line in LOG.
"""

import asyncio
import base64
import io
import json
import sys
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image


def is_red(url: str) -> bool:
    """Whether the image's middle is red."""
    data = base64.b64decode(url.split(",", 1)[1])
    image = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    pixel = image[image.shape[0] // 2, image.shape[1] // 2]
    return bool(pixel[0] > 150 and pixel[1] < 90)


def part_reply(question: dict[str, Any], *, wrong: bool) -> dict[str, Any]:
    """A reply by the schema of the question."""
    schema = question["response_format"]["json_schema"]["schema"]["properties"]
    checks: dict[str, Any] = {name: {"answer": "no", "box": None} for name in schema["checks"]["properties"]}
    if wrong:
        checks[next(iter(checks))] = {"answer": "yes", "box": [100, 100, 300, 300]}
    return {"visible": "yes", "checks": checks, "verdict": "wrong" if wrong else "right"}


def written(question: dict[str, Any]) -> str:
    """What the model writes."""
    model = question["model"]
    pictures = [item["image_url"]["url"] for item in question["messages"][0]["content"] if item["type"] == "image_url"]
    if "better" in question["response_format"]["json_schema"]["schema"]["properties"]:
        red = [is_red(url) for url in pictures]
        better = "first" if model == "first" or red[1] > red[0] else "second" if red[0] > red[1] else "tie"
        return json.dumps({"defects_first": [], "defects_second": [], "better": better})
    if model == "prose":
        return "I swear that everything is fine with this hand."
    reply = part_reply(question, wrong=model not in ("fine", "fast") and is_red(pictures[-1]))
    if model == "liar":
        reply = part_reply(question, wrong=True) | {"verdict": "right"}
    if model == "loose":
        del reply["visible"]
    text = json.dumps(reply)
    return text[: len(text) // 2] if model == "cut" else text


class Seer(asyncio.Protocol):
    """One connection."""

    latency = 0.0
    log: Any = None
    tries: ClassVar[Counter[str]] = Counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.buffer, self.need, self.start = bytearray(), 0, 0

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.need:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self.buffer[:end]).lower()
            length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            self.start, self.need = end + 4, end + 4 + length
        if len(self.buffer) >= self.need:
            body = bytes(self.buffer[self.start : self.need])
            del self.buffer[: self.need]
            self.need = 0
            self.answer(body)

    def answer(self, body: bytes) -> None:
        loop = asyncio.get_running_loop()
        if body.startswith(b'{"model": "fast"'):
            loop.call_later(self.latency, self.send, 200, FAST, b"-")
            return
        question = json.loads(body)
        name, model = sha256(body).hexdigest(), question["model"]
        self.tries[name] += 1
        if model == "hang":
            return
        if model == "dead" or (model in ("busy", "broken") and self.tries[name] < 3):
            self.send(429 if model == "busy" else 500, b'{"error": "not now"}', name.encode())
            return
        content = {"choices": [{"message": {"content": written(question)}, "finish_reason": "stop"}]}
        if model == "drip":
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
            self.drip()
            return
        wait = 0.4 if model == "slow" else self.latency
        loop.call_later(wait, self.send, 200, json.dumps(content).encode(), name.encode(), model == "short")

    def drip(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(b" ")
            asyncio.get_running_loop().call_later(0.05, self.drip)

    def send(self, status: int, body: bytes, name: bytes, short: bool = False) -> None:
        if self.transport.is_closing():
            return
        if status == 200:
            self.log.write(name + b"\n")
        later = b"Retry-After: 0.05\r\n" if status == 429 else b""
        head = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n"
        data = head % (status, later, len(body)) + body
        self.transport.write(data[: -len(body) // 2] if short else data)
        if short:
            self.transport.close()


HAND = ("too_many_digits", "too_few_digits", "fused_digits", "impossible_bend", "wrong_proportion", "wrong_side")
CHECKS = {name: {"answer": "no", "box": None} for name in (*HAND, "misshapen")}
FAST = json.dumps(
    {"choices": [{"message": {"content": json.dumps({"visible": "yes", "checks": CHECKS, "verdict": "right"})}}]}
).encode()
"""The one reply of the model ``fast``, so that a measurement of the client is not one of this server."""


async def main() -> None:
    Seer.log = Path(sys.argv[1]).open("ab", buffering=0)
    Seer.latency = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    server = await asyncio.get_running_loop().create_server(Seer, "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
