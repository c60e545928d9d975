import json
import re

import pytest

from asap.core.errors import InputError
from asap.core.seeds import derive
from asap.review import ERRORS, left_side
from asap.review.app import HIDDEN
from asap.review.ledger import decide_row
from tests.review.samples import HOST, WITH_ALL, Memory, Page, call, decision, facts

UIDS = [facts(number).uid for number in range(8)]


def test_a_decision_is_kept_and_answered() -> None:
    page = Page()
    answer = page.decide(UIDS[1], "reject", "looks_pasted", 2.34567)
    assert answer.status == 201
    row = page.journal.rows[0]
    assert dict(row) == {
        "action": "decide",
        "reviewer": "anna",
        "uid": UIDS[1],
        "digest": facts(1).digest,
        "decision": "reject",
        "error": "looks_pasted",
        "blind": False,
        "left": "chosen",
        "seconds": 2.346,
        "time": row["time"],
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(row["time"]))
    said = {"decision": "reject", "error": "looks_pasted"}
    assert answer.json() | {"milliseconds": 0} == {
        "uid": UIDS[1],
        "decision": said,
        "last": 0,
        "time": row["time"],
        "milliseconds": 0,
    }
    assert page.get("/api/session").json()["decisions"] == {UIDS[1]: said}


def test_undo_takes_back_one_decision_after_the_other() -> None:
    page = Page()
    for said in ("accept", "reject"):
        page.decide(UIDS[0], said)
    page.decide(UIDS[1])
    answers = [page.post("/api/undo", {"undoes": number}).json() for number in (2, 1, 0)]
    assert [answer["uid"] for answer in answers] == [UIDS[1], UIDS[0], UIDS[0]]
    assert [answer["decision"] for answer in answers] == [None, {"decision": "accept", "error": ""}, None]
    assert [answer["last"] for answer in answers] == [1, 0, None]
    assert [(row["action"], row.get("undoes")) for row in page.journal.rows[3:]] == [
        ("undo", 2),
        ("undo", 1),
        ("undo", 0),
    ]
    assert page.get("/api/session").json()["decisions"] == {}


@pytest.mark.parametrize("undoes", [1, -1, None, "0", 0.0, True, False])
def test_an_undo_of_anything_but_the_last_is_refused(undoes: object) -> None:
    page = Page()
    page.decide(UIDS[0])
    assert page.post("/api/undo", {"undoes": undoes}).status == 409
    assert len(page.journal.rows) == 1
    assert Page().post("/api/undo", {"undoes": 0}).status == 409


def test_a_server_goes_on_where_the_last_one_ended() -> None:
    page = Page()
    page.decide(UIDS[0])
    page.decide(UIDS[1], "unsure")
    page.post("/api/undo", {"undoes": 1})
    again = Page(journal=page.journal)
    session = again.get("/api/session").json()
    assert session["decisions"] == {UIDS[0]: {"decision": "accept", "error": ""}}
    assert session["last"] == 0
    assert again.decide(UIDS[2]).json()["last"] == 3


def test_what_the_disk_refused_is_not_said_to_be_saved() -> None:
    page = Page()
    page.journal.full = True
    answer = page.decide(UIDS[0])
    assert answer.status == 507
    assert b"no space left" in answer.body
    assert page.get("/api/session").json()["decisions"] == {}
    page.journal.full = False
    assert page.decide(UIDS[0]).json()["last"] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"uid": "pairs-9999"},
        {"uid": "../pairs"},
        {"uid": ["pairs-0001"]},
        {"uid": None},
        {"decision": "perhaps"},
        {"decision": None},
        {"error": "ugly"},
        {"error": None},
        {"error": ["leak"]},
        {"seconds": -1},
        {"seconds": "1"},
        {"seconds": True},
        {"seconds": 1e9},
        {"reviewer": "ben"},
        {"digest": "0"},
    ],
)
def test_a_decision_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    page = Page()
    good: dict[str, object] = {"uid": UIDS[0], "decision": "accept", "error": "", "seconds": 1}
    assert page.post("/api/decisions", good | change).status == 422
    assert page.journal.rows == []


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"null", b"\xff\xfe", b"[" * 2000, b'{"uid": NaN}', b'{"undoes": NaN}']
)
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    page = Page()
    assert call(page.app, "POST", "/api/decisions", WITH_ALL, [body]).status == 422
    assert call(page.app, "POST", "/api/undo", WITH_ALL, [body]).status in (409, 422)
    infinite = b'{"uid": "pairs-0000", "decision": "accept", "error": "", "seconds": Infinity}'
    assert call(page.app, "POST", "/api/decisions", WITH_ALL, [infinite]).status == 422
    assert page.journal.rows == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_must_be_json_by_name(kind: str) -> None:
    headers = [*WITH_ALL[:-1], ("content-type", kind)]
    good = {"uid": UIDS[0], "decision": "accept", "error": "", "seconds": 1}
    assert Page().post("/api/decisions", good, headers).status == 415


def test_images_are_those_of_the_pair() -> None:
    page = Page()
    for side, name in {"left": "chosen", "right": "rejected", "mask": "mask"}.items():
        answer = page.get(f"/images/{UIDS[3]}/{side}?v=1")
        assert (answer.body, answer.headers["content-type"]) == (f"{UIDS[3]} {name}".encode(), "image/png")


def test_the_session_says_what_the_page_shows() -> None:
    others = {"ben": {UIDS[0]: decision(UIDS[0], "reject", "leak", digest=facts(0).digest, reviewer="ben")}}
    session = Page(others=others).get("/api/session").json()
    assert [item["uid"] for item in session["pairs"]] == UIDS
    assert session["pairs"][0] | {"uid": ""} == {
        "uid": "",
        **{name: getattr(facts(0), name) for name in HIDDEN},
        "box": [1, 2, 5, 6],
        "width": 8,
        "height": 8,
    }
    assert [item["name"] for item in session["errors"]] == list(ERRORS)
    assert session["others"] == {"ben": {UIDS[0]: {"decision": "reject", "error": "leak"}}}


def test_a_blind_reviewer_is_told_nothing() -> None:
    others = {"ben": {UIDS[0]: decision(UIDS[0], "reject", "leak", digest=facts(0).digest, reviewer="ben")}}
    page = Page(blind=True, others=others)
    text = page.get("/api/session").body.decode()
    session = json.loads(text)
    assert all(set(item) == {"uid", "box", "width", "height"} for item in session["pairs"])
    assert session["others"] == {}
    assert "ben" not in text
    assert "secret" not in text
    assert facts(1).digest not in text
    html = page.get("/").body.decode()
    assert not re.search("chosen|rejected one", html)


def test_a_blind_reviewer_sees_either_side_on_the_left_and_always_the_same() -> None:
    page = Page(blind=True)
    lefts = {uid: page.get(f"/images/{uid}/left").body.decode().split()[1] for uid in UIDS}
    rights = {uid: page.get(f"/images/{uid}/right").body.decode().split()[1] for uid in UIDS}
    assert set(lefts.values()) == {"chosen", "rejected"}
    assert all({lefts[uid], rights[uid]} == {"chosen", "rejected"} for uid in UIDS)
    for uid in UIDS:
        assert page.decide(uid).status == 201
    assert {row["uid"]: row["left"] for row in page.journal.rows} == lefts
    assert all(row["blind"] for row in page.journal.rows)


def test_the_order_of_sides_differs_between_reviewers_and_is_fair() -> None:
    uids = [str(number) for number in range(2000)]
    sides = {name: [left_side(name, uid, blind=True) for uid in uids] for name in ("anna", "ben")}
    for found in sides.values():
        assert 900 < found.count("rejected") < 1100
    same = sum(one == two for one, two in zip(*sides.values(), strict=True))
    assert 900 < same < 1100
    assert left_side("anna", "0", blind=True) == ("rejected" if derive(0, "review", "anna", "0") % 2 else "chosen")
    assert {left_side("anna", uid, blind=False) for uid in uids} == {"chosen"}


def test_a_decision_on_another_version_of_a_pair_does_not_count() -> None:
    stale, good = decision(UIDS[0], digest="f" * 64), decision(UIDS[1], digest=facts(1).digest)
    page = Page(journal=Memory([decide_row(stale), decide_row(decision("gone")), decide_row(good)]))
    assert set(page.get("/api/session").json()["decisions"]) == {UIDS[1]}


def test_a_journal_of_something_else_is_refused() -> None:
    with pytest.raises(InputError, match="line 0 of the journal"):
        Page(journal=Memory([{"prompt_id": "a"}]))


def test_names_are_escaped() -> None:
    html = Page(title="<b>pairs").get("/", [HOST, ("cookie", WITH_ALL[1][1])]).body.decode()
    assert "<b>" not in html
    assert "&lt;b&gt;pairs: review" in html
