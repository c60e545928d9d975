"""Poses for plans. Torso, head, arms and legs have separate random streams, so that one can be resampled alone."""

from collections.abc import Callable, Mapping

import numpy as np

from asap.bodies.gestures import COUNTED, CUPPED, GESTURES, GRIPS, RELAXED, jitter
from asap.bodies.limbs import HandShape, arm_turns, finger_turns, leg_turns
from asap.bodies.plans import Plan
from asap.bodies.rig import Pose, Rest, Rig
from asap.bodies.rotations import length, rotation_about
from asap.core.records import FloatArray, Floats

Streams = Mapping[str, np.random.Generator]
"""Generators for torso, head, arm.L, arm.R, hand.L, hand.R, leg.L, leg.R."""
STREAMS = ("torso", "head", "arm.L", "arm.R", "hand.L", "hand.R", "leg.L", "leg.R")
Vector = tuple[float, float, float]
_X = np.array([1.0, 0.0, 0.0], dtype=np.float32)
_Y = np.array([0.0, 1.0, 0.0], dtype=np.float32)
_Z = np.array([0.0, 0.0, 1.0], dtype=np.float32)
_SPINE = ("spine05", "spine04", "spine03", "spine02", "spine01")

_ARMS: Mapping[str, tuple[Vector, Vector, Vector, Vector]] = {
    "down": ((0.2, -0.1, -0.95), (0.3, 1.0, 0.0), (0.1, -0.15, -1.0), (-1.0, 0.1, 0.0)),
    "swing front": ((0.15, -0.45, -0.85), (0.3, 1.0, 0.0), (0.0, -0.6, -0.8), (-1.0, 0.0, 0.0)),
    "swing back": ((0.22, 0.35, -0.88), (0.3, 1.0, 0.0), (0.1, 0.3, -1.0), (-1.0, 0.0, 0.0)),
    "wave": ((0.5, -0.45, 0.3), (0.7, 0.2, -1.0), (0.15, -0.1, 1.0), (0.0, -1.0, 0.0)),
    "show": ((0.22, -0.62, 0.0), (0.7, 0.3, -1.0), (0.0, -0.15, 1.0), (0.0, -1.0, 0.0)),
    "thumb": ((0.12, -0.68, -0.18), (0.8, 0.3, -0.8), (-0.8, -0.6, 0.0), (-0.5, 0.85, 0.0)),
    "up": ((0.22, -0.1, 0.94), (1.0, 0.2, 0.0), (0.0, 0.0, 1.0), (-0.4, -1.0, 0.0)),
    "side": ((0.97, -0.08, 0.05), (0.0, 0.6, -1.0), (1.0, 0.0, 0.0), (0.0, -0.4, -1.0)),
    "front": ((-0.05, -0.95, -0.05), (0.4, 0.0, -1.0), (0.0, -1.0, 0.0), (-0.2, 0.0, -1.0)),
    "cup": ((0.02, -0.62, -0.28), (0.8, 0.3, -0.8), (-0.7, -0.7, 0.0), (-0.7, 0.7, 0.0)),
}
"""Free poses of the left arm: wrist from the shoulder in arm lengths, elbow pole, fingers, palm; x points outwards."""


class Poser:
    """Builds the pose of one person for one plan."""

    def __init__(self, rig: Rig, rest: Rest, plan: Plan, streams: Streams) -> None:
        """``rest`` is the unposed body of the person; one ``build`` consumes ``streams``."""
        self.rig, self.rest, self.plan, self.streams = rig, rest, plan, streams
        self.local: dict[str, Floats] = {}
        self.world: dict[str, Floats] = {}

    def build(self) -> Pose:
        """The pose. Equal streams give equal poses."""
        builder: Mapping[str, Callable[[], None]] = {
            "hand": self._hand_view,
            "foot": self._foot_view,
            "face": self._upright,
            "bust": self._bust,
            "full": self._full,
        }
        builder[self.plan.view]()
        for side in "LR":
            shape = jitter(self.shape(side), self.streams[f"hand.{side}"])
            self.local.update(finger_turns(self.rig, self.rest, side, shape))
        return Pose(local=self.local, world=self.world)

    def shape(self, side: str) -> HandShape:
        """The hand shape of ``side`` in the plan."""
        plan = self.plan
        if plan.view in ("hand", "bust") and side == plan.side:
            if plan.gesture:
                return GESTURES[plan.gesture]
            if plan.thing and not (plan.thing == "ball" and plan.view == "bust"):
                return GRIPS[plan.thing]
            if plan.fingers >= 0:
                return COUNTED[plan.fingers][plan.variant]
        if plan.pose in ("hands clasped", "chin on hand"):
            return CUPPED if plan.pose == "hands clasped" or side == plan.side else RELAXED
        return GRIPS["ball"] if plan.thing == "ball" and plan.view == "bust" else RELAXED

    def _hand_view(self) -> None:
        rng = self.streams[f"arm.{self.plan.side}"]
        bend = rotation_about(rng.normal(size=3).astype(np.float32), float(np.clip(rng.normal(0.0, 0.12), -0.25, 0.25)))
        self.local[f"wrist.{self.plan.side}"] = bend

    def _foot_view(self) -> None:
        rng = self.streams[f"leg.{self.plan.side}"]
        self.local[f"foot.{self.plan.side}"] = rotation_about(_X, float(rng.uniform(-0.3, 0.2)))

    def _upright(self) -> None:
        torso, head = self.streams["torso"], self.streams["head"]
        lean = rotation_about(_X, float(torso.normal(0.0, 0.012))) @ rotation_about(_Y, float(torso.normal(0.0, 0.012)))
        for bone in _SPINE:
            self.local[bone] = lean
        nod = (
            rotation_about(_Z, float(head.normal(0, 0.06)))
            @ rotation_about(_X, float(head.normal(0.03, 0.04)))
            @ rotation_about(_Y, float(head.normal(0, 0.04)))
        )
        for bone in ("neck01", "neck03", "head"):
            self.local[bone] = nod

    def _bust(self) -> None:
        self._upright()
        side, other = self.plan.side, "R" if self.plan.side == "L" else "L"
        if self.plan.gesture:
            self._free(side, "thumb" if self.plan.gesture in ("thumbs up", "fist") else "show")
            self._free(other, "down")
        elif self.plan.thing == "ball":
            for one in "LR":
                self._both_hands(one, 0.135, -0.33, 0.02, palm=(-1.0, 0.0, 0.0), fingers=(0.0, -1.0, 0.15))
        elif self.plan.thing:
            self._free(side, "cup")
            self._free(other, "down")
        else:
            self._self_pose(side, other)

    def _self_pose(self, side: str, other: str) -> None:
        pose = self.plan.pose
        if pose == "hands clasped":
            for one in "LR":
                self._both_hands(one, 0.034, -0.27, -0.12, palm=(-1.0, 0.1, 0.0), fingers=(-0.35, -0.9, 0.25))
        elif pose == "hands on hips":
            for one in "LR":
                self._placed(
                    one, "spine05", (0.165, -0.03, 0.07), (1.0, 0.5, 0.1), (-0.5, -0.75, -0.45), (-0.8, 0.5, 0.0)
                )
        elif pose == "arms crossed":
            for one, depth, height in ((side, -0.235, -0.06), (other, -0.17, -0.09)):
                self._placed(
                    one,
                    "spine01",
                    (-0.10, depth, height - 0.02),
                    (1.0, -0.1, -0.7),
                    (-1.0, 0.25, 0.25),
                    (-0.2, 1.0, 0.0),
                )
        elif pose == "chin on hand":
            self._placed(side, "head", (0.045, -0.15, -0.165), (0.5, -0.2, -1.0), (-0.35, 0.0, 1.0), (-0.6, 0.8, 0.2))
            self._placed(other, "spine05", (0.0, -0.2, 0.14), (1.0, 0.2, -0.4), (-1.0, -0.2, 0.1), (0.0, 0.6, -0.7))
        else:
            self._placed(side, "spine01", (0.075, -0.205, -0.06), (1.0, 0.0, -0.7), (-1.0, 0.1, 0.25), (0.0, 1.0, 0.0))
            self._free(other, "down")

    def _full(self) -> None:
        self._upright()
        pose, side = self.plan.pose, self.plan.side
        other = "R" if side == "L" else "L"
        legs: dict[str, tuple[Vector, Vector]] = {one: ((0.07, 0.0, -0.995), (0.15, -1.0, 0.0)) for one in "LR"}
        arms = {side: str(self.streams["torso"].choice(["down", "wave", "down"])), other: "down"}
        if pose == "walking":
            legs = {side: ((0.04, -0.32, -0.93), (0.1, -1.0, 0.1)), other: ((0.04, 0.34, -0.9), (0.1, -1.0, 0.1))}
            arms = {side: "swing back", other: "swing front"}
        elif pose == "sitting":
            legs = {one: ((0.1, -0.5, -0.5), (0.1, -1.0, 1.0)) for one in "LR"}
        elif pose == "reaching up":
            arms = {side: "up", other: "down"}
        elif pose == "leaping":
            legs = {side: ((0.08, -0.68, -0.6), (0.2, -1.0, 0.5)), other: ((0.05, 0.66, -0.62), (0.1, -1.0, -0.2))}
            arms = {side: "side", other: "up"}
        elif pose == "squatting":
            legs = {one: ((0.2, 0.06, -0.58), (0.5, -1.0, 0.2)) for one in "LR"}
            arms = {one: "front" for one in "LR"}
            self.local["spine05"] = rotation_about(_X, 0.35)
        elif pose in ("arms spread", "arms raised"):
            legs = {one: ((0.25, 0.0, -0.96), (0.3, -1.0, 0.0)) for one in "LR"}
            arms = {one: "side" if pose == "arms spread" else "up" for one in "LR"}
        for one in "LR":
            self._leg(one, *legs[one])
        for one in "LR":
            if pose == "sitting":
                self._placed(one, "root", (0.15, -0.33, 0.135), (1.0, 0.5, 0.0), (0.0, -1.0, -0.15), (-0.2, 0.0, -1.0))
            else:
                self._free(one, arms[one])

    def _span(self, side: str, first: str, second: str, third: str) -> float:
        """Length in metres of the two bones between three joints."""
        a, b, c = (self.rest.heads[self.rig.index[f"{bone}.{side}"]] for bone in (first, second, third))
        return float(length(b - a) + length(c - b))

    def _sign(self, side: str) -> FloatArray:
        return np.array([1.0 if side == "L" else -1.0, 1.0, 1.0], dtype=np.float32)

    def _scale(self) -> float:
        heads = self.rest.heads
        trunk = float(heads[self.rig.index["neck01"], 2] - heads[self.rig.index["spine05"], 2])
        template = self.rig.template.heads
        return trunk / float(template[self.rig.index["neck01"], 2] - template[self.rig.index["spine05"], 2])

    def _both_hands(self, side: str, x: float, y: float, z: float, *, palm: Vector, fingers: Vector) -> None:
        self._placed(side, "spine01", (x, y, z - 0.12), (1.0, 0.2, -0.8), fingers, palm)

    def _placed(self, side: str, bone: str, offset: Vector, pole: Vector, fingers: Vector, palm: Vector) -> None:
        """Wrist at ``offset`` (metres at template size, x outward) from the head of ``bone``."""
        rng = self.streams[f"arm.{side}"]
        turns, heads = self.rig.skeleton(self.rest, Pose(local=self.local, world=self.world))
        centre = heads[self.rig.index[bone]] * np.array([0.0, 1.0, 1.0], dtype=np.float32)
        depth = 0.0 if bone == "root" else 0.03 * (self._scale() - 1.0) * -3.0
        wrist = centre + np.asarray(offset) * self._sign(side) * self._scale() + np.array([0.0, depth, 0.0])
        self._arm(side, turns, heads, wrist + rng.normal(0.0, 0.008, 3), pole, fingers, palm, 0.06)

    def _free(self, side: str, name: str) -> None:
        rng = self.streams[f"arm.{side}"]
        turns, heads = self.rig.skeleton(self.rest, Pose(local=self.local, world=self.world))
        offset, pole, fingers, palm = _ARMS[name]
        aim = np.asarray(offset) * self._sign(side) + rng.normal(0.0, 0.05, 3)
        shoulder = heads[self.rig.index[f"upperarm01.{side}"]]
        wrist = shoulder + aim * self._span(side, "upperarm01", "lowerarm01", "wrist")
        self._arm(side, turns, heads, wrist, pole, fingers, palm, 0.12)

    def _arm(
        self,
        side: str,
        turns: FloatArray,
        heads: FloatArray,
        wrist: Floats,
        pole: Vector,
        fingers: Vector,
        palm: Vector,
        loose: float,
    ) -> None:
        raise_by = self._raise(side, heads, wrist, turns)
        shoulder = heads[self.rig.index[f"upperarm01.{side}"]]
        if raise_by is not None:
            self.local[f"clavicle.{side}"] = raise_by
            turns, heads = self.rig.skeleton(self.rest, Pose(local=self.local, world=self.world))
            shoulder = heads[self.rig.index[f"upperarm01.{side}"]]
        torso = turns[self.rig.index[f"clavicle.{side}"]]
        self.world.update(
            arm_turns(
                self.rig,
                self.rest,
                side,
                torso,
                shoulder,
                wrist.astype(np.float32),
                *(self._vary(side, vector, loose) for vector in (pole, fingers, palm)),
            )
        )

    def _vary(self, side: str, vector: Vector, loose: float) -> FloatArray:
        moved = np.asarray(vector) * self._sign(side) + self.streams[f"arm.{side}"].normal(0.0, loose, 3)
        return moved.astype(np.float32)

    def _raise(self, side: str, heads: FloatArray, wrist: Floats, turns: FloatArray) -> FloatArray | None:
        aim = wrist - heads[self.rig.index[f"upperarm01.{side}"]]
        height = float(aim[2] / max(length(aim), 1e-6))
        if height < 0.3:
            return None
        return rotation_about(_Y, (-1.0 if side == "L" else 1.0) * 0.5 * (height - 0.3) / 0.7)

    def _leg(self, side: str, offset: Vector, pole: Vector) -> None:
        rng = self.streams[f"leg.{side}"]
        _, heads = self.rig.skeleton(self.rest, Pose(local=self.local, world=self.world))
        hip = heads[self.rig.index[f"upperleg01.{side}"]]
        aim = np.asarray(offset) * self._sign(side) + rng.normal(0.0, 0.025, 3)
        bend = np.asarray(pole) * self._sign(side) + rng.normal(0.0, 0.08, 3)
        toes = np.array([0.2, -1.0, -0.5 if self.plan.pose == "leaping" else 0.0]) * self._sign(side) + rng.normal(
            0, 0.06, 3
        )
        turns = leg_turns(
            self.rig,
            self.rest,
            side,
            hip,
            (hip + aim * self._span(side, "upperleg01", "lowerleg01", "foot")).astype(np.float32),
            bend.astype(np.float32),
            toes.astype(np.float32),
        )
        self.world.update(turns)
