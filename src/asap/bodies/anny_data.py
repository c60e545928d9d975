"""What the rig takes from Anny, as numpy arrays from a cache file.

Importing Anny loads torch, which takes longer than most work of a process that renders people. So the arrays are read
from Anny once, and later processes read ``asap/bodies/anny-VERSION-FORMAT.safetensors`` in the user's cache folder.

Legend: V vertices, F triangles, B bones, W weights of a vertex, S blend shapes, K shapes of MakeHuman, P variations.
"""

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from asap.core.errors import InputError
from asap.core.files import make_folder, write_bytes
from asap.core.records import FloatArray, Floats, IntArray

__all__ = ["FEATURES", "PHENOTYPES", "AnnyData", "load_anny_data"]

PHENOTYPES: Final = ("gender", "age", "muscle", "weight", "height", "proportions")
FEATURES: Final = (*PHENOTYPES, "cupsize", "firmness")
"""Features with variations, in the order of the columns of ``AnnyData.mask`` after the three of race."""
FORMAT: Final = 1
"""Raise it when the content of the file changes."""
_MIDDLE: Final = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class AnnyData:
    """Metres, z up; arrays are float32 or int32, those of the shape coefficients float64."""

    faces: IntArray
    """(F, 3)."""
    vertices: FloatArray
    """(V, 3) of the template."""
    heads: FloatArray
    """(B, 3)."""
    tails: FloatArray
    """(B, 3)."""
    parents: IntArray
    """(B,) -1 for the root."""
    bone_indices: IntArray
    """(V, W)."""
    bone_weights: FloatArray
    """(V, W)."""
    vertices_basis: FloatArray
    """(S, 3V)."""
    heads_basis: FloatArray
    """(S, 3B)."""
    tails_basis: FloatArray
    """(S, 3B)."""
    mask: Floats
    """(K, P) 1 where a shape of MakeHuman belongs to a variation, for instance to ``old``."""
    projection: Floats
    """(K, S) from shapes of MakeHuman to blend shapes."""
    anchors: Floats
    """(P - 3,) values of the features at which the variations after race lie, in the order of ``mask``."""
    anchor_counts: IntArray
    """(8,) how many ``anchors`` each of ``FEATURES`` has."""
    labels: tuple[str, ...]
    """(B,) names of the bones."""

    def coefficients(self, phenotypes: Sequence[Mapping[str, float]]) -> FloatArray:
        """Weight of each blend shape (N, S) for N people, the same on every CPU.

        Args:
            phenotypes: values in [0, 1] for each name of ``PHENOTYPES``. Features not named there are 0.5, and the
                three races have the same weight, as in Anny by default.
        """
        rows = np.empty((len(phenotypes), self.mask.shape[1]))
        rows[:, :3] = _MIDDLE / (3 * _MIDDLE)
        ends = 3 + np.cumsum(self.anchor_counts)
        for name, end, count in zip(FEATURES, ends, self.anchor_counts, strict=True):
            values = np.array([np.float32(person.get(name, _MIDDLE)) for person in phenotypes], dtype=np.float64)
            rows[:, end - count : end] = _hats(values, self.anchors[end - count - 3 : end - 3])
        shares = _product(rows[:, None] * self.mask + (1 - self.mask))
        found: FloatArray = np.einsum("nk,ks->ns", shares, self.projection).astype(np.float32)
        return found


def _product(factors: Floats) -> Floats:
    """Product over the last of three axes, in the order in which torch multiplies float64 on a CPU with AVX2.

    Rounding depends on the order, torch's order on the CPU, and content hashes of stores on rounding.
    """
    lanes = factors[..., :16].reshape(*factors.shape[:2], 4, 4)
    pairs = (lanes[..., 0, :] * lanes[..., 1, :]) * (lanes[..., 2, :] * lanes[..., 3, :])
    out = np.ones(factors.shape[:2])
    for group in (pairs, factors[..., 16:]):
        for place in range(group.shape[-1]):
            out = out * group[..., place]
    return out


def _hats(values: Floats, anchors: Floats) -> Floats:
    """Weights (N, A) of linear interpolation between ``anchors``, which increase; values beyond them are clamped."""
    values = np.clip(values, anchors[0], anchors[-1])
    right = np.clip(np.searchsorted(anchors, values), 1, len(anchors) - 1)
    share = (values - anchors[right - 1]) / (anchors[right] - anchors[right - 1])
    out, rows = np.zeros((len(values), len(anchors))), np.arange(len(values))
    out[rows, right - 1], out[rows, right] = 1 - share, share
    return out


def load_anny_data() -> AnnyData:
    """Read the arrays from the cache file, or from Anny where there is none (some 40 s the first time on a machine).

    Only one process at a time reads Anny; others wait for its file.
    """
    path = _cache_file()
    if (known := _read(path)) is not None:
        return known
    try:
        make_folder(path.parent)
        with FileLock(path.with_suffix(".lock")):
            if (known := _read(path)) is None:
                known = _from_anny()
                _write(path, known)
    except (InputError, OSError):  # a folder that nobody can write only costs time
        known = known or _from_anny()
    return known


def _cache_file() -> Path:
    chosen = os.environ.get("XDG_CACHE_HOME")
    folder = Path(chosen) if chosen else Path.home() / ".cache"
    return folder / "asap" / "bodies" / f"anny-{version('anny')}-{FORMAT}.safetensors"


def _read(path: Path) -> AnnyData | None:
    """The arrays, or None if the file is absent or damaged."""
    try:
        with safe_open(path, "numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}
            labels = tuple(json.loads(file.metadata()["labels"]))
        return AnnyData(labels=labels, **arrays)
    except (OSError, SafetensorError, TypeError, KeyError, ValueError):
        return None


def _write(path: Path, data: AnnyData) -> None:
    arrays = {item.name: np.ascontiguousarray(getattr(data, item.name)) for item in fields(data)[:-1]}
    write_bytes(path, save(arrays, {"labels": json.dumps(data.labels)}))


def _from_anny() -> AnnyData:
    from asap.bodies.warp_runtime import start_warp

    start_warp()  # importing anny starts warp too, with a banner
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from anny import Anny, paths

        cache = paths.get_anny_cache_path()
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / "asap.lock"):  # Anny's own cache does not expect two writers
            model = Anny(rig="makehuman", skinning_method="lbs")
    anchors = [getattr(model.anchors, name).numpy() for name in FEATURES]
    shapes = (model.blendshapes, model.bone_heads_blendshapes, model.bone_tails_blendshapes)
    vertices_basis, heads_basis, tails_basis = (s.reshape(len(s), -1).numpy().astype(np.float32) for s in shapes)
    return AnnyData(
        faces=model.get_triangular_faces().numpy().astype(np.int32),
        vertices=model.template_vertices.numpy().astype(np.float32),
        heads=model.template_bone_heads.numpy().astype(np.float32),
        tails=model.template_bone_tails.numpy().astype(np.float32),
        parents=np.array(model.bone_parents, dtype=np.int32),
        bone_indices=model.vertex_bone_indices.numpy().astype(np.int32),
        bone_weights=model.vertex_bone_weights.numpy().astype(np.float32),
        vertices_basis=vertices_basis,
        heads_basis=heads_basis,
        tails_basis=tails_basis,
        mask=model.stacked_phenotype_blend_shapes_mask.numpy(),
        projection=model.phenotype_blendshape_projection.numpy(),
        anchors=np.concatenate(anchors),
        anchor_counts=np.array([len(a) for a in anchors], dtype=np.int32),
        labels=tuple(model.bone_labels),
    )
