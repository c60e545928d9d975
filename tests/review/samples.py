"""Made-up pairs and a journal in memory, and requests straight to the application."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message

from asap.core.errors import InputError
from asap.review import Decision, PairFacts, Review, Row, build_app
from asap.review.ledger import decide_row
from asap.stores.pairs import PairStore
from asap.stores.reviews import ReviewJournal

TOKEN = "t0ken"
COOKIE = "asap-review-8000"
HOST = ("host", "127.0.0.1:8000")
WITH_COOKIE = (HOST, ("cookie", f"{COOKIE}={TOKEN}"))
WITH_ALL = (*WITH_COOKIE, ("x-asap-token", TOKEN), ("content-type", "application/json"))


def facts(number: int) -> PairFacts:
    return PairFacts(
        uid=f"pairs-{number:04x}",
        digest=f"{number:064x}",
        prompt=f"a secret caption {number}",
        kind="defect",
        part="hand",
        side="left",
        operation="fused",
        severity=2,
        category="full_body",
        split="train",
        source="",
        person=f"p{number // 2}",
        box=(1, 2, 5, 6),
        width=8,
        height=8,
    )


class MadePairs:
    """Pairs whose images are their names; asked for anything else it is a fault."""

    def __init__(self, count: int = 8) -> None:
        self.made = [facts(number) for number in range(count)]
        self.asked: list[tuple[str, str]] = []

    def facts(self) -> Sequence[PairFacts]:
        return self.made

    def image(self, uid: str, name: str) -> bytes:
        self.asked.append((uid, name))
        assert uid in {item.uid for item in self.made}
        assert name in ("chosen", "rejected", "mask")
        return f"{uid} {name}".encode()


class Memory:
    """A journal that keeps nothing, and may refuse."""

    def __init__(self, rows: Sequence[Row] = ()) -> None:
        self.rows = list(rows)
        self.full = False

    def read(self) -> Sequence[Row]:
        return self.rows

    def append(self, row: Row) -> None:
        if self.full:
            raise InputError("cannot write decisions.jsonl: no space left on device")
        self.rows.append(json.loads(json.dumps(row)))


def decision(uid: str, said: str = "accept", error: str = "", **others: Any) -> Decision:  # noqa: ANN401
    values: dict[str, Any] = {
        "reviewer": "anna",
        "uid": uid,
        "digest": "0" * 64,
        "decision": said,
        "error": error,
        "blind": False,
        "left": "chosen",
        "seconds": 1.0,
        "time": "2026-01-01T00:00:00.000Z",
    }
    return Decision(**(values | others))


def write_decision(pairs: Path, reviewer: str, position: int, said: str, error: str = "", **others: Any) -> str:  # noqa: ANN401
    """Put a decision on the pair at ``position`` into the journal of ``reviewer``; returns its uid."""
    store = PairStore.open(pairs)
    uid, digest = store.column("uid")[position], store.column("digest")[position]
    with ReviewJournal(pairs, reviewer) as journal:
        journal.append(decide_row(decision(uid, said, error, digest=digest, reviewer=reviewer, **others)))
    return str(uid)


@dataclass
class Page:
    """The application with made-up pairs behind it."""

    pairs: MadePairs = field(default_factory=MadePairs)
    journal: Memory = field(default_factory=Memory)
    blind: bool = False
    title: str = "pairs"
    others: Mapping[str, Mapping[str, Decision]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.app = build_app(
            Review(
                title=self.title,
                reviewer="anna",
                pairs=self.pairs,
                decisions=self.journal,
                token=TOKEN,
                blind=self.blind,
                others=self.others,
                cookie=COOKIE,
            )
        )

    def get(self, path: str, headers: Sequence[tuple[str, str]] = WITH_COOKIE) -> "Answer":
        return call(self.app, "GET", path, headers)

    def post(self, path: str, body: object, headers: Sequence[tuple[str, str]] = WITH_ALL) -> "Answer":
        return call(self.app, "POST", path, headers, [json.dumps(body).encode()])

    def decide(self, uid: str, said: str = "accept", error: str = "", seconds: object = 2) -> "Answer":
        return self.post("/api/decisions", {"uid": uid, "decision": said, "error": error, "seconds": seconds})


@dataclass
class Answer:
    """What the application answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401
        return json.loads(self.body)


def call(
    app: ASGIApp, method: str, target: str, headers: Sequence[tuple[str, str]] = (), body: Sequence[bytes] = (b"",)
) -> Answer:
    """One request as a server would pass it on, byte for byte; ``body`` comes in as many pieces as it has."""
    raw, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": _unquoted(raw),
        "raw_path": raw.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 8000),
    }
    pieces, sent = list(body), list[Message]()

    async def receive() -> Message:
        if not pieces:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(_run(app, scope, receive, send))
    start = next(message for message in sent if message["type"] == "http.response.start")
    data = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
    return Answer(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, data)


async def _run(app: ASGIApp, *arguments: Any) -> None:  # noqa: ANN401
    await app(*arguments)


def _unquoted(raw: str) -> str:
    from urllib.parse import unquote

    return unquote(raw)
