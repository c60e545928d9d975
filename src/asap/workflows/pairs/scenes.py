"""Rendered people as subjects of pairs: one image of a person, the parts it shows, and one edit of it.

Importing this loads warp, so producers import it where they propose.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from asap import bodies, degrade
from asap.bodies import SampledScene
from asap.core.records import BoolArray, Edit, FloatArray, Rendering, Scene, SceneTruth
from asap.core.seeds import generator
from asap.core.vocabulary import REGION_PART, region_id
from asap.workflows.pairs.candidate import Refusal

__all__ = ["EditedScene", "Subject", "edit_scene", "kind_of", "subject"]

_SIDE = {"L": "left", "R": "right", "": "none"}
_LEAST_SHARE = {"hand": 0.004, "foot": 0.004, "face": 0.006, "neck": 0.004}
"""Share of the image that a part must cover to be edited; 0.004 for others."""
_NULL_EQUAL = 0.25
"""Share of the null pairs whose sides are equal."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One rendered image of a person."""

    sampled: SampledScene
    rendering: Rendering
    visible: tuple[tuple[str, str], ...]
    """(part, side) of every part that the caption asks for and the camera shows on that side."""

    @property
    def truth(self) -> SceneTruth:
        """What is known of the person, with the parts that the image shows."""
        truth = self.sampled.truth
        return replace(truth, visible_parts=bodies.visible_parts(truth, self.rendering.regions))

    @property
    def keypoints(self) -> FloatArray:
        """(133, 3) x, y and visibility."""
        return bodies.keypoints(self.sampled.scene.body, self.sampled.scene.camera, self.rendering)


@lru_cache(maxsize=16)
def subject(seed: int, identity_pool: str, index: int, scene: str, size: int) -> Subject:
    """The image ``index`` of a pool; kept for the further attempts at it."""
    sampled = bodies.sample_scene(bodies.load_rig(), seed, identity_pool, index, scene=scene)
    rendering = bodies.render(sampled.scene, size)
    return Subject(sampled=sampled, rendering=rendering, visible=tuple(_visible(sampled, rendering)))


def _visible(sampled: SampledScene, rendering: Rendering) -> list[tuple[str, str]]:
    shown = bodies.visible_parts(sampled.truth, rendering.regions)
    shares = np.bincount(rendering.regions.ravel(), minlength=16) / rendering.regions.size
    return [
        (part, _SIDE[region.partition(".")[2]])
        for region, part in REGION_PART.items()
        if part in shown and shares[region_id(region)] >= _LEAST_SHARE.get(part, 0.004)
    ]


def kind_of(seed: int, identity_pool: str, index: int, null_share: float) -> str:
    """Which kind of rejected side image ``index`` gets, however many attempts it takes."""
    first, second = generator(seed, identity_pool, "kind", index).random(2)
    if first >= null_share:
        return "defect"
    return "null_equal" if second < _NULL_EQUAL else "null_pose"


@dataclass(frozen=True, kw_only=True)
class EditedScene:
    """The scene of the rejected side."""

    scene: Scene
    edit: Edit
    touched: BoolArray | None
    """(V,) vertices that the edit touched; None for null edits."""

    def render(self, chosen: Subject, size: int) -> Rendering:
        """Its image; that of ``chosen`` where nothing was edited."""
        return chosen.rendering if self.edit.kind == "null_equal" else bodies.render(self.scene, size)

    def touched_pixels(self, chosen: Subject, rejected: Rendering) -> BoolArray | None:
        """(H, W) where a touched vertex is seen on either side; None for null edits."""
        if self.touched is None:
            return None
        out = np.zeros(rejected.regions.shape, dtype=bool)
        for scene, rendering in ((chosen.sampled.scene, chosen.rendering), (self.scene, rejected)):
            flags = np.zeros(len(scene.body.vertices) + sum(len(p.vertices) for p in scene.props) + 1, dtype=bool)
            own = min(len(scene.body.vertices), len(self.touched))
            flags[:own] = self.touched[:own]
            out |= flags[rendering.vertices_hit]
        return out


def edit_scene(
    chosen: Subject, kind: str, operations: tuple[str, ...], rng: np.random.Generator
) -> EditedScene | Refusal:
    """One edit of a visible part, or why there is none. ``operations`` is empty for all."""
    sampled = chosen.sampled
    if kind == "defect":
        body, visible = sampled.scene.body, chosen.visible
        if operations and not any(
            (part, name) in degrade.OPERATION_TABLE for part, _ in visible for name in operations
        ):
            return Refusal("no_operation_fits", final=True)
        part, side, operation, severity = degrade.sample_edit(body, visible, rng, operations=operations or None)
        edited = degrade.apply(body, part, side, operation, severity, rng)
        return EditedScene(scene=replace(sampled.scene, body=edited.body), edit=edited.edit, touched=edited.touched)
    part, side = chosen.visible[int(rng.integers(len(chosen.visible)))]
    edit = Edit(kind=kind, part=part, side=side, operation="none", severity=0)
    if kind == "null_equal":
        return EditedScene(scene=sampled.scene, edit=edit, touched=None)
    scene = bodies.resample_part(bodies.load_rig(), sampled, part, side, int(rng.integers(2**31)))
    return Refusal("no_other_pose") if scene is None else EditedScene(scene=scene, edit=edit, touched=None)
