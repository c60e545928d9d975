import numpy as np
import pytest

from asap.bodies.rig import Rig, load_rig
from asap.bodies.rotations import rotation_about
from asap.core.records import PosedBody
from asap.core.vocabulary import REGION_PART, region_id
from tests.bodies.figures import PERSON, figure, pose, spot


def test_the_rig_is_loaded_once(rig: Rig) -> None:
    assert load_rig() is rig


def test_every_part_has_vertices_and_both_sides_are_alike(rig: Rig) -> None:
    counts = {name: int((rig.regions == region_id(name)).sum()) for name in REGION_PART}
    assert min(counts.values()) > 50
    for part in ("arm", "hand", "leg", "foot"):
        assert counts[f"{part}.L"] == pytest.approx(counts[f"{part}.R"], rel=0.02)
    assert sum(counts.values()) == len(rig.regions)


def test_regions_lie_where_the_body_has_them(rig: Rig, body: PosedBody) -> None:
    centre = {name: body.vertices[rig.regions == region_id(name)].mean(axis=0) for name in REGION_PART}
    assert centre["head"][2] > centre["neck"][2] > centre["torso"][2] > centre["leg.L"][2] > centre["foot.L"][2]
    for part in ("arm", "hand", "leg", "foot"):
        assert centre[f"{part}.L"][0] > 0 > centre[f"{part}.R"][0]


def test_weights_of_a_vertex_sum_to_one(rig: Rig) -> None:
    assert np.allclose(np.asarray(rig.weights.sum(axis=1)).ravel(), 1.0, atol=1e-5)
    assert np.allclose(rig.bone_weights.sum(axis=1), 1.0, atol=1e-5)


def test_every_bone_has_a_level_after_its_parent(rig: Rig) -> None:
    assert rig.parents[rig.root] == -1
    assert rig.level_of[rig.root] == 0
    assert all(rig.level_of[b] == rig.level_of[p] + 1 for b, p in enumerate(rig.parents) if p >= 0)
    assert sorted([rig.root, *(int(b) for bones, _ in rig.levels for b in bones)]) == list(range(len(rig.labels)))


def test_no_turn_is_the_rest_pose(rig: Rig) -> None:
    vertices, poses, tails = rig.pose(rig.template, pose())
    assert np.allclose(vertices, rig.template.vertices, atol=1e-5)
    assert np.allclose(poses[:, :3, 3], rig.template.heads, atol=1e-6)
    assert np.allclose(poses[:, :3, :3], np.eye(3))
    assert np.allclose(tails, rig.template.tails, atol=1e-6)


def test_turning_the_root_turns_everything(rig: Rig) -> None:
    turn, centre = rotation_about(spot(0, 0, 1), 0.7), rig.template.heads[rig.root]
    vertices, poses, _ = rig.pose(rig.template, pose(local={"root": turn}))
    assert np.allclose(vertices, (rig.template.vertices - centre) @ turn.T + centre, atol=1e-4)
    assert np.allclose(poses[:, :3, :3], turn, atol=1e-5)


def test_a_bone_moves_its_descendants_alone(rig: Rig) -> None:
    turn = rotation_about(spot(0, 1, 0), 0.6)
    turns, heads = rig.skeleton(rig.template, pose(local={"upperarm01.L": turn}))
    assert np.allclose(turns[rig.index["finger3-3.L"]], turn, atol=1e-6)
    assert np.allclose(turns[rig.index["upperarm01.R"]], np.eye(3))
    arm = rig.template.heads[rig.index["upperarm01.L"]]
    wrist = rig.template.heads[rig.index["wrist.L"]]
    assert np.allclose(heads[rig.index["wrist.L"]], turn @ (wrist - arm) + arm, atol=1e-5)
    vertices = figure(rig, pose(local={"upperarm01.L": turn})).vertices
    still = np.isin(rig.regions, [region_id(n) for n in ("head", "leg.L", "leg.R", "arm.R", "hand.R")])
    assert np.allclose(vertices[still], rig.template.vertices[still], atol=1e-3)


def test_a_world_turn_wins_over_local_ones_and_parents(rig: Rig) -> None:
    above, own = rotation_about(spot(1, 0, 0), 0.4), rotation_about(spot(0, 0, 1), 0.9)
    turns, _ = rig.skeleton(
        rig.template, pose(local={"spine01": above, "head": above}, world={"head": own, "wrist.R": own})
    )
    assert np.allclose(turns[rig.index["head"]], own)
    assert np.allclose(turns[rig.index["wrist.R"]], own)
    assert np.allclose(turns[rig.index["neck01"]], above)


def test_people_differ_as_their_numbers_say(rig: Rig) -> None:
    small, tall = rig.rest([PERSON.phenotype | {"height": 0.1}, PERSON.phenotype | {"height": 0.9}])
    assert float(np.ptp(tall.vertices[:, 2])) > float(np.ptp(small.vertices[:, 2])) + 0.1
    alone = rig.rest([PERSON.phenotype | {"height": 0.9}])[0]
    assert np.allclose(alone.vertices, tall.vertices, atol=1e-5)


def test_arms_and_legs_are_measured_from_trunk_to_end(rig: Rig) -> None:
    for along, part, end in ((rig.arm_along, "arm", "hand"), (rig.leg_along, "leg", "foot")):
        for side in "LR":
            limb = along[rig.regions == region_id(f"{part}.{side}")]
            assert limb.min() < 0.1
            assert 0.85 < limb.max() < 1.2
            assert along[rig.regions == region_id(f"{end}.{side}")].mean() > 0.95
