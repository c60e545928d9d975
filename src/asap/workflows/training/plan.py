"""The plan of an alignment run: everything that is resolved before anything is written, and what is built of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch

from asap.align.adapters import AdapterSettings, adapt, make_full
from asap.align.methods import LossSettings, Method, describe
from asap.align.offload import offload_frozen
from asap.align.policy import Policy, adapter_reference, frozen_reference
from asap.align.sampler import PairSampler
from asap.align.settings import TrainSettings
from asap.align.trainer import Trainer
from asap.backbones import Backbone
from asap.core.errors import ConfigError, InputError
from asap.core.manifest import Manifest, Parent
from asap.stores.pairs import PairStore
from asap.stores.references import ReferenceStore
from asap.workflows.runtime.distributed import World
from asap.workflows.runtime.lineage import instruments_of, model_parents
from asap.workflows.runtime.trained import trained_hash
from asap.workflows.training.config import ValidationConfig
from asap.workflows.training.crops import Crop, Cropper, groups_of
from asap.workflows.training.latents import LatentPairs

__all__ = ["Plan", "build_policy", "build_trainer", "reference_cache"]

REDUCTION: Final = "mean over latent elements and draws inside delta, mean over pairs outside the loss"
ENCODING: Final = "deterministic: the mode of the autoencoder's posterior, float32"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A resolved run."""

    out: Path
    model: str
    fingerprint: str
    backbone: Backbone
    pairs: PairStore
    positions: tuple[int, ...]
    """Rows of ``pairs`` to learn from."""
    cropper: Cropper
    crops: tuple[Crop, ...]
    """Of each pair; none: whole squares."""
    skipped: tuple[str, ...] = ()
    """Of each pair that the model cannot be trained on, why."""
    method: Method
    loss: LossSettings
    settings: TrainSettings
    rank: int | None
    """Of the adapter; None trains all weights."""
    kinds: tuple[str, ...]
    snapshots: frozenset[int]
    world: World
    fsdp: bool = False
    """Whether the launcher asks for the weights to be sharded (FSDP2)."""
    watch: ValidationConfig
    trackers: tuple[str, ...] = ()
    away: torch.device | None = None
    """Where frozen weights of the denoiser come to layer by layer; None: they lie there."""

    @property
    def global_batch(self) -> int:
        """Pairs a step over all micro-batches and processes."""
        return self.settings.batch_size * self.settings.grad_accum * self.world.size

    @property
    def skipped_summary(self) -> str:
        """One line about the pairs that are left out."""
        return (
            f"{len(self.skipped)} of {len(self.skipped) + len(self.positions)} pairs are left out: {self.skipped[0]}"
            + (f"; and {len(self.skipped) - 1} more" if len(self.skipped) > 1 else "")
        )

    def order(self) -> PairSampler:
        """Which pairs each step takes, by their places in ``positions``."""
        groups = groups_of(self.crops) if self.crops else [list(range(len(self.positions)))]
        return PairSampler(self.settings.seed, self.global_batch, groups)

    def config(self) -> dict[str, object]:
        """Every number that decides the result, as plain values."""
        lora = {"rank": self.rank, "alpha": self.rank, "targets": list(self.backbone.lora_targets)}
        return {
            "model": self.fingerprint,
            "pairs": self.pairs.content_hash,
            "kinds": list(self.kinds),
            "method": self.method.name,
            "shape": self.method.shape,
            "reduction": REDUCTION,
            "encoding": ENCODING,
            "framing": asdict(self.cropper.settings),
            "predicts": getattr(self.backbone.path, "prediction", self.backbone.path.name),
            "objective": describe(self.method, self.loss),
            "loss": self.loss.config(),
            "training": self.settings.config(),
            "processes": self.world.size,
            "weights": "full" if self.rank is None else "lora",
            "lora": None if self.rank is None else lora,
        }

    def claimed(self) -> dict[str, object]:
        """The settings that a rerun must share, flat, so that a difference is named well.

        That is all but ``steps`` and how a step's batch is split: a run may go on in another number of processes as
        long as the pairs of a step stay the same.
        """
        flat: dict[str, object] = {}
        for key, value in self.config().items():
            flat |= {f"{key}.{name}": item for name, item in value.items()} if isinstance(value, dict) else {key: value}
        for name in ("training.steps", "training.batch_size", "training.grad_accum", "processes"):
            del flat[name]
        return {**flat, "training.global_batch": self.global_batch}

    def facts(self, held_out: Mapping[str, float] | None) -> dict[str, object]:
        """What a model card says besides the settings."""
        chosen = self.pairs.columns("part", "operation")
        return {
            "model": self.model,
            "pairs": self.pairs.root.name,
            "summary": self.method.summary,
            "parts": [chosen["part"][position] for position in self.positions],
            "operations": [chosen["operation"][position] for position in self.positions],
            "held_out": held_out,
        }

    def manifest(self, folder: Path, notes: Mapping[str, object]) -> Manifest:
        """Lineage of the weights in ``folder``; whatever judged the pairs, or those of the model, is an instrument."""
        upstream = [manifest for _, manifests in model_parents(self.model) for manifest in manifests]
        return Manifest(
            kind="trained",
            config=self.config(),
            parents=(
                Parent("pairs", str(self.pairs.root), self.pairs.content_hash),
                Parent("model", self.model, self.fingerprint),
            ),
            instruments=instruments_of([self.pairs.manifest, *upstream]),
            notes={"weights": folder.name, "content_hash": trained_hash(folder), **notes},
        )


def build_trainer(plan: Plan, source: LatentPairs, references: ReferenceStore | None) -> Trainer:
    """The task of the training loop; changes the backbone.

    Raises:
        ConfigError: settings that the launcher's parallelism does not support.
        InputError: the launcher asks for FSDP2 and there is no GPU.
    """
    if plan.fsdp and plan.cropper.settings.window < 1:
        raise ConfigError(
            "window does not work with weights sharded by FSDP2: it lets processes run unequal numbers of forwards"
        )
    policy = build_policy(plan)
    if plan.away is not None:
        offload_frozen(policy.denoiser, plan.away)
    trained = next(iter(policy.trainable().values())).device
    trainer = Trainer(
        policy,
        frozen_reference if plan.rank is None else adapter_reference,
        plan.backbone.path,
        source,
        method=plan.method,
        loss=plan.loss,
        settings=plan.settings,
        groups=source.groups(),
        bank=references,
        device=(plan.world.device if plan.fsdp else trained).type,
    )
    if plan.fsdp and not trainer.parallel.shards:
        raise InputError(
            "FSDP2 shards weights over GPUs, and accelerate found none here; launch with configs/accelerate/ddp.yaml"
        )
    return trainer


def reference_cache(plan: Plan, source: LatentPairs) -> ReferenceStore | None:
    """Cache of the reference's errors, shared with other runs of the same pairs and noise; None if not wanted."""
    if not plan.settings.reuse_reference:
        return None
    settings = plan.settings
    key: dict[str, object] = {
        "weights": plan.rank is None,
        "positions": plan.positions,
        "seed": settings.seed,
        "precision": settings.precision,
        "law": settings.timesteps.config(),
        "framing": asdict(plan.cropper.settings),
        "kept_draws": settings.fixed_noise_samples,
    }
    if settings.fixed_noise_samples == 0:  # then a noise sample is named by its place in the step
        key |= {"batch": plan.global_batch, "draws": settings.noise_samples}
    return ReferenceStore(source.store.root, key)


def build_policy(plan: Plan) -> Policy:
    """Free the weights that the plan trains; changes the backbone."""
    if plan.fsdp:  # so that no device ever holds all of them in float32
        plan.backbone.denoiser.to("cpu")
    if plan.rank is None:
        return make_full(plan.backbone)
    settings = AdapterSettings(kind=plan.settings.adapter, rank=plan.rank)
    return adapt(plan.backbone, settings, seed=plan.settings.seed)
