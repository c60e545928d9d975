"""Serve a local page on which one reviewer accepts or refuses the pairs of a store."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Final

from starlette.types import ASGIApp

from asap.core.errors import InputError
from asap.review import Decision, Ledger, PairFacts, Review, build_app
from asap.stores.pairs import PairStore
from asap.stores.reviews import ReviewJournal, read_reviews, reviews_folder
from asap.workflows.runtime.local_server import serve

__all__ = ["StoredPairs", "ledgers", "review", "valid_decisions"]

_COLUMNS: Final = tuple(field.name for field in fields(PairFacts))


class StoredPairs:
    """A pair store as the review page accesses it."""

    def __init__(self, store: PairStore) -> None:
        """Read all columns except the images."""
        self._store = store
        columns = store.columns(*_COLUMNS)
        columns["box"] = [tuple(box) for box in columns["box"]]
        self._facts = [
            PairFacts(**dict(zip(_COLUMNS, values, strict=True)))
            for values in zip(*map(columns.__getitem__, _COLUMNS), strict=True)
        ]
        self._positions = {facts.uid: position for position, facts in enumerate(self._facts)}

    def facts(self) -> Sequence[PairFacts]:
        """All pairs in the order of their indices."""
        return self._facts

    def image(self, uid: str, name: str) -> bytes:
        """PNG bytes; raises ``KeyError`` for an unknown uid."""
        return self._store.image(self._positions[uid], name)


def review(
    folder: Path,
    *,
    reviewer: str,
    port: int = 0,
    blind: bool = False,
    browser: bool = True,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve the pairs at ``folder`` to ``reviewer`` until the process is stopped.

    Args:
        folder: the pair store; it is only read.
        reviewer: name of the reviewer; each has one server at a time.
        port: 0 for any free port.
        blind: hide metadata and the decisions of others, and randomize the left image.
        browser: open the page in the user's browser.
        announce: receives the address of the page, with its token, as soon as it can be opened.

    Raises:
        StoreError: no usable store, a damaged journal, or this reviewer's server is already running.
        InputError: an invalid name or port.
    """
    pairs = StoredPairs(PairStore.open(folder))
    with ReviewJournal(folder, reviewer) as journal:

        def build(token: str, held: int) -> ASGIApp:
            return build_app(
                Review(
                    title=folder.resolve().name,
                    reviewer=reviewer,
                    pairs=pairs,
                    decisions=journal,
                    token=token,
                    blind=blind,
                    others={name: found.current() for name, found in ledgers(folder).items() if name != reviewer},
                    cookie=f"asap-review-{held}",
                )
            )

        serve(build, port=port, browser=browser, announce=announce)


def ledgers(folder: Path) -> dict[str, Ledger]:
    """The decisions of every reviewer of the store at ``folder``, by name.

    Raises:
        StoreError: a journal is damaged.
        InputError: it has lines of another version.
    """
    found = {}
    for name, rows in read_reviews(folder).items():
        try:
            found[name] = Ledger(rows)
        except InputError as error:
            raise InputError(f"reviews by {name} in {reviews_folder(folder)}: {error}") from error
    return found


def valid_decisions(ledger: Ledger, digests: dict[str, str]) -> dict[str, Decision]:
    """The decisions that are valid for the present pairs; ``digests`` is by uid."""
    return {uid: said for uid, said in ledger.current().items() if digests.get(uid) == said.digest}
