"""The landmarker ``grounded-sam``: Grounding DINO finds parts by name, SAM 2 gives each box its mask.

Images are preprocessed here and not by the processors of the models, some of which need torchvision. A mask alone does
not tell the side of a hand. A second landmarker can provide keypoints and sides, which are matched to the masks.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

from asap.core.errors import ConfigError, StoreError
from asap.core.hashing import digest_file, digest_json
from asap.core.pairs import box_of
from asap.core.photos import PartRegion
from asap.core.records import BoolArray, ByteArray, FloatArray
from asap.core.vocabulary import PARTS
from asap.regions.geometry import overlap
from asap.regions.parts import MIN_PART_PIXELS, Found, keep_large, region
from asap.regions.protocol import Landmarker

__all__ = ["Box", "GroundedSam", "match", "phrase_scores"]

METHOD: Final = 1
"""Increase this when the same models and settings give different results."""
DETECTOR: Final = "IDEA-Research/grounding-dino-base"
SEGMENTER: Final = "facebook/sam2.1-hiera-large"
PROMPTS: Final = {"hand": "hand", "face": "face", "foot": "foot", "arm": "arm", "leg": "leg"}
"""The name of each part in the prompt."""
PERSON: Final = "person"
MEAN: Final = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION: Final = np.array([0.229, 0.224, 0.225], np.float32)
"""Mean and deviation of ImageNet's colours, with which both models were trained."""
SHORT_SIDE, LONG_SIDE = 800, 1333
"""Pixels of the detector's image: the shorter side, unless the longer one would exceed its limit."""
INSIDE: Final = 0.7
"""Share of the box of a part that must lie in the box of its person."""


@dataclass(frozen=True)
class Box:
    """A detection: label, score, and x0, y0, x1, y1 in pixels."""

    label: str
    score: float
    corners: FloatArray


@dataclass(frozen=True, kw_only=True)
class GroundedSam:
    """Grounding DINO (arXiv:2303.05499) and SAM 2 (arXiv:2408.00714), from local folders or from the hub's cache."""

    detector: str = DETECTOR
    segmenter: str = SEGMENTER
    landmarker: Landmarker | None = None
    """Another landmarker that provides sides and keypoints; its parts without a mask are kept."""
    prompts: Mapping[str, str] = field(default_factory=lambda: dict(PROMPTS))
    """Name in the prompt by part."""
    device: str = "cpu"
    threshold: float = 0.3
    """Smallest score of a box for its phrase."""
    likeness: float = 0.3
    """Smallest intersection over union of a mask with the part that provides its keypoints."""
    min_pixels: int = MIN_PART_PIXELS
    name: str = field(default="grounded-sam", init=False)

    def __post_init__(self) -> None:
        """Raise errors of settings or absent models now instead of at the first image."""
        if strange := [part for part in self.prompts if part not in PARTS]:
            raise ConfigError(f"landmarker grounded-sam: no part {strange[0]!r} in prompts; known: {', '.join(PARTS)}")
        _ = self.fingerprint

    def __getstate__(self) -> dict[str, Any]:
        """The settings only; another process loads the models itself."""
        return {setting.name: getattr(self, setting.name) for setting in fields(self)}

    @cached_property
    def _folders(self) -> tuple[Path, Path]:
        return _folder(self.detector), _folder(self.segmenter)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the weights, the settings that matter, the other landmarker and the method."""
        names = ("threshold", "likeness", "min_pixels")
        settings = {name: getattr(self, name) for name in names} | {"prompts": dict(self.prompts)}
        weights = [digest_file(path) for folder in self._folders for path in sorted(folder.glob("*.safetensors"))]
        other = self.landmarker.fingerprint if self.landmarker is not None else None
        return digest_json({"models": weights, "settings": settings, "landmarker": other, "method": METHOD})

    @cached_property
    def _networks(self) -> tuple[Any, Any, Any]:
        """Tokenizer, detector and segmenter, loaded."""
        from transformers import AutoModelForZeroShotObjectDetection, AutoTokenizer, Sam2Model

        detector, segmenter = self._folders
        try:
            with _no_bars():
                tokens = AutoTokenizer.from_pretrained(detector)
                finder = AutoModelForZeroShotObjectDetection.from_pretrained(detector)
                cutter = Sam2Model.from_pretrained(segmenter)
        except (OSError, ValueError) as error:
            raise StoreError(f"cannot load {detector} or {segmenter} ({str(error).splitlines()[0]})") from error
        return tokens, finder.to(self.device).eval(), cutter.to(self.device).eval()

    def find(self, image: ByteArray) -> tuple[PartRegion, ...]:
        """Parts in (H, W, 3) sRGB ``image``. Without another landmarker they have no keypoints and side ``none``."""
        return self.search(image).regions

    def search(self, image: ByteArray) -> Found:
        """As ``find``, with a note for each part that is left out."""
        boxes = self._boxes(image)
        parts = [box for box in boxes if box.label != PERSON]
        masks = self._masks(image, parts)
        owners = _owners(parts, [box for box in boxes if box.label == PERSON])
        nothing = np.zeros((0, 3), np.float32)
        made = [
            region(box.label, "none", owner, mask, nothing, (), box.score, self.name)
            for box, owner, mask in zip(parts, owners, masks, strict=True)
            if mask.any()
        ]
        if self.landmarker is None:
            return keep_large(made, self.min_pixels)
        matched = match(made, self.landmarker.find(image), self.likeness)
        kept = keep_large(matched.regions, self.min_pixels)
        return Found(regions=kept.regions, notes=(*matched.notes, *kept.notes))

    @torch.no_grad()
    def _boxes(self, image: ByteArray) -> list[Box]:
        tokens, finder, _ = self._networks
        labels = [*self.prompts, PERSON]
        text = tokens(". ".join([*self.prompts.values(), PERSON]) + ".", return_tensors="pt").to(self.device)
        height, width = image.shape[:2]
        scale = min(SHORT_SIDE / min(height, width), LONG_SIDE / max(height, width))
        pixels = _prepared(image, (round(width * scale), round(height * scale))).to(self.device)
        out = finder(pixel_values=pixels, pixel_mask=torch.ones_like(pixels[:, 0], dtype=torch.long), **text)
        odds = out.logits[0].sigmoid().float().cpu().numpy()
        scores = phrase_scores(odds, text["input_ids"][0].tolist(), tokens.convert_tokens_to_ids("."), len(labels))
        centre, size = np.split(out.pred_boxes[0].float().cpu().numpy(), 2, axis=1)
        corners = np.concatenate([centre - size / 2, centre + size / 2], axis=1) * (width, height, width, height)
        corners = np.clip(corners, 0, (width, height, width, height)).astype(np.float32)
        return [
            box
            for column, label in enumerate(labels)
            for box in _best(label, scores[:, column], corners, self.threshold)
        ]

    @torch.no_grad()
    def _masks(self, image: ByteArray, boxes: Sequence[Box]) -> list[BoolArray]:
        if not boxes:
            return []
        cutter = self._networks[2]
        side = cutter.config.prompt_encoder_config.image_size
        height, width = image.shape[:2]
        corners = np.stack([box.corners for box in boxes]) * (np.array([side / width, side / height] * 2))
        prompt = torch.from_numpy(corners.astype(np.float32))[None].to(self.device)
        pixels = _prepared(image, (side, side)).to(self.device)
        out = cutter(pixel_values=pixels, input_boxes=prompt, multimask_output=False)
        logits = out.pred_masks[0].float()
        full = torch.nn.functional.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
        return list((full[:, 0] > 0).cpu().numpy())


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    """Hide the progress bars of loading, and restore the setting afterwards."""
    from transformers.utils import logging

    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()


def phrase_scores(odds: FloatArray, tokens: Sequence[int], dot: int, phrases: int) -> FloatArray:
    """(Q, phrases) best token of each phrase for each query, from (Q, T) probabilities; token ``dot`` ends a phrase."""
    scores = np.zeros((len(odds), phrases), np.float32)
    phrase = 0
    for place, token in enumerate(tokens[1:-1], start=1):
        if token == dot:
            phrase += 1
        elif phrase < phrases:
            scores[:, phrase] = np.maximum(scores[:, phrase], odds[:, place])
    return scores


def match(masks: Sequence[PartRegion], parts: Sequence[PartRegion], likeness: float) -> Found:
    """``parts`` with the masks that overlap them most, best pairs first; notes list masks without a part."""
    offers = sorted(
        (-_iou(mask.mask, part.mask), m, p)
        for m, mask in enumerate(masks)
        for p, part in enumerate(parts)
        if mask.part == part.part
    )
    given: dict[int, int] = {}
    for cost, m, p in offers:
        if -cost >= likeness and p not in given and m not in given.values():
            given[p] = m
    made = [_with_mask(part, masks[given[p]]) if p in given else part for p, part in enumerate(parts)]
    alone = [mask for m, mask in enumerate(masks) if m not in given.values()]
    notes = tuple(f"a {mask.part} at {mask.box} left out, no keypoints belong to it" for mask in alone)
    return Found(regions=tuple(made), notes=notes)


def _with_mask(part: PartRegion, mask: PartRegion) -> PartRegion:
    cut = part.cut or mask.cut
    return replace(
        part, mask=mask.mask, box=box_of(mask.mask), instrument=mask.instrument, confidence=mask.confidence, cut=cut
    )


def _iou(a: BoolArray, b: BoolArray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def _best(label: str, scores: FloatArray, corners: FloatArray, threshold: float, same: float = 0.6) -> list[Box]:
    """Boxes of one phrase, best first, without those that overlap a better one by more than ``same``."""
    kept: list[Box] = []
    for index in np.argsort(-scores, kind="stable").tolist():
        if scores[index] < threshold:
            break
        if not kept or overlap(corners[index], np.stack([box.corners for box in kept])).max() <= same:
            kept.append(Box(label, float(scores[index]), corners[index]))
    return kept


def _owners(parts: Sequence[Box], people: Sequence[Box]) -> list[int]:
    """Index of the person of each part, the largest 0: the smallest person box that contains most of the part's box."""

    def area(corners: FloatArray) -> float:
        return float(np.prod(np.clip(corners[2:] - corners[:2], 0, None)))

    ordered = sorted((person.corners for person in people), key=area, reverse=True)
    owners = []
    for part in parts:
        low = [np.maximum(person[:2], part.corners[:2]) for person in ordered]
        high = [np.minimum(person[2:], part.corners[2:]) for person in ordered]
        shares = [area(np.concatenate(ends)) / max(area(part.corners), 1e-6) for ends in zip(low, high, strict=True)]
        owners.append(max((number for number, share in enumerate(shares) if share >= INSIDE), default=0))
    return owners


def _prepared(image: ByteArray, size: tuple[int, int]) -> torch.Tensor:
    """(1, 3, h, w) normalized colours at ``size`` (width, height)."""
    resized = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    colours = (np.asarray(resized, np.float32) / 255 - MEAN) / DEVIATION
    return torch.from_numpy(np.ascontiguousarray(colours.transpose(2, 0, 1), np.float32))[None]


def _folder(name: str) -> Path:
    """Folder of a model: a local one, or its snapshot in the hub's cache, downloaded if the hub is reachable."""
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", "*.safetensors"]))
    except (OSError, ValueError) as error:  # the hub raises both
        raise StoreError(f"cannot get the model {name} ({str(error).splitlines()[0]}); give a local folder") from error
