"""The judge ``human``: a blind page for several raters, and the verdicts of what they said."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from starlette.types import ASGIApp

from asap.benchmark.agreement import krippendorff_alpha
from asap.benchmark.intervals import Estimate
from asap.benchmark.rating import Rating, build_app, majority
from asap.benchmark.verdict import Picture, Verdict
from asap.core.errors import InputError, StoreError
from asap.core.hashing import digest, digest_json
from asap.core.seeds import generator
from asap.stores.generations import Generation, GenerationStore
from asap.stores.png import encode
from asap.stores.ratings import RatingJournal, read_ratings
from asap.workflows.runtime.local_server import serve

__all__ = ["HumanJudge", "HumanSettings", "agreement_of_raters", "rate"]


@dataclass(frozen=True, kw_only=True)
class HumanSettings:
    """Settings of the judge ``human``."""

    ratings: str
    """Folder that ``asap judge rate`` wrote."""
    least: int = 1
    """Raters who must have seen an image."""


class HumanJudge:
    """What raters said, by the hash of an image's pixels."""

    name = "human"

    def __init__(self, settings: HumanSettings) -> None:
        """Raises ``StoreError`` when nobody has rated."""
        self._settings = settings
        if not self._said:
            raise StoreError(f"{settings.ratings} holds no ratings; begin with `asap judge rate`")

    @cached_property
    def _said(self) -> dict[str, dict[str, dict[str, Any]]]:
        return read_ratings(self._settings.ratings)

    @property
    def fingerprint(self) -> str:
        """Of who the raters are and how many must agree; not of what they said of these images."""
        return digest_json({"raters": sorted(self._said), "least": self._settings.least})

    def judge(self, pictures: Iterable[Picture]) -> Iterator[Verdict]:
        """One verdict per image, in order."""
        for picture in pictures:
            name = digest(str(picture.image.shape).encode() + np.ascontiguousarray(picture.image).tobytes())
            said = {rater: rows[name] for rater, rows in self._said.items() if name in rows}
            yield majority(said, self._settings.least)


def rate(
    generations: Sequence[Path],
    ratings: Path,
    *,
    rater: str,
    port: int = 0,
    browser: bool = True,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve the images of one or more stores, mixed, to one rater until the process is stopped.

    Args:
        generations: what ``asap generate`` made; the page does not tell which store an image is from.
        ratings: folder of all raters' journals.
        rater: whose answers these are; each has one server at a time.
        port: 0 for any that is free.
        browser: open the page in the user's browser.
        announce: is told the page's address, with its token, as soon as it can be opened.

    Raises:
        StoreError: no usable store, a damaged journal, or this rater's server is running already.
        InputError: no images, or a name or port that cannot be used.
    """
    places: dict[str, tuple[GenerationStore, Generation]] = {}
    for store in map(GenerationStore.open, generations):
        places |= {row.digest: (store, row) for row in store.rows}
    if not places:
        raise InputError("there are no images to rate; name a folder of generations")

    def picture(name: str) -> bytes:
        store, row = places[name]
        return encode(store.image(row))

    with RatingJournal(ratings, rater) as journal:

        def build(token: str, held: int) -> ASGIApp:
            return build_app(
                Rating(
                    rater=rater,
                    digests=sorted(places),
                    picture=picture,
                    standing=journal.standing(),
                    append=journal.append,
                    token=token,
                    cookie=f"asap-rate-{held}",
                )
            )

        serve(build, port=port, browser=browser, announce=announce)


def agreement_of_raters(ratings: Path) -> Estimate:
    """Krippendorff's alpha of all raters over all images; "cannot tell" is an answer of its own."""
    said = read_ratings(ratings)
    if not said:
        raise StoreError(f"{ratings} holds no ratings; begin with `asap judge rate`")
    names = sorted({name for rows in said.values() for name in rows})
    table = [[rows[name]["answer"] if name in rows else None for rows in said.values()] for name in names]
    return krippendorff_alpha(table, generator(0, "raters"))
