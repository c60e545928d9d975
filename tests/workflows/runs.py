"""Judged runs of make-believe images, as `asap bench run` leaves them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from asap.benchmark.domain import Domain
from asap.benchmark.suite import load_suite
from asap.core.hashing import digest
from asap.core.manifest import Instrument, Manifest, Parent
from asap.core.records import ByteArray
from asap.core.seeds import derive
from asap.stores.generations import GenerationStore, GenerationWriter
from asap.stores.verdicts import VerdictRow, VerdictWriter

FINGERPRINT = "f" * 64
Verdict = Callable[[int, int], bool | None]
"""Prompt's place and seed to what the judge says; None is an error."""
Details = Callable[[int, int], dict[str, Any]]
"""Prompt's place and seed to what stands behind the verdict."""


def picture(name: str, place: int, seed: int, size: int) -> ByteArray:
    """Smooth colours with a little grain, so that it compresses as a photograph does."""
    draw = np.random.default_rng(derive(seed, "run", place))
    y, x = np.mgrid[0:size, 0:size] / size
    waves = [np.sin(draw.uniform(4, 30) * x + k) * np.cos(draw.uniform(4, 30) * y + k) for k in range(3)]
    shift = 20 * (derive(0, name) % 5)
    grain = draw.normal(0, 6, (size, size, 1))
    return np.clip(110 + shift + 70 * np.stack(waves, -1) + grain, 0, 255).astype(np.uint8)


def make_run(
    root: Path,
    says: Verdict,
    *,
    suite: str = "haf-lite",
    seeds: int = 1,
    size: int = 16,
    fingerprint: str = FINGERPRINT,
    notes: dict[str, Any] | None = None,
    instruments: tuple[Instrument, ...] = (),
    reason: str = "six fingers on the left hand",
    judge: str = "vlm",
    settings: dict[str, Any] | None = None,
    details: Details = lambda place, seed: {},
    parents: tuple[Parent, ...] = (),
    model: str | None = None,
    made_for: Domain | None = None,
) -> Path:
    """A run with images of ``model`` (its weights' fingerprint is that of the name), and verdicts of one judge."""
    chosen, name = load_suite(suite), model or root.name
    config: dict[str, Any] = {"model": name, "fingerprint": digest(name.encode()), "seeds": list(range(seeds))}
    config |= {"suite": chosen.digest, "suite_name": chosen.title}
    with GenerationWriter(root / "pictures", config) as pictures:
        for place, row in enumerate(chosen.prompts):
            for seed in range(seeds):
                image = picture(root.name, place, seed, size)
                pictures.add(row.id, seed, image, prompt=row.prompt, category=row.category, extra=row.facts)
        manifest = Manifest(
            kind="generations", config=config, parents=parents, instruments=instruments, notes=notes or {}
        )
        pictures.finish(manifest)
    return judge_again(
        root, judge, says, details=details, fingerprint=fingerprint, instruments=instruments, reason=reason,
        settings=settings, made_for=made_for,
    )  # fmt: skip


def judge_again(
    root: Path,
    judge: str,
    says: Verdict,
    *,
    details: Details = lambda place, seed: {},
    fingerprint: str = FINGERPRINT,
    instruments: tuple[Instrument, ...] = (),
    reason: str = "six fingers on the left hand",
    settings: dict[str, Any] | None = None,
    made_for: Domain | None = None,
) -> Path:
    """Verdicts of another judge beside those of a run."""
    store = GenerationStore.open(root / "pictures")
    places = {name: place for place, name in enumerate(dict.fromkeys(_ids(store)))}
    judged: dict[str, Any] = {"judge": judge, "fingerprint": fingerprint, "taught_on": None}
    judged |= {"generations": store.content_hash}
    with VerdictWriter(root / "verdicts" / judge, judged) as verdicts:
        for row in store.rows:
            place, fails = places[row.prompt_id], says(places[row.prompt_id], row.seed)
            extra: dict[str, Any] = {"not_visible": list(row.extra["parts"][:1]) if place % 10 == 0 else []}
            extra |= {"error": True, "reason": "no reply"} if fails is None else {"reason": reason if fails else ""}
            extra |= {} if fails is None else {"probability": 0.9 - place / 1000 if fails else 0.1}
            extra |= {"details": details(place, row.seed)}
            kept = VerdictRow(prompt_id=row.prompt_id, seed=row.seed, category=row.category, fails=fails, extra=extra)
            verdicts.add(kept)
        parent = Parent("generations", str((root / "pictures").resolve()), store.content_hash)
        used = (*instruments, Instrument("judge", judge, fingerprint))
        notes: dict[str, object] = {"settings": settings or {}}
        notes |= {"made_for": made_for.to_json()} if made_for else {}
        verdicts.finish(Manifest(kind="verdicts", config=judged, parents=(parent,), instruments=used, notes=notes))
    return root


def _ids(store: GenerationStore) -> list[str]:
    """Prompt ids in the order of their folders, which is the suite's."""
    return [row.prompt_id for row in sorted(store.rows, key=lambda row: row.file)]
