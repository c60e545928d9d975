"""Records that packages exchange: frozen, keyword-only dataclasses of numpy arrays and plain values.

Legend: V vertices, F triangles, B bones, K bones that move one vertex, H and W pixels.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]
ByteArray = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating[Any]]
"""Float array of any precision, for intermediate results. Records use ``FloatArray``."""
Ints = npt.NDArray[np.integer[Any]]
"""Integer array of any size, for intermediate results."""


@dataclass(frozen=True, kw_only=True)
class PosedBody:
    """A person as a posed triangle mesh with its rig, in the world frame (metres, z up, the person faces -y).

    ``bone_poses[b]`` maps the bone's local frame to the world (4x4 rigid); its translation is the bone's head.
    """

    vertices: FloatArray
    """(V, 3) metres."""
    faces: IntArray
    """(F, 3) vertex indices, counter-clockwise from outside."""
    colours: FloatArray
    """(V, 3) linear-light albedo in [0, 1]: skin, clothes, hair."""
    regions: ByteArray
    """(V,) index into ``vocabulary.REGIONS``."""
    bone_indices: IntArray
    """(V, K) indices of the bones that move each vertex."""
    bone_weights: FloatArray
    """(V, K) skinning weights, rows sum to 1."""
    bone_labels: tuple[str, ...]
    """B names such as ``finger2-1.L`` (finger 1 is the thumb; joint 1 is the knuckle), ``upperarm01.R``, ``head``."""
    bone_parents: tuple[int, ...]
    """B parent indices, -1 for the root."""
    bone_poses: FloatArray
    """(B, 4, 4) world pose of each bone."""
    bone_tails: FloatArray
    """(B, 3) world position of the far end of each bone."""


@dataclass(frozen=True, kw_only=True)
class Prop:
    """A rigid object of the scene (ball, cup, stick...): triangles with colours, in the world frame."""

    name: str
    vertices: FloatArray
    """(V, 3) metres."""
    faces: IntArray
    """(F, 3)."""
    colours: FloatArray
    """(V, 3) linear albedo in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A pinhole camera at ``eye`` that looks at ``target``; ``fov`` is the vertical field of view in radians."""

    eye: tuple[float, float, float]
    target: tuple[float, float, float]
    up: tuple[float, float, float]
    fov: float


@dataclass(frozen=True, kw_only=True)
class Light:
    """One directional key light with soft shadow over a constant ambient term."""

    direction: tuple[float, float, float]
    """Unit vector from the scene to the light."""
    intensity: float
    """Key radiance, 0 to 2."""
    ambient: float
    """Ambient radiance, 0 to 1."""
    softness: float
    """Angular radius of the light in radians, 0 (hard) to 0.3."""


@dataclass(frozen=True, kw_only=True)
class Background:
    """A procedural background: ``kind`` is one of plain, gradient, stripes, checks, noise, horizon."""

    kind: str
    colours: tuple[tuple[float, float, float], ...]
    """Linear RGB in [0, 1]."""
    seed: int


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything that a renderer needs for one image."""

    body: PosedBody
    props: tuple[Prop, ...]
    camera: Camera
    light: Light
    background: Background


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """One rendered image and its exact ground truth; arrays are (H, W, ...)."""

    image: ByteArray
    """(H, W, 3) sRGB."""
    regions: ByteArray
    """(H, W) index into ``vocabulary.REGIONS``."""
    depth: FloatArray
    """(H, W) metres along the ray, inf where nothing is hit."""
    normals: FloatArray
    """(H, W, 3) unit normals in the world frame, 0 where nothing is hit."""
    vertices_hit: IntArray
    """(H, W) index of the nearest vertex of the triangle hit (body vertices first, then props), -1 for background."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """An edit of one part of a person. A ``kind`` other than "defect" has operation "none" and severity 0."""

    kind: str
    part: str
    side: str
    operation: str
    severity: int
    detail: dict[str, float | int | str] = field(default_factory=dict)
    """Sampled parameters (angle in radians, factor, finger, ...) that describe the edit."""


@dataclass(frozen=True, kw_only=True)
class EditedBody:
    """An edited body, the edit, and which vertices moved or are new (V', bool)."""

    body: PosedBody
    edit: Edit
    touched: BoolArray
    """(V',) True where a vertex moved, is new, or borders faces that were removed."""


@dataclass(frozen=True, kw_only=True)
class SceneTruth:
    """Facts of a sampled person that captions and judges use; plain values only, JSON-ready."""

    person: str
    """Stable id of the person: same phenotype, skin, clothes and hair."""
    category: str
    caption: str
    attributes: dict[str, str]
    """Caption attributes: skin, background, clothes, framing, gesture, fingers (count as text or "")..."""
    visible_parts: tuple[str, ...]
    """Parts (``vocabulary.PARTS``) that the caption asks for and the camera shows."""
    seed: int


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """Values measured on a pair, and the reasons for its rejection (empty if it is accepted)."""

    values: dict[str, float]
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PairRecord:
    """One row of a pair store: chosen and rejected images, their mask and all their metadata."""

    uid: str
    """Stable id, derived from seed and index."""
    index: int
    prompt: str
    chosen: ByteArray
    """(H, W, 3) sRGB."""
    rejected: ByteArray
    """(H, W, 3) sRGB."""
    mask: ByteArray
    """(H, W) 255 inside the touched region, 0 outside."""
    regions: ByteArray
    """(H, W) part-id map of the chosen image."""
    edit: Edit
    truth: SceneTruth
    box: tuple[int, int, int, int]
    """x0, y0, x1, y1 of the mask in pixels, end exclusive."""
    gates: GateResult
    keypoints: FloatArray
    """(N, 3) x, y in pixels and visibility (0 absent, 1 hidden, 2 seen), order of ``wholebody.KEYPOINTS``."""
    split: str
    """train, val or test; a person is in one split only."""
    recipe: dict[str, float | int | str]
    source: str = ""
    """Name of the source photograph; empty for rendered people."""
    parents: tuple[str, ...] = ()
