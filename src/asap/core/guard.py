"""What stands before the page: only this machine, only who has the token, only small requests.

A page bound to loopback can still be reached by any site open in the same browser. Hence three checks: the ``Host``
must be a loopback name (a site that rebinds its own name to 127.0.0.1 keeps its own name there), every request must
carry the token, and whatever changes something must carry it in a header, which another site cannot set without CORS.
"""

import hmac
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["BODY_LIMIT", "TOKEN_HEADER", "Guard"]

BODY_LIMIT: Final = 4096
"""Bytes of a request's body; a decision has about 200."""
TOKEN_HEADER: Final = "X-Asap-Token"
_HOSTS: Final = ("127.0.0.1", "localhost", "::1")
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """ASGI middleware around the page."""

    def __init__(self, app: ASGIApp, token: str, cookie: str) -> None:
        """``token`` is the secret; ``cookie`` the name under which a browser keeps it (ports share their cookies)."""
        self.app, self.token, self.cookie = app, token, cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 400, 401, 403 or 413, or let the request through and set the headers of the answer."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        given = QueryParams(scope["query_string"]).get("token")
        fault = self._fault(scope["method"], headers, given)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._dress(MutableHeaders(scope=message), keep=fault is None and given is not None)
            await send(message)

        if fault is not None:
            await PlainTextResponse(fault[1], fault[0])(scope, receive, guarded)
            return
        body = await _body(receive) if scope["method"] == "POST" else b""
        if body is None:
            await PlainTextResponse("the request is too large", 413)(scope, receive, guarded)
            return
        await self.app(scope, _replay(body, receive), guarded)

    def _fault(self, method: str, headers: Headers, given: str | None) -> tuple[int, str] | None:
        """Status and reason for which a request is refused, or None."""
        if not _local(headers.getlist("host")):
            return 400, "this page answers to 127.0.0.1 and localhost only"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > BODY_LIMIT:
            return 413, "the request is too large"
        if not self._known(given if given is not None else self._kept(headers)):
            return 401, "open the page by the address that the command printed; it holds a token"
        if method not in ("GET", "HEAD") and not (self._known(headers.get(TOKEN_HEADER)) and _own(headers)):
            return 403, "this request did not come from the page"
        return None

    def _known(self, given: str | None) -> bool:
        return given is not None and hmac.compare_digest(given.encode(), self.token.encode())

    def _kept(self, headers: Headers) -> str | None:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return None
        return found.value if found else None

    def _dress(self, headers: MutableHeaders, *, keep: bool) -> None:
        for name, value in _HEADERS.items():
            headers[name] = value
        headers.setdefault("Cache-Control", "no-store")
        if keep:
            headers.append("Set-Cookie", f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict")


def _local(hosts: list[str]) -> bool:
    """Whether there is one ``Host`` and it names this machine, with any port (a tunnel may change it)."""
    try:
        return len(hosts) == 1 and urlsplit(f"//{hosts[0]}").hostname in _HOSTS
    except ValueError:
        return False


def _own(headers: Headers) -> bool:
    """Whether the browser, if it says where a request comes from, says that it comes from this page."""
    origin = headers.get("origin")
    return (origin is None or origin == f"http://{headers['host']}") and headers.get("sec-fetch-site") in (
        None,
        "same-origin",
    )


async def _body(receive: Receive) -> bytes | None:
    """The whole body, or None when it is over the limit, whatever length was announced."""
    found: bytes = b""
    while True:
        message = await receive()
        found += bytes(message.get("body", b""))
        if len(found) > BODY_LIMIT:
            return None
        if not message.get("more_body", False):
            return found


def _replay(body: bytes, receive: Receive) -> Receive:
    """``receive`` with the body that was read already put back in front."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
