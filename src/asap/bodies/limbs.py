"""Poses of single limbs: fingers by joint angles, arms and legs by the position of the wrist or ankle."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from asap.bodies.rig import Rest, Rig
from asap.bodies.rotations import (
    cross,
    length,
    orthonormal_frame,
    rotation_about,
    rotation_between,
    twist_about,
    two_bone_reach,
    unit,
)
from asap.core.records import FloatArray, Floats

FINGERS = ("thumb", "index", "middle", "ring", "little")
Curl = tuple[float, float, float]
"""Flexion of the three joints of a finger in degrees, knuckle first."""


@dataclass(frozen=True, kw_only=True)
class HandShape:
    """Shape of a hand in degrees: flexion and spread of the fingers, and the angle of the thumb ``across`` the palm."""

    curls: tuple[Curl, Curl, Curl, Curl, Curl]
    spread: float = 4.0
    across: float = 0.0


@dataclass(frozen=True, kw_only=True)
class HandAxes:
    """Directions of the unposed hand (unit vectors): towards the fingers, out of the palm, towards the thumb."""

    forward: FloatArray
    palm: FloatArray
    thumb: FloatArray


def hand_axes(rig: Rig, rest: Rest, side: str) -> HandAxes:
    """Directions of the unposed hand on ``side`` ("L" or "R")."""
    at = {label: rest.heads[rig.index[f"{label}.{side}"]] for label in ("wrist", "finger2-1", "finger3-1", "finger5-1")}
    forward = unit(at["finger3-1"] - at["wrist"])
    across = at["finger2-1"] - at["finger5-1"]
    thumb = unit(across - forward * float(forward @ across))
    palm = cross(forward, thumb) * (-1.0 if side == "R" else 1.0)
    return HandAxes(forward=forward, palm=unit(palm), thumb=thumb)


def finger_turns(rig: Rig, rest: Rest, side: str, shape: HandShape) -> dict[str, Floats]:
    """Local rotations of all finger bones of one hand, for ``Pose.local``."""
    axes = hand_axes(rig, rest, side)
    turns: dict[str, Floats] = {}
    for number, curl in enumerate(shape.curls, start=1):
        bones = [f"finger{number}-{joint}.{side}" for joint in (1, 2, 3)]
        if number == 1:
            turns.update(_thumb(rig, rest, axes, bones, curl, shape.across))
            continue
        along = unit(rest.tails[rig.index[bones[2]]] - rest.heads[rig.index[bones[0]]])
        flex = unit(cross(along, axes.palm))
        lean = np.radians(shape.spread * (3.2 - number)) * (-1.0 if side == "R" else 1.0)
        for bone, degrees in zip(bones, curl, strict=True):
            turns[bone] = rotation_about(flex, np.radians(degrees))
        turns[bones[0]] = rotation_about(axes.palm, lean) @ turns[bones[0]]
    return turns


def _thumb(rig: Rig, rest: Rest, axes: HandAxes, bones: list[str], curl: Curl, across: float) -> Mapping[str, Floats]:
    along = unit(rest.tails[rig.index[bones[2]]] - rest.heads[rig.index[bones[0]]])
    inward = unit(axes.palm * 0.55 - axes.thumb)
    flex = unit(cross(along, inward))
    swing = (
        rotation_between(along, unit(along + axes.palm * 0.9 - axes.thumb * 0.5))
        if across
        else np.eye(3, dtype=np.float32)
    )
    share = np.clip(across / 60.0, 0.0, 1.5)
    angle = np.arccos(np.clip((np.trace(swing) - 1) / 2, -1, 1)) * share
    first = rotation_about(cross(along, axes.palm * 0.9 - axes.thumb * 0.5), float(angle))
    turns = {bone: rotation_about(flex, np.radians(degrees)) for bone, degrees in zip(bones, curl, strict=True)}
    turns[bones[0]] = first @ turns[bones[0]]
    return turns


def arm_turns(
    rig: Rig,
    rest: Rest,
    side: str,
    torso: Floats,
    shoulder: Floats,
    wrist: Floats,
    pole: Floats,
    fingers: Floats | None = None,
    palm: Floats | None = None,
) -> dict[str, Floats]:
    """World rotations that bring the wrist to ``wrist`` and bend the elbow towards ``pole``.

    ``fingers`` and ``palm`` are world directions of the hand; without them the hand continues the forearm. ``torso`` is
    the rotation that the shoulder inherits, ``shoulder`` the head of the upper arm in the world.
    """
    s, e, w = (rest.heads[rig.index[f"{b}.{side}"]] for b in ("upperarm01", "lowerarm01", "wrist"))
    upper, lower = float(length(e - s)), float(length(w - e))
    elbow, hand = two_bone_reach(shoulder, wrist, upper, lower, pole)
    hinge_rest, hinge = cross(e - s, w - e), cross(elbow - shoulder, hand - elbow)
    if length(hinge) < 1e-4:
        hinge = cross(elbow - shoulder, -pole)
    upper_turn = orthonormal_frame(elbow - shoulder, hinge) @ orthonormal_frame(e - s, hinge_rest).T
    lower_turn = orthonormal_frame(hand - elbow, hinge) @ orthonormal_frame(w - e, hinge_rest).T
    axes = hand_axes(rig, rest, side)
    hand_turn = lower_turn
    if fingers is not None and palm is not None:
        hand_turn = orthonormal_frame(fingers, palm) @ orthonormal_frame(axes.forward, axes.palm).T
    along = unit(hand - elbow)
    twist = twist_about(hand_turn @ lower_turn.T, along)
    return {
        f"shoulder01.{side}": torso,
        f"upperarm01.{side}": upper_turn,
        f"upperarm02.{side}": upper_turn,
        f"lowerarm01.{side}": rotation_about(along, twist * 0.25) @ lower_turn,
        f"lowerarm02.{side}": rotation_about(along, twist * 0.7) @ lower_turn,
        f"wrist.{side}": hand_turn,
    }


def leg_turns(
    rig: Rig,
    rest: Rest,
    side: str,
    hip: Floats,
    ankle: Floats,
    pole: Floats,
    toes: Floats | None = None,
) -> dict[str, Floats]:
    """World rotations that bring the ankle to ``ankle`` and bend the knee towards ``pole``.

    ``toes`` is the direction of the foot; without it the foot keeps its angle to the shin.
    """
    h, k, a = (rest.heads[rig.index[f"{b}.{side}"]] for b in ("upperleg01", "lowerleg01", "foot"))
    knee, end = two_bone_reach(hip, ankle, float(length(k - h)), float(length(a - k)), pole)
    lateral = np.array([1.0, 0.0, 0.0], dtype=np.float32)
    hinge = cross(pole, end - hip)
    upper = orthonormal_frame(knee - hip, hinge) @ orthonormal_frame(k - h, lateral).T
    lower = orthonormal_frame(end - knee, hinge) @ orthonormal_frame(a - k, lateral).T
    foot = lower
    if toes is not None:
        rest_toes = np.array([0.0, -1.0, 0.0], dtype=np.float32)
        up = np.array([0.0, 0.0, 1.0], dtype=np.float32)
        foot = orthonormal_frame(toes, up) @ orthonormal_frame(rest_toes, up).T
    return {
        f"upperleg01.{side}": upper,
        f"upperleg02.{side}": upper,
        f"lowerleg01.{side}": lower,
        f"lowerleg02.{side}": lower,
        f"foot.{side}": foot,
    }
