"""People as a judge: what a rater may say, what the page tells, and what several raters say together."""

import json
from typing import Any

import pytest

from asap.benchmark.rating import Rating, build_app, majority, order_of, read_rating
from tests.review.samples import COOKIE, TOKEN, WITH_ALL, WITH_COOKIE, Answer, call

DIGESTS = [f"{place:064x}" for place in range(6)]
GOOD: dict[str, Any] = {"digest": DIGESTS[0], "answer": "wrong", "parts": ["hand"], "seconds": 1.5}


class Desk:
    """The page with a journal in memory."""

    def __init__(self, rater: str = "ada", standing: dict[str, Any] | None = None) -> None:
        self.lines: list[dict[str, Any]] = []
        self.app = build_app(
            Rating(
                rater=rater,
                digests=DIGESTS,
                image=lambda name: b"PNG" + name.encode(),
                standing=standing or {},
                append=lambda row: self.lines.append(dict(row)),
                token=TOKEN,
                cookie=COOKIE,
            )
        )

    def get(self, path: str) -> Answer:
        return call(self.app, "GET", path, WITH_COOKIE)

    def post(self, body: object) -> Answer:
        return call(self.app, "POST", "/api/ratings", WITH_ALL, [json.dumps(body).encode()])


def test_each_rater_has_an_order_of_their_own() -> None:
    one, two = order_of(DIGESTS * 2, "ada"), order_of(DIGESTS, "bob")
    assert sorted(one) == sorted(two) == DIGESTS
    assert one != two
    assert one == order_of(DIGESTS[::-1], "ada")


def test_the_page_shows_nothing_but_images() -> None:
    desk = Desk()
    session = json.loads(desk.get("/api/session").body)
    assert session == {
        "images": order_of(DIGESTS, "ada"),
        "ratings": {},
        "answers": ["right", "wrong", "cannot_tell"],
    }
    assert desk.get(f"/images/{DIGESTS[2]}").body == b"PNG" + DIGESTS[2].encode()
    assert desk.get("/images/other").status == 404
    assert b"Is the anatomy right?" in desk.get("/").body
    for name in ("rate.js", "rate.css"):
        assert desk.get(f"/static/{name}").status == 200
    assert desk.get("/static/rate.html.j2").status == 404


def test_a_rating_is_kept_and_may_be_changed() -> None:
    desk = Desk()
    assert desk.post(GOOD).status == 201
    assert desk.post(GOOD | {"answer": "right", "parts": []}).status == 201
    assert [line["answer"] for line in desk.lines] == ["wrong", "right"]
    ratings = json.loads(desk.get("/api/session").body)["ratings"]
    assert ratings == {DIGESTS[0]: {"answer": "right", "parts": []}}
    assert json.loads(Desk(standing={DIGESTS[0]: desk.lines[0]}).get("/api/session").body)["ratings"] == {
        DIGESTS[0]: {"answer": "wrong", "parts": ["hand"]}
    }


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "other"},
        {"answer": "fine"},
        {"parts": ["tail"]},
        {"parts": ["hand", "hand"]},
        {"answer": "right"},
        {"seconds": -1},
        {"seconds": True},
        {"model": "x"},
    ],
)
def test_anything_else_is_refused_and_not_kept(change: dict[str, Any]) -> None:
    desk = Desk()
    assert desk.post(GOOD | change).status == 422
    assert desk.lines == []


def test_without_the_token_nobody_rates() -> None:
    desk = Desk()
    assert call(desk.app, "POST", "/api/ratings", WITH_COOKIE, [json.dumps(GOOD).encode()]).status == 403
    assert call(desk.app, "GET", "/api/session", WITH_COOKIE[:1]).status == 401


def ratings(**answers: str) -> dict[str, dict[str, Any]]:
    return {
        name: read_rating(GOOD | {"answer": answer, "parts": ["hand"] if answer == "wrong" else []})
        for name, answer in answers.items()
    }


@pytest.mark.parametrize(
    ("answers", "least", "fails", "reason"),
    [
        ({"a": "wrong", "b": "wrong", "c": "right"}, 3, True, "hand"),
        ({"a": "right", "b": "right", "c": "wrong"}, 3, False, ""),
        ({"a": "right", "b": "wrong"}, 1, None, "the raters disagree"),
        ({"a": "wrong", "b": "cannot_tell", "c": "cannot_tell"}, 3, True, "hand"),
        ({"a": "cannot_tell"}, 1, None, "nobody could tell"),
        ({"a": "right"}, 2, None, "1 of 2 raters have seen it"),
        ({}, 1, None, "0 of 1 raters have seen it"),
    ],
)
def test_more_than_half_of_those_who_could_tell_decide(
    answers: dict[str, str], least: int, fails: bool | None, reason: str
) -> None:
    found = majority(ratings(**answers), least)
    assert (found.fails, found.reason, found.error) == (fails, reason, False)
    assert found.details["raters"] == answers
