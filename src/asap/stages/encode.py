"""[pairs] -> [latents]: everything that training needs of a pair, in a model's own space, encoded once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from torch import nn

from asap.align.batch import PairBatch
from asap.backbones import Backbone, TextCondition
from asap.backbones.paths import FlowPath
from asap.core.errors import InputError
from asap.core.hashing import digest_json
from asap.stages.trained import tensor_digest
from asap.stores.latents import LatentStore
from asap.stores.lock import WriterLock
from asap.stores.pairs import PairRow, PairStore
from asap.tensors import resize_area, to_latent_mask, to_signed
from asap.tensors.crops import square_around

__all__ = ["EncodedPairs", "LatentPairs", "encode_pairs", "model_fingerprint"]

CHUNK: Final = 32
"""Pairs encoded at a time."""


@dataclass(frozen=True)
class EncodedPairs:
    """Where the encoded pairs of a store lie: pictures and masks a pair, texts a distinct caption."""

    pictures: LatentStore
    """Columns winner, loser and mask; rows as in the pair store."""
    texts: LatentStore
    """The captions' tensors; rows as in the sorted distinct captions."""
    captions: tuple[int, ...]
    """Row of ``texts`` for each row of ``pictures``."""


class LatentPairs:
    """Encoded pairs as the trainer eats them; index k is the k-th of ``positions``."""

    def __init__(self, encoded: EncodedPairs, positions: Sequence[int]) -> None:
        """Read the rows at ``positions``."""
        self.encoded, self.store, self.positions = encoded, encoded.pictures, list(positions)

    def __len__(self) -> int:
        return len(self.positions)

    def batch(self, indices: Sequence[int]) -> PairBatch:
        """The pairs at ``indices``; raises ``StoreError`` for one that was not encoded."""
        rows = [self.positions[index] for index in indices]
        found = self.store.read(rows)
        texts = self.encoded.texts.read([self.encoded.captions[row] for row in rows])
        return PairBatch(
            winner=found["winner"], loser=found["loser"], mask=found["mask"], condition=TextCondition(texts)
        )


def encode_pairs(
    pairs: PairStore, backbone: Backbone, fingerprint: str, cache: Path, positions: Sequence[int]
) -> EncodedPairs:
    """Encode those of ``positions`` that the cache lacks; safe to kill, safe beside another run of the same pairs.

    A caption that many pairs share is encoded and kept once.

    Args:
        pairs: the opened store (of one split).
        backbone: encodes pictures and captions.
        fingerprint: of the backbone, see ``model_fingerprint``.
        cache: parent folder of the latents; their own folders are named after all that they depend on.
        positions: rows of ``pairs``.

    Raises:
        InputError: pictures or masks of a wrong size, or a folder that cannot be written.
    """
    model = {"model": fingerprint, "bf16": bool(getattr(backbone, "bf16", False))}
    key = {
        "pairs": pairs.content_hash,
        "split": pairs.split or "all",
        "resolution": backbone.resolution,
        "latent_shape": list(backbone.latent_shape),
        "columns": "pictures",
        **model,
    }
    prompts = pairs.column("prompt")
    captions = sorted(set(prompts))
    number = {caption: row for row, caption in enumerate(captions)}
    of_row = tuple(number[prompt] for prompt in prompts)

    def pictures(rows: Sequence[int]) -> dict[str, torch.Tensor]:
        return _encode(pairs.rows(rows), backbone)

    def texts(rows: Sequence[int]) -> dict[str, torch.Tensor]:
        return dict(backbone.embed([captions[row] for row in rows]).tensors)

    wanted = [of_row[position] for position in positions]
    return EncodedPairs(
        pictures=_filled(cache, key, len(pairs), positions, pictures, "pairs"),
        texts=_filled(cache, {"captions": digest_json(captions), **model}, len(captions), wanted, texts, "captions"),
        captions=of_row,
    )


def _filled(
    cache: Path,
    key: Mapping[str, object],
    total: int,
    rows: Sequence[int],
    encode: Callable[[Sequence[int]], dict[str, torch.Tensor]],
    what: str,
) -> LatentStore:
    """The store of ``key`` with at least ``rows`` in it."""
    store = LatentStore(cache, key, total)
    if not store.missing(rows):
        return store
    with WriterLock(store.root), Progress(console=Console(stderr=True)) as progress:
        store = LatentStore(cache, key, total)
        missing = store.missing(rows)
        task = progress.add_task(f"encoding {what}", total=len(missing))
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            store.write(chunk, encode(chunk))
            progress.advance(task, len(chunk))
    return store


def _encode(rows: Sequence[PairRow], backbone: Backbone) -> dict[str, torch.Tensor]:
    """Columns of some pairs: winner, loser, mask."""
    rows = [_squared(row, backbone) for row in rows]
    chosen, rejected = (
        backbone.encode(resize_area(to_signed(np.stack(side)), backbone.resolution))
        for side in ([row.chosen for row in rows], [row.rejected for row in rows])
    )
    mask = to_latent_mask(torch.from_numpy(np.stack([row.mask for row in rows])), backbone.latent_shape[1:])
    return {"winner": chosen.float(), "loser": rejected.float(), "mask": mask}


def _squared(row: PairRow, backbone: Backbone) -> PairRow:
    """The row with the square that its mask lies in; raises ``InputError`` for one that cannot be trained on."""
    height, width = row.chosen.shape[:2]
    if row.mask.shape != (height, width) or row.rejected.shape != row.chosen.shape:
        raise InputError(
            f"pair {row.uid}: chosen {row.chosen.shape[:2]}, rejected {row.rejected.shape[:2]} and mask "
            f"{row.mask.shape} must be of one size; build the pairs anew"
        )
    if min(height, width) < backbone.resolution:
        raise InputError(
            f"pair {row.uid} is {height}x{width}; {backbone.name} needs pictures of at least "
            f"{backbone.resolution} on each side; build the pairs with a larger --size"
        )
    if row.kind == "defect" and not row.mask.any():
        raise InputError(
            f"pair {row.uid} has an empty mask, so nothing says where its sides differ; give it one, or fill it to "
            "train on the whole picture"
        )
    if height == width:
        return row
    ys, xs = np.nonzero(row.mask)
    box = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1) if len(xs) else None
    whole = box == (0, 0, width, height)  # a mask that is everywhere marks no place
    try:
        top, left, side = square_around(height, width, None if whole else box)
    except InputError as error:
        raise InputError(f"pair {row.uid}: {error}, and its mask may not be cut; crop the pair yourself") from error
    part = (slice(top, top + side), slice(left, left + side))
    return replace(row, chosen=row.chosen[part], rejected=row.rejected[part], mask=row.mask[part])


def model_fingerprint(backbone: Backbone) -> str:
    """SHA-256 over the name, shape and bytes of every weight of every part of the model, and what its network predicts.

    Taken before an adapter is added, it names the model that was aligned. The same weights read as a predictor of v and
    of noise are two models, whose errors must not be taken for one another's.
    """
    pipeline: Any = getattr(backbone, "pipeline", None)
    parts = dict(pipeline.components) if pipeline is not None else {"denoiser": backbone.denoiser}
    digests = {name: _weights_digest(part) for name, part in sorted(parts.items()) if isinstance(part, nn.Module)}
    if backbone.path != FlowPath():  # the embedded models' own, which were named by their weights alone
        digests["path"] = repr(backbone.path)
    return digest_json(digests)


def _weights_digest(module: nn.Module) -> str:
    return digest_json({name: tensor_digest(value) for name, value in module.state_dict().items()})
