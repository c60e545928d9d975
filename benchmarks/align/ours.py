"""Our step on the same pairs: the trainer as ``asap train`` runs it, with latents and text read from their store."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from benchmarks.align.models import SIZES, Pair, embed, square
from benchmarks.align.peer import read_pixels

from asap.align.adapters import add_lora
from asap.align.batch import PairBatch
from asap.align.methods import resolve
from asap.align.policy import adapter_reference
from asap.align.trainer import Trainer, TrainSettings
from asap.backbones.pipeline import PipelineBackbone
from asap.backbones.protocol import TextCondition
from asap.stores.latents import LatentStore
from asap.stores.references import ReferenceStore
from asap.tensors import to_latent_mask

__all__ = ["StoredPairs", "trainer"]

TEXT = "text_"


class StoredPairs:
    """Encoded pairs read from disk at every step."""

    def __init__(self, family: str, backbone: PipelineBackbone, pairs: Sequence[Pair], folder: Path) -> None:
        """Encode what the folder lacks."""
        self.store = LatentStore(folder, {"benchmark": family}, len(pairs))
        for index in self.store.missing(range(len(pairs))):
            latents = backbone.encode(read_pixels(pairs[index]))
            mask, part = torch.zeros(1, SIZES[family], SIZES[family]), square(SIZES[family])
            mask[:, part, part] = 1
            texts = embed(family, backbone, [pairs[index].caption]).tensors
            named = {TEXT + name: value for name, value in texts.items()}
            size = (latents.shape[2], latents.shape[3])
            columns = {"winner": latents[:1], "loser": latents[1:], "mask": to_latent_mask(mask, size), **named}
            self.store.write([index], columns)

    def __len__(self) -> int:
        """Number of pairs."""
        return self.store.rows

    def batch(self, indices: Sequence[int]) -> PairBatch:
        """The pairs at ``indices``."""
        rows = self.store.read(indices)
        text = {name.removeprefix(TEXT): value for name, value in rows.items() if name.startswith(TEXT)}
        return PairBatch(winner=rows["winner"], loser=rows["loser"], mask=rows["mask"], condition=TextCondition(text))


def trainer(
    backbone: PipelineBackbone,
    source: StoredPairs,
    *,
    rank: int,
    bank: ReferenceStore | None = None,
    **settings: Any,  # noqa: ANN401
) -> Trainer:
    """Plain DPO with the peer's numbers: k = beta_dpo / 2, one pair a step, the norm clipped to 1."""
    policy = add_lora(backbone, rank=rank, alpha=None, seed=0)
    method, loss = resolve("dpo", {"beta": 2500.0})
    how = {"batch_size": 1, "lr": 1e-5, "weight_decay": 1e-2, "max_grad_norm": 1.0, "precision": "fp32", **settings}
    return Trainer(
        policy,
        adapter_reference,
        backbone.path,
        source,
        method=method,
        loss=loss,
        settings=TrainSettings(steps=10**6, **how),
        bank=bank,
        device="cpu",
    )
