"""The page on which one rater judges images, as an ASGI application; it knows images and journal by protocol only.

GET  /                    the page
GET  /static/NAME         its style, script and icon
GET  /api/session         images in this rater's order, and what the rater has said
GET  /pictures/DIGEST     PNG
POST /api/ratings         {digest, answer, parts, seconds}; answers when the line is on disk

It tells nothing of models, prompts, seeds or other raters: an image is known by the hash of its pixels.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from asap.benchmark.rating.answers import ANSWERS, order_of, read_rating
from asap.core.guard import Guard
from asap.core.vocabulary import PARTS

__all__ = ["Rating", "build_app"]

STATIC: Final = {"rate.css": "text/css", "rate.js": "text/javascript", "icon.svg": "image/svg+xml"}


@dataclass(frozen=True, kw_only=True)
class Rating:
    """What one server serves."""

    rater: str
    digests: Sequence[str]
    """Of all images."""
    picture: Callable[[str], bytes]
    """PNG bytes by digest."""
    standing: Mapping[str, Mapping[str, Any]]
    """What the rater has said so far, by digest."""
    append: Callable[[Mapping[str, object]], None]
    """Keeps one line; when it returns the line survives a kill."""
    token: str
    cookie: str = "asap-rate"


def build_app(rating: Rating) -> Guard:
    """The application of ``rating``, behind its guard."""
    desk = _Desk(rating)
    app = Starlette(
        routes=[
            Route("/", desk.page),
            Route("/static/{name}", desk.static),
            Route("/pictures/{digest}", desk.picture),
            Route("/api/session", desk.session),
            Route("/api/ratings", desk.rate, methods=["POST"]),
        ]
    )
    return Guard(app, rating.token, rating.cookie)


class _Desk:
    """The endpoints."""

    def __init__(self, rating: Rating) -> None:
        self.rating = rating
        self.order = order_of(rating.digests, rating.rater)
        self.known = set(self.order)
        self.said = {name: dict(row) for name, row in rating.standing.items() if name in self.known}

    def page(self, _request: Request) -> Response:
        """The page itself."""
        template = Environment(autoescape=True, undefined=StrictUndefined).from_string(_file("rate.html.j2").decode())
        return HTMLResponse(template.render(rater=self.rating.rater, token=self.rating.token, parts=PARTS))

    def static(self, request: Request) -> Response:
        """Style, script or icon."""
        name = request.path_params["name"]
        if name not in STATIC:
            raise HTTPException(404)
        return Response(_file(name), media_type=STATIC[name])

    def picture(self, request: Request) -> Response:
        """One image."""
        digest = request.path_params["digest"]
        if digest not in self.known:
            raise HTTPException(404)
        return Response(
            self.rating.picture(digest), media_type="image/png", headers={"Cache-Control": "private, max-age=3600"}
        )

    def session(self, _request: Request) -> Response:
        """All that the page needs to begin."""
        said = {name: {"answer": row["answer"], "parts": row["parts"]} for name, row in self.said.items()}
        return JSONResponse({"pictures": self.order, "said": said, "answers": ANSWERS})

    async def rate(self, request: Request) -> Response:
        """Keep a rating; the answer comes after the line is on disk."""
        try:
            row = read_rating(_object(await request.body()))
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        if row["digest"] not in self.known:
            raise HTTPException(422, "no such image")
        row["time"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self.rating.append(row)
        self.said[row["digest"]] = row
        return JSONResponse({"rated": len(self.said)}, status_code=201)


def _object(body: bytes) -> dict[str, Any]:
    value = json.loads(body)
    if not isinstance(value, dict):
        raise ValueError("want a JSON object")
    return value


def _file(name: str) -> bytes:
    return (resources.files("asap.benchmark.rating") / "page" / name).read_bytes()
