"""A page on this machine, served until the process is stopped."""

import secrets
import socket
import webbrowser
from collections.abc import Callable
from contextlib import closing
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from asap.core.errors import InputError

__all__ = ["serve"]

HOST = "127.0.0.1"


def serve(
    build: Callable[[str, int], ASGIApp],
    *,
    port: int = 0,
    browser: bool = True,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve the application that ``build`` makes of a new secret and the port.

    Args:
        build: is called once the port is held.
        port: 0 for any that is free.
        browser: open the page in the user's browser.
        announce: is called with the page's address, with its secret, as soon as it can be opened.

    Raises:
        InputError: a port that cannot be used.
    """
    with closing(_listen(port)) as listener:
        port = listener.getsockname()[1]
        token = secrets.token_urlsafe(32)
        config = uvicorn.Config(
            build(token, port),
            lifespan="off",
            ws="none",
            access_log=False,  # the address of the page holds the token
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
        )
        address = f"http://{HOST}:{port}/?token={token}"
        announce(address)
        if browser:
            _open(address)
        uvicorn.Server(config).run(sockets=[listener])


def _listen(port: int) -> socket.socket:
    """A socket on the loopback interface, which nothing outside this machine can reach."""
    # with the protocol named, asyncio turns Nagle's delay off, which would add 40 ms to every answer
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        reason = error.strerror if isinstance(error, OSError) else "a port is at most 65535"
        raise InputError(f"cannot listen on port {port}: {reason}; choose another with --port") from error
    return listener


def _open(address: str) -> None:
    """Show the page in a browser with a window; one inside the terminal would hold it up."""
    try:
        found: Any = webbrowser.get()
    except webbrowser.Error:
        return
    if not isinstance(found, webbrowser.GenericBrowser) or isinstance(found, webbrowser.BackgroundBrowser):
        found.open(address)
