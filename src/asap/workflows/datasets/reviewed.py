"""Build a store of accepted pairs from reviews, and measure the agreement of reviewers."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import combinations, groupby
from pathlib import Path
from statistics import median
from typing import Any

from asap.core.errors import InputError, UnknownNameError
from asap.core.hashing import digest_json
from asap.core.manifest import Instrument, Manifest, Parent
from asap.review import DECISIONS, POLICIES, Decision, accepted, agreement
from asap.stores.pairs import EncodedChunk, EncodedRow, PairStore, PairWriter
from asap.stores.reviews import reviews_folder
from asap.workflows.datasets.review import ledgers, valid_decisions
from asap.workflows.runtime.lineage import instruments_of, parent_of

__all__ = ["pair_agreement", "reviewed_pairs"]

Decisions = Mapping[str, Mapping[str, Decision]]
"""Valid decisions by reviewer and uid."""


def pair_agreement(folder: Path) -> dict[str, Any]:
    """Summarize the decisions of each reviewer of the store at ``folder``, with Cohen's kappa of every two.

    Decisions on pairs that were removed or rebuilt are counted as ``stale`` and left out.

    Raises:
        InputError: there are no reviews.
        StoreError: no usable store, or a damaged journal.
    """
    store = PairStore.open(folder)
    held, stale = _valid_decisions(folder, store)
    # pairs of one photograph share its light and flaws, as pairs of one rendered person do
    clusters = {
        uid: source or person
        for uid, source, person in zip(*store.columns("uid", "source", "person").values(), strict=True)
    }
    return {
        "pairs": len(store),
        "reviewers": {name: _summary(said) | {"stale": stale[name]} for name, said in held.items()},
        "between": [
            {"reviewers": [one, two], **asdict(agreement(held[one], held[two], clusters))}
            for one, two in combinations(sorted(held), 2)
        ],
    }


def reviewed_pairs(folder: Path, out: Path, *, policy: str = "majority") -> dict[str, Any]:
    """Write the accepted pairs of the store at ``folder`` to ``out``, row by row, and return its statistics.

    A row keeps its index, split and digest. The parents in the manifest are the store and its reviews, and the
    reviewers are listed as an instrument that selected pairs.

    Raises:
        InputError: there are no reviews, or ``out`` was started from other decisions.
        UnknownNameError: no such policy.
        StoreError: no usable store, a damaged journal, or no pair was accepted.
    """
    if policy not in POLICIES:
        raise UnknownNameError("policy", policy, POLICIES)
    store = PairStore.open(folder)
    if out.resolve() == folder.resolve():
        raise InputError(f"--out must differ from the folder of the pairs, got {out}")
    held, _ = _valid_decisions(folder, store)
    config = {"pairs": store.content_hash, "policy": policy, "decisions": _digest(held)}
    with PairWriter(out, {"reviewed": config}, store.chunk) as writer:
        done, size = writer.done_chunks(), store.chunk
        for chunk, rows in groupby(store.encoded(), key=lambda row: row.index // size):
            if chunk not in done:
                _copy(rows, writer, chunk, held, policy)
        writer.finish(_manifest(folder, store, held, config))
    return PairStore.open(out).stats()


def _valid_decisions(folder: Path, store: PairStore) -> tuple[dict[str, dict[str, Decision]], dict[str, int]]:
    """Valid decisions by reviewer, and the number of stale decisions of each."""
    digests = dict(zip(*store.columns("uid", "digest").values(), strict=True))
    found = ledgers(folder)
    if not found:
        raise InputError(f"{folder} has no reviews; start with `asap pairs review {folder}`")
    held = {name: valid_decisions(ledger, digests) for name, ledger in found.items()}
    return held, {name: len(ledger.current()) - len(held[name]) for name, ledger in found.items()}


def _summary(said: Mapping[str, Decision]) -> dict[str, Any]:
    counts = Counter(decision.decision for decision in said.values())
    return {
        "decided": len(said),
        **{label: counts[label] for label in DECISIONS},
        "errors": dict(sorted(Counter(decision.error for decision in said.values() if decision.error).items())),
        "blind": sum(decision.blind for decision in said.values()),
        "median_seconds": median(decision.seconds for decision in said.values()) if said else None,
    }


def _digest(held: Decisions) -> str:
    """Digest of all decisions by reviewer and pair; times do not count."""
    return digest_json(
        [
            [name, uid, held[name][uid].digest, held[name][uid].decision]
            for name in sorted(held)
            for uid in sorted(held[name])
        ]
    )


def _copy(rows: Iterable[EncodedRow], writer: PairWriter, chunk: int, held: Decisions, policy: str) -> None:
    """Write the accepted rows of one chunk and count the others."""
    kept, left = [], Counter[str]()
    for row in rows:
        votes = [said[row.uid] for said in held.values() if row.uid in said]
        if accepted(votes, policy):
            kept.append(row)
        else:
            left["not_accepted" if votes else "not_reviewed"] += 1
    writer.write_chunk(chunk, EncodedChunk(tuple(kept)), left, 0.0)


def _manifest(folder: Path, store: PairStore, held: Decisions, config: Mapping[str, str]) -> Manifest:
    parent, upstream = parent_of(folder)
    people = Instrument("pair_gate", f"people ({config['policy']} of {len(held)})", config["decisions"])
    return Manifest(
        kind="pairs",
        config={**store.manifest.config, "source": "review", "reviewed": config},
        versions=store.manifest.versions,
        parents=(parent, Parent("reviews", str(reviews_folder(folder)), config["decisions"])),
        instruments=(*instruments_of(upstream), people),
    )
