"""Piece maps: the phalanx, palm, eye or limb that each pixel of a rendered person shows."""

from functools import lru_cache
from typing import Final

import numpy as np

from asap.bodies.rig import Rig
from asap.core.records import ByteArray, Rendering
from asap.core.vocabulary import PIECES

__all__ = ["pieces"]

_BONES: Final = (
    ("finger", ""),
    ("toe", ""),
    ("metacarpal", "palm"),
    ("wrist", "palm"),
    ("upperarm", "upperarm"),
    ("lowerarm", "lowerarm"),
    ("upperleg", "upperleg"),
    ("lowerleg", "lowerleg"),
    ("foot", "foot"),
    ("neck", "neck"),
    ("eye", "eye"),
    ("orbicularis", "eye"),
    ("jaw", "mouth"),
    ("oris", "mouth"),
    ("tongue", "mouth"),
    ("levator", "mouth"),
    ("risorius", "mouth"),
    *((name, "torso") for name in ("root", "pelvis", "spine", "breast", "clavicle", "shoulder")),
)
"""Prefixes of bone names and the piece that they move. Finger and toe bones name their piece; other bones move the
head.
"""


def pieces(rendering: Rendering, rig: Rig) -> ByteArray:
    """(H, W) index into ``vocabulary.PIECES`` of the visible piece at each pixel of ``rendering``."""
    own = _of_vertices(rig)
    hit = rendering.vertices_hit
    found = np.where(hit < len(own), own[np.clip(hit, 0, len(own) - 1)], PIECES.index("object"))
    return np.where(hit < 0, PIECES.index("background"), found).astype(np.uint8)


@lru_cache(maxsize=1)
def _of_vertices(rig: Rig) -> ByteArray:
    """(V,) the piece of each vertex of the unedited body."""
    return np.array([PIECES.index(_piece(label)) for label in rig.labels], dtype=np.uint8)[rig.dominant]


def _piece(bone: str) -> str:
    name = bone.removesuffix(".L").removesuffix(".R")
    piece = next((piece or name for start, piece in _BONES if name.startswith(start)), "head")
    return piece.split("-")[0] if piece.startswith("toe") else piece
