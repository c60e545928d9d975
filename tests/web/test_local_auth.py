import hmac
from urllib.parse import quote

import pytest

from asap.web import BODY_LIMIT
from tests.review.samples import COOKIE, HOST, TOKEN, WITH_ALL, WITH_COOKIE, MadePairs, Page, call

GOOD = {"uid": "pairs-0001", "decision": "accept", "error": "", "seconds": 1}


@pytest.fixture
def page() -> Page:
    return Page()


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "localhost", "127.0.0.1:9", "[::1]:8000"])
def test_this_machine_is_let_in_by_any_port(page: Page, host: str) -> None:
    assert page.get("/", [("host", host), WITH_COOKIE[1]]).status == 200


@pytest.mark.parametrize(
    "hosts",
    [
        ["evil.example"],
        ["evil.example:8000"],
        ["127.0.0.1.evil.example"],
        ["localhost.evil.example:8000"],
        ["127.0.0.1@evil.example"],
        ["192.168.0.7:8000"],
        ["0.0.0.0:8000"],
        ["[::1"],
        [""],
        [],
        ["127.0.0.1:8000", "evil.example"],
    ],
)
@pytest.mark.parametrize("path", ["/", f"/?token={TOKEN}", "/api/session", "/images/pairs-0001/left"])
def test_another_host_name_is_refused_even_with_the_token(page: Page, hosts: list[str], path: str) -> None:
    answer = page.get(path, [*(("host", host) for host in hosts), WITH_COOKIE[1]])
    assert answer.status == 400
    assert TOKEN not in str(answer.headers) + answer.body.decode()
    assert page.pairs.asked == []


@pytest.mark.parametrize(
    "path", ["/", "/static/review.js", "/api/session", "/images/pairs-0001/left", "/nowhere", "/?token="]
)
def test_nothing_is_served_without_the_token(page: Page, path: str) -> None:
    for headers in ([HOST], [HOST, ("cookie", f"{COOKIE}=wrong")], [HOST, ("cookie", f"other={TOKEN}")]):
        answer = page.get(path, headers)
        assert answer.status == 401
        assert "set-cookie" not in answer.headers
        assert TOKEN not in answer.body.decode()
    assert page.pairs.asked == []


@pytest.mark.parametrize("given", ["", "t0ke", "t0kenn", "T0KEN", "tökén", "%00", " t0ken"])
def test_a_wrong_token_is_refused(page: Page, given: str) -> None:
    assert page.get(f"/?token={quote(given)}", [HOST]).status == 401
    assert page.get("/", [HOST, ("cookie", f"{COOKIE}={given}")]).status == (200 if given.strip() == TOKEN else 401)


def test_a_wrong_token_in_the_address_does_not_fall_back_on_the_cookie(page: Page) -> None:
    assert page.get("/?token=wrong").status == 401


def test_tokens_are_compared_in_constant_time(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(first: bytes, second: bytes) -> bool:
        compared.append((first, second))
        return True

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert page.get("/?token=wrong", [HOST]).status == 200
    assert compared == [(b"wrong", TOKEN.encode())]


def test_the_address_sets_a_cookie_that_scripts_and_other_sites_do_not_get(page: Page) -> None:
    answer = page.get(f"/?token={TOKEN}", [HOST])
    assert answer.status == 200
    assert answer.headers["set-cookie"] == f"{COOKIE}={TOKEN}; Path=/; HttpOnly; SameSite=Strict"
    assert "set-cookie" not in page.get("/").headers


@pytest.mark.parametrize(
    "headers",
    [
        WITH_COOKIE,
        (*WITH_COOKIE, ("content-type", "application/json")),
        (*WITH_COOKIE, ("content-type", "application/json"), ("x-asap-token", "wrong")),
        (*WITH_ALL, ("origin", "http://evil.example")),
        (*WITH_ALL, ("origin", "http://127.0.0.1:9999")),
        (*WITH_ALL, ("origin", "null")),
        (*WITH_ALL, ("sec-fetch-site", "cross-site")),
        (*WITH_ALL, ("sec-fetch-site", "same-site")),
    ],
)
def test_a_change_needs_the_token_in_a_header_and_comes_from_the_page(
    page: Page, headers: tuple[tuple[str, str], ...]
) -> None:
    assert page.post("/api/decisions", GOOD, headers).status == 403
    assert page.journal.rows == []


def test_the_page_itself_may_change_things(page: Page) -> None:
    own = (*WITH_ALL, ("origin", "http://127.0.0.1:8000"), ("sec-fetch-site", "same-origin"))
    assert page.post("/api/decisions", GOOD, own).status == 201
    assert page.post("/api/decisions", GOOD, [HOST, *WITH_ALL[2:]]).status == 401, "the header alone is not enough"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_change_nothing(page: Page, method: str) -> None:
    assert call(page.app, method, "/api/decisions", WITH_COOKIE).status == 403
    assert call(page.app, method, "/api/decisions", WITH_ALL).status == 405
    assert page.get("/api/decisions").status == 405
    assert page.post("/api/session", {}).status == 405


def test_a_large_request_is_refused_whatever_it_says_of_its_length(page: Page) -> None:
    large = b"x" * (BODY_LIMIT + 1)
    said = (*WITH_ALL, ("content-length", str(len(large))))
    assert call(page.app, "POST", "/api/decisions", said, [large]).status == 413
    assert call(page.app, "POST", "/api/decisions", WITH_ALL, [large]).status == 413
    pieces = [b"x" * 1000] * 5
    assert call(page.app, "POST", "/api/decisions", WITH_ALL, pieces).status == 413
    assert call(page.app, "POST", "/api/decisions", (*WITH_ALL, ("content-length", "10")), pieces).status == 413
    assert call(page.app, "GET", "/", (*WITH_COOKIE, ("content-length", "99999"))).status == 413
    assert call(page.app, "GET", "/", (*WITH_COOKIE, ("content-length", "-1"))).status == 413
    assert page.journal.rows == []


def test_a_body_in_pieces_arrives_whole(page: Page) -> None:
    body = b'{"uid": "pairs-0001", "decision": "reject", "error": "leak", "seconds": 1}'
    pieces = [body[:10], b"", body[10:11], body[11:]]
    assert call(page.app, "POST", "/api/decisions", WITH_ALL, pieces).status == 201
    assert page.journal.rows[0]["error"] == "leak"


@pytest.mark.parametrize(
    "path",
    [
        "/images/../../../../etc/passwd",
        "/images/..%2f..%2f..%2fetc%2fpasswd/left",
        "/images/%2e%2e/left",
        "/images/pairs-0001/chosen",
        "/images/pairs-0001/regions",
        "/images/pairs-0001/left/..",
        "/images/pairs-0001%00/left",
        "/images/pairs-9999/left",
        "/images//left",
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e%2fapp.py",
        "/static//etc/passwd",
        "/static/review.html.j2",
        "/static/",
        "//etc/passwd",
    ],
)
def test_only_pictures_of_the_pairs_and_three_files_are_served(page: Page, path: str) -> None:
    answer = page.get(path)
    assert answer.status == 404
    assert page.pairs.asked == []


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", WITH_COOKIE, 200),
        ("/", (HOST,), 401),
        ("/", (("host", "evil.example"),), 400),
        ("/nowhere", WITH_COOKIE, 404),
        ("/api/session", WITH_COOKIE, 200),
        ("/images/pairs-0001/mask", WITH_COOKIE, 200),
    ],
)
def test_every_answer_carries_the_headers_and_none_allows_another_origin(
    page: Page, path: str, headers: tuple[tuple[str, str], ...], status: int
) -> None:
    answer = page.get(path, (*headers, ("origin", "http://evil.example")))
    assert answer.status == status
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert all(value in ("'none'", "'self'") for value in policy.values())
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["cache-control"] == ("private, max-age=3600" if "images" in path else "no-store")
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_the_page_obeys_its_own_policy() -> None:
    html = Page(MadePairs(1)).get("/").body.decode()
    assert "<style" not in html
    assert " style=" not in html
    assert " onclick=" not in html
    assert html.count("<script") == html.count('<script type="module" src="/static/review.js">') == 1
