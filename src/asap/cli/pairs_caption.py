"""``asap pairs caption``."""

import os
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from asap.cli.output import print_lines, tell
from asap.core.settings import Positive, PositiveFloat


@dataclass(frozen=True, kw_only=True)
class Command:
    """Caption the photographs of a folder with a vision-language model behind an OpenAI-compatible endpoint."""

    images: Positional[Path]
    """Folder of photographs; the captions are written to its file captions.jsonl."""
    endpoint: str
    """Base address of the endpoint, for instance http://localhost:8000/v1."""
    model: str
    """Name of the model at the endpoint."""
    key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key."""
    concurrency: Positive = 4
    """Requests at a time."""
    timeout: PositiveFloat = 60.0
    """Seconds to wait for an answer."""

    def run(self) -> None:
        """Caption and print the counts."""
        from asap.workflows.pairs.captions import Endpoint, caption_photos

        key = os.environ.get(self.key_env, "")
        endpoint = Endpoint(url=self.endpoint, model=self.model, key=key, timeout=self.timeout)
        print_lines(caption_photos(self.images, endpoint, concurrency=self.concurrency, report=tell))
