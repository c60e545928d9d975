import numpy as np
import pytest

from asap.bodies.collisions import TOLERANCE, penetration
from asap.bodies.limbs import arm_turns, leg_turns
from asap.bodies.rig import Rig
from asap.core.records import PosedBody
from tests.bodies.figures import figure, pose, spot


def hand_at(rig: Rig, side: str, place: tuple[float, float, float]) -> PosedBody:
    """The template with one wrist at ``place``, elbow down."""
    shoulder = rig.template.heads[rig.index[f"upperarm01.{side}"]]
    pole = spot(1 if side == "L" else -1, 0.3, -1)
    turns = arm_turns(rig, rig.template, side, np.eye(3), shoulder, spot(*place), pole)
    return figure(rig, pose(world=turns))


def test_the_rest_pose_is_free(rig: Rig, body: PosedBody) -> None:
    assert penetration(rig, body) <= 0.005


@pytest.mark.parametrize("side", ["L", "R"])
def test_a_hand_in_the_trunk_is_found(rig: Rig, side: str) -> None:
    _, y, z = (float(v) for v in rig.template.heads[rig.index["spine02"]])
    assert penetration(rig, hand_at(rig, side, (0.0, y - 0.05, z))) > TOLERANCE + 0.02


@pytest.mark.parametrize("side", ["L", "R"])
def test_a_hand_held_out_is_free(rig: Rig, side: str) -> None:
    x, y, z = (float(v) for v in rig.template.heads[rig.index[f"upperarm01.{side}"]])
    assert penetration(rig, hand_at(rig, side, (x, y - 0.45, z))) <= TOLERANCE


def test_crossed_shins_are_found(rig: Rig) -> None:
    world = {}
    for side, across in (("L", -0.03), ("R", 0.03)):
        hip = rig.template.heads[rig.index[f"upperleg01.{side}"]]
        goal = spot(across, float(hip[1]), float(hip[2]) - 0.8)
        world.update(leg_turns(rig, rig.template, side, hip, goal, spot(0, -1, 0)))
    assert penetration(rig, figure(rig, pose(world=world))) > TOLERANCE
