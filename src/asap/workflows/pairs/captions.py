"""Captions for photographs that have none, from a vision-language model behind an OpenAI-compatible endpoint.

The answers go to ``captions.jsonl`` at the top of the folder, line by line, so a stopped run goes on; a build reads
them from there. Whoever has a caption already, in a table or in a text file, keeps it.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Final

import httpx2

from asap.core.errors import AsapError, InputError, PhotoError
from asap.core.files import append_text
from asap.core.hashing import canonical_json
from asap.core.records import ByteArray
from asap.workflows.pairs.sources import Source, caption_of, fit, list_sources, read
from asap.workflows.runtime.endpoint import AGAIN, Endpoint, content_of, picture_url

__all__ = ["PROMPT", "Endpoint", "ask", "caption_photos"]

PROMPT: Final = (
    "Describe this photograph in one sentence of at most 40 words, as a caption from which a text-to-image model could "
    "draw it: who is shown, the pose, what the hands do, clothes, place and light. Do not guess names. Answer with the "
    "sentence alone."
)
TABLE: Final = "captions.jsonl"
SIZE: Final = 768
"""Longest side of the image that is sent, in pixels."""


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
    with httpx2.Client(timeout=endpoint.timeout) as client, ThreadPoolExecutor(max(1, concurrency)) as pool:
        jobs = {pool.submit(_caption, client, endpoint, prompt, source): source for source in todo}
        try:
            for done, job in enumerate(as_completed(jobs), 1):
                outcome, text = job.result()
                counts[outcome] += 1
                if outcome == "made":
                    row = {"file_name": jobs[job].name, "text": text, "captioner": endpoint.model}
                    append_text(folder / TABLE, canonical_json(row) + "\n")
                else:
                    faults.append(f"{jobs[job].name}: {text}")
                report(f"captions {done}/{len(todo)}")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if todo and not counts["made"]:
        raise InputError(f"no caption was made; the first of {len(faults)} reasons: {faults[0]}")
    return dict(counts)


def _caption(client: httpx2.Client, endpoint: Endpoint, prompt: str, source: Source) -> tuple[str, str]:
    """``made`` and the caption, or ``refused`` or ``failed`` and the reason."""
    try:
        picture = fit(read(source), SIZE).image
    except PhotoError as error:
        return "refused", error.line
    try:
        return "made", _ask(client, endpoint, prompt, picture)
    except AsapError as error:
        return "failed", error.line


def ask(endpoint: Endpoint, prompt: str, *pictures: ByteArray) -> str:
    """What the model answers to ``prompt`` about ``pictures`` (H, W, 3), on one line; ``InputError`` where it fails."""
    with httpx2.Client(timeout=endpoint.timeout) as client:
        return _ask(client, endpoint, prompt, *pictures)


def _ask(client: httpx2.Client, endpoint: Endpoint, prompt: str, *pictures: ByteArray) -> str:
    """One answer, with patience; raises ``InputError`` when there is none."""
    body = _question(endpoint.model, prompt, pictures)
    headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
    fault = ""
    for attempt in range(endpoint.tries):
        time.sleep(endpoint.wait(attempt))
        try:
            answer = client.post(f"{endpoint.url.rstrip('/')}/chat/completions", json=body, headers=headers)
        except httpx2.HTTPError as error:
            fault = f"{type(error).__name__}: {error}"
            continue
        if answer.status_code == 200:
            return " ".join(content_of(answer.text).split())
        fault = f"status {answer.status_code}: {answer.text[:200]}"
        if answer.status_code not in AGAIN:
            break
    raise InputError(f"{endpoint.url} gave no answer ({fault}); check the address, the model and the key")


def _question(model: str, prompt: str, pictures: Sequence[ByteArray]) -> dict[str, object]:
    content: list[dict[str, object]] = [{"type": "text", "text": prompt}]
    content += [{"type": "image_url", "image_url": {"url": picture_url(picture)}} for picture in pictures]
    return {"model": model, "temperature": 0, "max_tokens": 120, "messages": [{"role": "user", "content": content}]}
