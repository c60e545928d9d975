"""The one HTTP client: chat completions of an OpenAI-compatible endpoint, for judges, screens and captions.

Requests run concurrently over pooled connections (httpx2, the continuation of httpx by Pydantic, on which
``huggingface_hub`` depends as well), within a rate limit and a time limit each. A request that failed for a passing
reason is repeated with exponential back-off and jitter, after ``Retry-After`` where the endpoint sends it.
"""

import base64
import contextlib
import io
import json
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import httpx2
import numpy as np
from PIL import Image

from asap.core.errors import ConfigError, InputError
from asap.core.records import ByteArray
from asap.stores.replies import ReplyStore

__all__ = ["Batch", "ChatClient", "Endpoint", "Question", "Reply", "ask", "chat_body", "image_url", "message_text"]

T = TypeVar("T", bound=Hashable)

RETRY_STATUSES: Final = (408, 409, 429, 500, 502, 503, 504)
"""Statuses after which the same request may succeed."""
LOOKAHEAD: Final = 3
"""Questions submitted ahead of the reader, in multiples of the concurrency: no worker waits, and memory stays small."""
MAX_REPLY_BYTES: Final = 1 << 20
MAX_RETRY_AFTER: Final = 60.0
"""Seconds; a longer ``Retry-After`` is cut to this."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Address of an OpenAI-compatible endpoint, and its time limits and retries."""

    url: str
    """Base address up to and including the version, for example ``http://localhost:8000/v1``."""
    model: str
    key: str = field(default="", repr=False)
    timeout: float = 60.0
    """Seconds for one reply."""
    tries: int = 4
    pause: float = 1.0
    """Seconds before the second try; doubled before each further one, with jitter."""

    def backoff(self, attempt: int) -> float:
        """Seconds to wait before try ``attempt``, counted from 0; jitter spreads the retries of many requests."""
        return self.pause * 2.0 ** (attempt - 1) * random.uniform(0.5, 1.5) if attempt else 0.0


@dataclass(frozen=True, kw_only=True)
class Question:
    """One request."""

    key: str
    """Hash of everything that decides the reply; questions with equal keys are sent once."""
    body: Callable[[], bytes] = field(repr=False)
    """Makes the request's JSON; called by a worker thread, and only if the question is sent."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The outcome of a question: ``text`` or ``fault``."""

    text: str = ""
    """The response's body, unchanged."""
    fault: str = ""
    """Why there is no reply."""

    def message(self) -> str:
        """What the model wrote; raises ``InputError`` if there is no reply or it cannot be read."""
        if self.fault:
            raise InputError(self.fault)
        return message_text(self.text)


@dataclass(frozen=True, kw_only=True)
class Batch(Generic[T]):
    """Questions that belong together, for instance all about one image."""

    label: T
    questions: tuple[Question, ...]


class ChatClient:
    """Sends questions to one endpoint; a context manager, to be used by one thread."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        replies: ReplyStore | None = None,
        concurrency: int = 16,
        per_minute: float = 0.0,
    ) -> None:
        """Start no thread yet.

        Args:
            endpoint: where to send the questions.
            replies: raw replies by key, which are read before a question is sent and kept after; None keeps nothing.
            concurrency: requests at the same time.
            per_minute: requests started per minute; 0 for no limit.

        Raises:
            ConfigError: an address that is neither http nor https, or a concurrency below 1.
        """
        try:
            url = httpx2.URL(endpoint.url)
        except httpx2.InvalidURL:
            url = httpx2.URL("")
        if url.scheme not in ("http", "https") or not url.host or concurrency < 1:
            raise ConfigError(
                f"want an address such as http://localhost:8000/v1 and a concurrency of at least 1, got "
                f"{endpoint.url!r} and {concurrency}"
            )
        self.endpoint, self.replies, self.concurrency = endpoint, replies, concurrency
        self.calls = 0
        """Requests sent, retries included."""
        self._url = f"{endpoint.url.rstrip('/')}/chat/completions"
        self._pace = _Pace(per_minute)
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> "ChatClient":
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.endpoint.key:
            headers["Authorization"] = f"Bearer {self.endpoint.key}"
        limits = httpx2.Limits(max_connections=self.concurrency, max_keepalive_connections=self.concurrency)
        self._http = httpx2.Client(headers=headers, limits=limits, timeout=self.endpoint.timeout)
        self._pool = ThreadPoolExecutor(self.concurrency, "chat")
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        with self._lock:
            for each in self._sockets:  # ends the requests under way; closing alone would not wake their threads
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        self._pool.shutdown(cancel_futures=True)
        self._http.close()

    def submit(self, question: Question) -> "Future[Reply]":
        """The future reply; what ``question.body`` raises is raised by the future."""
        known = self.replies.get(question.key) if self.replies is not None else None
        if known is None:
            return self._pool.submit(self._answer, question)
        future: Future[Reply] = Future()
        future.set_result(Reply(text=known))
        return future

    def ask(self, batches: Iterable[Batch[T]]) -> Iterator[tuple[T, tuple[Reply, ...]]]:
        """Replies by batch, in order; batches are taken from the iterable only as fast as they are answered."""
        waiting: deque[tuple[T, list[Future[Reply]]]] = deque()
        submitted: dict[str, Future[Reply]] = {}
        pending = 0
        for batch in batches:
            for question in batch.questions:
                if question.key not in submitted:
                    submitted[question.key] = self.submit(question)
            waiting.append((batch.label, [submitted[question.key] for question in batch.questions]))
            pending += len(batch.questions)
            while pending > LOOKAHEAD * self.concurrency:
                label, futures = waiting.popleft()
                pending -= len(futures)
                yield label, tuple(future.result() for future in futures)
        for label, futures in waiting:
            yield label, tuple(future.result() for future in futures)

    def _answer(self, question: Question) -> Reply:
        """Send the question, again if it fails for a passing reason, and store the reply."""
        body, fault = question.body(), ""
        for attempt in range(self.endpoint.tries):
            if self._stop.wait(self.endpoint.backoff(attempt)) or self._pace.wait(self._stop):
                return Reply(fault="stopped")
            started = time.monotonic()
            try:
                status, text, retry_after = self._post(body)
            except httpx2.TimeoutException:
                fault = "no reply in time"
                continue
            except httpx2.HTTPError as error:
                fault = f"{type(error).__name__}: {error}"
                continue
            if status == 200:
                if self.replies is not None:
                    self.replies.add(question.key, text, time.monotonic() - started)
                return Reply(text=text)
            fault = f"status {status}: {text[:200]}"
            if status not in RETRY_STATUSES:
                break
            self._pace.hold(retry_after)
        return Reply(fault=fault)

    def _post(self, body: bytes) -> tuple[int, str, float]:
        """Status, body and seconds of ``Retry-After``.

        The body is read piece by piece, because a time-out of the socket starts anew with each piece.
        """
        with self._lock:
            self.calls += 1
        deadline, data = time.monotonic() + self.endpoint.timeout, bytearray()
        with self._http.stream("POST", self._url, content=body, extensions={"trace": self._remember}) as response:
            for piece in response.iter_bytes():
                data += piece
                if len(data) > MAX_REPLY_BYTES:
                    raise httpx2.RemoteProtocolError(f"the reply is longer than {MAX_REPLY_BYTES} bytes")
                if time.monotonic() > deadline:
                    raise httpx2.ReadTimeout("the reply takes longer than its time limit")
            return response.status_code, data.decode("utf-8", "replace"), _seconds(response.headers)

    def _remember(self, event: str, info: dict[str, Any]) -> None:
        """Keep the socket of a new connection, so that ``__exit__`` can end what waits for it."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            with self._lock:
                self._sockets.append(info["return_value"].get_extra_info("socket"))


class _Pace:
    """When the next request may start: evenly spaced, and not before the endpoint's ``Retry-After``."""

    def __init__(self, per_minute: float) -> None:
        self._gap = 60 / per_minute if per_minute > 0 else 0.0
        self._next, self._lock = 0.0, threading.Lock()

    def wait(self, stop: threading.Event) -> bool:
        """Wait for a turn; True if ``stop`` was set meanwhile."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._gap if self._gap else self._next
        return stop.wait(turn - now) if turn > now else stop.is_set()

    def hold(self, seconds: float) -> None:
        """Start no request for so long."""
        if seconds > 0:
            with self._lock:
                self._next = max(self._next, time.monotonic() + seconds)


def _seconds(headers: httpx2.Headers) -> float:
    """``Retry-After`` in seconds; 0 if it is missing or a date."""
    try:
        return min(MAX_RETRY_AFTER, max(0.0, float(headers.get("Retry-After", ""))))
    except ValueError:
        return 0.0


def ask(endpoint: Endpoint, text: str, *images: ByteArray, max_tokens: int = 120) -> str:
    """Reply to ``text`` about ``images`` (H, W, 3), on one line, at temperature 0.

    Raises:
        InputError: there is no reply, or none that can be read.
    """
    body = chat_body(text, map(image_url, images), model=endpoint.model, temperature=0, max_tokens=max_tokens)
    with ChatClient(endpoint, concurrency=1) as client:
        reply = client.submit(Question(key="", body=lambda: body)).result()
    if reply.fault:
        raise InputError(f"{endpoint.url} gave no answer ({reply.fault}); check the address, the model and the key")
    return " ".join(reply.message().split())


def chat_body(text: str, image_urls: Iterable[str], **settings: object) -> bytes:
    """JSON of a chat completion with one message of the user; ``settings`` are model, temperature, max_tokens, ..."""
    content: list[dict[str, object]] = [{"type": "text", "text": text}]
    content += [{"type": "image_url", "image_url": {"url": url}} for url in image_urls]
    return json.dumps({**settings, "messages": [{"role": "user", "content": content}]}).encode()


def image_url(image: ByteArray, quality: int = 90) -> str:
    """An image (H, W, 3) as a data URI of a JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, format="JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def message_text(reply: str) -> str:
    """The text in a chat completion; raises ``InputError`` if the reply is no chat completion or was cut short."""
    try:
        choice: Any = json.loads(reply)["choices"][0]
        content, ending = choice["message"]["content"], choice.get("finish_reason")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise InputError(f"the reply is no chat completion ({error}): {reply[:200]}") from error
    if ending in ("length", "content_filter"):
        raise InputError(f"the reply was cut short ({ending})")
    if not isinstance(content, str) or not content.strip():
        raise InputError("the reply holds no text; try another model")
    return content
