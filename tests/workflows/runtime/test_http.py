"""The HTTP client beyond what the tests of the judge ``vlm`` and of captions show."""

import socket
import time
from collections.abc import Iterator

import numpy as np
import pytest

from asap.core.errors import ConfigError, InputError
from asap.workflows.runtime.http import ChatClient, Endpoint, Question, ask


@pytest.fixture
def silent() -> Iterator[str]:
    """An endpoint that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"


def test_leaving_the_client_ends_requests_under_way(silent: str) -> None:
    with ChatClient(Endpoint(url=silent, model="m", timeout=60.0), concurrency=2) as client:
        futures = [client.submit(Question(key=str(place), body=lambda: b"{}")) for place in range(5)]
        while client.calls < 2:
            time.sleep(0.01)
        time.sleep(0.1)
        started = time.monotonic()
    assert time.monotonic() - started < 10
    assert all(future.cancelled() or future.result().fault for future in futures)
    assert client.calls == 2


def test_an_endpoint_that_does_not_answer_is_an_input_error_with_the_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    endpoint = Endpoint(url=f"http://127.0.0.1:{port}/v1", model="m", tries=2, pause=0.01)
    with pytest.raises(InputError, match=r"gave no answer.*ConnectError"):
        ask(endpoint, "What is this?", np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host/v1", "http://", "http://[::1", ""])
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="want an address such as"):
        ChatClient(Endpoint(url=url, model="m"))


def test_the_key_is_not_printed() -> None:
    assert "secret" not in repr(Endpoint(url="http://h/v1", model="m", key="secret"))
