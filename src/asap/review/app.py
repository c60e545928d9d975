"""The review page as an ASGI application. It accesses pairs and journal by protocol only.

GET  /                          the page
GET  /static/NAME               its style, script and icon
GET  /api/session               pairs, the reviewer's own decisions, error types and keys
GET  /images/UID/SIDE           PNG; SIDE is left, right or mask
POST /api/decisions             {uid, decision, error, seconds}; answers when the line is on disk
POST /api/undo                  {undoes}: index of the line to undo, the last valid one
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from asap.core.errors import InputError
from asap.core.seeds import derive
from asap.review.keys import COMMANDS, error_keys
from asap.review.ledger import Ledger, decide_row, undo_row
from asap.review.records import DECISIONS, ERRORS, Decision, Decisions, PairFacts, Pairs
from asap.web import LocalAuth, PageFiles, read_object

__all__ = ["Review", "build_app", "left_side"]

FILES: Final = PageFiles("asap.review", {"review.css": "text/css", "review.js": "text/javascript"})
HIDDEN: Final = ("prompt", "kind", "part", "side", "operation", "severity", "category", "split", "source", "person")
"""Fields hidden from a blind reviewer. The caption is one of them, because it may reveal which side is chosen."""
LONGEST: Final = 86400.0
"""Largest duration of a decision in seconds."""
KEEP: Final = "private, max-age=3600"
"""The browser may cache images; their addresses are specific to this server."""


@dataclass(frozen=True, kw_only=True)
class Review:
    """The configuration of one review server."""

    title: str
    reviewer: str
    pairs: Pairs
    decisions: Decisions
    token: str
    """The secret of this server, part of the printed address."""
    blind: bool = False
    others: Mapping[str, Mapping[str, Decision]] = field(default_factory=dict)
    """Decisions of other reviewers by name and uid, shown unless the review is blind."""
    cookie: str = "asap-review"


def left_side(reviewer: str, uid: str, *, blind: bool) -> str:
    """The image on the left: chosen, or for a blind reviewer either one, always the same for a pair."""
    return "rejected" if blind and derive(0, "review", reviewer, uid) % 2 else "chosen"


def build_app(review: Review) -> LocalAuth:
    """The application of ``review``, behind ``LocalAuth``.

    Raises:
        InputError: the journal has lines that are not decisions.
    """
    desk = _Desk(review)
    app = Starlette(
        routes=[
            Route("/", desk.page),
            FILES.route(),
            Route("/images/{uid}/{side}", desk.image),
            Route("/api/session", desk.session),
            Route("/api/decisions", desk.decide, methods=["POST"]),
            Route("/api/undo", desk.undo, methods=["POST"]),
        ],
        exception_handlers={InputError: _refused},
    )
    return LocalAuth(app, review.token, review.cookie)


class _Desk:
    """The endpoints. Those that write run on the event loop one after the other; images are read in threads."""

    def __init__(self, review: Review) -> None:
        self.review = review
        self.facts = {facts.uid: facts for facts in review.pairs.facts()}
        self.ledger = Ledger(review.decisions.read())

    def page(self, _request: Request) -> Response:
        """The page."""
        return FILES.render(
            "review.html.j2",
            title=self.review.title,
            reviewer=self.review.reviewer,
            blind=self.review.blind,
            token=self.review.token,
            keys={shown: name for name, shown in error_keys().items()},
            commands=COMMANDS,
        )

    def image(self, request: Request) -> Response:
        """One image of one pair. The browser of a blind reviewer never learns which one is chosen."""
        uid, side = request.path_params["uid"], request.path_params["side"]
        if uid not in self.facts or side not in ("left", "right", "mask"):
            raise HTTPException(404)
        name = side
        if side != "mask":
            left = left_side(self.review.reviewer, uid, blind=self.review.blind)
            name = left if side == "left" else {"chosen": "rejected", "rejected": "chosen"}[left]
        data = self.review.pairs.image(uid, name)
        return Response(data, media_type="image/png", headers={"Cache-Control": KEEP})

    def session(self, _request: Request) -> Response:
        """Everything that the page needs at its start."""
        review = self.review
        held = self.ledger.current()
        return JSONResponse(
            {
                "pairs": [self._shown(facts) for facts in self.facts.values()],
                "decisions": {uid: _as_dict(held[uid]) for uid in self.facts if self._holds(held.get(uid))},
                "last": _number(self.ledger.last),
                "errors": [{"name": name, "key": key} for name, key in error_keys().items()],
                "others": {} if review.blind else self._others(),
            }
        )

    async def decide(self, request: Request) -> Response:
        """Record a decision; the answer follows when the line is on disk."""
        began = time.perf_counter()
        decision = self._read_decision(await read_object(request, {"uid", "decision", "error", "seconds"}))
        return self._keep(decide_row(decision), began)

    async def undo(self, request: Request) -> Response:
        """Undo the last valid decision, if it is the one that the page names."""
        began = time.perf_counter()
        wanted = (await read_object(request, {"undoes"}))["undoes"]
        last = self.ledger.last
        if last is None or type(wanted) is not int or wanted != last[0]:
            raise HTTPException(409, "this is not the last decision; reload the page")
        return self._keep(undo_row(*last, _now()), began)

    def _keep(self, row: Mapping[str, Any], began: float) -> Response:
        self.review.decisions.append(row)
        uid = self.ledger.apply(row).uid
        held = self.ledger.of(uid)
        answer = {
            "uid": uid,
            "decision": _as_dict(held) if held is not None and self._holds(held) else None,
            "last": _number(self.ledger.last),
            "time": row["time"],
            "milliseconds": round(1000 * (time.perf_counter() - began), 3),
        }
        return JSONResponse(answer, status_code=201)

    def _read_decision(self, given: Mapping[str, Any]) -> Decision:
        uid, seconds = given["uid"], given["seconds"]
        faults = []
        if not isinstance(uid, str) or uid not in self.facts:
            faults.append("no such pair")
        if given["decision"] not in DECISIONS:
            faults.append(f"decision must be one of {', '.join(DECISIONS)}")
        if given["error"] not in ("", *ERRORS):
            faults.append("unknown error type")
        if type(seconds) not in (int, float) or not math.isfinite(seconds) or not 0 <= seconds <= LONGEST:
            faults.append(f"seconds must be from 0 to {LONGEST:.0f}")
        if faults:
            raise HTTPException(422, "; ".join(faults))
        return Decision(
            reviewer=self.review.reviewer,
            uid=uid,
            digest=self.facts[uid].digest,
            decision=given["decision"],
            error=given["error"],
            blind=self.review.blind,
            left=left_side(self.review.reviewer, uid, blind=self.review.blind),
            seconds=round(float(seconds), 3),
            time=_now(),
        )

    def _holds(self, decision: Decision | None) -> bool:
        """Whether it was made on the present version of the pair."""
        return decision is not None and self.facts[decision.uid].digest == decision.digest

    def _shown(self, facts: PairFacts) -> dict[str, Any]:
        hidden = {"digest", *(HIDDEN if self.review.blind else ())}
        return {name: value for name, value in vars(facts).items() if name not in hidden}

    def _others(self) -> dict[str, dict[str, Any]]:
        return {
            name: {uid: _as_dict(said) for uid, said in held.items() if uid in self.facts and self._holds(said)}
            for name, held in self.review.others.items()
        }


def _number(last: tuple[int, Decision] | None) -> int | None:
    return None if last is None else last[0]


def _as_dict(decision: Decision) -> dict[str, str]:
    return {"decision": decision.decision, "error": decision.error}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def _refused(_request: Request, error: Exception) -> Response:
    """The journal could not be written; the page must not report success."""
    return Response(str(error), 507, media_type="text/plain")
