"""Rendered people: bodies, poses, gestures, clothes, camera, light, captions, and exact ground truth for each image."""

from asap.bodies.keypoints import keypoints
from asap.bodies.pieces import pieces
from asap.bodies.render import project, render
from asap.bodies.rig import Rig, load_rig
from asap.bodies.sampling import SampledScene, resample_part, sample_caption, sample_scene, visible_parts

__all__ = [
    "Rig",
    "SampledScene",
    "keypoints",
    "load_rig",
    "pieces",
    "project",
    "render",
    "resample_part",
    "sample_caption",
    "sample_scene",
    "visible_parts",
]
