import numpy as np
import pytest

from asap.bodies.gestures import COUNTED, FINGERS_UP, GESTURES, GRIPS, jitter
from asap.bodies.limbs import FINGERS, Curl, HandShape, arm_turns, finger_turns, hand_axes, leg_turns
from asap.bodies.rig import Rig
from asap.bodies.rotations import unit
from asap.core.records import Floats
from asap.core.seeds import generator
from tests.bodies.figures import pose, spot

MIRROR = spot(-1, 1, 1)
STRAIGHT: Curl = (0.0, 0.0, 0.0)
BENT: Curl = (40.0, 40.0, 20.0)
SHAPES = {f"{n} fingers, shape {i}": (n, s) for n, shapes in COUNTED.items() for i, s in enumerate(shapes)}


def curled(finger: int) -> HandShape:
    """A straight hand with one bent finger, 0 to 4; no finger bent for -1."""
    a, b, c, d, e = (BENT if i == finger else STRAIGHT for i in range(5))
    return HandShape(curls=(a, b, c, d, e), spread=0.0)


def chains(rig: Rig, side: str, shape: HandShape) -> Floats:
    """(5, 4, 3): the joints of each finger and its tip."""
    posed = pose(local=finger_turns(rig, rig.template, side, shape))
    _, poses, tails = rig.pose(rig.template, posed)
    bones = [[rig.index[f"finger{n}-{j}.{side}"] for j in (1, 2, 3)] for n in range(1, 6)]
    return np.array([[*poses[bone, :3, 3], tails[bone[2]]] for bone in bones])


def straightness(joints: Floats) -> Floats:
    """(5,) knuckle to tip over the length of the finger."""
    lengths = np.linalg.norm(np.diff(joints, axis=1), axis=2).sum(axis=1)
    ratio: Floats = np.linalg.norm(joints[:, 3] - joints[:, 0], axis=1) / lengths
    return ratio


@pytest.mark.parametrize("side", ["L", "R"])
def test_the_palm_is_where_the_resting_fingers_bend_to(rig: Rig, side: str) -> None:
    axes = hand_axes(rig, rig.template, side)
    for number in (2, 3, 4, 5):
        knuckle = rig.template.heads[rig.index[f"finger{number}-1.{side}"]]
        tip = rig.template.tails[rig.index[f"finger{number}-3.{side}"]]
        assert (tip - knuckle) @ axes.palm > 0.0
        assert (tip - knuckle) @ axes.forward > 0.03
    thumb = rig.template.tails[rig.index[f"finger1-3.{side}"]] - rig.template.heads[rig.index[f"finger5-1.{side}"]]
    assert thumb @ axes.thumb > 0.05


@pytest.mark.parametrize("side", ["L", "R"])
@pytest.mark.parametrize("finger", range(5), ids=FINGERS)
def test_a_finger_curls_towards_the_palm_and_alone(rig: Rig, side: str, finger: int) -> None:
    axes = hand_axes(rig, rig.template, side)
    before, after = chains(rig, side, curled(-1)), chains(rig, side, curled(finger))
    moved = after[:, 3] - before[:, 3]
    assert moved[finger] @ axes.palm > 0.01
    assert np.allclose(np.delete(moved, finger, axis=0), 0.0, atol=1e-6)


@pytest.mark.parametrize("side", ["L", "R"])
def test_the_thumb_swings_over_the_palm(rig: Rig, side: str) -> None:
    axes = hand_axes(rig, rig.template, side)
    flat = HandShape(curls=curled(-1).curls, spread=0.0, across=0.0)
    over = HandShape(curls=curled(-1).curls, spread=0.0, across=40.0)
    moved = (chains(rig, side, over) - chains(rig, side, flat))[0, 3]
    assert moved @ axes.palm > 0.01
    assert moved @ axes.thumb < -0.005


def test_left_and_right_hands_mirror_each_other(rig: Rig) -> None:
    for shape in (GESTURES["ok sign"], GESTURES["horns sign"], GRIPS["cup"], COUNTED[3][1]):
        left, right = chains(rig, "L", shape), chains(rig, "R", shape)
        assert np.allclose(left, right * MIRROR, atol=2e-3)


@pytest.mark.parametrize("side", ["L", "R"])
def test_spread_moves_the_outer_fingers_apart(rig: Rig, side: str) -> None:
    near, far = (chains(rig, side, HandShape(curls=curled(-1).curls, spread=s))[:, 3] for s in (0.0, 10.0))
    assert np.linalg.norm(far[1] - far[4]) > np.linalg.norm(near[1] - near[4]) + 0.01


@pytest.mark.parametrize("side", ["L", "R"])
@pytest.mark.parametrize("name", SHAPES)
def test_as_many_fingers_are_up_as_the_caption_counts(rig: Rig, side: str, name: str) -> None:
    count, shape = SHAPES[name]
    for seed in range(4):
        up = straightness(chains(rig, side, jitter(shape, generator(seed, name)))) > 0.92
        assert int(up.sum()) == count


@pytest.mark.parametrize("gesture", FINGERS_UP)
def test_gestures_with_a_count_show_it(rig: Rig, gesture: str) -> None:
    assert int((straightness(chains(rig, "L", GESTURES[gesture])) > 0.92).sum()) == FINGERS_UP[gesture]


def test_jitter_bends_no_joint_far_backwards() -> None:
    curls = np.array([jitter(COUNTED[5][0], generator(i), 30.0).curls for i in range(50)])
    assert curls.min() == -18.0
    assert curls.max() <= 100.0


@pytest.mark.parametrize("side", ["L", "R"])
def test_the_wrist_reaches_its_goal(rig: Rig, side: str) -> None:
    sign = 1.0 if side == "L" else -1.0
    shoulder = rig.template.heads[rig.index[f"upperarm01.{side}"]]
    goal = shoulder + spot(0.1 * sign, -0.3, 0.1)
    fingers, palm = unit(spot(0, -0.3, 1)), unit(spot(-sign, 0, 0))
    turns = arm_turns(rig, rig.template, side, np.eye(3), shoulder, goal, spot(sign, 0.3, -1), fingers, palm)
    world, heads = rig.skeleton(rig.template, pose(world=turns))
    assert np.allclose(heads[rig.index[f"wrist.{side}"]], goal, atol=2e-3)
    axes = hand_axes(rig, rig.template, side)
    hand = world[rig.index[f"wrist.{side}"]]
    assert hand @ axes.forward @ fingers > 0.999
    assert hand @ axes.palm @ palm > 0.98
    elbow = heads[rig.index[f"lowerarm01.{side}"]]
    assert elbow[2] < (shoulder[2] + goal[2]) / 2


def test_a_goal_out_of_reach_straightens_the_arm(rig: Rig) -> None:
    shoulder = rig.template.heads[rig.index["upperarm01.L"]]
    turns = arm_turns(rig, rig.template, "L", np.eye(3), shoulder, shoulder + spot(0, -9, 0), spot(0, 0, -1))
    _, heads = rig.skeleton(rig.template, pose(world=turns))
    arm = heads[rig.index["wrist.L"]] - shoulder
    assert unit(arm) @ spot(0, -1, 0) > 0.999


@pytest.mark.parametrize("side", ["L", "R"])
def test_the_ankle_reaches_its_goal_with_the_knee_in_front(rig: Rig, side: str) -> None:
    hip = rig.template.heads[rig.index[f"upperleg01.{side}"]]
    goal, toes = hip + spot(0.02, -0.1, -0.6), unit(spot(0.2, -1, 0))
    turns = leg_turns(rig, rig.template, side, hip, goal, spot(0, -1, 0), toes)
    world, heads = rig.skeleton(rig.template, pose(world=turns))
    assert np.allclose(heads[rig.index[f"foot.{side}"]], goal, atol=2e-3)
    assert heads[rig.index[f"lowerleg01.{side}"]][1] < min(hip[1], goal[1]) - 0.05
    assert world[rig.index[f"foot.{side}"]] @ spot(0, -1, 0) @ toes > 0.999
