"""Mesh operations: copies of patches, cuts with rounded stumps, caps and covers. Plain arrays, no skeleton.

Legend: V vertices, F triangles, K bones that move one vertex, L vertices of a boundary loop, P selected vertices.
"""

from dataclasses import dataclass

import numpy as np

from asap.core.records import BoolArray, ByteArray, FloatArray, IntArray

_RINGS = 4
"""Rings between the rim and the apex of a cap. Four are round enough at 512 pixels."""


@dataclass(kw_only=True)
class Mesh:
    """A mutable triangle mesh, used inside ``degrade`` only."""

    vertices: FloatArray
    """(V, 3) metres."""
    faces: IntArray
    """(F, 3), counter-clockwise from outside."""
    colours: FloatArray
    """(V, 3)."""
    regions: ByteArray
    """(V,)."""
    bone_indices: IntArray
    """(V, K)."""
    bone_weights: FloatArray
    """(V, K)."""

    def select(self, chosen: BoolArray) -> "Mesh":
        """A new mesh of the faces whose three vertices are all in ``chosen`` (V,)."""
        return self.only(np.asarray(chosen[self.faces].all(axis=1), dtype=bool))

    def only(self, face_mask: BoolArray) -> "Mesh":
        """A new mesh of the faces in ``face_mask`` (F,), with its own vertex indices."""
        faces = self.faces[face_mask]
        kept = np.zeros(len(self.vertices), dtype=bool)
        kept[faces.ravel()] = True
        renumber = (np.cumsum(kept) - 1).astype(np.int32)
        return Mesh(
            vertices=self.vertices[kept],
            faces=renumber[faces],
            colours=self.colours[kept],
            regions=self.regions[kept],
            bone_indices=self.bone_indices[kept],
            bone_weights=self.bone_weights[kept],
        )

    def append(self, other: "Mesh") -> None:
        """Append the vertices and faces of ``other``."""
        start = np.int32(len(self.vertices))
        self.vertices = np.concatenate([self.vertices, other.vertices])
        self.faces = np.concatenate([self.faces, other.faces + start])
        self.colours = np.concatenate([self.colours, other.colours])
        self.regions = np.concatenate([self.regions, other.regions])
        self.bone_indices = np.concatenate([self.bone_indices, other.bone_indices])
        self.bone_weights = np.concatenate([self.bone_weights, other.bone_weights])


def boundary_loops(faces: IntArray) -> list[IntArray]:
    """Closed vertex loops along the open rim of ``faces`` (F, 3), each in the direction of its faces."""
    if not len(faces):
        return []
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    size = int(faces.max()) + 1
    codes = edges[:, 0] * size + edges[:, 1]
    opposite = edges[:, 1] * size + edges[:, 0]
    open_edges = edges[~np.isin(codes, opposite)]
    following: dict[int, list[int]] = {}
    for start, stop in open_edges.tolist():
        following.setdefault(start, []).append(stop)
    loops = []
    while following:
        first = next(iter(following))
        loop, here = [], first
        while here in following:
            loop.append(here)
            step = following[here].pop()
            if not following[here]:
                del following[here]
            here = step
        loops.append(np.array(loop, dtype=np.int32))
    return loops


def cap(mesh: Mesh, loop: IntArray, outward: FloatArray, height: float) -> None:
    """Close the rim ``loop`` (L,) with a dome along ``outward`` (3,), ``height`` times the radius of the rim high."""
    rim = mesh.vertices[loop]
    centre = rim.mean(axis=0)
    radius = float(np.linalg.norm(rim - centre, axis=1).mean())
    count, start = len(loop), len(mesh.vertices)
    rings, previous, faces = [], loop, []
    for ring in range(1, _RINGS):
        angle = ring / _RINGS * np.pi / 2
        rise = outward * np.float32(height * radius * np.sin(angle))
        current = np.arange(start, start + count, dtype=np.int32)
        rings.append(centre + (rim - centre) * np.float32(np.cos(angle)) + rise)
        ahead, ahead_new = np.roll(previous, -1), np.roll(current, -1)
        faces += [np.stack([ahead, previous, current], 1), np.stack([ahead, current, ahead_new], 1)]
        previous, start = current, start + count
    rings.append((centre + outward * np.float32(height * radius))[None])
    faces.append(np.stack([np.roll(previous, -1), previous, np.full_like(previous, start)], 1))
    mesh.vertices = np.concatenate([mesh.vertices, *rings]).astype(np.float32)
    mesh.faces = np.concatenate([mesh.faces, *faces]).astype(np.int32)
    source = np.append(np.tile(loop, _RINGS - 1), loop[:1])
    mesh.colours = np.concatenate([mesh.colours, mesh.colours[source]])
    mesh.regions = np.concatenate([mesh.regions, mesh.regions[source]])
    mesh.bone_indices = np.concatenate([mesh.bone_indices, mesh.bone_indices[source]])
    mesh.bone_weights = np.concatenate([mesh.bone_weights, mesh.bone_weights[source]])


def cap_all(mesh: Mesh, outward: FloatArray, height: float) -> None:
    """Close every rim of ``mesh`` with a dome along ``outward`` (3,)."""
    for loop in boundary_loops(mesh.faces):
        if len(loop) > 2:
            cap(mesh, loop, outward, height)


def cut(mesh: Mesh, limb: BoolArray, point: FloatArray, normal: FloatArray, height: float) -> Mesh:
    """Cut off the part of ``limb`` (V,) beyond the plane at ``point`` with unit ``normal``; return the piece.

    The stump gets a dome of relative ``height``. The piece, which is a separate and possibly empty mesh, gets a dome in
    the other direction. The rims are moved onto the plane, so that the cut is round. No vertex of ``mesh`` is
    renumbered.
    """
    beyond = limb & ((mesh.vertices - point) @ normal > 0)
    count = beyond[mesh.faces].sum(axis=1)
    piece = mesh.only(count == 3)
    # the rim of the stump is the reversed rim of the piece, which has far fewer faces to search
    rims = [loop[::-1] for loop in boundary_loops(mesh.faces[count > 0]) if len(loop) > 2]
    rims = [loop for loop in rims if not beyond[loop].any()]  # not the open end of a cropped body
    mesh.faces = mesh.faces[count == 0]
    for loop in rims:
        offset = (mesh.vertices[loop] - point) @ normal
        mesh.vertices[loop] -= offset[:, None] * normal
        cap(mesh, loop, normal, height)
    for loop in boundary_loops(piece.faces):
        offset = (piece.vertices[loop] - point) @ normal
        piece.vertices[loop] -= offset[:, None] * normal
        if len(loop) > 2:
            cap(piece, loop, -normal, height)
    return piece


def cover(mesh: Mesh, chosen: BoolArray, outward: FloatArray) -> None:
    """Replace the skin at ``chosen`` (V,) with a smooth patch over its outer rim, slightly raised along ``outward``.

    Hollows behind it (mouth, nostril, eye socket) stay where they are, hidden.
    """
    gone = chosen[mesh.faces].any(axis=1)
    rims = [loop[::-1] for loop in boundary_loops(mesh.faces[gone]) if len(loop) > 2]
    if not rims:
        return
    mesh.faces = mesh.faces[~gone]
    extents = [float(np.ptp(mesh.vertices[loop], axis=0).sum()) for loop in rims]
    # the rims of hollows behind the skin can be as wide as its own rim, but they lie deeper
    large = [loop for loop, extent in zip(rims, extents, strict=True) if extent > 0.6 * max(extents)]
    front = max(large, key=lambda loop: float((mesh.vertices[loop] @ outward).mean()))
    cap(mesh, front, outward, 0.12)


def relax(mesh: Mesh, chosen: BoolArray, rounds: int = 30) -> None:
    """Smooth positions and colours of the skin at ``chosen`` (V,) between its neighbours. Other vertices do not move.

    Jacobi iterations on the graph Laplacian are fast for some hundreds of vertices, and the patch need not be exact.
    """
    near = mesh.faces[chosen[mesh.faces].any(axis=1)]
    ids, flat = np.unique(near, return_inverse=True)
    faces = flat.reshape(near.shape)
    inside = chosen[ids]
    sources = np.concatenate([faces.ravel(), faces[:, [1, 2, 0]].ravel()])
    targets = np.concatenate([faces[:, [1, 2, 0]].ravel(), faces.ravel()])
    values = np.concatenate([mesh.vertices[ids], mesh.colours[ids]], axis=1)
    counts = np.bincount(targets, minlength=len(ids))
    # sorted targets allow one reduceat per iteration instead of a slow scatter; every id is in a face, so none is empty
    gathered, starts = sources[np.argsort(targets, kind="stable")], np.cumsum(counts) - counts
    for _ in range(rounds):
        values[inside] = (np.add.reduceat(values[gathered], starts, axis=0) / counts[:, None])[inside]
    mesh.vertices[ids[inside]] = values[inside, :3].astype(np.float32)
    mesh.colours[ids[inside]] = values[inside, 3:].astype(np.float32)
