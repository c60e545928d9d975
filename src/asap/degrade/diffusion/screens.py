"""Screens check whether the rejected side of a pair is really worse. An inpainted part may be correct.

A screen selects pairs, so it must never be the judge of a model that was aligned with them. The manifest lists it with
the role ``screen`` (``instrument``), and the benchmark refuses a judge that is listed there (``benchmark.lineage``).
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final, Protocol

import numpy as np

from asap.core.errors import InputError
from asap.core.hashing import digest_json
from asap.core.manifest import Instrument
from asap.core.photos import PartRegion
from asap.core.records import ByteArray, FloatArray
from asap.core.wholebody import FINGERS, KEYPOINTS
from asap.degrade.diffusion.window import window_around

__all__ = ["LandmarkScreen", "Screen", "VlmScreen", "instrument"]

Find = Callable[[ByteArray], Sequence[PartRegion]]
"""Maps an image (H, W, 3) to the parts in it, for example ``Landmarker.find`` of the package ``regions``."""
Ask = Callable[[ByteArray, ByteArray, str], float]
"""Maps two images and a question to the probability, 0 to 1, that the answer is the second image."""

_OVERLAP: Final = 0.1
"""Boxes with a smaller intersection over union belong to different parts."""
_LENGTH: Final = 1.5
"""A bone counts as changed if its share of the part changed by more than this factor. Our choice, as the next three."""
_BEND: Final = float(np.radians(60.0))
"""A joint counts as changed if its bend changed by more than this."""
_SHIFT: Final = 0.25
"""A point of the face counts as moved if it moved by more than this share of the size of the face."""
_SHORT: Final = 2.0
"""Bones shorter than this number of pixels are not measured."""
_QUESTION: Final = (
    "Both images show the same {part} of a person. Look at the number, shape, length and joints of its pieces. "
    "In which of the two is the anatomy of the {part} wrong, or more wrong: the first or the second?"
)


class Screen(Protocol):
    """Measures how much worse the anatomy of one part is on the rejected side."""

    @property
    def name(self) -> str:
        """Name of the model, as the manifest lists it."""

    @property
    def fingerprint(self) -> str:
        """Hash of the weights and rules."""

    def worse(self, chosen: ByteArray, rejected: ByteArray, region: PartRegion) -> float:
        """Score from -1 (the rejected side is certainly better) over 0 (undecided) to 1 (it is certainly worse).

        Args:
            chosen: (H, W, 3).
            rejected: (H, W, 3).
            region: the part.
        """


def instrument(screen: Screen) -> Instrument:
    """The manifest entry of the screen."""
    return Instrument("screen", screen.name, screen.fingerprint)


class LandmarkScreen:
    """Compares the landmarks of both sides: their confidence, lengths of bones, bends of joints, and places.

    A landmarker finds 21 points on a malformed hand, too. A lost or changed skeleton is therefore evidence; an
    unchanged one is not.
    """

    def __init__(self, find: Find, name: str, fingerprint: str) -> None:
        """Use ``find``, which belongs to the landmarker ``name`` with this ``fingerprint``."""
        self.find, self.name = find, name
        rules = {"overlap": _OVERLAP, "length": _LENGTH, "bend": _BEND, "shift": _SHIFT, "short": _SHORT}
        self.fingerprint = digest_json({"screen": "landmarks", "landmarker": fingerprint, "rules": rules})

    def worse(self, chosen: ByteArray, rejected: ByteArray, region: PartRegion) -> float:
        """The largest share, 0 to 1, of: confidence lost, bones changed, joints changed, points of the face moved.

        It is 1 if the part is found on the chosen side only, and 0 if it is not found there.
        """
        before = _same_part(self.find(chosen), region)
        if before is None:
            return 0.0
        after = _same_part(self.find(rejected), region)
        if after is None:
            return 1.0
        lost = (before.confidence - after.confidence) / max(before.confidence, 1e-6)
        return float(max(np.clip(lost, 0.0, 1.0), *changes(before, after).values()))


def _same_part(found: Sequence[PartRegion], region: PartRegion) -> PartRegion | None:
    """The part of the same kind whose box overlaps most with that of the region. Left and right may be confused."""
    rated = [(_overlap(other.box, region.box), -i) for i, other in enumerate(found) if other.part == region.part]
    share, index = max(rated, default=(0.0, 0))
    return found[-index] if share >= _OVERLAP else None


def _overlap(one: tuple[int, int, int, int], two: tuple[int, int, int, int]) -> float:
    width, height = min(one[2], two[2]) - max(one[0], two[0]), min(one[3], two[3]) - max(one[1], two[1])
    common = max(width, 0) * max(height, 0)
    areas = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (one, two))
    return common / max(areas - common, 1)


def _chains() -> tuple[tuple[str, ...], ...]:
    """Consecutive points along each limb and finger, without their side."""
    fingers = [("hand_root", *(f"{finger}{joint}" for joint in (1, 2, 3, 4))) for finger in FINGERS]
    return (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"), *fingers)


_CHAINS: Final = _chains()
_KNOWN: Final = frozenset(KEYPOINTS)


def _points(region: PartRegion) -> dict[str, FloatArray]:
    """(2,) pixels of each known point, by its name without the side."""
    rows = zip(region.keypoint_names, region.keypoints, strict=True)
    return {_sideless(name): row[:2].astype(np.float64) for name, row in rows if row[2] > 0 and name in _KNOWN}


def _sideless(name: str) -> str:
    """A name without the side. The two sides of the face stay distinct."""
    side, _, rest = name.partition("_")
    return rest if side in ("left", "right") and rest not in ("eye", "ear") else name


def changes(before: PartRegion, after: PartRegion) -> dict[str, float]:
    """Shares, 0 to 1, of bones, joints and points that changed by more than two estimates of one part differ."""
    old, new = _points(before), _points(after)
    bones = [pair for chain in _CHAINS for pair in pairwise(chain)]
    joints = [three for chain in _CHAINS for three in zip(chain, chain[1:], chain[2:], strict=False)]
    return {"lengths": _lengths(old, new, bones), "bends": _bends(old, new, joints), "places": _places(old, new)}


Points = Mapping[str, FloatArray]


def _lengths(old: Points, new: Points, bones: Sequence[tuple[str, ...]]) -> float:
    both = [pair for pair in bones if all(name in old and name in new for name in pair)]
    before = np.array([np.linalg.norm(old[b] - old[a]) for a, b in both])
    after = np.array([np.linalg.norm(new[b] - new[a]) for a, b in both])
    ratios = np.log(np.maximum(after, 0.5) / np.maximum(before, 0.5))[before >= _SHORT]
    if len(ratios) < 2:
        return 0.0
    return float(np.mean(np.abs(ratios - np.median(ratios)) > np.log(_LENGTH)))


def _bends(old: Points, new: Points, joints: Sequence[tuple[str, ...]]) -> float:
    changed = []
    for three in joints:
        if all(name in old and name in new for name in three):
            turns = [_bend(*(points[name] for name in three)) for points in (old, new)]
            if None not in turns:
                difference = float(turns[1] or 0.0) - float(turns[0] or 0.0)
                changed.append(abs((difference + np.pi) % (2 * np.pi) - np.pi) > _BEND)
    return float(np.mean(changed)) if changed else 0.0


def _bend(first: FloatArray, joint: FloatArray, last: FloatArray) -> float | None:
    """Angle of the turn at ``joint``; None if a bone is too short to have a direction."""
    ahead, on = joint - first, last - joint
    if min(np.linalg.norm(ahead), np.linalg.norm(on)) < _SHORT:
        return None
    return float(np.arctan2(ahead[0] * on[1] - ahead[1] * on[0], ahead @ on))


def _places(old: Points, new: Points) -> float:
    """Share of the points of the face that moved, after centre and size of both faces are aligned.

    Limbs may have another pose and still be correct, so only their lengths and bends count.
    """
    names = [name for name in old if name in new and name.startswith("face-")]
    if len(names) < 3:
        return 0.0
    placed = []
    for points in (old, new):
        places = np.array([points[name] for name in names])
        places = places - np.median(places, axis=0)
        size = 2.0 * float(np.median(np.linalg.norm(places, axis=1)))
        placed.append(places / max(size, 1e-6))
    return float(np.mean(np.linalg.norm(placed[1] - placed[0], axis=1) > _SHIFT))


class VlmScreen:
    """Shows both sides, cropped to the part, in both orders to a model that answers questions about images."""

    def __init__(self, ask: Ask, name: str, fingerprint: str, question: str = _QUESTION) -> None:
        """Use ``ask`` of the model ``name`` with this ``fingerprint``; ``question`` may contain ``{part}``."""
        self.ask, self.name, self.question = ask, name, question
        self.fingerprint = digest_json({"screen": "vlm", "model": fingerprint, "question": question})

    def worse(self, chosen: ByteArray, rejected: ByteArray, region: PartRegion) -> float:
        """-1 to 1: the mean over both orders, so that a model that always answers "the second" scores 0.

        Raises:
            InputError: an answer is not a probability.
        """
        x0, y0, x1, y1 = window_around(region.mask, 1, 1).box
        right, wrong = chosen[y0:y1, x0:x1], rejected[y0:y1, x0:x1]
        question = self.question.format(part=region.part)
        answers = (self.ask(right, wrong, question), self.ask(wrong, right, question))
        for answer in answers:
            if not 0.0 <= answer <= 1.0:
                raise InputError(f"{self.name} must answer with a probability from 0 to 1, got {answer}")
        return float(answers[0] - answers[1])
