"""People we can render: bodies, poses, gestures, clothes, camera, light, captions, and the truth beside each."""

from asap.bodies.keypoints import keypoints
from asap.bodies.pieces import pieces
from asap.bodies.render import project, render
from asap.bodies.rig import Rig, load_rig
from asap.bodies.sampling import Drawn, draw, draw_caption, redraw, visible_parts

__all__ = [
    "Drawn",
    "Rig",
    "draw",
    "draw_caption",
    "keypoints",
    "load_rig",
    "pieces",
    "project",
    "redraw",
    "render",
    "visible_parts",
]
