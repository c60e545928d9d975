"""The rig: the bodies of Anny as plain numpy arrays, and skinning.

Anny (Apache-2.0 code, CC0 MakeHuman data, github.com/naver/anny) provides shapes, bones and skinning weights
(``anny_data``). Posing is our own: each bone has one rotation in world axes relative to the rest pose, so a pose can
aim a forearm without knowing the local frame of the bone.

Legend: V vertices, F triangles, B bones, S blend shapes. Metres, z up, the person faces -y, their left is +x.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse

from asap.bodies.anny_data import AnnyData, load_anny_data
from asap.bodies.warp_runtime import start_warp
from asap.core.records import ByteArray, FloatArray, Floats, IntArray
from asap.core.vocabulary import region_id

_HAND = ("wrist", "metacarpal", "finger")
_ARM = ("upperarm", "lowerarm")
_LEG = ("upperleg", "lowerleg")
_FOOT = ("foot", "toe")
_TORSO = ("root", "pelvis", "spine", "breast", "clavicle", "shoulder")


@dataclass(frozen=True, kw_only=True)
class Rest:
    """Unposed shape of one person: vertices (V, 3), bone heads and tails (B, 3), all in metres."""

    vertices: FloatArray
    heads: FloatArray
    tails: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Rig:
    """Everything that all people share."""

    data: AnnyData
    faces: IntArray
    """(F, 3)."""
    labels: tuple[str, ...]
    parents: tuple[int, ...]
    index: Mapping[str, int]
    root: int
    levels: tuple[tuple[IntArray, IntArray], ...]
    """The bones one, two, three... steps from the root, each group with the parents of its bones."""
    level_of: tuple[int, ...]
    """(B,) steps of each bone from the root."""
    regions: ByteArray
    """(V,) index into ``vocabulary.REGIONS``."""
    dominant: IntArray
    """(V,) the bone that moves each vertex most."""
    bone_indices: IntArray
    bone_weights: FloatArray
    weights: sparse.csr_matrix
    """(V, B)."""
    template: Rest
    arm_along: FloatArray
    """(V,) 0 at the shoulder to 1 at the wrist, on arm and hand vertices."""
    leg_along: FloatArray
    """(V,) 0 at the hip to 1 at the ankle, on leg and foot vertices."""
    basis: tuple[FloatArray, FloatArray, FloatArray]
    """Blend shapes of vertices (S, 3V), heads (S, 3B) and tails (S, 3B)."""

    def rest(self, phenotypes: Sequence[Mapping[str, float]]) -> list[Rest]:
        """Unposed bodies for ``phenotypes``: values in [0, 1] for each name of ``anny_data.PHENOTYPES``."""
        coefficients = self.data.coefficients(phenotypes)
        arrays = []
        for template, basis in zip(
            (self.template.vertices, self.template.heads, self.template.tails), self.basis, strict=True
        ):
            arrays.append((coefficients @ basis).reshape(len(phenotypes), -1, 3) + template)
        return [Rest(vertices=v, heads=h, tails=t) for v, h, t in zip(*arrays, strict=True)]

    def pose(self, rest: Rest, pose: "Pose") -> tuple[FloatArray, FloatArray, FloatArray]:
        """Vertices (V, 3), bone poses (B, 4, 4) and bone tails (B, 3) of ``rest`` in ``pose``."""
        turns, heads = self.skeleton(rest, pose)
        offsets = heads - np.einsum("bij,bj->bi", turns, rest.heads)
        maps = np.concatenate([turns, offsets[:, :, None]], axis=2).reshape(len(turns), 12)
        blended = np.asarray(self.weights @ maps, dtype=np.float32).reshape(-1, 3, 4)
        vertices = np.einsum("vij,vj->vi", blended[:, :, :3], rest.vertices) + blended[:, :, 3]
        poses = np.tile(np.eye(4, dtype=np.float32), (len(turns), 1, 1))
        poses[:, :3, :3], poses[:, :3, 3] = turns, heads
        tails = np.einsum("bij,bj->bi", turns, rest.tails - rest.heads) + heads
        return vertices.astype(np.float32), poses, tails.astype(np.float32)

    def skeleton(self, rest: Rest, pose: "Pose") -> tuple[FloatArray, FloatArray]:
        """World rotation (B, 3, 3) and head position (B, 3) of every bone in ``pose``."""
        given: list[list[int]] = [[] for _ in range(len(self.levels) + 1)]
        for label in {**pose.local, **pose.world}:
            bone = self.index[label]
            given[self.level_of[bone]].append(bone)
        turns = np.empty((len(self.labels), 3, 3), dtype=np.float32)
        heads = np.empty((len(self.labels), 3), dtype=np.float32)
        turns[self.root], heads[self.root] = np.eye(3), rest.heads[self.root]
        self._turn(given[0], pose, turns)
        for (bones, parents), own in zip(self.levels, given[1:], strict=True):
            above = turns[parents]
            turns[bones] = above
            steps = rest.heads[bones] - rest.heads[parents]
            heads[bones] = heads[parents] + (above @ steps[:, :, None])[:, :, 0]
            self._turn(own, pose, turns)
        return turns, heads

    def _turn(self, bones: Sequence[int], pose: "Pose", turns: FloatArray) -> None:
        """Compute the rotations of ``bones`` from those of their parents in ``turns``."""
        for bone in bones:
            label = self.labels[bone]
            fixed = pose.world.get(label)
            turns[bone] = fixed if fixed is not None else turns[bone] @ pose.local[label]


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Rotations by bone label, in world axes of the rest pose.

    ``local`` rotates a bone relative to its parent. ``world`` sets its whole rotation and has priority over ``local``.
    """

    local: Mapping[str, Floats]
    world: Mapping[str, Floats]


def _region_of(label: str) -> str:
    name, _, side = label.partition(".")
    if name.startswith(_HAND):
        return f"hand.{side}"
    if name.startswith(_ARM):
        return f"arm.{side}"
    if name.startswith(_LEG):
        return f"leg.{side}"
    if name.startswith(_FOOT):
        return f"foot.{side}"
    if name.startswith("neck"):
        return "neck"
    return "torso" if name.startswith(_TORSO) else "head"


def _along(rest: Rest, index: Mapping[str, int], dominant: IntArray, regions: ByteArray, limb: str) -> FloatArray:
    parts, ends = {
        "arm": (("arm", "hand"), ("upperarm01", "lowerarm01", "wrist")),
        "leg": (("leg", "foot"), ("upperleg01", "lowerleg01", "foot")),
    }[limb]
    out = np.zeros(len(regions), dtype=np.float32)
    for side in "LR":
        a, b, c = (rest.heads[index[f"{end}.{side}"]] for end in ends)
        for start, stop, first, last in ((a, b, 0.0, 0.5), (b, c, 0.5, 1.0)):
            axis = stop - start
            share = (rest.vertices - start) @ axis / float(axis @ axis)
            value = first + (last - first) * share
            upper = np.array([label.startswith(("upper", "shoulder")) for label in index])[dominant]
            on_limb = np.isin(regions, [region_id(f"{part}.{side}") for part in parts])
            chosen = on_limb & (upper if first == 0.0 else ~upper)
            out[chosen] = value[chosen]
    return out


@lru_cache(maxsize=1)
def load_rig() -> Rig:
    """Load the rig; see ``load_anny_data`` for the time it takes. Starts warp, whose kernels pose bodies."""
    start_warp()
    data = load_anny_data()
    labels = data.labels
    index = {label: i for i, label in enumerate(labels)}
    template = Rest(vertices=data.vertices, heads=data.heads, tails=data.tails)
    parents = tuple(int(p) for p in data.parents)
    root, levels, level_of = _levels(parents)
    indices, weights = data.bone_indices, data.bone_weights
    dominant = indices[np.arange(len(indices)), weights.argmax(axis=1)]
    regions = np.array([region_id(_region_of(label)) for label in labels], dtype=np.uint8)[dominant]
    rows = np.repeat(np.arange(len(indices)), indices.shape[1])
    matrix = sparse.csr_matrix((weights.ravel(), (rows, indices.ravel())), shape=(len(indices), len(labels)))
    matrix.eliminate_zeros()
    return Rig(
        data=data,
        faces=data.faces,
        labels=labels,
        parents=parents,
        index=index,
        root=root,
        levels=levels,
        level_of=level_of,
        regions=regions,
        dominant=dominant,
        bone_indices=indices,
        bone_weights=weights,
        weights=matrix,
        template=template,
        arm_along=_along(template, index, dominant, regions, "arm"),
        leg_along=_along(template, index, dominant, regions, "leg"),
        basis=(data.vertices_basis, data.heads_basis, data.tails_basis),
    )


def _levels(parents: tuple[int, ...]) -> tuple[int, tuple[tuple[IntArray, IntArray], ...], tuple[int, ...]]:
    """The root, the bones of each further level with their parents, and the level of each bone."""
    level_of = {-1: -1}
    while len(level_of) <= len(parents):
        level_of.update({b: level_of[p] + 1 for b, p in enumerate(parents) if p in level_of})
    depths = tuple(level_of[bone] for bone in range(len(parents)))
    above = np.array(parents, dtype=np.int32)
    groups = [np.flatnonzero(np.array(depths) == level).astype(np.int32) for level in range(1, max(depths) + 1)]
    return parents.index(-1), tuple((bones, above[bones]) for bones in groups), depths
