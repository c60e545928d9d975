"""Ask an endpoint many questions at once: pooled connections, a rate limit, patience, and a store of raw replies.

A worker thread keeps one connection of the standard library open and costs a third of a millisecond a question, a tenth
of what a client library costs; with many small questions that, and not the model, would be the limit.
"""

import contextlib
import http.client
import itertools
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar
from urllib.parse import urlsplit

from asap.core.errors import ConfigError
from asap.stores.replies import ReplyStore
from asap.workflows.runtime.endpoint import AGAIN, Endpoint

__all__ = ["Asker", "Batch", "Question", "Reply"]

T = TypeVar("T", bound=Hashable)

AHEAD: Final = 3
"""Questions prepared ahead, in multiples of the concurrency: enough that no worker waits, few enough to keep memory."""
LARGEST: Final = 1 << 20
"""Bytes of a reply that are read."""
TICK: Final = 0.1
"""Seconds between two looks for calls that are overdue."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One call."""

    key: str
    """Hash of all that is asked; equal keys are asked once."""
    body: Callable[[], bytes] = field(repr=False)
    """Makes the request's JSON; called by a worker, only if the question must be asked."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came of a question."""

    text: str = ""
    """Body of the answer, raw."""
    fault: str = ""
    """Why there is none."""


@dataclass(frozen=True, kw_only=True)
class Batch(Generic[T]):
    """Questions that belong together, for instance all of one image."""

    label: T
    questions: tuple[Question, ...]


class Asker:
    """Asks questions of one endpoint; a context manager, to be used by one thread."""

    def __init__(
        self, endpoint: Endpoint, replies: ReplyStore, *, concurrency: int = 16, per_minute: float = 0.0
    ) -> None:
        """Start no thread yet; ``per_minute`` 0 sets no limit.

        Raises:
            ConfigError: an address that is neither http nor https, or a concurrency below 1.
        """
        parts = urlsplit(endpoint.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or concurrency < 1:
            raise ConfigError(
                f"want an address such as http://localhost:8000/v1 and a concurrency of at least 1, got "
                f"{endpoint.url!r} and {concurrency}"
            )
        self.endpoint, self.replies, self.concurrency = endpoint, replies, concurrency
        self.calls = 0
        """Requests sent, tries included."""
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._path = f"{parts.path.rstrip('/')}/chat/completions"
        self._pace = _Pace(per_minute)
        self._local, self._guard = threading.local(), threading.Lock()
        self._stop = threading.Event()
        self._busy: dict[int, tuple[float, http.client.HTTPConnection]] = {}
        self._open: list[http.client.HTTPConnection] = []
        self._ids = itertools.count()

    def __enter__(self) -> "Asker":
        self._pool = ThreadPoolExecutor(self.concurrency, "asker")
        self._watch = threading.Thread(target=self._cut_overdue, name="asker-watch", daemon=True)
        self._watch.start()
        return self

    def __exit__(self, *_ending: object) -> None:
        self._stop.set()
        with self._guard:
            for _, connection in self._busy.values():
                _cut(connection)
        self._pool.shutdown(cancel_futures=True)
        self._watch.join()
        for connection in self._open:
            connection.close()

    def ask(self, batches: Iterable[Batch[T]]) -> Iterator[tuple[T, tuple[Reply, ...]]]:
        """Replies by batch, in order; batches are drawn only as fast as there is room for them."""
        waiting: deque[tuple[T, list[Future[Reply]]]] = deque()
        asked: dict[str, Future[Reply]] = {}
        held = 0
        for batch in batches:
            futures = [asked.setdefault(item.key, self._submit(item, asked)) for item in batch.questions]
            waiting.append((batch.label, futures))
            held += len(futures)
            while held > AHEAD * self.concurrency:
                label, done = waiting.popleft()
                held -= len(done)
                yield label, tuple(future.result() for future in done)
        for label, done in waiting:
            yield label, tuple(future.result() for future in done)

    def _submit(self, question: Question, asked: dict[str, Future[Reply]]) -> Future[Reply]:
        """The future of a question; at once where the reply is known, shared where it is being asked."""
        if question.key in asked:
            return asked[question.key]
        known = self.replies.get(question.key)
        if known is None:
            return self._pool.submit(self._answer, question)
        future: Future[Reply] = Future()
        future.set_result(Reply(text=known))
        return future

    def _answer(self, question: Question) -> Reply:
        """Ask with patience, and keep the reply."""
        body, fault = question.body(), ""
        for attempt in range(self.endpoint.tries):
            if self._stop.wait(self.endpoint.wait(attempt)) or self._pace.wait(self._stop):
                return Reply(fault="stopped")
            started = time.monotonic()
            try:
                status, text, later = self._call(body)
            except (OSError, http.client.HTTPException) as error:
                overdue = time.monotonic() - started >= self.endpoint.timeout
                fault = "no reply in time" if overdue else f"{type(error).__name__}: {error}"
                continue
            if status == 200:
                self.replies.add(question.key, text, time.monotonic() - started)
                return Reply(text=text)
            fault = f"status {status}: {text[:200]}"
            if status not in AGAIN:
                break
            self._pace.hold(later)
        return Reply(fault=fault)

    def _call(self, body: bytes) -> tuple[int, str, float]:
        """Status, text, and for how many seconds the endpoint wants peace; raises what the network raises."""
        connection, number = self._connection(), next(self._ids)
        with self._guard:
            self._busy[number] = (time.monotonic() + self.endpoint.timeout, connection)
            self.calls += 1
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.endpoint.key:
            headers["Authorization"] = f"Bearer {self.endpoint.key}"
        whole = False
        try:
            connection.request("POST", self._path, body, headers)
            answer = connection.getresponse()
            data = answer.read(LARGEST)
            if answer.length:
                raise http.client.HTTPException(f"the reply is longer than {LARGEST} bytes or was cut off")
            later = _seconds(answer.headers.get("Retry-After", ""))
            whole = not answer.will_close
            return answer.status, data.decode("utf-8", "replace"), later
        finally:
            with self._guard:
                del self._busy[number]
            if not whole:
                connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        """This thread's connection: open, or one that opens itself when it is used."""
        held: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if held is None:
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            held = self._local.connection = kind(self._host, self._port, timeout=self.endpoint.timeout)
            self._open.append(held)
        elif held.sock is not None and _gone(held.sock):
            held.close()
        return held

    def _cut_overdue(self) -> None:
        """End calls that take longer than they may in all; a socket's own time-out starts anew with each byte."""
        while not self._stop.wait(TICK):
            now = time.monotonic()
            with self._guard:
                late = [connection for end, connection in self._busy.values() if end < now]
                for connection in late:
                    _cut(connection)


class _Pace:
    """When the next request may start: evenly spaced, and not before the endpoint wants to hear more."""

    def __init__(self, per_minute: float) -> None:
        self._gap = 60 / per_minute if per_minute > 0 else 0.0
        self._next, self._guard = 0.0, threading.Lock()

    def wait(self, stop: threading.Event) -> bool:
        """Wait for a turn; True if ``stop`` came first."""
        with self._guard:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._gap if self._gap else self._next
        return stop.wait(turn - now) if turn > now else stop.is_set()

    def hold(self, seconds: float) -> None:
        """Let nobody start for so long."""
        if seconds > 0:
            with self._guard:
                self._next = max(self._next, time.monotonic() + seconds)


def _seconds(text: str) -> float:
    """A ``Retry-After`` in seconds, at most a minute; 0 for none and for dates."""
    try:
        return min(60.0, max(0.0, float(text)))
    except ValueError:
        return 0.0


def _gone(held: socket.socket) -> bool:
    """Whether the other side has closed an idle connection: then there is an end to be read, or rubbish."""
    if isinstance(held, ssl.SSLSocket):  # cannot be peeked into; a closed one costs one more try
        return False
    patience = held.gettimeout()
    held.settimeout(0)
    try:
        held.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        held.settimeout(patience)
    return True


def _cut(connection: http.client.HTTPConnection) -> None:
    """Make whoever reads from the connection stop at once."""
    held = connection.sock
    if held is not None:
        with contextlib.suppress(OSError):
            held.shutdown(socket.SHUT_RDWR)
