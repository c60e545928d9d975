import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from asap.bodies import render, resample_part, sample_scene, sampling, visible_parts
from asap.bodies.captions import reserved
from asap.bodies.collisions import TOLERANCE, penetration
from asap.bodies.people import SKINS
from asap.bodies.plans import BUST_GESTURES, FULL_POSES, OBJECTS, SELF_POSES, VIEWS, Plan, sample_plan
from asap.bodies.rig import Rig
from asap.bodies.sampling import SampledScene
from asap.core.errors import AsapError
from asap.core.records import Scene
from asap.core.seeds import generator
from asap.core.vocabulary import CATEGORIES, region_id
from tests.bodies.figures import fingerprint

_DIGEST = """
from tests.bodies.figures import fingerprint
from asap.bodies import load_rig, sample_scene
print(fingerprint(sample_scene(load_rig(), 0, "check", 3, category="full_body")))
"""


@pytest.fixture(scope="module")
def some(rig: Rig) -> list[SampledScene]:
    """Forty images for training."""
    return [sample_scene(rig, 0, "mini", index) for index in range(40)]


def plans(count: int) -> list[Plan]:
    return [sample_plan(generator(0, "plans", index)) for index in range(count)]


def test_another_process_draws_the_same_bits_and_prints_nothing_else(rig: Rig) -> None:
    expected = fingerprint(sample_scene(rig, 0, "check", 3, category="full_body"))
    ran = subprocess.run([sys.executable, "-c", _DIGEST], capture_output=True, text=True, check=True, timeout=120)
    assert ran.stdout == f"{expected}\n"


def test_neither_order_nor_neighbours_matter(rig: Rig, some: list[SampledScene]) -> None:
    for index in (17, 4, 25):
        assert fingerprint(sample_scene(rig, 0, "mini", index)) == fingerprint(some[index])


def test_seeds_namespaces_and_numbers_are_different_images(rig: Rig, some: list[SampledScene]) -> None:
    others = [sample_scene(rig, 1, "mini", 4), sample_scene(rig, 0, "pairs", 4), some[4], some[5]]
    assert len({fingerprint(drawn) for drawn in others}) == 4


def test_namespaces_share_no_person(rig: Rig, some: list[SampledScene]) -> None:
    mine = {drawn.truth.person for drawn in some}
    theirs = [sample_scene(rig, 0, "judge", index).person for index in range(20)]
    assert mine.isdisjoint(person.uid for person in theirs)
    shapes = {tuple(drawn.person.phenotype.values()) for drawn in some}
    assert shapes.isdisjoint(tuple(person.phenotype.values()) for person in theirs)


def test_a_person_who_comes_again_is_the_same(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "PEOPLE", 2)
    people: dict[str, set[str]] = {}
    for index in range(12):
        drawn = sample_scene(rig, 0, "few", index)
        people.setdefault(drawn.truth.person, set()).add(repr(drawn.person))
    assert len(people) == 2
    assert all(len(looks) == 1 for looks in people.values())


def test_plans_cover_all_there_is() -> None:
    drawn = plans(400)
    assert {plan.category for plan in drawn} == set(CATEGORIES)
    assert {plan.view for plan in drawn} == set(VIEWS)
    assert {plan.pose for plan in drawn} == {*SELF_POSES, *FULL_POSES, ""}
    assert {plan.thing for plan in drawn} == {*OBJECTS, ""}
    assert {plan.fingers for plan in drawn if plan.category == "basic_anatomy" and plan.view == "hand"} == set(range(6))
    assert {plan.gesture for plan in drawn} > set(BUST_GESTURES)
    assert {(plan.side, plan.palm) for plan in drawn} == {(side, palm) for side in "LR" for palm in (True, False)}
    for category in CATEGORIES:
        assert 50 < sum(plan.category == category for plan in drawn) < 110


def test_a_category_can_be_asked_for(rig: Rig) -> None:
    for category in CATEGORIES:
        drawn = sample_scene(rig, 0, "ask", 0, category=category)
        assert drawn.truth.category == drawn.plan.category == drawn.truth.attributes["category"] == category
    with pytest.raises(ValueError, match="one of basic_anatomy"):
        sample_plan(generator(0), "still_life")


def test_reserved_captions_are_drawn_for_the_suite_alone(rig: Rig, some: list[SampledScene]) -> None:
    assert not any(reserved(drawn.truth.attributes) for drawn in some)
    held_out = [sample_scene(rig, 0, "suite", index, held_out=True) for index in range(10)]
    assert all(reserved(drawn.truth.attributes) for drawn in held_out)


def test_people_stand_out_from_the_background(some: list[SampledScene]) -> None:
    for drawn in some:
        facts = drawn.truth.attributes
        assert facts["background"] not in (facts["shirt"], facts["trousers"])
        assert (facts["background"], facts["skin"]) not in (("white", "pale"), ("black", "dark"))
    assert {drawn.person.skin for drawn in some} == set(SKINS)


def test_no_limb_runs_through_another(rig: Rig, some: list[SampledScene]) -> None:
    whole = [drawn for drawn in some if drawn.plan.view in ("bust", "full")]
    assert len(whole) > 10
    assert max(penetration(rig, drawn.scene.body) for drawn in whole) <= TOLERANCE + 0.02


def test_what_the_caption_asks_for_is_in_the_image(some: list[SampledScene]) -> None:
    for drawn in some:
        rendering = render(drawn.scene, 48)
        shown = visible_parts(drawn.truth, rendering.regions)
        must = {"hand": "hand", "foot": "foot", "face": "face", "bust": "face", "full": "torso"}[drawn.plan.view]
        assert must in shown
        assert set(shown) <= set(drawn.truth.visible_parts)
        assert (rendering.regions == region_id("object")).any() == bool(drawn.scene.props)


def moved(before: Scene, after: Scene, part: str) -> float:
    """Largest way in metres that a vertex of a region has moved."""
    mine = before.body.regions == region_id(part)
    return float(np.abs(before.body.vertices[mine] - after.body.vertices[mine]).max())


@pytest.mark.parametrize(
    ("part", "side", "changed", "kept"),
    [
        ("hand", "left", "hand.L", ("hand.R", "head", "leg.L", "arm.R")),
        ("arm", "right", "arm.R", ("head", "leg.R", "hand.L")),
        ("leg", "left", "leg.L", ("head", "leg.R", "hand.R")),
        ("face", "none", "head", ("leg.L", "leg.R", "foot.L")),
    ],
)
def test_redraw_changes_the_part_and_keeps_the_rest(
    rig: Rig, part: str, side: str, changed: str, kept: tuple[str, ...]
) -> None:
    drawn = _standing(rig)
    scene = resample_part(rig, drawn, part, side, 1)
    assert scene is not None
    assert moved(drawn.scene, scene, changed) > 0.003
    for name in kept:
        assert moved(drawn.scene, scene, name) < 1e-3, name
    for field in ("camera", "light", "background", "props"):
        assert getattr(scene, field) is getattr(drawn.scene, field)
    assert np.array_equal(scene.body.colours, drawn.scene.body.colours)
    again, other = resample_part(rig, drawn, part, side, 1), resample_part(rig, drawn, part, side, 2)
    assert again is not None
    assert other is not None
    assert np.array_equal(again.body.vertices, scene.body.vertices)
    assert not np.array_equal(other.body.vertices, scene.body.vertices)


def _standing(rig: Rig) -> SampledScene:
    candidates = (sample_scene(rig, 0, "stand", index, category="full_body") for index in range(60))
    return next(drawn for drawn in candidates if drawn.plan.pose == "standing")


def test_redraw_of_a_hand_close_up(rig: Rig, some: list[SampledScene]) -> None:
    drawn = next(drawn for drawn in some if drawn.plan.view == "hand")
    scene = resample_part(rig, drawn, "hand", {"L": "left", "R": "right"}[drawn.plan.side], 5)
    assert scene is not None
    assert moved(drawn.scene, scene, f"hand.{drawn.plan.side}") > 1e-3
    first, second = (render(one, 48).image for one in (drawn.scene, scene))
    assert not np.array_equal(first, second)


def test_redraw_gives_up_when_every_pose_collides(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = _standing(rig)
    monkeypatch.setattr(sampling, "penetration", lambda *_: 1.0)
    assert resample_part(rig, drawn, "arm", "left", 0) is None


def test_a_view_that_never_fits_is_reported(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "penetration", lambda *_: 1.0)
    with pytest.raises(AsapError, match="no pose without collision for image 0 of 'x'"):
        sample_scene(rig, 0, "x", 0, category="full_body")


def test_attempts_start_at_one(some: list[SampledScene]) -> None:
    counts = sorted({drawn.attempts for drawn in some})
    assert counts[0] == 1
    assert all(a < b <= 36 for a, b in pairwise(counts))


def test_the_studio_keeps_people_and_poses_and_stills_what_is_around_them(rig: Rig, some: list[SampledScene]) -> None:
    studio = [sample_scene(rig, 0, "mini", index, scene="studio") for index in range(len(some))]
    for varied, still in zip(some, studio, strict=True):
        assert still.person == varied.person
        assert still.plan == varied.plan
        assert np.array_equal(still.scene.body.vertices, varied.scene.body.vertices)
        assert still.scene.background.kind == "plain"
        assert still.truth.attributes == {**varied.truth.attributes, "backdrop": "plain"}
        assert "plain" in still.truth.caption
    for name in ("ambient", "intensity", "softness"):
        wide, narrow = ([getattr(one.scene.light, name) for one in side] for side in (some, studio))
        assert np.std(narrow) < 0.5 * np.std(wide)
    faces = [index for index, one in enumerate(some) if one.plan.view in ("bust", "face", "full")]
    turns = [[abs(_around(side[index])) for index in faces] for side in (some, studio)]
    assert np.mean(turns[1]) < 0.5 * np.mean(turns[0])


def _around(drawn: SampledScene) -> float:
    """How far the camera is from straight ahead, in radians."""
    x, y, _ = np.subtract(drawn.scene.camera.eye, drawn.scene.camera.target)
    return float(np.arctan2(x, -y))
