"""Every cell on the real body: the rig's names, its closed skin, and a defect that keeps it closed."""

from dataclasses import replace

import numpy as np
import pytest

from asap import bodies
from asap.bodies.people import sample_person
from asap.core.records import Camera, PosedBody, Rendering, Scene
from asap.core.seeds import generator
from asap.degrade import OPERATION_TABLE, apply
from asap.degrade.anatomy import hand_frame, head_frame, trunk_frame
from asap.degrade.editable_body import EditableBody
from asap.degrade.mesh import boundary_loops
from asap.degrade.proportions import LONGER, SHORTER, THICKER

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scene() -> Scene:
    """A whole person, seen from the front."""
    rig = bodies.load_rig()
    return bodies.sample_scene(rig, 0, "judge", 0, category="full_body").scene


def shot(scene: Scene, body: PosedBody, part: str) -> Rendering:
    """The left of ``part`` from one step away, along the way it faces."""
    work = EditableBody(scene.body)
    if part == "face":
        target, way, reach = work.head("eye.L"), head_frame(work)[2], 0.8
    elif part == "hand":
        target, way, reach = work.head("finger3-1.L"), hand_frame(work, "left")[2], 0.6
    else:
        target, way, reach = work.head("spine02"), trunk_frame(work)[2], 4.5
    eye = target + reach * way
    camera = Camera(
        eye=(float(eye[0]), float(eye[1]), float(eye[2])),
        target=(float(target[0]), float(target[1]), float(target[2])),
        up=(0.0, 0.0, 1.0),
        fov=0.5,
    )
    return bodies.render(replace(scene, body=body, camera=camera, props=()), 64)


def test_every_cell_keeps_the_skin_closed_and_finite(scene: Scene) -> None:
    seen = 0
    for part, operation in OPERATION_TABLE:
        side = "none" if part in ("face", "torso", "neck") else "left"
        for severity in (1, 3):
            edited = apply(scene.body, part, side, operation, severity, np.random.default_rng(0))
            assert np.isfinite(edited.body.vertices).all(), (part, operation)
            assert edited.touched.any(), (part, operation)
            # a patch of face that lies on the skin is open under the skin; all else is closed
            if (part, operation) not in (("face", "duplicated"), ("face", "extra"), ("face", "missing")):
                rims = [loop for loop in boundary_loops(edited.body.faces) if len(loop) > 2]
                assert not rims, (part, operation)
        seen += 1
    assert seen == len(OPERATION_TABLE)


@pytest.mark.parametrize("part", ["face", "hand"])
def test_the_strongest_defects_show(scene: Scene, part: str) -> None:
    clean = shot(scene, scene.body, part).image.astype(int)
    side = "none" if part == "face" else "left"
    for operation in (o for p, o in OPERATION_TABLE if p == part):
        edited = apply(scene.body, part, side, operation, 3, np.random.default_rng(1))
        image = shot(scene, edited.body, part).image.astype(int)
        assert (np.abs(image - clean).max(axis=2) > 12).mean() > 0.005, operation


def test_severity_1_leaves_the_range_of_correct_bodies() -> None:
    """A factor that takes one drawn adult to the shape of another would be no error: the rule of ``proportions``."""
    rig = bodies.load_rig()
    people = [sample_person(generator(0, "spread", number), "x").phenotype for number in range(60)]
    rests = rig.rest(people)
    heads = np.stack([rest.heads for rest in rests])
    tall = np.array([np.ptp(rest.vertices[:, 2]) for rest in rests])

    def spread(part: str) -> float:
        ends = {
            "arm": ("upperarm01.L", "wrist.L"), "leg": ("upperleg01.L", "foot.L"), "torso": ("spine05", "neck01"),
            "neck": ("neck01", "head"), "foot": ("foot.L", "toe3-1.L"), "hand": ("finger3-1.L", "finger3-3.L"),
        }[part]  # fmt: skip
        near, far = (heads[:, rig.index[end]] for end in ends)
        share = np.linalg.norm(far - near, axis=1) / tall
        return float(np.quantile(share, 0.99) / np.quantile(share, 0.01))

    for part in ("arm", "leg", "torso", "neck", "foot", "hand"):
        assert 1.02 < spread(part) < 1.5, part
        assert LONGER[part][0] > spread(part) ** 1.5, part
        assert 1 / SHORTER[part][0] > spread(part) ** 1.5, part
    for table in (LONGER, THICKER):
        assert all(row[0] < row[1] < row[2] for row in table.values())
