"""The judge ``vlm``: a vision-language model behind an OpenAI-compatible endpoint, asked about each part.

Raw replies are stored under a hash of pixels, crop, text, schema, model and parameters. A killed run therefore sends no
question twice, and another run with the same questions sends none.
"""

import json
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from PIL import Image

from asap.benchmark import vlm as room
from asap.benchmark.verdict import Comparison, Judge, JudgeInput, Verdict
from asap.core.errors import ConfigError, InputError
from asap.core.hashing import digest, digest_json
from asap.core.records import ByteArray
from asap.core.seeds import derive
from asap.regions import Landmarker, landmarker
from asap.stores.replies import ReplyStore
from asap.workflows.evaluation.judges.kinds import JudgeContext
from asap.workflows.runtime.http import Batch, ChatClient, Endpoint, Question, Reply, chat_body, image_url

__all__ = ["KEY_VARIABLE", "VlmJudge", "VlmSettings"]

KEY_VARIABLE: Final = "ASAP_JUDGE_KEY"
"""Environment variable with the endpoint's secret, which is written nowhere."""

LEAST_VOTES: Final = 3
SAMPLE: Final = 24
"""JudgeInputs that the estimate views at."""
CHARACTERS: Final = 4
"""Of English text per token, roughly."""
REPLY_TOKENS: Final = 250


@dataclass(frozen=True, kw_only=True)
class VlmSettings:
    """Settings of the judge ``vlm``."""

    url: str
    """Up to and including the version, for example ``http://localhost:8000/v1``."""
    model: str
    votes: int = 3
    """Calls per part; at least 3."""
    temperature: float = 0.7
    """Above 0; at 0 all votes would be the same."""
    max_tokens: int = 900
    concurrency: int = 16
    per_minute: float = 0.0
    """Requests per minute; 0 for no limit."""
    timeout: float = 60.0
    """Seconds for one reply."""
    tries: int = 4
    pause: float = 1.0
    """Seconds before the second try; doubled for each further one, with jitter."""
    size: int = 768
    """Pixels; longest side of the whole image as sent."""
    crop: int = 512
    """Pixels; longest side of a crop as sent. Smaller crops are enlarged."""
    landmarker: str = "mediapipe"
    """Name of the landmarker that finds the crops; empty for no crops, only parts that the prompt asks for."""
    image_tokens: int = 1000
    """Tokens per image, for the estimate; see the model's documentation."""
    price_in: float = 0.0
    """Price per million input tokens, for the estimate; 0 if it is not known."""
    price_out: float = 0.0
    """Price per million output tokens."""

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` for settings out of range."""
        faults = []
        if self.votes < LEAST_VOTES:
            faults.append(f"votes must be at least {LEAST_VOTES}, got {self.votes}")
        if not 0 < self.temperature <= 2:
            faults.append(f"temperature must be above 0 and at most 2, got {self.temperature}")
        for name in ("max_tokens", "concurrency", "tries", "size", "crop"):
            if getattr(self, name) < 1:
                faults.append(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.timeout <= 0 or self.pause < 0 or self.per_minute < 0:
            faults.append("timeout must be above 0, pause and per_minute at least 0")
        if faults:
            raise ConfigError.collect(faults)


class VlmJudge(Judge):
    """See the module. It also compares images pairwise."""

    name = "vlm"

    def __init__(self, settings: VlmSettings, context: JudgeContext) -> None:
        """Raw replies are kept in ``context.work``/replies."""
        self.settings, self._replies = settings, context.work / "replies"
        self._endpoint = Endpoint(
            url=settings.url,
            model=settings.model,
            key=os.environ.get(KEY_VARIABLE, ""),
            timeout=settings.timeout,
            tries=settings.tries,
            pause=settings.pause,
        )
        self.calls = 0
        """Requests sent by this process so far."""

    @cached_property
    def _landmarker(self) -> Landmarker | None:
        return landmarker(self.settings.landmarker) if self.settings.landmarker else None

    @property
    def fingerprint(self) -> str:
        """Hash of model, questions, parameters and landmarker; not of the address."""
        found = self._landmarker
        names = ("model", "votes", "temperature", "max_tokens", "size", "crop")
        asked: dict[str, object] = {name: getattr(self.settings, name) for name in names}
        return digest_json(asked | {"questions": room.QUESTIONS, "landmarker": found.fingerprint if found else ""})

    def judge(self, images: Iterable[JudgeInput]) -> Iterator[Verdict]:
        """One verdict per image, in order."""
        with ReplyStore(self._replies) as store, self._client(store) as client:
            for prepared, replies in client.ask(self._batches(images)):
                yield _verdict(prepared, replies, self.settings.votes)
                self.calls = client.calls

    def compare(self, pairs: Iterable[tuple[JudgeInput, JudgeInput]]) -> Iterator[Comparison]:
        """The model's images (first) against the base's, each in both orders, by votes."""
        with ReplyStore(self._replies) as store, self._client(store) as client:
            for key, replies in client.ask(self._pair_batches(pairs)):
                yield _compared(key, replies)
                self.calls = client.calls

    def estimate(self, images: Sequence[JudgeInput]) -> dict[str, object]:
        """Calls, tokens and price of judging all of them, extrapolated from a sample."""
        rows = [images[place] for place in np.unique(np.linspace(0, len(images) - 1, SAMPLE).astype(int))]
        found = [_Prepared(row, self._views(row), self.settings) for row in rows]
        questions = [(item, view) for item in found for view in item.views]
        share = len(images) / max(1, len(rows)) * self.settings.votes
        calls = round(share * len(questions))
        sent = sum(1 if view.box is None else 2 for _, view in questions)
        text = sum(len(room.part_text(view, item.input.prompt)) for item, view in questions)
        schemas = sum(len(json.dumps(room.part_schema(view.part))) for _, view in questions)
        tokens_in = round(share * (sent * self.settings.image_tokens + (text + schemas) / CHARACTERS))
        tokens_out = calls * REPLY_TOKENS
        known = self.settings.price_in > 0 or self.settings.price_out > 0
        price = (tokens_in * self.settings.price_in + tokens_out * self.settings.price_out) / 1e6
        return {"calls": calls, "tokens_in": tokens_in, "tokens_out": tokens_out, "price": price if known else None}

    def _client(self, store: ReplyStore) -> ChatClient:
        settings = self.settings
        return ChatClient(
            self._endpoint, replies=store, concurrency=settings.concurrency, per_minute=settings.per_minute
        )

    def _views(self, item: JudgeInput) -> tuple[room.PartView, ...]:
        found = self._landmarker.find(item.image) if self._landmarker else ()
        boxes = [(region.part, region.side, region.box) for region in found]
        return room.part_views(boxes, item.parts, item.image.shape[:2])

    def _batches(self, images: Iterable[JudgeInput]) -> Iterator[Batch["_Prepared"]]:
        for item in images:
            prepared = _Prepared(item, self._views(item), self.settings)
            yield Batch(label=prepared, questions=prepared.questions())

    def _pair_batches(self, pairs: Iterable[tuple[JudgeInput, JudgeInput]]) -> Iterator[Batch[tuple[str, int]]]:
        for model, base in pairs:
            if model.key != base.key:
                raise InputError(f"want two images of one prompt and seed to compare, got {model.key} and {base.key}")
            sides = [_Prepared(side, (), self.settings) for side in (model, base)]
            text = room.pair_text(model.prompt)
            questions = [
                _question(self.settings, text, room.PAIR_SCHEMA, order, vote)
                for vote in range(self.settings.votes)
                for order in ((sides[0].whole, sides[1].whole), (sides[1].whole, sides[0].whole))
            ]
            yield Batch(label=model.key, questions=tuple(questions))


class _Encoded:
    """An image or a crop, encoded once, when it is first sent."""

    def __init__(self, image: ByteArray, name: str, longest: int, *, enlarge: bool) -> None:
        self.name, self._image, self._longest, self._enlarge = name, image, longest, enlarge
        self._guard = threading.Lock()
        self._url = ""

    @property
    def url(self) -> str:
        """Data URI."""
        with self._guard:
            if not self._url:
                self._url = image_url(_fit(self._image, self._longest, enlarge=self._enlarge))
            return self._url


class _Prepared:
    """An image with the parts to ask about."""

    def __init__(self, item: JudgeInput, views: tuple[room.PartView, ...], settings: VlmSettings) -> None:
        self.input, self.views, self.settings = item, views, settings
        image = item.image
        pixels = digest(str(image.shape).encode() + np.ascontiguousarray(image).tobytes())
        self.whole = _Encoded(image, pixels, settings.size, enlarge=False)

    def questions(self) -> tuple[Question, ...]:
        """All votes about all parts."""
        found = []
        for view in self.views:
            views: tuple[_Encoded, ...] = (self.whole,)
            if view.box is not None:
                x0, y0, x1, y1 = view.box
                name = f"{self.whole.name}:{view.box}"
                crop = _Encoded(self.input.image[y0:y1, x0:x1], name, self.settings.crop, enlarge=True)
                views = (crop, self.whole)
            text, schema = room.part_text(view, self.input.prompt), room.part_schema(view.part)
            found += [_question(self.settings, text, schema, views, vote) for vote in range(self.settings.votes)]
        return tuple(found)


def _question(
    settings: VlmSettings, text: str, schema: dict[str, Any], views: Sequence[_Encoded], vote: int
) -> Question:
    """One call: text, images, schema; votes differ by their seed only."""
    how: dict[str, Any] = {
        "model": settings.model,
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
        "seed": derive(0, "vlm-vote", vote) % 2**31,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "anatomy", "strict": True, "schema": schema},
        },
    }
    sizes = [settings.size, settings.crop]

    def body() -> bytes:
        return chat_body(text, (view.url for view in views), **how)

    return Question(key=digest_json([how, text, [view.name for view in views], sizes]), body=body)


def _verdict(prepared: _Prepared, replies: Sequence[Reply], votes: int) -> Verdict:
    """The verdict on one image from its replies."""
    parts = []
    for place, view in enumerate(prepared.views):
        answers: list[room.Answer | None] = []
        faults = []
        for reply in replies[place * votes : (place + 1) * votes]:
            try:
                answers.append(room.read_answer(_text(reply), view.part))
            except room.Unreadable as error:
                answers.append(None)
                faults.append(str(error))
        parts.append(room.PartVotes(view=view, answers=tuple(answers), faults=tuple(faults)))
    return room.decide(parts, prepared.input.parts)


def _compared(key: tuple[str, int], replies: Sequence[Reply]) -> Comparison:
    preferences: list[str | None] = []
    faults = []
    for reply in replies:
        try:
            preferences.append(room.read_preference(_text(reply)))
        except room.Unreadable as error:
            preferences.append(None)
            faults.append(str(error))
    votes = tuple(
        room.PairVote(forward=forward, backward=backward)
        for forward, backward in zip(preferences[::2], preferences[1::2], strict=True)
    )
    return Comparison(
        key=key,
        outcome=room.decide_pair(votes),
        votes=tuple((vote.forward, vote.backward) for vote in votes),
        reason=faults[0] if faults else "",
    )


def _text(reply: Reply) -> str:
    """What the model wrote; raises ``Unreadable`` if there is no complete reply."""
    try:
        return reply.message()
    except InputError as error:
        raise room.Unreadable(error.line) from error


def _fit(image: ByteArray, longest: int, *, enlarge: bool) -> ByteArray:
    """The image with its longer side at most (with ``enlarge`` exactly) ``longest`` pixels."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1 and not enlarge:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.Resampling.LANCZOS))
