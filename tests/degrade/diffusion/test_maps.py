import numpy as np
import pytest

from asap.core.errors import InputError, UnknownNameError
from asap.core.records import Camera
from asap.core.wholebody import KEYPOINTS
from asap.degrade.diffusion.maps import (
    BodyMaps,
    camera_normals,
    control_images,
    depth_image,
    normal_image,
    plane_depth,
)

CAMERA = Camera(eye=(0.0, -3.0, 1.0), target=(0.0, 0.0, 1.0), up=(0.0, 0.0, 1.0), fov=np.pi / 2)
"""Looks along +y: right is +x, up is +z, towards the camera is -y."""


def maps(depth: float = 2.0, known: bool = True, size: int = 32) -> BodyMaps:
    """A wall in the middle that faces the camera, with a wrist in its centre and an elbow beside it."""
    far, normals = np.full((size, size), np.inf, dtype=np.float32), np.zeros((size, size, 3), dtype=np.float32)
    far[8:24, 8:24], normals[8:24, 8:24] = depth, (0, -1, 0)
    points = np.zeros((len(KEYPOINTS), 3), dtype=np.float32)
    points[KEYPOINTS.index("left_wrist")] = (16, 16, 2)
    points[KEYPOINTS.index("left_elbow")] = (26, 16, 1)
    return BodyMaps(depth=far, normals=normals, camera=CAMERA, keypoints=points if known else None)


def test_depth_along_the_axis_by_hand() -> None:
    # two pixels on a side, 90 degrees: their centres lie half a unit off the axis at distance 1, so cos = 1 / sqrt(1.5)
    flat = plane_depth(np.full((2, 2), np.sqrt(1.5), dtype=np.float32), np.pi / 2)
    assert np.allclose(flat, 1.0)
    assert np.isinf(plane_depth(np.full((2, 2), np.inf, dtype=np.float32), 1.0)).all()


def test_inverse_depth_by_hand() -> None:
    depth = np.array([[1.0, 2.0], [4.0, np.inf]], dtype=np.float32)
    image = depth_image(depth, near=1.0, far=4.0)
    # inverse 1, 1/2, 1/4 of span 3/4: 1, 1/3 and 0, put above a floor of a quarter
    assert image[..., 0].tolist() == [[255, round(255 * 0.5)], [round(255 * 0.25), 0]]
    assert (image[..., 0] == image[..., 2]).all()
    assert (depth_image(np.full((1, 1), 3.0, dtype=np.float32), 3.0, 3.0) == round(255 * 0.25)).all()


def test_normals_turn_into_the_camera_frame() -> None:
    world = np.array([[[1, 0, 0], [0, 0, 1], [0, -1, 0], [0, 0, 0]]], dtype=np.float32)
    assert np.allclose(camera_normals(world, CAMERA)[0], [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]], atol=1e-6)
    side = Camera(eye=(5.0, 0.0, 0.0), target=(0.0, 0.0, 0.0), up=(0.0, 0.0, 1.0), fov=1.0)  # looks along -x
    assert np.allclose(camera_normals(world, side)[0, 0], [0, 0, 1], atol=1e-6)
    assert np.allclose(camera_normals(world, side)[0, 2], [-1, 0, 0], atol=1e-6)


def test_colours_of_normals() -> None:
    world = np.array([[[1, 0, 0], [-1, 0, 0], [0, 0, 1], [0, -1, 0], [0, 0, 0]]], dtype=np.float32)
    right, left, up, front, nothing = normal_image(world, CAMERA)[0].tolist()
    assert right == [0, 128, 128]
    assert left == [255, 128, 128]
    assert up == [128, 255, 128]
    assert front == nothing == [128, 128, 255]


def test_both_sides_share_one_scale() -> None:
    right, wrong = control_images(maps(2.0), maps(1.0), np.zeros((32, 32), dtype=bool), ("depth", "normal"))
    assert right["depth"][16, 16, 0] < wrong["depth"][16, 16, 0]
    assert (right["depth"][0, 0] == 0).all()
    assert (right["normal"] == wrong["normal"]).all()
    same, again = control_images(maps(), maps(), np.zeros((32, 32), dtype=bool), ("depth",))
    assert (same["depth"] == again["depth"]).all()


def test_unknown_keypoints_are_left_out_in_the_mask() -> None:
    area = np.zeros((32, 32), dtype=bool)
    area[12:20, 12:20] = True
    right, wrong = control_images(maps(), maps(known=False), area, ("pose",))
    assert right["pose"][16, 16].tolist() == [0, 255, 85]  # the wrist
    assert not wrong["pose"][16, 16].any()
    assert wrong["pose"][16, 26].tolist() == [0, 255, 0]  # the elbow, outside


def test_refusals() -> None:
    area = np.zeros((32, 32), dtype=bool)
    with pytest.raises(UnknownNameError, match="depth, normal, pose"):
        control_images(maps(), maps(), area, ("edges",))
    with pytest.raises(InputError, match="one size"):
        control_images(maps(), maps(size=16), area, ("depth",))
    with pytest.raises(InputError, match="needs the keypoints"):
        control_images(maps(known=False), maps(known=False), area, ("pose",))
    with pytest.raises(InputError, match="outside the image"):
        control_images(maps(np.inf), maps(np.inf), area, ("depth",))
