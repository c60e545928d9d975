"""An editable body: mesh, joints and skin weights, and the deformations from which all operations are built.

Only joint positions (bone heads and tails) are read, never the local axes of a bone, so any rig with these bone names
works. Legend: V vertices, B bones, N points.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from asap.core.errors import InputError
from asap.core.records import BoolArray, Edit, EditedBody, FloatArray, Floats, IntArray, PosedBody
from asap.degrade.mesh import Mesh

_TINY = 1e-9
_MOVED = 1e-5
"""Metres; a smaller displacement is rounding."""


def unit(vector: Floats) -> FloatArray:
    """``vector`` (3,) scaled to length 1; the zero vector stays zero."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), _TINY), dtype=np.float32)


def ramp(values: Floats, low: float, high: float) -> FloatArray:
    """Smooth step: 0 below ``low``, 1 above ``high``."""
    share = np.clip((values - low) / (high - low), 0.0, 1.0)
    return np.asarray(share * share * (3 - 2 * share), dtype=np.float32)


def rotate(points: FloatArray, pivot: FloatArray, axis: FloatArray, angle: FloatArray | float) -> FloatArray:
    """Rotate ``points`` (N, 3) about the line through ``pivot`` along unit ``axis`` by ``angle`` radians."""
    turn = np.broadcast_to(np.asarray(angle, dtype=np.float32), (len(points),))[:, None]
    arm = points - pivot
    along = (arm @ axis)[:, None] * axis
    turned = along + (arm - along) * np.cos(turn) + np.cross(np.broadcast_to(axis, arm.shape), arm) * np.sin(turn)
    return np.asarray((pivot + turned).astype(np.float32), dtype=np.float32)


def axis_angle_between(start: FloatArray, stop: FloatArray, fallback_axis: FloatArray) -> tuple[FloatArray, float]:
    """Axis and angle of the rotation from ``start`` to ``stop``; ``fallback_axis`` serves opposite directions."""
    a, b = unit(start), unit(stop)
    axis = np.cross(a, b)
    sine, cosine = float(np.linalg.norm(axis)), float(a @ b)
    return (unit(axis) if sine > 1e-4 else unit(fallback_axis)), float(np.arctan2(sine, cosine))


@lru_cache(maxsize=8)
def _descendants(parents: tuple[int, ...]) -> BoolArray:
    """(B, B) True where the second bone is the first or one of its descendants."""
    tree = np.eye(len(parents), dtype=bool)
    for bone in range(len(parents)):
        above = parents[bone]
        while above >= 0:
            tree[above, bone] = True
            above = parents[above]
    return tree


def _share(below: BoolArray, indices: IntArray, weights: FloatArray) -> FloatArray:
    """(V,) sum of the ``weights`` (V, K) of the bones that are True in ``descendants`` (B,)."""
    inside = below.astype(np.float32)[indices]
    return np.asarray(np.clip(np.einsum("vk,vk->v", inside, weights), 0.0, 1.0), dtype=np.float32)


_LAST: list[tuple[PosedBody, dict[str, FloatArray]]] = []


def _skin_cache(body: PosedBody) -> dict[str, FloatArray]:
    """Cache of skin weights by bone for ``body``. Bodies of one rig share skin and bones, so they share the cache."""
    if _LAST:
        last, shares = _LAST[0]
        skin = last.bone_indices is body.bone_indices and last.bone_weights is body.bone_weights
        if skin and last.bone_labels == body.bone_labels and last.bone_parents == body.bone_parents:
            return shares
    _LAST[:] = [(body, {})]
    return _LAST[0][1]


class EditableBody:
    """A mutable copy of ``body``. The original is never written to."""

    def __init__(self, body: PosedBody) -> None:
        """Copy everything that operations may change."""
        self.original = body
        self.mesh = Mesh(
            vertices=body.vertices.astype(np.float32, copy=True),
            faces=body.faces.astype(np.int32, copy=True),
            colours=body.colours.astype(np.float32, copy=True),
            regions=body.regions.copy(),
            bone_indices=body.bone_indices.copy(),
            bone_weights=body.bone_weights.copy(),
        )
        self.heads = body.bone_poses[:, :3, 3].astype(np.float32, copy=True)
        self.tails = body.bone_tails.astype(np.float32, copy=True)
        self._index = {label: number for number, label in enumerate(body.bone_labels)}
        self._tree = _descendants(tuple(body.bone_parents))
        self._weights: dict[tuple[str, int], FloatArray] = {}

    def bone(self, label: str) -> int:
        """Index of bone ``label``; ``InputError`` if this rig lacks it."""
        if label not in self._index:
            raise InputError(f"the rig has no bone {label!r}, which this operation needs; use a rig with that bone")
        return self._index[label]

    def has(self, label: str) -> bool:
        """Whether the rig has bone ``label``."""
        return label in self._index

    def head(self, label: str) -> FloatArray:
        """Position (3,) of the near joint of ``label``."""
        return np.array(self.heads[self.bone(label)], dtype=np.float32)

    def tail(self, label: str) -> FloatArray:
        """Position (3,) of the far end of ``label``."""
        return np.array(self.tails[self.bone(label)], dtype=np.float32)

    def descendants(self, label: str) -> BoolArray:
        """(B,) True for ``label`` and all its descendants."""
        return np.asarray(self._tree[self.bone(label)], dtype=bool)

    def weight(self, label: str) -> FloatArray:
        """(V,) share of each vertex that moves with ``label`` and its descendants, in [0, 1]; read-only."""
        count = len(self.mesh.vertices)
        key = (label, count)
        if key not in self._weights:
            own, below = _skin_cache(self.original), self.descendants(label)
            if label not in own:
                own[label] = _share(below, self.original.bone_indices, self.original.bone_weights)
            first = len(self.original.vertices)
            more = _share(below, self.mesh.bone_indices[first:], self.mesh.bone_weights[first:])
            share = np.concatenate([own[label], more]) if count > first else own[label]
            share.flags.writeable = False
            self._weights[key] = share
        return self._weights[key]

    def moving_vertices(self, label: str) -> npt.NDArray[np.intp]:
        """Indices of the vertices that move with ``label`` at all."""
        return np.flatnonzero(self.weight(label) > 0)

    def joints(self, chain: Sequence[str], end: str | None) -> FloatArray:
        """(n + 1, 3) joints along ``chain``: the head of each bone, then the head of ``end`` or the last tail."""
        last = self.head(end) if end is not None else self.tail(chain[-1])
        return np.stack([*(self.head(label) for label in chain), last])

    def rotate_limb(self, label: str, axis: FloatArray, angle: float, pivot: FloatArray | None = None) -> None:
        """Rotate the limb from ``label`` outwards about its joint (or ``pivot``).

        Skin near the joint follows in part.
        """
        centre = self.head(label) if pivot is None else pivot
        rows = self.moving_vertices(label)
        turn = self.weight(label)[rows] * np.float32(angle)
        self.mesh.vertices[rows] = rotate(self.mesh.vertices[rows], centre, axis, turn)
        inside = self.descendants(label)
        self.heads[inside] = rotate(self.heads[inside], centre, axis, angle)
        self.tails[inside] = rotate(self.tails[inside], centre, axis, angle)

    def rotate_limb_towards(
        self, label: str, end: FloatArray, direction: FloatArray, fallback_axis: FloatArray, share: float = 1.0
    ) -> None:
        """Rotate ``label`` so that its line to the point ``end`` covers ``share`` of the angle to ``direction``."""
        axis, angle = axis_angle_between(end - self.head(label), direction, fallback_axis)
        self.rotate_limb(label, axis, angle * share)

    def stretch(self, chain: Sequence[str], end: str | None, factor: float) -> None:
        """Scale the length of each bone of ``chain`` by ``factor``. Everything beyond the chain is translated."""
        joints = self.joints(chain, end)
        moves = np.diff(joints, axis=0) * np.float32(factor - 1)
        followers = [*chain[1:], end]
        rows = self.moving_vertices(chain[0])
        start, moved = self.mesh.vertices[rows], np.zeros((len(rows), 3), dtype=np.float32)
        heads, tails = self.heads.copy(), self.tails.copy()
        for number, (label, after) in enumerate(zip(chain, followers, strict=True)):
            segment = joints[number + 1] - joints[number]
            beyond = self.weight(after)[rows] if after is not None else np.zeros(len(start), dtype=np.float32)
            own = np.clip(self.weight(label)[rows] - beyond, 0.0, 1.0)
            top = 1.0 if after is not None else 1.4
            along = np.clip((start - joints[number]) @ segment / max(float(segment @ segment), _TINY), 0.0, top)
            moved += (own * along + beyond)[:, None] * moves[number]
            if after is not None:
                inside = self.descendants(after)
                heads[inside] += moves[number]
                tails[inside] += moves[number]
            else:
                tails[self.bone(label)] += moves[number]
        self.mesh.vertices[rows] = start + moved
        self.heads, self.tails = heads, tails

    def inflate(self, chain: Sequence[str], end: str | None, gain: float) -> None:
        """Scale the girth of each bone of ``chain`` by ``gain``. The effect fades out at the end of the chain."""
        joints = self.joints(chain, end)
        rows = self.moving_vertices(chain[0])
        start, moved = self.mesh.vertices[rows], np.zeros((len(rows), 3), dtype=np.float32)
        for number, (label, after) in enumerate(zip(chain, [*chain[1:], end], strict=True)):
            beyond = self.weight(after)[rows] if after is not None else np.float32(0)
            own = np.clip(self.weight(label)[rows] - beyond, 0.0, 1.0)
            segment = joints[number + 1] - joints[number]
            along = np.clip((start - joints[number]) @ segment / max(float(segment @ segment), _TINY), 0.0, 1.0)
            radial = start - joints[number] - along[:, None] * segment
            moved += own[:, None] * radial * np.float32(gain - 1)
        self.mesh.vertices[rows] = start + moved

    def twist(self, chain: Sequence[str], end: str, angle: float) -> None:
        """Twist ``chain`` about its line: by 0 at its start, by ``angle`` at ``end`` and beyond."""
        start, stop = self.head(chain[0]), self.head(end)
        axis = unit(stop - start)
        length = max(float(np.linalg.norm(stop - start)), _TINY)
        along = (self.mesh.vertices - start) @ axis / np.float32(length)
        beyond = self.weight(end)
        share = np.maximum((self.weight(chain[0]) - beyond) * ramp(along, 0.05, 0.95) + beyond, 0.0).astype(np.float32)
        self.mesh.vertices = rotate(self.mesh.vertices, start, axis, share * np.float32(angle))
        inside = self.descendants(end)
        self.heads[inside] = rotate(self.heads[inside], start, axis, angle)
        self.tails[inside] = rotate(self.tails[inside], start, axis, angle)

    def scale(self, share: FloatArray, centre: FloatArray, axes: FloatArray, factors: Sequence[float]) -> None:
        """Scale about ``centre`` along the rows of orthonormal ``axes`` (3, 3) by ``factors`` times ``share``."""
        local = (self.mesh.vertices - centre) @ axes.T
        grown = local * (np.asarray(factors, dtype=np.float32) - 1)
        self.mesh.vertices += share[:, None] * (grown @ axes)

    def finish(self, edit: Edit) -> EditedBody:
        """The edited body as a record. Bone poses stay those of the unedited person."""
        mesh, before = self.mesh, self.original
        count = len(before.vertices)
        touched = np.ones(len(mesh.vertices), dtype=bool)
        moved = np.linalg.norm(mesh.vertices[:count] - before.vertices, axis=1) > _MOVED
        recoloured = np.abs(mesh.colours[:count] - before.colours).max(axis=1) > _MOVED
        touched[:count] = moved | recoloured | self._lost_faces(count)
        body = PosedBody(
            vertices=mesh.vertices.astype(np.float32),
            faces=mesh.faces.astype(np.int32),
            colours=mesh.colours.astype(np.float32),
            regions=mesh.regions.astype(np.uint8),
            bone_indices=mesh.bone_indices.astype(np.int32),
            bone_weights=mesh.bone_weights.astype(np.float32),
            bone_labels=before.bone_labels,
            bone_parents=before.bone_parents,
            bone_poses=before.bone_poses.copy(),
            bone_tails=before.bone_tails.copy(),
        )
        return EditedBody(body=body, edit=edit, touched=touched)

    def _lost_faces(self, count: int) -> BoolArray:
        """(count,) True for vertices that have fewer faces than before."""
        before = np.bincount(self.original.faces.ravel(), minlength=count)
        after = np.bincount(self.mesh.faces.ravel(), minlength=count)[:count]
        return np.asarray(after < before)
