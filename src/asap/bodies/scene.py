"""Sample camera, light, background and objects around a posed person."""

from dataclasses import dataclass

import numpy as np

from asap.bodies.limbs import hand_axes
from asap.bodies.people import CLOTHES, Person, linear
from asap.bodies.plans import Plan
from asap.bodies.props import ball, box, cylinder
from asap.bodies.render import camera_axes
from asap.bodies.rig import Rest, Rig
from asap.bodies.rotations import cross, length, rotation_about, unit
from asap.core.records import Background, Camera, FloatArray, Floats, Light, PosedBody, Prop
from asap.core.vocabulary import region_id

BACKDROPS = {
    "grey": (150, 152, 156),
    "blue": (92, 128, 178),
    "green": (106, 142, 104),
    "beige": (214, 198, 168),
    "white": (236, 236, 238),
    "black": (26, 26, 30),
    "pink": (214, 158, 168),
}
_PATTERNS = {"plain": 0.45, "gradient": 0.2, "striped": 0.1, "checked": 0.1, "mottled": 0.1, "two-tone": 0.05}
_KIND = {
    "plain": "plain",
    "gradient": "gradient",
    "striped": "stripes",
    "checked": "checks",
    "mottled": "noise",
    "two-tone": "horizon",
}
_UP = np.array([0.0, 0.0, 1.0], dtype=np.float32)
STUDIO_VARIATION = 0.35
"""Variation of camera and light in the studio, relative to the varied scene."""


@dataclass(frozen=True, kw_only=True)
class HandFrame:
    """A posed hand in the world: centre of the palm (metres) and its directions (unit vectors)."""

    wrist: FloatArray
    centre: FloatArray
    forward: FloatArray
    palm: FloatArray
    thumb: FloatArray
    length: float
    """Distance from the wrist to the middle knuckle, metres."""


def hand_frame(rig: Rig, rest: Rest, body: PosedBody, side: str) -> HandFrame:
    """Position and directions of the hand on ``side``."""
    axes = hand_axes(rig, rest, side)
    pose = body.bone_poses[rig.index[f"wrist.{side}"]]
    turn, wrist = pose[:3, :3], pose[:3, 3]
    knuckle = body.bone_poses[rig.index[f"finger3-1.{side}"], :3, 3]
    return HandFrame(
        wrist=wrist,
        centre=wrist * 0.4 + knuckle * 0.6,
        forward=turn @ axes.forward,
        palm=turn @ axes.palm,
        thumb=turn @ axes.thumb,
        length=float(length(knuckle - wrist)),
    )


def sample_background(rng: np.random.Generator, *, studio: bool = False) -> tuple[Background, str, str]:
    """A background, the name of its pattern and the name of its main colour. In the studio it is plain."""
    pattern = str(rng.choice(list(_PATTERNS), p=list(_PATTERNS.values())))
    pattern = "plain" if studio else pattern
    name = str(rng.choice(list(BACKDROPS)))
    first = linear(BACKDROPS[name])
    factor = float(rng.choice([0.55, 0.7, 1.35]))
    colours = (tuple(float(x) for x in first), tuple(float(x) for x in np.clip(first * factor, 0, 1)))
    background = Background(kind=_KIND[pattern], colours=colours, seed=int(rng.integers(2**31)))  # type: ignore[arg-type]
    return background, pattern, name


def sample_light(rng: np.random.Generator, camera: Camera, *, studio: bool = False) -> Light:
    """A key light above and beside the camera. In the studio it varies little."""
    right, up, forward = camera_axes(camera)
    draw = _Range(rng, STUDIO_VARIATION if studio else 1.0)
    direction = -forward + right * draw(-0.9, 0.9) + up * draw(0.1, 1.0)
    ambient = draw(0.42, 0.6)
    x, y, z = (float(v) for v in unit(direction))
    return Light(direction=(x, y, z), intensity=draw(0.55, 0.85), ambient=ambient, softness=draw(0.03, 0.12))


@dataclass(frozen=True)
class _Range:
    """Uniform samples from the middle ``part`` of a range."""

    rng: np.random.Generator
    part: float

    def __call__(self, low: float, high: float) -> float:
        if self.part == 1.0:
            return float(self.rng.uniform(low, high))
        middle, reach = (low + high) / 2, self.part * (high - low) / 2
        return float(self.rng.uniform(middle - reach, middle + reach))


def sample_camera(
    rig: Rig, rest: Rest, body: PosedBody, plan: Plan, rng: np.random.Generator, *, studio: bool = False
) -> Camera:
    """A camera that frames the subject of the plan. In the studio it stays close to straight ahead."""
    variation = STUDIO_VARIATION if studio else 1.0
    if plan.view == "hand":
        return _hand_camera(rig, rest, body, plan, rng, variation)
    points, around, lift = _framed(rig, body, plan)
    around *= variation
    swing = rotation_about(_UP, float(np.clip(rng.normal(0.0, around), -2 * around, 2 * around)))
    direction = swing @ unit(np.array([0.0, -1.0, lift + rng.normal(0.0, 0.06 * variation)], dtype=np.float32))
    if plan.view == "foot":
        draw = _Range(rng, variation)
        direction = rotation_about(_UP, draw(-1.1, 1.1)) @ unit(
            np.array([0.0, -1.0, draw(0.35, 1.2)], dtype=np.float32)
        )
    return _fit(points, direction, rng, margin=1.06 if plan.view == "full" else 1.02)


def _framed(rig: Rig, body: PosedBody, plan: Plan) -> tuple[FloatArray, float, float]:
    regions, z = body.regions, body.vertices[:, 2]
    neck = float(body.bone_poses[rig.index["neck01"], 2, 3])
    waist = float(body.bone_poses[rig.index["spine05"], 2, 3])
    if plan.view == "foot":
        foot = regions == region_id(f"foot.{plan.side}")
        return body.vertices[foot], 0.0, 0.0
    if plan.view == "face":
        return (
            body.vertices[(regions == region_id("head")) | ((regions == region_id("neck")) & (z > neck - 0.04))],
            0.35,
            0.05,
        )
    if plan.view == "full":
        return body.vertices, 0.45, 0.08
    hands = np.isin(regions, [region_id("hand.L"), region_id("hand.R")]) & (z > waist - 0.02)
    return (
        body.vertices[(z > waist + 0.02) & ~np.isin(regions, [region_id("arm.L"), region_id("arm.R")]) | hands],
        0.3,
        0.05,
    )


def _fit(points: FloatArray, direction: FloatArray, rng: np.random.Generator, *, margin: float) -> Camera:
    fov = 0.5
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    trial = Camera(eye=_tuple(centre + direction), target=_tuple(centre), up=(0.0, 0.0, 1.0), fov=fov)
    right, up, _ = camera_axes(trial)
    across, above = (points - centre) @ right, (points - centre) @ up
    centre = centre + right * (across.max() + across.min()) / 2 + up * (above.max() + above.min()) / 2
    extent = max(float(np.ptp(across)), float(np.ptp(above))) / 2
    nearest = float(((points - centre) @ direction).max())
    distance = extent * margin * float(rng.uniform(1.0, 1.08)) / np.tan(fov / 2) + max(nearest, 0.0) * 0.4
    return Camera(eye=_tuple(centre + direction * distance), target=_tuple(centre), up=(0.0, 0.0, 1.0), fov=fov)


def _hand_camera(
    rig: Rig, rest: Rest, body: PosedBody, plan: Plan, rng: np.random.Generator, variation: float
) -> Camera:
    hand = hand_frame(rig, rest, body, plan.side)
    upward = (
        hand.thumb
        if plan.gesture in ("thumbs up", "call me sign") or (plan.thing in ("cup", "stick"))
        else hand.forward
    )
    facing: Floats = hand.palm if plan.palm else -hand.palm
    if plan.thing == "box":
        upward, facing = hand.palm, (hand.forward if plan.palm else hand.thumb)
    facing = (
        rotation_about(upward, float(rng.normal(0.0, 0.3 * variation)))
        @ rotation_about(cross(upward, facing), float(rng.normal(0.0, 0.2 * variation)))
        @ facing
    )
    mine = body.regions == region_id(f"hand.{plan.side}")
    points = body.vertices[mine]
    roll = rotation_about(facing, float(rng.normal(0.0, 0.25 * variation)))
    up = roll @ upward
    trial = Camera(eye=_tuple(hand.centre + facing), target=_tuple(hand.centre), up=_tuple(up), fov=0.42)
    right, above, _ = camera_axes(trial)
    x, y = (points - hand.centre) @ right, (points - hand.centre) @ above
    centre = hand.centre + right * (x.max() + x.min()) / 2 + above * (y.max() + y.min()) / 2
    extent = max(float(np.ptp(x)), float(np.ptp(y)), hand.length * 1.5) / 2 * float(rng.uniform(1.1, 1.4))
    off = (right * rng.normal(0, 0.04) + above * rng.normal(0, 0.04)) * extent
    distance = extent / np.tan(0.21) + 0.05
    return Camera(eye=_tuple(centre + off + facing * distance), target=_tuple(centre + off), up=_tuple(up), fov=0.42)


def make_props(rig: Rig, rest: Rest, body: PosedBody, plan: Plan, person: Person) -> tuple[Prop, ...]:
    """The objects of the plan, placed at the hands or as the seat."""
    if plan.pose == "sitting":
        return (_seat(rig, body),)
    if not plan.thing:
        return ()
    colour = linear(CLOTHES[plan.thing_colour])
    if plan.thing == "ball" and plan.view == "bust":
        left, right = (hand_frame(rig, rest, body, side) for side in "LR")
        gap = float(length(left.centre - right.centre)) / 2 - 0.012
        middle = (left.centre + right.centre) / 2 + (left.palm + right.palm) * 0.0
        return (ball("ball", middle, gap, colour),)
    hand = hand_frame(rig, rest, body, plan.side)
    return (_held(plan.thing, hand, colour),)


def _held(thing: str, hand: HandFrame, colour: FloatArray) -> Prop:
    size = hand.length / 0.1
    grip = hand.centre + hand.forward * 0.028 * size
    if thing == "stick":
        middle = grip + hand.palm * 0.026 * size
        return cylinder("stick", middle - hand.thumb * 0.17, middle + hand.thumb * 0.17, 0.011 * size, colour)
    if thing == "cup":
        middle = grip + hand.palm * 0.05 * size + hand.forward * 0.008
        return cylinder("cup", middle - hand.thumb * 0.06, middle + hand.thumb * 0.06, 0.033 * size, colour)
    if thing == "ball":
        return ball("ball", grip + hand.palm * 0.056 * size + hand.forward * 0.012, 0.042 * size, colour)
    axes = np.stack([hand.thumb, hand.forward, hand.palm], axis=1)
    return box("box", grip + hand.palm * 0.052 * size, axes, (0.045, 0.05, 0.032), colour)


def _seat(rig: Rig, body: PosedBody) -> Prop:
    pelvis = body.bone_poses[rig.index["root"], :3, 3]
    legs = np.isin(body.regions, [region_id("leg.L"), region_id("leg.R"), region_id("torso")])
    near = legs & (np.abs(body.vertices[:, 1] - pelvis[1]) < 0.2)
    low = float(body.vertices[near, 2].min())
    floor = float(body.vertices[:, 2].min())
    half = max((low - floor) / 2, 0.05)
    centre = np.array([pelvis[0], pelvis[1] + 0.02, floor + half], dtype=np.float32)
    return box(
        "box", centre, np.eye(3, dtype=np.float32), (0.24, 0.2, half), np.array([0.24, 0.19, 0.14], dtype=np.float32)
    )


def _tuple(vector: Floats) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in vector)
    return (x, y, z)
