"""The landmarker against rendered people, of whom every pixel and every joint is known."""

from collections import defaultdict

import numpy as np
import pytest

from asap.bodies import load_rig, render, sample_scene
from asap.bodies.keypoints import keypoints
from asap.core.photos import PartRegion
from asap.core.records import ByteArray, FloatArray
from asap.core.vocabulary import region_id
from asap.core.wholebody import KEYPOINTS
from asap.regions.mediapipe.landmarker import MediaPipe

IMAGES, SIZE = 16, 512


def value(part: PartRegion) -> int:
    name = {"face": "head", "torso": "torso", "neck": "neck"}.get(part.part)
    return region_id(name or f"{part.part}.{part.side[0].upper()}")


def errors(part: PartRegion, truth: FloatArray) -> list[float]:
    """Distances of the points in sight from the truth, in sizes of the part."""
    size = max(part.box[2] - part.box[0], part.box[3] - part.box[1])
    found = []
    for name, (x, y, known) in zip(part.keypoint_names, part.keypoints.tolist(), strict=True):
        true_x, true_y, sight = truth[KEYPOINTS.index(name)].tolist()
        if known > 0 and sight == 2:
            found.append(float(np.hypot(x - true_x, y - true_y)) / size)
    return found


def likeness(part: PartRegion, regions: ByteArray) -> float:
    truth = regions == value(part)
    return float((truth & part.mask).sum() / (truth | part.mask).sum())


@pytest.mark.slow
def test_masks_and_points_agree_with_rendered_people(mediapipe: MediaPipe) -> None:
    rig = load_rig()
    masks, points = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    for index in range(IMAGES):
        drawn = sample_scene(rig, 11, "regions-truth", index)
        image = render(drawn.scene, SIZE)
        truth = keypoints(drawn.scene.body, drawn.scene.camera, image)
        for part in mediapipe.find(image.image):
            masks[part.part].append(likeness(part, image.regions))
            points[part.part] += errors(part, truth)
    assert len(masks["hand"]) >= 10
    least = {"hand": 0.8, "arm": 0.7, "torso": 0.65, "face": 0.5}
    assert {part: np.median(masks[part]) for part in least if np.median(masks[part]) < least[part]} == {}
    most = {"hand": 0.08, "arm": 0.1, "face": 0.05}
    assert {part: np.median(points[part]) for part in most if np.median(points[part]) > most[part]} == {}
