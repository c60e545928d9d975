import numpy as np
import pytest

from asap.benchmark.landmarks import examine
from asap.core.photos import PartRegion
from asap.core.wholebody import FINGERS

STANDING = {
    "shoulder": (20.0, 0.0),
    "elbow": (20.0, 57.0),
    "wrist": (20.0, 107.0),
    "hip": (15.0, 100.0),
    "knee": (15.0, 183.0),
    "ankle": (15.0, 266.0),
}


def region(part: str, points: dict[str, tuple[float, float]], side: str = "none") -> PartRegion:
    names = tuple(points)
    return PartRegion(
        part=part,
        side=side,
        person=0,
        mask=np.ones((4, 4), np.bool_),
        box=(0, 0, 4, 4),
        keypoints=np.array([[*points[name], 0.9] for name in names], np.float32),
        keypoint_names=names,
        confidence=0.8,
        instrument="user",
    )


def body(**moved: tuple[float, float]) -> list[PartRegion]:
    points = {
        f"{side}_{joint}": (100 + (x if side == "left" else -x), 100 + y)
        for side in ("left", "right")
        for joint, (x, y) in STANDING.items()
    }
    return [region("arm", points | moved), region("leg", points | moved)]


def hand(*, longer: float = 1.0, zigzag: float = 0.0) -> PartRegion:
    points = {"left_hand_root": (0.0, 0.0)}
    for place, finger in enumerate(FINGERS):
        x, step = 10.0 * place, 30.0 * (longer if finger == "forefinger" else 1.0)
        for joint in range(4):
            shift = zigzag * step * (joint % 2) if finger == "forefinger" else 0.0
            points[f"left_{finger}{joint + 1}"] = (x + shift, 100 + joint * step)
    return region("hand", points, "left")


def test_nobody_is_no_verdict_and_hides_what_was_wanted() -> None:
    found = examine([], ("hand",))
    assert (found.fails, found.error, found.not_visible, found.reason) == (None, False, ("hand",), "no person found")


def test_a_well_made_person_passes() -> None:
    found = examine([*body(), hand()], ("hand", "arm", "foot"))
    assert (found.fails, found.reason) == (False, "")
    assert found.not_visible == ("foot",)
    assert found.parts["arm"]["visible"] == pytest.approx(0.8)
    assert found.probability is not None
    assert found.probability < 0.5


@pytest.mark.parametrize(
    ("parts", "part", "said"),
    [
        (body(left_wrist=(120.0, 290.0)), "arm", "left elbow to wrist"),
        (body(right_ankle=(85.0, 480.0)), "leg", "right knee to ankle"),
        ([hand(longer=2.0)], "hand", "left forefinger 1.77 palms long"),
        ([hand(zigzag=0.8)], "hand", "bends to and fro"),
    ],
)
def test_what_is_too_long_or_bends_to_and_fro_fails(parts: list[PartRegion], part: str, said: str) -> None:
    found = examine(parts, ())
    assert found.fails is True
    assert said in found.reason
    assert found.parts[part]["wrong"] > 0.5


def test_a_limb_shortened_by_perspective_passes() -> None:
    assert examine(body(left_wrist=(122.0, 160.0)), ()).fails is False
