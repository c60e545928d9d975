"""Operation ``misshapen``: smooth, uneven shapes without spikes.

It is the most common fault of hands (0.71 of the annotated images) and faces (0.49).
"""

import numpy as np
import numpy.typing as npt

from asap.core.records import FloatArray
from asap.degrade.anatomy import (
    FINGERS,
    chain,
    eye_gap,
    face_anchors,
    finger,
    foot_frame,
    hand_frame,
    head_frame,
    letter,
    part_weight,
    toe,
    trunk_frame,
)
from asap.degrade.editable_body import EditableBody, ramp, rotate

Detail = dict[str, float | int | str]

_WAVES = 7
_STRENGTH = {
    "hand": (0.8, 1.1, 1.45),
    "foot": (0.8, 1.1, 1.45),
    "face": (0.65, 0.95, 1.3),
    "arm": (1.0, 1.4, 1.9),
    "leg": (1.0, 1.4, 1.9),
    "torso": (0.85, 1.15, 1.5),
    "neck": (1.5, 2.1, 3.0),
}
"""Strength by severity, our choice. At 1.3 the displacement field of a hand is as strong as its smoothness allows.

Severity 1 must be distinguishable from a correct body on a contact sheet at 128 pixels. Limbs need more than hands and
faces, because a slightly bowed forearm looks like a forearm seen from another side. The neck is short and thick, so it
shows less.
"""
_LEAST = 0.7
"""Smallest sampled deviation in standard deviations. A finger of normal length and bend would be no fault."""


def field(points: FloatArray, size: float, rng: np.random.Generator) -> FloatArray:
    """A smooth random displacement (N, 3) of unit strength for a part of ``size`` metres: a sum of long sine waves."""
    directions = rng.normal(size=(_WAVES, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lengths = size * rng.uniform(0.55, 1.5, size=_WAVES)
    phases = rng.uniform(0, 2 * np.pi, size=_WAVES)
    pushes = rng.normal(size=(_WAVES, 3))
    pushes /= np.linalg.norm(pushes, axis=1, keepdims=True)
    waves = np.sin(points @ (2 * np.pi * directions / lengths[:, None]).T.astype(np.float32) + phases)
    # each amplitude is the largest that does not fold the surface
    return np.asarray(waves @ (pushes * lengths[:, None] / 22.0), dtype=np.float32)


def deviations(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Normal deviates with absolute values between ``_LEAST`` and 1.6."""
    draws = rng.normal(size=shape)
    return np.asarray(np.copysign(np.clip(np.abs(draws), _LEAST, 1.6), draws), dtype=np.float64)


def _wobble(body: EditableBody, share: FloatArray, centre: FloatArray, size: float, amount: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    body.mesh.vertices += share[:, None] * np.float32(amount) * field(body.mesh.vertices - centre, size, rng)


def misshapen(body: EditableBody, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Deform a part smoothly: uneven fingers, a skewed face, a bowed and lumpy limb, or a swollen trunk."""
    amount = _STRENGTH[part][severity - 1]
    seed = int(rng.integers(2**62))
    if part == "hand":
        _hand(body, side, amount, seed, rng)
    elif part == "foot":
        _foot(body, side, amount, seed, rng)
    elif part == "face":
        _face(body, amount, seed, rng)
    elif part == "torso":
        _trunk(body, amount, seed, rng)
    else:
        _limb(body, part, side, amount, seed, rng)
    return {"strength": amount}


def _hand(body: EditableBody, side: str, amount: float, seed: int, rng: np.random.Generator) -> None:
    """Change length, girth and bends of each finger separately, then deform the whole hand a little."""
    _, _, palm = hand_frame(body, side)
    draws = deviations(rng, (5, 6))
    for number, draw in zip(FINGERS, draws, strict=True):
        bones = finger(number, side)
        across = np.cross(palm, body.head(bones[1]) - body.head(bones[0]))
        across /= max(float(np.linalg.norm(across)), 1e-9)
        for joint, angle in zip(bones, draw[:3] * (0.14, 0.34, 0.34), strict=True):
            body.rotate_limb(joint, palm, float(angle) * amount)
        body.rotate_limb(bones[1], across.astype(np.float32), float(draw[3]) * 0.3 * amount)
        body.inflate(bones, None, float(np.exp(0.2 * amount * draw[4])))
        body.stretch(bones, None, float(np.exp(0.25 * amount * draw[5])))
    wrist, tip = body.head(f"wrist.{letter(side)}"), body.head(f"finger3-1.{letter(side)}")
    size = 1.2 * float(np.linalg.norm(tip - wrist))
    _wobble(body, body.weight(f"wrist.{letter(side)}"), wrist, size, 0.75 * amount, seed)


def _foot(body: EditableBody, side: str, amount: float, seed: int, rng: np.random.Generator) -> None:
    s = letter(side)
    _, _, up = foot_frame(body, side)
    for number, draw in zip(FINGERS, deviations(rng, (5, 3)), strict=True):
        bones = toe(number, side)
        body.rotate_limb(bones[0], up, 0.4 * amount * float(draw[0]))
        body.inflate(bones, None, float(np.exp(0.22 * amount * draw[1])))
        body.stretch(bones, None, float(np.exp(0.25 * amount * draw[2])))
    ankle = body.head(f"foot.{s}")
    size = 0.9 * float(np.linalg.norm(body.head(f"toe3-1.{s}") - ankle))
    _wobble(body, body.weight(f"foot.{s}"), ankle, size, 0.8 * amount, seed)


def _face(body: EditableBody, amount: float, seed: int, rng: np.random.Generator) -> None:
    """Shift, tilt and scale each feature separately, and warp skull and jaw."""
    frame, gap = head_frame(body), eye_gap(body)
    anchors = face_anchors(body)
    for name in ("eye.L", "eye.R", "nose", "mouth"):
        draw = deviations(rng, (4,))
        offset = body.mesh.vertices - anchors[name]
        local = offset @ frame.T
        near = 1 - ramp(np.hypot(local[:, 0], 1.15 * local[:, 1]), 0.22 * gap, 0.85 * gap)
        share = near * ramp(local[:, 2], -1.2 * gap, -0.5 * gap) * body.weight("head")
        body.mesh.vertices = rotate(body.mesh.vertices, anchors[name], frame[2], share * 0.42 * amount * draw[0])
        body.scale(share, anchors[name], frame, [float(np.exp(0.42 * amount * draw[1]))] * 3)
        slide = 0.22 * amount * gap * (draw[2] * frame[0] + draw[3] * frame[1])
        body.mesh.vertices += share[:, None] * slide.astype(np.float32)
    _wobble(body, body.weight("head"), anchors["nose"], 2.6 * gap, 0.65 * amount, seed)


def _limb(body: EditableBody, part: str, side: str, amount: float, seed: int, rng: np.random.Generator) -> None:
    """Bow the limb between its ends and make its girth uneven. The hand or foot stays where it was."""
    bones, end = chain(part, side)
    joints = body.joints((bones[0], bones[len(bones) // 2]), end)
    share = part_weight(body, part, side)
    length = float(np.linalg.norm(np.diff(joints, axis=0), axis=1).sum())
    lower = body.weight(bones[len(bones) // 2])
    uneven = deviations(rng, (2,))
    pushes = rng.normal(size=(2, 3))
    for number in (0, 1):
        start, step = joints[number], joints[number + 1] - joints[number]
        along = np.clip((body.mesh.vertices - start) @ step / float(step @ step), 0.0, 1.0)
        own = share * (1 - lower if number == 0 else lower)
        hump = own * np.sin(np.pi * along) ** 2
        radial = body.mesh.vertices - start - along[:, None] * step
        push = pushes[number] - (pushes[number] @ step) * step / float(step @ step)
        push *= 0.16 * amount * float(np.linalg.norm(step)) / max(float(np.linalg.norm(push)), 1e-9)
        swell = np.exp(0.55 * amount * uneven[number]) - 1
        body.mesh.vertices += (hump[:, None] * (push + swell * radial)).astype(np.float32)
    _wobble(body, share, joints[0], 0.35 * length, 0.45 * amount, seed)


def _trunk(body: EditableBody, amount: float, seed: int, rng: np.random.Generator) -> None:
    """Add dents and swellings to the trunk. Shoulders, hips and neck stay fixed, so limbs stay attached."""
    frame = trunk_frame(body)
    low, high = 0.5 * (body.head("upperleg01.L") + body.head("upperleg01.R")), body.head("neck01")
    height = float((high - low) @ frame[1])
    along = ((body.mesh.vertices - low) @ frame[1]) / np.float32(height)
    share = part_weight(body, "torso", "none") * ramp(along, -0.05, 0.25) * (1 - ramp(along, 0.7, 1.0))
    lean = (0.13 * amount * height * (rng.choice([-1.0, 1.0]) * frame[0] + 0.4 * rng.normal() * frame[2])).astype(
        np.float32
    )
    body.mesh.vertices += share[:, None] * lean
    body.scale(
        share, low + 0.5 * height * frame[1], frame, [1 + 0.3 * amount * float(deviations(rng, (1,))[0]), 1.0, 1.15]
    )
    _wobble(body, share, low, 0.7 * height, 0.7 * amount, seed)
