"""The page on which one rater judges images, as an ASGI application; it knows images and journal by protocol only.

GET  /                    the page
GET  /static/NAME         its style, script and icon
GET  /api/session         images in this rater's order, and the rater's answers
GET  /images/DIGEST       PNG
POST /api/ratings         {digest, answer, parts, seconds}; answers when the line is on disk

It tells nothing of models, prompts, seeds or other raters: an image is known by the hash of its pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from asap.benchmark.rating.answers import ANSWERS, order_of, read_rating
from asap.core.vocabulary import PARTS
from asap.web import LocalAuth, PageFiles, read_object

__all__ = ["Rating", "build_app"]

FILES: Final = PageFiles("asap.benchmark.rating", {"rate.css": "text/css", "rate.js": "text/javascript"})


@dataclass(frozen=True, kw_only=True)
class Rating:
    """What one server serves."""

    rater: str
    digests: Sequence[str]
    """Of all images."""
    image: Callable[[str], bytes]
    """PNG bytes by digest."""
    standing: Mapping[str, Mapping[str, Any]]
    """The rater's answers so far, by digest."""
    append: Callable[[Mapping[str, object]], None]
    """Keeps one line; when it returns the line survives a kill."""
    token: str
    cookie: str = "asap-rate"


def build_app(rating: Rating) -> LocalAuth:
    """The application of ``rating``, behind ``LocalAuth``."""
    pages = _Endpoints(rating)
    app = Starlette(
        routes=[
            Route("/", pages.page),
            FILES.route(),
            Route("/images/{digest}", pages.image),
            Route("/api/session", pages.session),
            Route("/api/ratings", pages.rate, methods=["POST"]),
        ]
    )
    return LocalAuth(app, rating.token, rating.cookie)


class _Endpoints:
    """The endpoints."""

    def __init__(self, rating: Rating) -> None:
        self.rating = rating
        self.order = order_of(rating.digests, rating.rater)
        self.known = set(self.order)
        self.answers = {name: dict(row) for name, row in rating.standing.items() if name in self.known}

    def page(self, _request: Request) -> Response:
        """The page itself."""
        return FILES.render("rate.html.j2", rater=self.rating.rater, token=self.rating.token, parts=PARTS)

    def image(self, request: Request) -> Response:
        """One image."""
        digest = request.path_params["digest"]
        if digest not in self.known:
            raise HTTPException(404)
        return Response(
            self.rating.image(digest), media_type="image/png", headers={"Cache-Control": "private, max-age=3600"}
        )

    def session(self, _request: Request) -> Response:
        """All that the page needs to begin."""
        answers = {name: {"answer": row["answer"], "parts": row["parts"]} for name, row in self.answers.items()}
        return JSONResponse({"images": self.order, "ratings": answers, "answers": ANSWERS})

    async def rate(self, request: Request) -> Response:
        """Keep a rating; the answer comes after the line is on disk."""
        try:
            row = read_rating(await read_object(request, {"digest", "answer", "parts", "seconds"}))
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        if row["digest"] not in self.known:
            raise HTTPException(422, "no such image")
        row["time"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self.rating.append(row)
        self.answers[row["digest"]] = row
        return JSONResponse({"rated": len(self.answers)}, status_code=201)
