"""Control images for a ControlNet, from the exact depth, normals and keypoints of a rendered body.

Legend: S pixels on each side; rendered images are square.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from asap.core.errors import InputError, UnknownNameError
from asap.core.records import BoolArray, ByteArray, Camera, FloatArray
from asap.core.wholebody import KEYPOINTS
from asap.degrade.diffusion.inpainter import MAPS
from asap.degrade.diffusion.openpose import draw_skeletons

__all__ = ["BodyMaps", "camera_normals", "control_images", "depth_image", "normal_image", "plane_depth"]

FLOOR: Final = 0.25
"""Grey value of the farthest surface, 0 to 1; the background is 0. Our choice: a far limb stays distinct from the
background.
"""


@dataclass(frozen=True, kw_only=True)
class BodyMaps:
    """Geometry of a rendered body."""

    depth: FloatArray
    """(S, S) metres along the ray; inf where no surface is hit."""
    normals: FloatArray
    """(S, S, 3) unit normals in the world frame; 0 where no surface is hit."""
    camera: Camera
    keypoints: FloatArray | None = None
    """(133, 3) x and y in pixels and visibility (0 absent), or None if not known. A broken body has the rig of the
    unbroken one, so its keypoints would show no error.
    """


def plane_depth(depth: FloatArray, fov: float) -> FloatArray:
    """(S, S) distance along the camera axis, from ``depth`` along the rays; ``fov`` is vertical, in radians."""
    size = depth.shape[0]
    offset = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2.0 - 1.0) * np.tan(fov / 2.0)
    return np.asarray(depth / np.sqrt(1.0 + offset[None] ** 2 + offset[:, None] ** 2), dtype=np.float32)


def depth_image(depth: FloatArray, near: float, far: float) -> ByteArray:
    """(S, S, 3) inverse depth as grey values, as MiDaS and its successors estimate it: the nearest surface is white.

    Args:
        depth: (S, S) metres along the axis; inf where no surface is hit.
        near: metres that become 1; it must be the same for both sides of a pair, or they would differ outside the mask.
        far: metres that become ``FLOOR``.
    """
    seen = np.isfinite(depth)
    inverse = 1.0 / np.where(seen, np.clip(depth, near, far), far)
    span = max(1.0 / near - 1.0 / far, 1e-6)
    grey = np.where(seen, FLOOR + (1.0 - FLOOR) * (inverse - 1.0 / far) / span, 0.0)
    return np.asarray(np.stack([np.rint(grey * 255.0)] * 3, axis=2), dtype=np.uint8)


def camera_normals(normals: FloatArray, camera: Camera) -> FloatArray:
    """(S, S, 3) normals along the camera's right, up and backward axes; 0 where no surface is hit."""
    forward = np.asarray(camera.target, dtype=np.float64) - np.asarray(camera.eye)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, np.asarray(camera.up, dtype=np.float64))
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(right, forward), -forward], axis=1)
    return np.asarray(normals @ axes, dtype=np.float32)


def normal_image(normals: FloatArray, camera: Camera) -> ByteArray:
    """(S, S, 3) normals as colours in the convention of the normal maps of ControlNet 1.1 (ScanNet, NormalBae).

    Red grows to the left, green upwards, blue towards the camera. The background is a wall that faces the camera.
    """
    own = camera_normals(normals, camera)
    own[~own.any(axis=2)] = (0.0, 0.0, 1.0)
    colours = (own * np.array([-1.0, 1.0, 1.0], dtype=np.float32) + 1.0) * 127.5
    return np.asarray(np.clip(np.rint(colours), 0, 255), dtype=np.uint8)


def _pose(maps: BodyMaps, other: BodyMaps, area: BoolArray, stroke: float) -> ByteArray:
    """The drawn skeleton. A side without keypoints uses those of the other side outside ``area``."""
    size = maps.depth.shape[0]
    source = maps.keypoints if maps.keypoints is not None else other.keypoints
    if source is None:
        raise InputError("a pose map needs the keypoints of the chosen body; give them, or leave the pose out")
    if source.shape != (len(KEYPOINTS), 3):
        raise InputError(f"keypoints must be ({len(KEYPOINTS)}, 3), got {source.shape}")
    points = source.astype(np.float32).copy()
    points[:, 2] = points[:, 2] > 0
    if maps.keypoints is None:
        x, y = (np.clip(points[:, i].astype(int), 0, size - 1) for i in (0, 1))
        points[area[y, x], 2] = 0.0
    return draw_skeletons([points], size, size, stroke)


def control_images(
    chosen: BodyMaps, rejected: BodyMaps, area: BoolArray, names: Sequence[str], stroke: float = 1.0
) -> tuple[dict[str, ByteArray], dict[str, ByteArray]]:
    """The maps ``names`` of both bodies as images (S, S, 3) by name, on one scale.

    Args:
        chosen: of the correct body.
        rejected: of the broken body, from the same camera.
        area: (S, S) True where the bodies may differ; keypoints there are left out if those of the broken body are
            unknown.
        names: of ``inpainter.MAPS``.
        stroke: factor on the line widths of a pose drawing.

    Raises:
        UnknownNameError: a name is not one of ``MAPS``.
        InputError: the sizes differ, no surface is hit, or a pose has no keypoints.
    """
    for name in names:
        if name not in MAPS:
            raise UnknownNameError("map", name, MAPS)
    size = chosen.depth.shape[0]
    shapes = [array.shape[:2] for maps in (chosen, rejected) for array in (maps.depth, maps.normals)] + [area.shape]
    if set(shapes) != {(size, size)}:
        raise InputError(f"the maps of both bodies and the mask must be square and of one size, got {shapes}")
    depths = [plane_depth(maps.depth, maps.camera.fov) for maps in (chosen, rejected)]
    hit = np.concatenate([depth[np.isfinite(depth)] for depth in depths])
    if not len(hit):
        raise InputError("the rendered bodies lie outside the image; point the camera at them")
    near, far = float(hit.min()), float(hit.max())
    out: list[dict[str, ByteArray]] = []
    for maps, other, depth in ((chosen, rejected, depths[0]), (rejected, chosen, depths[1])):
        images: dict[str, ByteArray] = {}
        for name in names:
            if name == "depth":
                images[name] = depth_image(depth, near, far)
            elif name == "normal":
                images[name] = normal_image(maps.normals, maps.camera)
            else:
                images[name] = _pose(maps, other, area, stroke)
        out.append(images)
    return out[0], out[1]
