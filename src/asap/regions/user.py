"""The landmarker ``user``: masks and keypoints from files of the user beside the photograph.

For a photograph ``a.jpg``: ``a.hand.left.mask.png`` (white on black, in the size of the image;
``a.hand.left.1.mask.png`` for the second person), ``a.mask.png`` (one mask, whose part follows from the keypoints), and
``a.keypoints.json`` in the format of COCO or COCO-WholeBody. The caller reads the files; this module receives their
bytes, keyed by the rest of the name after the stem.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import numpy as np

from asap.core.errors import InputError
from asap.core.hashing import digest, digest_json
from asap.core.photos import PartRegion
from asap.core.records import BoolArray, ByteArray, FloatArray
from asap.core.vocabulary import PARTS
from asap.core.wholebody import KEYPOINTS
from asap.regions.decoding import decode
from asap.regions.parts import Found, region
from asap.regions.skeleton import people_parts

__all__ = ["KEYPOINTS_FILE", "MASK_ENDING", "User", "parse_keypoints", "user_parts"]

INSTRUMENT: Final = "user"
MASK_ENDING: Final = ".mask.png"
KEYPOINTS_FILE: Final = ".keypoints.json"
PAIRED: Final = ("hand", "arm", "leg", "foot")
GROUPS: Final = (
    ("keypoints", 0, 17),
    ("foot_kpts", 17, 23),
    ("face_kpts", 23, 91),
    ("lefthand_kpts", 91, 112),
    ("righthand_kpts", 112, 133),
)
"""Keys of an annotation of COCO-WholeBody, and the rows of the 133 points that each holds."""


@dataclass(frozen=True, kw_only=True)
class User:
    """The files of one image as a landmarker."""

    files: Mapping[str, bytes]
    """Bytes by the rest of the file name after the image's stem, for example ``.hand.left.mask.png``."""
    name: str = field(default=INSTRUMENT, init=False)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the files."""
        return digest_json({name: digest(data) for name, data in self.files.items()})

    def find(self, image: ByteArray) -> tuple[PartRegion, ...]:
        """Parts of (H, W, 3) ``image``, as ``user_parts``."""
        return self.search(image).regions

    def search(self, image: ByteArray) -> Found:
        """As ``find``, with a note for each part that is left out."""
        return _read((image.shape[0], image.shape[1]), self.files, image)


def user_parts(
    shape: tuple[int, int], files: Mapping[str, bytes], *, image: ByteArray | None = None
) -> tuple[PartRegion, ...]:
    """Parts that ``files`` (bytes by the rest of the name) describe in an image of ``shape`` (H, W).

    A mask has priority over the outline from keypoints, and takes their points. With ``image``, the outlines of hands
    are fitted to it.

    Raises:
        InputError: a file has an unknown name, is damaged, or has another size than the image.
    """
    return _read(shape, files, image).regions


def _read(shape: tuple[int, int], files: Mapping[str, bytes], image: ByteArray | None) -> Found:
    masks = {name: _mask(name, data, shape) for name, data in sorted(files.items()) if name.endswith(MASK_ENDING)}
    if strange := [name for name in files if name not in masks and name != KEYPOINTS_FILE]:
        raise InputError(f"unknown file {strange[0]!r}; name it .PART.SIDE{MASK_ENDING} or {KEYPOINTS_FILE}")
    people = parse_keypoints(files[KEYPOINTS_FILE]) if KEYPOINTS_FILE in files else []
    drawn = people_parts(people, shape, INSTRUMENT, image=image, min_pixels=1)
    regions = {(part.part, part.side, part.person): part for part in drawn.regions}
    for name, mask in masks.items():
        key = _key(name, mask, drawn.regions)
        known = regions.get(key)
        points, names = (known.keypoints, known.keypoint_names) if known else (np.zeros((0, 3), np.float32), ())
        made = region(key[0], key[1], key[2], mask, points, names, 1.0, INSTRUMENT)
        regions[key] = replace(made, cut=made.cut or (known is not None and known.cut))
    ordered = sorted(regions.values(), key=lambda part: (part.person, PARTS.index(part.part), part.side))
    return Found(regions=tuple(ordered), notes=drawn.notes)


def _mask(name: str, data: bytes, shape: tuple[int, int]) -> BoolArray:
    """(H, W) True where the mask's image is white; raises ``InputError``."""
    image = decode(data, name)
    if "alpha over white" in image.notes:
        raise InputError(f"{name}: a mask must be white on black, this one is transparent; save it without alpha")
    if image.image.shape[:2] != shape:
        came = f"{image.image.shape[1]} x {image.image.shape[0]}"
        raise InputError(f"{name}: wanted {shape[1]} x {shape[0]} pixels like the upright image, got {came}; scale it")
    mask = np.asarray(image.image[..., 0] > 127, np.bool_)
    if not mask.any():
        raise InputError(f"{name}: the mask is black everywhere; leave the file out")
    return mask


def _key(name: str, mask: BoolArray, drawn: Sequence[PartRegion]) -> tuple[str, str, int]:
    """Part, side and person of a mask, from its name or from the keypoint outline that it overlaps most."""
    words = name.removesuffix(MASK_ENDING).strip(".").split(".")
    if words == [""]:
        shared = [int((mask & part.mask).sum()) for part in drawn]
        if not shared or max(shared) == 0:
            raise InputError(f"{name}: the part is unknown; name it .PART.SIDE{MASK_ENDING}, or add {KEYPOINTS_FILE}")
        best = drawn[int(np.argmax(shared))]
        return best.part, best.side, best.person
    part, side, person = [*words, "0"][:3] if 2 <= len(words) <= 3 else ("", "", "")
    sides = ("left", "right") if part in PAIRED else ("none",)
    if part not in PARTS or side not in sides or not person.isdecimal():
        raise InputError(
            f"{name}: wanted .PART.SIDE{MASK_ENDING} with PART of {', '.join(PARTS)} and SIDE left or right, or none "
            "for a part that is not paired; rename it"
        )
    return part, side, int(person)


def parse_keypoints(data: bytes) -> list[FloatArray]:
    """(133, 3) points per person, from annotations of COCO (17 points), COCO-WholeBody, or 133 points in one list.

    The file holds one annotation, a list of them, or an object with ``annotations``. Visibility 0, 1 and 2 (absent,
    hidden, visible) becomes the confidence 0, 0.5 and 1. Values that all lie between 0 and 1 are confidences already.

    Raises:
        InputError: it is not JSON, or has another structure.
    """
    try:
        value = json.loads(data)
        found = value.get("annotations", [value]) if isinstance(value, dict) else value
        return [_person(annotation) for annotation in found]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{KEYPOINTS_FILE}: not annotations of COCO or COCO-WholeBody ({error}); see docs/reference/landmarkers.md"
        ) from error


def _person(annotation: Mapping[str, Any]) -> FloatArray:
    """(133, 3) of one annotation; raises ``ValueError`` or ``KeyError``."""
    points = np.zeros((len(KEYPOINTS), 3), np.float64)
    body = np.asarray(annotation["keypoints"], np.float64).ravel()
    groups = (("keypoints", 0, len(KEYPOINTS)),) if body.size == 3 * len(KEYPOINTS) else GROUPS
    for key, start, end in groups:
        if key in annotation:
            points[start:end] = np.asarray(annotation[key], np.float64).reshape(end - start, 3)
    if not np.isfinite(points).all() or points[:, 2].min() < 0 or points[:, 2].max() > 2:
        raise ValueError("a visibility lies outside 0 to 2, or a number is not finite")
    if points[:, 2].max() > 1:
        points[:, 2] /= 2
    return points.astype(np.float32)
