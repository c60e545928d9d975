"""A person of tubes with the bone names of the real rig: quick to build, and every vertex's bone is known."""

from functools import cache

import numpy as np
import numpy.typing as npt

from asap.core.records import PosedBody
from asap.core.vocabulary import REGIONS

Point = tuple[float, float, float]
Doubles = npt.NDArray[np.float64]
_SIDES = 8
_HEAD_SIDES = 40


def _bones() -> dict[str, tuple[str, Point, Point]]:
    """Label -> parent, head, tail."""
    bones: dict[str, tuple[str, Point, Point]] = {"root": ("", (0, 0, 1.0), (0, 0, 1.03))}
    above = "root"
    for label, low, high in [
        *((f"spine0{5 - i}", 1.03 + 0.07 * i, 1.1 + 0.07 * i) for i in range(5)),
        *((f"neck0{i + 1}", 1.45 + 0.03 * i, 1.48 + 0.03 * i) for i in range(3)),
        ("head", 1.54, 1.78),
    ]:
        bones[label] = (above, (0, 0, low), (0, 0, high))
        above = label
    for s, x in (("L", 1.0), ("R", -1.0)):
        bones[f"eye.{s}"] = ("head", (0.03 * x, -0.08, 1.68), (0.03 * x, -0.1, 1.68))
        above = "spine01"
        arm = [(0.2, 0.0), (0.33, 0.01), (0.46, 0.02), (0.58, 0.0), (0.7, -0.02)]
        labels = ["upperarm01", "upperarm02", "lowerarm01", "lowerarm02", "wrist"]
        for label, start, stop in zip(labels, arm, [*arm[1:], (0.74, -0.02)], strict=True):
            bones[f"{label}.{s}"] = (above, (x * start[0], start[1], 1.4), (x * stop[0], stop[1], 1.4))
            above = f"{label}.{s}"
        for finger in range(1, 6):
            y, begin, length = -0.02 + 0.02 * (finger - 3), 0.73 if finger == 1 else 0.78, 0.024
            above = f"wrist.{s}"
            if finger > 1:
                bones[f"metacarpal{finger - 1}.{s}"] = (above, (x * 0.74, y, 1.4), (x * begin, y, 1.4))
                above = f"metacarpal{finger - 1}.{s}"
            for joint in (1, 2, 3):
                low, high = begin + length * (joint - 1), begin + length * joint
                tilt = -0.03 if finger == 1 else 0.0
                ends = [(x * v, y + tilt * (1 + (v - begin) / 0.05), 1.4 - 4 * (v - begin) ** 2) for v in (low, high)]
                bones[f"finger{finger}-{joint}.{s}"] = (above, ends[0], ends[1])
                above = f"finger{finger}-{joint}.{s}"
        leg = [(0.0, 0.95), (-0.005, 0.72), (-0.01, 0.5), (0.0, 0.28), (0.01, 0.08)]
        labels, above = ["upperleg01", "upperleg02", "lowerleg01", "lowerleg02", "foot"], "root"
        for label, start, stop in zip(labels, leg, [*leg[1:], (-0.1, 0.05)], strict=True):
            bones[f"{label}.{s}"] = (above, (x * 0.1, start[0], start[1]), (x * 0.1, stop[0], stop[1]))
            above = f"{label}.{s}"
        for toe in range(1, 6):
            across, above = x * (0.1 + 0.018 * (toe - 3)), f"foot.{s}"
            for joint in (1, 2) if toe == 1 else (1, 2, 3):
                low, high = -0.1 - 0.015 * (joint - 1), -0.1 - 0.015 * joint
                bones[f"toe{toe}-{joint}.{s}"] = (above, (across, low, 0.03), (across, high, 0.03))
                above = f"toe{toe}-{joint}.{s}"
    return bones


def _tubes() -> list[tuple[list[str], list[float]]]:
    """Chains of bones and the radius at each joint (one more than bones)."""
    tubes = [
        (["root", "spine05", "spine04", "spine03", "spine02", "spine01"], [0.15] * 7),
        (["neck01", "neck02", "neck03"], [0.05] * 4),
        (["head"], [0.06, 0.06]),
    ]
    for s in "LR":
        tubes.append(
            ([f"{b}.{s}" for b in ("upperarm01", "upperarm02", "lowerarm01", "lowerarm02", "wrist")], [0.04] * 6)
        )
        tubes.append(
            ([f"{b}.{s}" for b in ("upperleg01", "upperleg02", "lowerleg01", "lowerleg02", "foot")], [0.06] * 6)
        )
        for n in range(1, 6):
            tubes.append(([f"finger{n}-{j}.{s}" for j in (1, 2, 3)], [0.009] * 4))
            tubes.append(
                ([f"toe{n}-{j}.{s}" for j in ((1, 2) if n == 1 else (1, 2, 3))], [0.008] * (3 if n == 1 else 4))
            )
    return tubes


def _ring(centre: Doubles, along: Doubles, radius: float, sides: int) -> Doubles:
    spare = np.array([0.0, 0.0, 1.0]) if abs(along[2]) < 0.8 else np.array([1.0, 0.0, 0.0])
    first = np.cross(along, spare)
    first /= np.linalg.norm(first)
    second = np.cross(along, first)
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)[:, None]
    return np.asarray(centre + radius * (np.cos(turn) * first + np.sin(turn) * second))


def _tube(
    chain: list[str], radii: list[float], bones: dict[str, tuple[str, Point, Point]], sides: int
) -> tuple[list[Doubles], list[list[str]], list[list[float]]]:
    """Rings along the chain with the bones and weights of each; the ends are closed by a ring of no width."""
    steps = 40 if chain == ["head"] else 5
    rings: list[Doubles] = []
    owners: list[list[str]] = []
    shares: list[list[float]] = []
    for number, label in enumerate(chain):
        low, high = np.array(bones[label][1]), np.array(bones[label][2])
        last = number == len(chain) - 1
        for step in range(steps + last):
            t = step / steps
            radius = radii[number] * (1 - t) + radii[number + 1] * t
            if label == "head":
                radius = 0.1 * float(np.sqrt(max(1 - (2 * t - 1) ** 2, 0.05)))
            parent = chain[max(number - 1, 0)]
            mix = 0.5 * max(0.0, 1 - 3 * t)
            rings.append(_ring(low + t * (high - low), (high - low) / np.linalg.norm(high - low), radius, sides))
            owners.append([label, parent])
            shares.append([1 - mix, mix])
    rings = [np.repeat(rings[0].mean(0)[None], sides, 0), *rings, np.repeat(rings[-1].mean(0)[None], sides, 0)]
    return rings, [owners[0], *owners, owners[-1]], [shares[0], *shares, shares[-1]]


def _region(label: str) -> str:
    name, _, side = label.partition(".")
    for prefixes, region in (
        (("finger", "meta", "wrist"), "hand"),
        (("upperarm", "lowerarm"), "arm"),
        (("upperleg", "lowerleg"), "leg"),
        (("foot", "toe"), "foot"),
    ):
        if name.startswith(prefixes):
            return f"{region}.{side}"
    return "neck" if name.startswith("neck") else "head" if name in ("head", "eye") else "torso"


@cache
def synthetic_body() -> PosedBody:
    """The person of tubes; treat as read-only."""
    bones = _bones()
    labels = tuple(bones)
    index = {label: number for number, label in enumerate(labels)}
    vertices: list[Doubles] = []
    faces: list[npt.NDArray[np.int64]] = []
    owners: list[list[int]] = []
    shares: list[list[float]] = []
    for chain, radii in _tubes():
        sides = _HEAD_SIDES if chain == ["head"] else _SIDES
        rings, ring_owners, ring_shares = _tube(chain, radii, bones, sides)
        start = sum(len(v) for v in vertices)
        for number, ring in enumerate(rings):
            vertices.append(ring)
            owners += [[index[o] for o in ring_owners[number]]] * sides
            shares += [ring_shares[number]] * sides
            if number:
                low = start + (number - 1) * sides + np.arange(sides)
                low_next = start + (number - 1) * sides + (np.arange(sides) + 1) % sides
                faces.append(np.stack([low, low_next, low + sides], 1))
                faces.append(np.stack([low_next, low_next + sides, low + sides], 1))
    points = np.concatenate(vertices).astype(np.float32)
    poses = np.tile(np.eye(4, dtype=np.float32), (len(labels), 1, 1))
    poses[:, :3, 3] = [bones[label][1] for label in labels]
    main = np.array(owners)[:, 0]
    return PosedBody(
        vertices=points,
        faces=np.concatenate(faces).astype(np.int32),
        colours=np.tile(np.array([0.6, 0.4, 0.3], dtype=np.float32), (len(points), 1)),
        regions=np.array([REGIONS.index(_region(labels[o])) for o in main], dtype=np.uint8),
        bone_indices=np.array(owners, dtype=np.int32),
        bone_weights=np.array(shares, dtype=np.float32),
        bone_labels=labels,
        bone_parents=tuple(index[bones[label][0]] if bones[label][0] else -1 for label in labels),
        bone_poses=poses,
        bone_tails=np.array([bones[label][2] for label in labels], dtype=np.float32),
    )
