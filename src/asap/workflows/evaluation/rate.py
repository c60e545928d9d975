"""The blind page on which people rate images, and how well several raters agree; see the judge ``human``."""

from collections.abc import Callable, Sequence
from pathlib import Path

from starlette.types import ASGIApp

from asap.benchmark.agreement import krippendorff_alpha
from asap.benchmark.intervals import Estimate
from asap.benchmark.rating import Rating, build_app
from asap.core.errors import InputError, StoreError
from asap.core.seeds import generator
from asap.stores.generations import Generation, GenerationStore
from asap.stores.png import encode
from asap.stores.ratings import RatingJournal, read_ratings
from asap.workflows.runtime.local_server import serve

__all__ = ["agreement_of_raters", "rate"]


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
        announce: is called with the page's address, with its token, as soon as it can be opened.

    Raises:
        StoreError: no usable store, a damaged journal, or this rater's server is running already.
        InputError: no images, or a name or port that cannot be used.
    """
    places: dict[str, tuple[GenerationStore, Generation]] = {}
    for store in map(GenerationStore.open, generations):
        places |= {row.digest: (store, row) for row in store.rows}
    if not places:
        raise InputError("there are no images to rate; name a folder of generations")

    def image(name: str) -> bytes:
        store, row = places[name]
        return encode(store.image(row))

    with RatingJournal(ratings, rater) as journal:

        def build(token: str, held: int) -> ASGIApp:
            return build_app(
                Rating(
                    rater=rater,
                    digests=sorted(places),
                    image=image,
                    standing=journal.standing(),
                    append=journal.append,
                    token=token,
                    cookie=f"asap-rate-{held}",
                )
            )

        serve(build, port=port, browser=browser, announce=announce)


def agreement_of_raters(ratings: Path) -> Estimate:
    """Krippendorff's alpha of all raters over all images; "cannot tell" is an answer of its own."""
    ratings_by_rater = read_ratings(ratings)
    if not ratings_by_rater:
        raise StoreError(f"{ratings} holds no ratings; begin with `asap judge rate`")
    names = sorted({name for rows in ratings_by_rater.values() for name in rows})
    table = [[rows[name]["answer"] if name in rows else None for rows in ratings_by_rater.values()] for name in names]
    return krippendorff_alpha(table, generator(0, "raters"))
