"""Model and suite to a store of generations."""

from collections.abc import Callable, Sequence
from pathlib import Path

from asap import generate as room
from asap.backbones import Backbone, load
from asap.backbones.family import LoadOptions
from asap.benchmark.suite import SuitePrompt, load_suite
from asap.core.errors import InputError
from asap.core.hashing import digest_json
from asap.core.manifest import Instrument, Manifest
from asap.stages.encode import model_fingerprint
from asap.stages.lineage import instruments_of, trained_parent
from asap.stages.trained import apply_trained
from asap.stores.generations import GenerationWriter

__all__ = ["generate"]

Report = Callable[[str], None]


def _seed_list(seeds: int | Sequence[int]) -> list[int]:
    return list(range(seeds)) if isinstance(seeds, int) else list(seeds)


def generate(
    out: Path,
    *,
    model: str = "mini",
    adapter: Path | None = None,
    suite: str | Path = "mini",
    seeds: int | Sequence[int] = 2,
    steps: int | None = None,
    guidance: float | None = None,
    batch: int = 16,
    limit: int | None = None,
    loading: LoadOptions | None = None,
    report: Report = lambda _: None,
) -> Path:
    """Make every picture of a suite, or go on making them; returns the folder.

    Args:
        out: folder of the generations.
        model: known name, pipeline folder or hub id.
        adapter: a run, one of its snapshots, or the adapter itself; None for the base model.
        suite: a suite's name or a path.
        seeds: how many (0 to N-1) or which.
        steps: sampler steps; the model's own if None.
        guidance: guidance scale; the model's own if None.
        batch: pictures at a time.
        limit: take only this many prompts of each category (the demo does).
        loading: where and in which numbers the model is loaded, and which version of it.
        report: is given a line now and then.

    Raises:
        InputError: a wrong model, adapter, suite or folder, or a folder begun with other settings or other weights.
        StoreError: the adapter has no manifest.
    """
    prompts, wanted = _limited(load_suite(suite).prompts, limit), _seed_list(seeds)
    parents, upstream = [trained_parent(adapter)] if adapter else [], list[Manifest]()
    for _, manifests in parents:
        upstream += manifests
    backbone = load(model, loading)  # before the folder is made, so that a wrong name leaves nothing behind
    fingerprint = model_fingerprint(backbone)
    if adapter:
        apply_trained(backbone, adapter)
    config = {
        "model": model,
        "fingerprint": fingerprint,
        "adapter": parents[0][0].content_hash if parents else None,
        "suite": digest_json([row.prompt for row in prompts]),
        "seeds": wanted,
        "steps": steps,
        "guidance": guidance,
        **({"schedule": dict(loading.schedule)} if loading and loading.schedule else {}),
    }
    with GenerationWriter(out, config) as writer:
        _fill(writer, prompts, wanted, backbone, (steps, guidance, batch), report)
        notes = {"ancestors": sorted({name for manifest in upstream for name in manifest.content_hashes()})}
        used = (*instruments_of(upstream), Instrument("generator", model, fingerprint))
        above = tuple(parent for parent, _ in parents)
        writer.finish(Manifest(kind="generations", config=config, parents=above, instruments=used, notes=notes))
    return out


def _fill(
    writer: GenerationWriter,
    prompts: Sequence[SuitePrompt],
    seeds: Sequence[int],
    backbone: Backbone,
    how: tuple[int | None, float | None, int],
    report: Report,
) -> None:
    """Add the pictures that are missing."""
    by_id, total, done = {row.id: row for row in prompts}, len(prompts) * len(seeds), writer.done()
    steps, guidance, batch = how
    texts = [(row.id, row.prompt) for row in prompts]
    pictures = room.generate(backbone, texts, seeds, steps=steps, guidance=guidance, batch=batch, done=done)
    for count, picture in enumerate(pictures, len(done) + 1):
        row = by_id[picture.prompt_id]
        extra = {"parts": list(row.parts), "attributes": dict(row.attributes)}
        writer.add(row.id, picture.seed, picture.image, prompt=row.prompt, category=row.category, extra=extra)
        if count % batch == 0 or count == total:
            report(f"generate {count}/{total}")


def _limited(prompts: Sequence[SuitePrompt], limit: int | None) -> list[SuitePrompt]:
    """The first ``limit`` prompts of each category."""
    if limit is not None and limit < 1:
        raise InputError(f"at least one prompt a category is needed, got {limit}")
    counts: dict[str, int] = {}
    kept = []
    for row in prompts:
        counts[row.category] = counts.get(row.category, 0) + 1
        if limit is None or counts[row.category] <= limit:
            kept.append(row)
    return kept
