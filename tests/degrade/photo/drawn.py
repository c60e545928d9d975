"""People drawn from capsules with known keypoints: an open hand, a fist, and a whole person with a face."""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise

import numpy as np
from scipy import ndimage

from asap.core.photos import PartRegion
from asap.core.records import BoolArray, ByteArray, FloatArray
from asap.core.wholebody import FINGERS

Points = Sequence[tuple[float, float]]
SKIN, CLOTH = (205, 150, 120), (60, 70, 130)


class Canvas:
    """An image with a soft background and grain, on which capsules are drawn from far to near."""

    def __init__(self, height: int, width: int) -> None:
        y, x = np.mgrid[:height, :width].astype(np.float32)
        self.x, self.y = x, y
        waves = 10 * np.sin(x / 17) + 8 * np.cos(y / 23)
        self.image: FloatArray = np.stack([90 + waves, 120 + 0.1 * y + waves, 110 + 0 * x], axis=2).astype(np.float32)

    def capsules(self, points: Points, radii: Sequence[float], colour: tuple[int, int, int] = SKIN) -> BoolArray:
        """Draw a chain of round bones, shaded like a tube with a dark rim; return its pixels."""
        gap = np.full(self.x.shape, np.inf)
        for (a, b), (r, s) in zip(pairwise(points), pairwise(radii), strict=True):
            ax, ay, dx, dy = a[0], a[1], b[0] - a[0], b[1] - a[1]
            t = np.clip(((self.x - ax) * dx + (self.y - ay) * dy) / max(dx * dx + dy * dy, 1e-6), 0, 1)
            away = np.hypot(self.x - ax - t * dx, self.y - ay - t * dy)
            gap = np.minimum(gap, away / (r + t * (s - r)))
        inside = gap < 1
        shade = 0.45 + 0.55 * np.sqrt(np.clip(1 - gap**2, 0, 1))
        self.image[inside] = (shade[:, :, None] * np.array(colour))[inside]
        return np.asarray(inside)

    def ellipse(
        self, middle: tuple[float, float], radii: tuple[float, float], colour: tuple[int, int, int]
    ) -> BoolArray:
        inside = ((self.x - middle[0]) / radii[0]) ** 2 + ((self.y - middle[1]) / radii[1]) ** 2 < 1
        self.image[inside] = colour
        return np.asarray(inside)

    def done(self) -> ByteArray:
        noise = np.random.default_rng(0).normal(0, 2.5, self.image.shape)
        soft = ndimage.gaussian_filter(self.image, (0.6, 0.6, 0))
        return np.asarray(np.clip(np.rint(soft + noise), 0, 255), dtype=np.uint8)


def region(part: str, side: str, mask: BoolArray, points: Mapping[str, tuple[float, float]]) -> PartRegion:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    keypoints = np.array([(*p, 1.0) for p in points.values()], dtype=np.float32)
    cut = box[0] == 0 or box[1] == 0 or box[2] == mask.shape[1] or box[3] == mask.shape[0]
    return PartRegion(
        part=part,
        side=side,
        person=0,
        mask=mask,
        box=box,
        keypoints=keypoints,
        keypoint_names=tuple(points),
        confidence=1.0,
        instrument="user",
        cut=cut,
    )


def hand_points(root: tuple[float, float], chains: Sequence[Points]) -> dict[str, tuple[float, float]]:
    points = {"left_hand_root": root}
    for name, chain in zip(FINGERS, chains, strict=True):
        points |= {f"left_{name}{n + 1}": p for n, p in enumerate(chain)}
    return points


@cache
def open_hand() -> tuple[ByteArray, tuple[PartRegion, ...]]:
    """A left hand pointing up, four fingers side by side, the thumb apart; its forearm below."""
    canvas = Canvas(320, 300)
    arm = canvas.capsules([(150, 330), (150, 240)], [30, 26])
    palm = canvas.capsules([(150, 235), (150, 190)], [34, 38])
    chains: list[Points] = [[(122, 225), (95, 205), (78, 185), (66, 166)]]
    chains += [[(x, 165), (x + lean, 165 - h * 0.45), (x + 1.6 * lean, 165 - h * 0.75), (x + 2 * lean, 165 - h)]
               for x, h, lean in ((121, 74, -3), (141, 84, -1), (161, 78, 1), (180, 60, 3))]  # fmt: skip
    mask = palm
    for chain in chains:
        mask = mask | canvas.capsules([(chain[0][0], chain[0][1] + 12), *chain], [10.5, 10.5, 10, 9.5, 8.5])
    arm &= ~mask
    hand = region("hand", "left", mask, hand_points((150, 250), chains))
    forearm = region("arm", "left", arm, {"left_elbow": (150, 330), "left_wrist": (150, 250)})
    return canvas.done(), (hand, forearm)


@cache
def fist() -> tuple[ByteArray, tuple[PartRegion, ...]]:
    """A left hand with the thumb up and four curled fingers across the palm."""
    canvas = Canvas(300, 320)
    canvas.capsules([(-10, 290), (70, 200)], [34, 30])
    mask = canvas.capsules([(90, 185), (130, 170)], [42, 52])
    chains: list[Points] = [[(110, 165), (118, 120), (122, 85), (124, 52)]]
    mask = mask | canvas.capsules(chains[0], [22, 18, 15, 12])
    for n, x in enumerate((206, 212, 204, 192)):
        y = 135 + 25 * n
        chains.append([(130, y), (x, y), (x - 40, y + 2), (x - 70, y + 4)])
        mask = mask | canvas.capsules([(x, y), (x - 40, y + 2), (x - 70, y + 4)], [13, 12.5, 11])
    return canvas.done(), (region("hand", "left", mask, hand_points((70, 200), chains)),)


def _face(canvas: Canvas, x: float, y: float, unit: float) -> PartRegion:
    mask = canvas.capsules([(x, y - 0.2 * unit), (x, y + 0.6 * unit)], [1.1 * unit, 0.95 * unit])
    turn = np.linspace(0, np.pi, 17)
    points = [(x - unit * np.cos(t), y + 0.1 * unit + 1.35 * unit * np.sin(t)) for t in turn]
    points += [(x + s * (0.75 - 0.12 * n) * unit, y - 0.3 * unit) for s in (-1, 1) for n in range(5)]
    points += [(x, y + 0.15 * unit * n) for n in range(4)] + [
        (x + 0.1 * unit * n, y + 0.55 * unit) for n in range(-2, 3)
    ]
    for side in (-0.5, 0.5):
        middle = (x + side * unit, y)
        canvas.ellipse(middle, (0.2 * unit, 0.11 * unit), (240, 240, 240))
        canvas.ellipse(middle, (0.09 * unit, 0.1 * unit), (40, 30, 30))
        canvas.ellipse((middle[0], y - 0.3 * unit), (0.25 * unit, 0.05 * unit), (70, 45, 30))
        points += [(middle[0] + 0.2 * unit * np.cos(t), y - 0.11 * unit * np.sin(t)) for t in np.arange(6) * np.pi / 3]
    canvas.ellipse((x, y + 0.9 * unit), (0.4 * unit, 0.12 * unit), (170, 60, 70))
    points += [
        (x + 0.4 * unit * np.cos(t), y + 0.9 * unit - 0.12 * unit * np.sin(t)) for t in np.arange(12) * np.pi / 6
    ]
    points += [(x + 0.3 * unit * np.cos(t), y + 0.9 * unit - 0.05 * unit * np.sin(t)) for t in np.arange(8) * np.pi / 4]
    return region("face", "none", mask, {f"face-{n}": (float(a), float(b)) for n, (a, b) in enumerate(points)})


@cache
def person() -> tuple[ByteArray, tuple[PartRegion, ...]]:
    """A whole person from the front, the left arm and leg a little bent."""
    canvas = Canvas(560, 520)
    joints: dict[str, tuple[float, float]] = {
        "left_shoulder": (255, 170), "right_shoulder": (165, 170), "left_hip": (235, 320), "right_hip": (185, 320),
        "left_elbow": (330, 235), "left_wrist": (345, 320), "left_knee": (262, 410), "left_ankle": (250, 505),
        "left_heel": (250, 520), "left_big_toe": (310, 525),
    }  # fmt: skip
    torso = canvas.capsules([(210, 190), (210, 300)], [52, 40], CLOTH)
    leg = canvas.capsules([joints[f"left_{n}"] for n in ("hip", "knee", "ankle")], [24, 19, 14], (70, 70, 75))
    foot = canvas.capsules([(250, 512), (310, 520)], [16, 13], (150, 60, 40))
    arm = canvas.capsules([joints[f"left_{n}"] for n in ("shoulder", "elbow", "wrist")], [20, 16, 12])
    hand = canvas.capsules([(345, 325), (348, 365)], [13, 16])
    face = _face(canvas, 210, 70, 46)
    masks = {"torso": torso & ~arm, "leg": leg & ~foot & ~torso, "foot": foot, "arm": arm & ~hand, "hand": hand}
    parts: list[tuple[str, str, tuple[str, ...]]] = [
        ("torso", "none", ("left_shoulder", "right_shoulder", "left_hip", "right_hip"))
    ]
    parts += [("arm", "left", ("left_shoulder", "left_elbow", "left_wrist"))]
    parts += [("leg", "left", ("left_hip", "left_knee", "left_ankle"))]
    parts += [("foot", "left", ("left_ankle", "left_heel", "left_big_toe"))]
    found = [region(part, side, masks[part], {n: joints[n] for n in names}) for part, side, names in parts]
    found.append(region("hand", "left", hand, {"left_hand_root": (345.0, 320.0)}))
    return canvas.done(), (face, *found)
