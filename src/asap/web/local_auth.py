"""Access control of a local page: requests must name this machine as host, carry the token and be small.

Any site that is open in the same browser can send requests to a page on the loopback interface. Three checks stop it:
the ``Host`` header must be a loopback name (DNS rebinding keeps the attacker's name there), every request must carry
the token, and a request that changes something must carry it in a header, which another site cannot set without CORS.
"""

import hmac
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["BODY_LIMIT", "TOKEN_HEADER", "LocalAuth"]

BODY_LIMIT: Final = 4096
"""Largest body of a request, in bytes; a decision has about 200."""
TOKEN_HEADER: Final = "X-Asap-Token"
HOSTS: Final = ("127.0.0.1", "localhost", "::1")
CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class LocalAuth:
    """ASGI middleware around the application of a local page."""

    def __init__(self, app: ASGIApp, token: str, cookie: str) -> None:
        """Wrap ``app``.

        Args:
            app: the page.
            token: the secret that a request must carry.
            cookie: name under which the browser stores the token; the port belongs in it, because servers on different
                ports of one host share their cookies.
        """
        self.app, self.token, self.cookie = app, token, cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 400, 401, 403 or 413, or pass the request on and add the security headers to the response."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        given = QueryParams(scope["query_string"]).get("token")
        refusal = self._refusal(scope["method"], headers, given)

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add_headers(MutableHeaders(scope=message), set_cookie=refusal is None and given is not None)
            await send(message)

        if refusal is not None:
            status, reason = refusal
            await PlainTextResponse(reason, status)(scope, receive, send_secured)
            return
        body = await _read_body(receive) if scope["method"] == "POST" else b""
        if body is None:
            await PlainTextResponse("the request is too large", 413)(scope, receive, send_secured)
            return
        await self.app(scope, _replay(body, receive), send_secured)

    def _refusal(self, method: str, headers: Headers, given: str | None) -> tuple[int, str] | None:
        """Status and reason if the request is refused, else None."""
        if not _is_local(headers.getlist("host")):
            return 400, "this page answers to 127.0.0.1 and localhost only"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > BODY_LIMIT:
            return 413, "the request is too large"
        if not self._is_token(given if given is not None else self._cookie_token(headers)):
            return 401, "open the page by the address that the command printed; it holds a token"
        if method not in ("GET", "HEAD") and not (
            self._is_token(headers.get(TOKEN_HEADER)) and _is_same_origin(headers)
        ):
            return 403, "this request did not come from the page"
        return None

    def _is_token(self, given: str | None) -> bool:
        return given is not None and hmac.compare_digest(given.encode(), self.token.encode())

    def _cookie_token(self, headers: Headers) -> str | None:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return None
        return found.value if found else None

    def _add_headers(self, headers: MutableHeaders, *, set_cookie: bool) -> None:
        for name, value in SECURITY_HEADERS.items():
            headers[name] = value
        headers.setdefault("Cache-Control", "no-store")
        if set_cookie:
            headers.append("Set-Cookie", f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict")


def _is_local(hosts: list[str]) -> bool:
    """Whether there is exactly one ``Host`` header and it names this machine; any port, because a tunnel changes it."""
    try:
        return len(hosts) == 1 and urlsplit(f"//{hosts[0]}").hostname in HOSTS
    except ValueError:
        return False


def _is_same_origin(headers: Headers) -> bool:
    """Whether ``Origin`` and ``Sec-Fetch-Site``, where the browser sends them, name this page."""
    origin = headers.get("origin")
    return (origin is None or origin == f"http://{headers['host']}") and headers.get("sec-fetch-site") in (
        None,
        "same-origin",
    )


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body, or None if it exceeds the limit, whatever length was announced."""
    body: bytes = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > BODY_LIMIT:
            return None
        if not message.get("more_body", False):
            return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that first returns the body that was already read."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return pending.pop() if pending else await receive()

    return receive_again
