"""The 133 keypoints of COCO-WholeBody, by name and in order: body 17, feet 6, face 68, hands 21 each."""

from typing import Final

__all__ = ["BODY", "FACE_POINTS", "FINGERS", "KEYPOINTS"]

BODY: Final = ("nose", "eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
"""The body's joints; all but the nose exist left and right."""
FINGERS: Final = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
"""Each has four points, numbered from the palm to the tip."""
FACE_POINTS: Final = 68
_SIDES: Final = ("left", "right")


def _names() -> tuple[str, ...]:
    names = ["nose"] + [f"{side}_{part}" for part in BODY[1:] for side in _SIDES]
    names += [f"{side}_{part}" for side in _SIDES for part in ("big_toe", "small_toe", "heel")]
    names += [f"face-{i}" for i in range(FACE_POINTS)]
    for side in _SIDES:
        names.append(f"{side}_hand_root")
        names += [f"{side}_{finger}{joint}" for finger in FINGERS for joint in (1, 2, 3, 4)]
    return tuple(names)


KEYPOINTS: Final = _names()
"""Left and right are the person's own; ``face-0`` to ``face-67`` are in the order of the 68-point face."""
