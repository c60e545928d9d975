"""The judge ``vlm``: any vision-language model behind an OpenAI-compatible endpoint, asked part by part.

Raw replies are kept by a key of the picture's pixels, the crop, the words, the schema, the model and the parameters, so
that a killed run asks nothing twice and another run with the same questions costs nothing.
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
"""JudgeInputs that the estimate looks at."""
CHARACTERS: Final = 4
"""Of English text in a token, roughly."""
REPLY_TOKENS: Final = 250


@dataclass(frozen=True, kw_only=True)
class VlmSettings:
    """Settings of the judge ``vlm``."""

    url: str
    """Up to and including the version, for example ``http://localhost:8000/v1``."""
    model: str
    votes: int = 3
    """Calls for each part; at least 3."""
    temperature: float = 0.7
    """Above 0, or the votes are one vote."""
    max_tokens: int = 900
    concurrency: int = 16
    per_minute: float = 0.0
    """Requests a minute; 0 for no limit."""
    timeout: float = 60.0
    """Seconds for one reply in all."""
    tries: int = 4
    pause: float = 1.0
    """Seconds before the second try; doubled for each further one, with jitter."""
    size: int = 768
    """Longest side of the whole picture as sent, pixels."""
    crop: int = 512
    """Longest side of a crop as sent, pixels; smaller crops are enlarged."""
    landmarker: str = "mediapipe"
    """Finds the crops; empty: no crops, only parts that the prompt asks for."""
    image_tokens: int = 1000
    """Tokens of a picture, for the estimate; ask the model's documentation."""
    price_in: float = 0.0
    """Price of a million tokens asked, for the estimate; 0: not known."""
    price_out: float = 0.0
    """Price of a million tokens answered."""

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` for settings that make no judge."""
        faults = []
        if self.votes < LEAST_VOTES:
            faults.append(f"votes must be at least {LEAST_VOTES}, got {self.votes}")
        if not 0 < self.temperature <= 2:
            faults.append(f"temperature must be above 0 and at most 2, got {self.temperature}")
        for name in ("max_tokens", "concurrency", "tries", "size", "crop"):
            if getattr(self, name) < 1:
                faults.append(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.timeout <= 0 or self.pause < 0 or self.per_minute < 0:
            faults.append("timeout must be above 0, pause and per_minute not below")
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
        """Hash of model, questions, parameters and of who finds the crops; not of the address."""
        found = self._landmarker
        names = ("model", "votes", "temperature", "max_tokens", "size", "crop")
        asked: dict[str, object] = {name: getattr(self.settings, name) for name in names}
        return digest_json(asked | {"questions": room.QUESTIONS, "landmarker": found.fingerprint if found else ""})

    def judge(self, pictures: Iterable[JudgeInput]) -> Iterator[Verdict]:
        """One verdict per picture, in order."""
        with ReplyStore(self._replies) as store, self._client(store) as client:
            for prepared, replies in client.ask(self._batches(pictures)):
                yield _verdict(prepared, replies, self.settings.votes)
                self.calls = client.calls

    def compare(self, pairs: Iterable[tuple[JudgeInput, JudgeInput]]) -> Iterator[Comparison]:
        """The model's pictures (first) against the base's, each in both orders, by votes."""
        with ReplyStore(self._replies) as store, self._client(store) as client:
            for key, replies in client.ask(self._pair_batches(pairs)):
                yield _compared(key, replies)
                self.calls = client.calls

    def estimate(self, pictures: Sequence[JudgeInput]) -> dict[str, object]:
        """What judging all of them will take: calls, tokens and price, from a sample of them."""
        rows = [pictures[place] for place in np.unique(np.linspace(0, len(pictures) - 1, SAMPLE).astype(int))]
        found = [_Prepared(row, self._looks(row), self.settings) for row in rows]
        questions = [(item, look) for item in found for look in item.looks]
        share = len(pictures) / max(1, len(rows)) * self.settings.votes
        calls = round(share * len(questions))
        images = sum(1 if look.box is None else 2 for _, look in questions)
        text = sum(len(room.part_text(look, item.picture.prompt)) for item, look in questions)
        schemas = sum(len(json.dumps(room.part_schema(look.part))) for _, look in questions)
        tokens_in = round(share * (images * self.settings.image_tokens + (text + schemas) / CHARACTERS))
        tokens_out = calls * REPLY_TOKENS
        known = self.settings.price_in > 0 or self.settings.price_out > 0
        price = (tokens_in * self.settings.price_in + tokens_out * self.settings.price_out) / 1e6
        return {"calls": calls, "tokens_in": tokens_in, "tokens_out": tokens_out, "price": price if known else None}

    def _client(self, store: ReplyStore) -> ChatClient:
        settings = self.settings
        return ChatClient(
            self._endpoint, replies=store, concurrency=settings.concurrency, per_minute=settings.per_minute
        )

    def _looks(self, picture: JudgeInput) -> tuple[room.Look, ...]:
        found = self._landmarker.find(picture.image) if self._landmarker else ()
        boxes = [(region.part, region.side, region.box) for region in found]
        return room.looks(boxes, picture.parts, picture.image.shape[:2])

    def _batches(self, pictures: Iterable[JudgeInput]) -> Iterator[Batch["_Prepared"]]:
        for picture in pictures:
            prepared = _Prepared(picture, self._looks(picture), self.settings)
            yield Batch(label=prepared, questions=prepared.questions())

    def _pair_batches(self, pairs: Iterable[tuple[JudgeInput, JudgeInput]]) -> Iterator[Batch[tuple[str, int]]]:
        for model, base in pairs:
            if model.key != base.key:
                raise InputError(f"pictures of one prompt and seed are compared, got {model.key} and {base.key}")
            sides = [_Prepared(side, (), self.settings) for side in (model, base)]
            text = room.pair_text(model.prompt)
            questions = [
                _question(self.settings, text, room.PAIR_SCHEMA, order, vote)
                for vote in range(self.settings.votes)
                for order in ((sides[0].whole, sides[1].whole), (sides[1].whole, sides[0].whole))
            ]
            yield Batch(label=model.key, questions=tuple(questions))


class _View:
    """A picture, or a crop of it, encoded once and only if somebody asks about it."""

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
    """A picture with what will be asked about it."""

    def __init__(self, picture: JudgeInput, looks: tuple[room.Look, ...], settings: VlmSettings) -> None:
        self.picture, self.looks, self.settings = picture, looks, settings
        image = picture.image
        pixels = digest(str(image.shape).encode() + np.ascontiguousarray(image).tobytes())
        self.whole = _View(image, pixels, settings.size, enlarge=False)

    def questions(self) -> tuple[Question, ...]:
        """Looks times votes."""
        found = []
        for look in self.looks:
            views: tuple[_View, ...] = (self.whole,)
            if look.box is not None:
                x0, y0, x1, y1 = look.box
                name = f"{self.whole.name}:{look.box}"
                crop = _View(self.picture.image[y0:y1, x0:x1], name, self.settings.crop, enlarge=True)
                views = (crop, self.whole)
            text, schema = room.part_text(look, self.picture.prompt), room.part_schema(look.part)
            found += [_question(self.settings, text, schema, views, vote) for vote in range(self.settings.votes)]
        return tuple(found)


def _question(settings: VlmSettings, text: str, schema: dict[str, Any], views: Sequence[_View], vote: int) -> Question:
    """One call: words, pictures, schema; votes differ by their seed alone."""
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
    """Read all replies about one picture."""
    parts = []
    for place, look in enumerate(prepared.looks):
        answers: list[room.Answer | None] = []
        faults = []
        for reply in replies[place * votes : (place + 1) * votes]:
            try:
                answers.append(room.read_answer(_text(reply), look.part))
            except room.Unreadable as error:
                answers.append(None)
                faults.append(str(error))
        parts.append(room.PartVotes(look=look, answers=tuple(answers), faults=tuple(faults)))
    return room.decide(parts, prepared.picture.parts)


def _compared(key: tuple[str, int], replies: Sequence[Reply]) -> Comparison:
    said: list[str | None] = []
    faults = []
    for reply in replies:
        try:
            said.append(room.read_preference(_text(reply)))
        except room.Unreadable as error:
            said.append(None)
            faults.append(str(error))
    votes = tuple(
        room.PairVote(forward=forward, backward=backward)
        for forward, backward in zip(said[::2], said[1::2], strict=True)
    )
    return Comparison(
        key=key,
        outcome=room.decide_pair(votes),
        votes=tuple((vote.forward, vote.backward) for vote in votes),
        reason=faults[0] if faults else "",
    )


def _text(reply: Reply) -> str:
    """What the model wrote; raises ``Unreadable`` where it wrote nothing whole."""
    try:
        return reply.message()
    except InputError as error:
        raise room.Unreadable(error.line) from error


def _fit(image: ByteArray, longest: int, *, enlarge: bool) -> ByteArray:
    """The picture with its longer side at most (``enlarge``: exactly) ``longest`` pixels."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1 and not enlarge:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.Resampling.LANCZOS))
