"""An OpenAI-compatible endpoint: where it is, how patiently to ask, and what a question and a reply look like."""

import base64
import io
import json
import random
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from PIL import Image

from asap.core.errors import InputError
from asap.core.records import ByteArray

__all__ = ["AGAIN", "Endpoint", "content_of", "picture_url"]

AGAIN: Final = (408, 409, 429, 500, 502, 503, 504)
"""Answers after which the same request may succeed."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where to ask, and how patiently."""

    url: str
    """Base address up to and including the version, for example ``http://localhost:8000/v1``."""
    model: str
    key: str = ""
    timeout: float = 60.0
    """Seconds for one answer."""
    tries: int = 4
    pause: float = 1.0
    """Seconds before the second try; doubled for each further one, with jitter."""

    def wait(self, attempt: int) -> float:
        """Seconds before try ``attempt`` (the first is 0): jitter keeps many clients from coming back at once."""
        return self.pause * 2.0 ** (attempt - 1) * random.uniform(0.5, 1.5) if attempt else 0.0


def picture_url(picture: ByteArray, quality: int = 90) -> str:
    """A JPEG data URI of (H, W, 3)."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, format="JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def content_of(reply: str) -> str:
    """The text in a chat completion; raises ``InputError`` when the reply is none or was cut short."""
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
