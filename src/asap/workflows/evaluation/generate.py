"""Model and suite to a store of generations."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asap import generate as room
from asap.backbones import Backbone, load
from asap.backbones.family import LoadOptions
from asap.backbones.fingerprint import model_fingerprint
from asap.benchmark.suite import Suite, SuitePrompt, load_suite
from asap.core.errors import InputError
from asap.core.manifest import Instrument, Manifest, Parent
from asap.stores.generations import GenerationWriter
from asap.workflows.runtime.distributed import World
from asap.workflows.runtime.lineage import UNKNOWN_LINEAGE, instruments_of, model_parents, trained_parent
from asap.workflows.runtime.trained import apply_trained

__all__ = ["generate", "limited"]

Report = Callable[[str], None]


def _seed_list(seeds: int | Sequence[int]) -> list[int]:
    return list(range(seeds)) if isinstance(seeds, int) else list(seeds)


@dataclass(frozen=True, kw_only=True)
class _Share:
    """What one process draws: its prompts, each with its place in the suite."""

    prompts: Sequence[tuple[int, SuitePrompt]]
    seeds: Sequence[int]
    steps: int | None
    guidance: float | None
    size: tuple[int | None, int | None]
    """Height and width; None is the model's own side."""
    batch: int


def generate(
    out: Path,
    *,
    model: str = "mini",
    adapter: Path | None = None,
    suite: str | Path = "haf-mini",
    seeds: int | Sequence[int] = 2,
    steps: int | None = None,
    guidance: float | None = None,
    size: tuple[int | None, int | None] = (None, None),
    batch: int = 16,
    limit: int | None = None,
    loading: LoadOptions | None = None,
    foreign: bool = False,
    report: Report = lambda _: None,
) -> Path:
    """Make every image of a suite, or go on making them; returns the folder.

    Under ``accelerate launch`` each process draws every W-th prompt; the images are the same for any number of them.

    Args:
        out: folder of the generations.
        model: known name, pipeline folder or hub id.
        adapter: a run, one of its snapshots, or the adapter itself; None for the base model.
        suite: a suite's name or a path.
        seeds: how many (0 to N-1) or which.
        steps: sampler steps; the model's own if None.
        guidance: guidance scale; the model's own if None.
        size: height and width of the images; the model's own side where None.
        batch: images at a time.
        limit: take only this many prompts of each category (the demo does).
        loading: where and in which numbers the model is loaded, and which version of it.
        foreign: the adapter may be one of which nobody knows what it was trained on; results say so.
        report: is given a line now and then.

    Raises:
        InputError: a wrong model, adapter, suite or folder, or a folder begun with other settings or other weights.
        StoreError: the adapter has no manifest.
    """
    chosen, wanted = limited(load_suite(suite), limit), _seed_list(seeds)
    aligned = [trained_parent(adapter, foreign=foreign)] if adapter else []
    parents = [*aligned, *model_parents(model)]
    world = World()
    backbone = load(model, loading)  # before the folder is made, so that a wrong name leaves nothing behind
    config: dict[str, object] = {"model": model, "fingerprint": model_fingerprint(backbone)}
    config |= {"adapter": aligned[0][0].content_hash if aligned else None}
    config |= {"suite": chosen.digest, "suite_name": chosen.title, "seeds": wanted}
    config |= {"steps": steps, "guidance": guidance}
    config |= {"size": list(size)} if any(size) else {}
    config |= {"schedule": dict(loading.schedule)} if loading and loading.schedule else {}
    if any(size):
        backbone.sample([], [], height=size[0], width=size[1])  # refuses a size that does not fit
    if adapter:
        apply_trained(backbone, adapter)
    own = list(enumerate(chosen.prompts))[world.rank :: world.size]
    share = _Share(prompts=own, seeds=wanted, steps=steps, guidance=guidance, size=size, batch=batch)
    _together(out, _manifest(config, parents), share, backbone, world, report)
    return out


def _manifest(config: Mapping[str, object], parents: Sequence[tuple[Parent, list[Manifest]]]) -> Manifest:
    """What the images were made from."""
    upstream = [manifest for _, manifests in parents for manifest in manifests]
    notes: dict[str, object] = {"ancestors": sorted({name for one in upstream for name in one.content_hashes()})}
    if _unknown(parents):
        notes[UNKNOWN_LINEAGE] = True
    return Manifest(
        kind="generations",
        config=config,
        parents=tuple(parent for parent, _ in parents),
        instruments=(
            *instruments_of(upstream),
            Instrument("generator", str(config["model"]), str(config["fingerprint"])),
        ),
        notes=notes,
    )


def _unknown(parents: Sequence[tuple[Parent, list[Manifest]]]) -> bool:
    """Whether something upstream was trained on nobody knows what."""
    return any(not manifests or any(one.notes.get(UNKNOWN_LINEAGE) for one in manifests) for _, manifests in parents)


def _together(out: Path, manifest: Manifest, share: _Share, backbone: Backbone, world: World, report: Report) -> None:
    """Draw this process's share; the first process begins the store and finishes it when all are done."""
    if world.rank:
        world.wait()
    with GenerationWriter(out, manifest.config, share=world.rank) as writer:
        if not world.rank:
            world.wait()
        _fill(writer, share, backbone, report)
        world.wait()
        if not world.rank:
            writer.finish(manifest)
    world.wait()


def _fill(writer: GenerationWriter, share: _Share, backbone: Backbone, report: Report) -> None:
    """Add the images that are missing."""
    by_id = {row.id: (place, row) for place, row in share.prompts}
    done = {key for key in writer.done() if key[0] in by_id}
    total, texts = len(by_id) * len(share.seeds), [(row.id, row.prompt) for _, row in share.prompts]
    if not texts:
        return
    generated = room.generate(
        backbone, texts, share.seeds,
        steps=share.steps, guidance=share.guidance, size=share.size, batch=share.batch, done=done,
    )  # fmt: skip
    for count, one in enumerate(generated, len(done) + 1):
        place, row = by_id[one.prompt_id]
        writer.add(
            row.id, one.seed, one.image,
            prompt=row.prompt, category=row.category, extra=row.facts, place=place,
        )  # fmt: skip
        if count % share.batch == 0 or count == total:
            report(f"generate {count}/{total}")


def limited(suite: Suite, limit: int | None) -> Suite:
    """The first ``limit`` prompts of each category, all if None; raises ``InputError`` for none."""
    if limit is None:
        return suite
    if limit < 1:
        raise InputError(f"at least one prompt a category is needed, got {limit}")
    counts: dict[str, int] = {}
    kept = []
    for row in suite.prompts:
        counts[row.category] = counts.get(row.category, 0) + 1
        if counts[row.category] <= limit:
            kept.append(row)
    return replace(suite, prompts=tuple(kept))
