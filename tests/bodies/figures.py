"""Posed people and plain scenes for the tests of this room."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from asap.bodies import SampledScene, render
from asap.bodies.people import Person, paint_person, sample_person
from asap.bodies.rig import Pose, Rest, Rig
from asap.core.records import Background, Camera, Floats, Light, PosedBody, Prop, Scene
from asap.core.seeds import generator

PERSON: Person = sample_person(generator(3, "figures"), "someone")
GREY = Background(kind="plain", colours=((0.3, 0.3, 0.3), (0.3, 0.3, 0.3)), seed=0)
LIGHT = Light(direction=(0.0, -1.0, 0.0), intensity=0.7, ambient=0.5, softness=0.05)
FRONT = Camera(eye=(0.0, -5.0, 0.0), target=(0.0, 0.0, 0.0), up=(0.0, 0.0, 1.0), fov=0.5)
BEHIND = replace(FRONT, eye=(0.0, 5.0, 0.0))


def pose(*, local: Mapping[str, Floats] | None = None, world: Mapping[str, Floats] | None = None) -> Pose:
    """A pose from what it turns; nothing turns in the rest pose."""
    return Pose(local=local or {}, world=world or {})


def figure(rig: Rig, posed: Pose | None = None, rest: Rest | None = None, person: Person = PERSON) -> PosedBody:
    """The template's body, or ``rest``, in a pose."""
    vertices, poses, tails = rig.pose(rest or rig.template, posed or pose())
    return PosedBody(
        vertices=vertices,
        faces=rig.faces,
        colours=paint_person(rig, person),
        regions=rig.regions,
        bone_indices=rig.bone_indices,
        bone_weights=rig.bone_weights,
        bone_labels=rig.labels,
        bone_parents=rig.parents,
        bone_poses=poses,
        bone_tails=tails,
    )


def nobody(body: PosedBody) -> PosedBody:
    """``body`` without a triangle, for scenes of objects alone."""
    return replace(body, faces=np.zeros((0, 3), dtype=np.int32))


def scene(body: PosedBody, *props: Prop, camera: Camera = FRONT, light: Light = LIGHT) -> Scene:
    """``body`` and ``props`` before a plain grey background."""
    return Scene(body=body, props=props, camera=camera, light=light, background=GREY)


def spot(x: float, y: float, z: float) -> Floats:
    """A point or direction."""
    return np.array([x, y, z], dtype=np.float32)


def fingerprint(drawn: SampledScene) -> str:
    """Digest of a drawn body, its words and its image."""
    rendering = render(drawn.scene, 32)
    digest = hashlib.sha256(repr((drawn.truth, drawn.person, drawn.scene.camera, drawn.scene.light)).encode())
    for array in (drawn.scene.body.vertices, drawn.scene.body.colours, rendering.image, rendering.depth):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
