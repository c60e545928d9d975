"""[pairs] -> [latents]: everything that training needs of a pair, in a model's own space, encoded once."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from torch.nn import functional

from asap.align.batch import PairBatch
from asap.backbones import Backbone, TextCondition
from asap.backbones.protocol import Window
from asap.backbones.text import blanked
from asap.core.errors import InputError
from asap.core.hashing import digest_json
from asap.core.records import ByteArray
from asap.stores.cache import Cache, room_taken
from asap.stores.latents import LatentStore
from asap.stores.lock import WriterLock
from asap.stores.pairs import PairRow, PairStore
from asap.tensors import to_latent_mask, to_signed
from asap.tensors.crops import Box
from asap.workflows.training.crops import Crop, Cropper, CropSettings, groups_of

__all__ = ["EncodedPairs", "LatentPairs", "encode_pairs"]

CHUNK: Final = 32
"""Pairs encoded between two writes."""
ENCODE_PIXELS: Final = 2 * 1024 * 1024
"""Pixels in one call of the autoencoder: an image of 1024 x 1024 takes 2.5 to 3.8 GiB in float32."""


@dataclass(frozen=True)
class EncodedPairs:
    """Where the encoded pairs of a store lie: images and masks a pair, texts a distinct caption."""

    pictures: LatentStore
    """Columns winner, loser and mask; rows as in the pair store."""
    texts: LatentStore
    """The captions' tensors; rows as in the sorted distinct captions."""
    captions: tuple[int, ...]
    """Row of ``texts`` for each row of ``pictures``."""


class LatentPairs:
    """Encoded pairs as the trainer takes them; index k is the k-th of ``positions``."""

    def __init__(
        self, encoded: EncodedPairs, positions: Sequence[int], cropper: Cropper, crops: Sequence[Crop]
    ) -> None:
        """Read the rows at ``positions`` with their crops; no crops: whole squares."""
        self.encoded, self.store, self.positions = encoded, encoded.pictures, list(positions)
        self.cropper, self.crops = cropper, crops

    def __len__(self) -> int:
        return len(self.positions)

    def groups(self) -> list[list[int]]:
        """Indices of the pairs that can lie in one batch."""
        return groups_of(self.crops) if self.crops else [list(range(len(self)))]

    def batch(self, indices: Sequence[int]) -> PairBatch:
        """The pairs at ``indices``, of one group; raises ``StoreError`` for one that was not encoded."""
        rows = [self.positions[index] for index in indices]
        found = self.store.read(rows)
        texts = TextCondition(self.encoded.texts.read([self.encoded.captions[row] for row in rows]))
        crops = [self.crops[index] for index in indices] if self.crops else []
        if crops and self.cropper.settings.buckets:
            found = _unflattened(found, self.cropper.backbone.latent_size(*crops[0].size))
        whole = PairBatch(chosen=found["winner"], rejected=found["loser"], mask=found["mask"], condition=texts)
        return self._windows(whole, crops) if self.cropper.settings.window < 1 else whole

    def _windows(self, batch: PairBatch, crops: Sequence[Crop]) -> PairBatch:
        """What is seen of each pair, and where it lies."""
        _, *extent = batch.image_shape
        pixels = crops[0].size[0] // extent[0]
        height, width = (side // pixels for side in crops[0].window[2:])
        corners = tuple((crop.window[0] // pixels, crop.window[1] // pixels) for crop in crops)

        def seen(values: torch.Tensor) -> torch.Tensor:
            parts = zip(values, corners, strict=True)
            return torch.stack([one[:, top : top + height, left : left + width] for one, (top, left) in parts])

        windows = [
            Window(top=crop.window[0], left=crop.window[1], whole_height=crop.size[0], whole_width=crop.size[1])
            for crop in crops
        ]
        return PairBatch(
            chosen=seen(batch.chosen),
            rejected=seen(batch.rejected),
            mask=seen(batch.mask),
            condition=self.cropper.backbone.place(batch.condition, windows),
            corners=corners,
            image_size=(extent[0], extent[1]),
        )


def _unflattened(columns: Mapping[str, torch.Tensor], size: tuple[int, int, int]) -> dict[str, torch.Tensor]:
    """Rows of ``_flat`` as latents and masks of ``size`` (C, h, w)."""
    channels, height, width = size
    shapes = {"winner": (channels, height, width), "loser": (channels, height, width), "mask": (1, height, width)}
    return {name: values[:, : math.prod(shapes[name])].reshape(-1, *shapes[name]) for name, values in columns.items()}


def encode_pairs(
    pairs: PairStore,
    backbone: Backbone,
    fingerprint: str,
    cache: Cache,
    positions: Sequence[int],
    crop_settings: CropSettings | None = None,
) -> EncodedPairs:
    """Encode those of ``positions`` that the cache lacks; safe to kill, safe beside another run of the same pairs.

    A caption that many pairs share is encoded and kept once, without its padding where the model does not look at it.

    Args:
        pairs: the opened store (of one split).
        backbone: encodes images and captions.
        fingerprint: of the backbone, see ``model_fingerprint``.
        cache: of the latents, whose own folders are named after all that they depend on; it holds them until it is told
            to let go.
        positions: rows of ``pairs``.
        crop_settings: whether images are cut to squares or to several shapes; None: squares.

    Raises:
        InputError: images or masks of a wrong size, a folder that cannot be written, or no room in the cache.
    """
    cropper = Cropper(backbone, crop_settings or CropSettings())
    model = {"model": fingerprint, "bf16": backbone.bf16}
    key = {
        "pairs": pairs.content_hash,
        "split": pairs.split or "all",
        "resolution": backbone.resolution,
        "latent_shape": list(backbone.latent_shape),
        "columns": "pictures",
        "resize": "lanczos",
        **model,
    }
    if cropper.settings.buckets:
        key["shapes"] = [list(size) for size in cropper.sizes]
    prompts = pairs.column("prompt")
    captions = sorted(set(prompts))
    number = {caption: row for row, caption in enumerate(captions)}
    of_row = tuple(number[prompt] for prompt in prompts)

    def pictures(rows: Sequence[int]) -> dict[str, torch.Tensor]:
        return _encode(pairs.rows(rows), cropper)

    def texts(rows: Sequence[int]) -> dict[str, torch.Tensor]:
        return dict(blanked(backbone.embed([captions[row] for row in rows])).tensors)

    wanted = [of_row[position] for position in positions]
    return EncodedPairs(
        pictures=_filled(cache, key, len(pairs), positions, pictures, "pairs"),
        texts=_filled(cache, {"captions": digest_json(captions), **model}, len(captions), wanted, texts, "captions"),
        captions=of_row,
    )


def _filled(
    cache: Cache,
    key: Mapping[str, object],
    total: int,
    rows: Sequence[int],
    encode: Callable[[Sequence[int]], dict[str, torch.Tensor]],
    what: str,
) -> LatentStore:
    """The store of ``key`` with at least ``rows`` in it."""
    store = LatentStore(cache.root, key, total)
    cache.hold(store.root)
    if not store.missing(rows):
        return store
    with WriterLock(store.root), Progress(console=Console(stderr=True)) as progress:
        store = LatentStore(cache.root, key, total)
        missing = store.missing(rows)
        task = progress.add_task(f"encoding {what}", total=len(missing))
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            store.write(chunk, encode(chunk))
            left = len(missing) - start - len(chunk)
            more = left * room_taken(store.root) // store.written
            for line in cache.make_room(more, str(key["model"])):
                progress.console.print(f"removed {line}")
            progress.advance(task, len(chunk))
    return store


def _encode(rows: Sequence[PairRow], cropper: Cropper) -> dict[str, torch.Tensor]:
    """Columns of some pairs: winner, loser, mask; flat where they have several shapes."""
    cropped = [_cropped(row, cropper) for row in rows]
    if not cropper.settings.buckets:
        return _of_one_size([row for row, _ in cropped], cropper.sizes[0], cropper.backbone)
    backbone, found = cropper.backbone, {}
    for size in sorted({size for _, size in cropped}):
        own = [index for index, (_, other) in enumerate(cropped) if other == size]
        columns = _of_one_size([cropped[index][0] for index in own], size, backbone)
        for place, index in enumerate(own):
            found[index] = {name: values[place] for name, values in columns.items()}
    most = max(math.prod(backbone.latent_size(*size)) for size in cropper.sizes)
    lengths = {"winner": most, "loser": most, "mask": most // backbone.latent_shape[0]}
    return {
        name: torch.stack([_flat(found[index][name], length) for index in range(len(rows))])
        for name, length in lengths.items()
    }


def _flat(values: torch.Tensor, length: int) -> torch.Tensor:
    """All numbers in a row, with zeros behind."""
    return functional.pad(values.flatten(), (0, length - values.numel()))


def _of_one_size(rows: Sequence[PairRow], size: tuple[int, int], backbone: Backbone) -> dict[str, torch.Tensor]:
    """Latents (B, C, h, w) and masks (B, 1, h, w) of images that are brought to ``size``."""
    cells = backbone.latent_size(*size)[1:]
    masks = torch.cat([to_latent_mask(torch.from_numpy(row.mask[None]), cells) for row in rows])
    chosen, rejected = ([row.chosen for row in rows], [row.rejected for row in rows])
    return {"winner": _latents(chosen, size, backbone), "loser": _latents(rejected, size, backbone), "mask": masks}


def _latents(images: Sequence[ByteArray], size: tuple[int, int], backbone: Backbone) -> torch.Tensor:
    """(B, C, h, w) of images that are brought to ``size``, encoded at most ``ENCODE_PIXELS`` at a time."""
    at_once = max(1, ENCODE_PIXELS // math.prod(size))
    parts = [images[start : start + at_once] for start in range(0, len(images), at_once)]
    signed = (to_signed(np.stack([_resized(image, size) for image in part])) for part in parts)
    return torch.cat([backbone.encode(values).float() for values in signed])


def _resized(image: ByteArray, size: tuple[int, int]) -> ByteArray:
    """(H, W, 3) at ``size``, height and width. Lanczos keeps the details that a mean of pixels blurs."""
    if image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.LANCZOS))


def _cropped(row: PairRow, cropper: Cropper) -> tuple[PairRow, tuple[int, int]]:
    """The cropped row, and the size to which it is to be scaled.

    Raises:
        InputError: the row cannot be trained on.
    """
    height, width = row.chosen.shape[:2]
    if row.mask.shape != (height, width) or row.rejected.shape != row.chosen.shape:
        raise InputError(
            f"pair {row.uid}: chosen {row.chosen.shape[:2]}, rejected {row.rejected.shape[:2]} and mask "
            f"{row.mask.shape} must be of one size; build the pairs anew"
        )
    box = _box(row.mask)
    if row.kind == "defect" and box[2] == 0:
        raise InputError(
            f"pair {row.uid} has an empty mask, so nothing says where its sides differ; give it one, or fill it to "
            "train on the whole image"
        )
    if not cropper.settings.plain and box != tuple(row.box):
        raise InputError(f"pair {row.uid} says that its mask is at {row.box}, but it is at {box}; build the pairs anew")
    crop = cropper.crop(row.uid, height, width, box)
    top, left, tall, wide = crop.frame
    part = (slice(top, top + tall), slice(left, left + wide))
    cut = replace(row, chosen=row.chosen[part], rejected=row.rejected[part], mask=row.mask[part])
    return cut, crop.size


def _box(mask: ByteArray) -> Box:
    """x0, y0, x1, y1 of what is set, end exclusive; zeros where nothing is."""
    ys, xs = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    return (int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1) if len(xs) else (0, 0, 0, 0)
