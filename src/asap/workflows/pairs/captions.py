"""Captions for photographs that have none, from a vision-language model behind an OpenAI-compatible endpoint.

The answers go to ``captions.jsonl`` at the top of the folder, line by line, so a stopped run goes on; a build reads
them from there. Whoever has a caption already, in a table or in a text file, keeps it.
"""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import as_completed
from pathlib import Path
from typing import Final

from asap.core.errors import InputError, PhotoError
from asap.core.files import append_text
from asap.core.hashing import canonical_json
from asap.workflows.pairs.sources import Source, caption_of, fit, list_sources, read
from asap.workflows.runtime.http import ChatClient, Endpoint, Question, chat_body, image_url

__all__ = ["PROMPT", "Endpoint", "caption_photos"]

PROMPT: Final = (
    "Describe this photograph in one sentence of at most 40 words, as a caption from which a text-to-image model could "
    "draw it: who is shown, the pose, what the hands do, clothes, place and light. Do not guess names. Answer with the "
    "sentence alone."
)
TABLE: Final = "captions.jsonl"
SIZE: Final = 768
"""Longest side of the image that is sent, in pixels."""
MAX_TOKENS: Final = 120


def caption_photos(
    folder: Path,
    endpoint: Endpoint,
    *,
    prompt: str = PROMPT,
    concurrency: int = 4,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, int]:
    """Ask for a caption of every photograph that has none; returns how many were made, kept, refused and failed.

    Raises:
        InputError: no photographs, the folder cannot be written, or not one question was answered.
    """
    sources = list_sources(folder)
    todo = [source for source in sources if not caption_of(source)]
    counts = Counter(kept=len(sources) - len(todo), made=0, refused=0, failed=0)
    faults: list[str] = []
    with ChatClient(endpoint, concurrency=concurrency) as client:
        jobs = {client.submit(_question(source, endpoint.model, prompt)): source for source in todo}
        for done, job in enumerate(as_completed(jobs), 1):
            name = jobs[job].name
            try:
                text = " ".join(job.result().message().split())
            except PhotoError as error:
                counts["refused"] += 1
                faults.append(f"{name}: {error.line}")
            except InputError as error:
                counts["failed"] += 1
                faults.append(f"{name}: {error.line}")
            else:
                counts["made"] += 1
                append_text(
                    folder / TABLE,
                    canonical_json({"file_name": name, "text": text, "captioner": endpoint.model}) + "\n",
                )
            report(f"captions {done}/{len(todo)}")
    if todo and not counts["made"]:
        raise InputError(f"no caption was made; the first of {len(faults)} reasons: {faults[0]}")
    return dict(counts)


def _question(source: Source, model: str, prompt: str) -> Question:
    """What is asked about a photograph; it is read when the question is sent."""

    def body() -> bytes:
        urls = [image_url(fit(read(source), SIZE).image)]
        return chat_body(prompt, urls, model=model, temperature=0, max_tokens=MAX_TOKENS)

    return Question(key=source.name, body=body)
