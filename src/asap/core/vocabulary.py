"""The closed vocabularies of the project: categories, parts, sides, operations.

Every store column, caption, gate and judge uses these names, and no other code invents names. The five categories are
those of HAF-Bench (arXiv:2605.25759). The parts and operations are ours.
"""

from typing import Final, Literal, get_args

CATEGORIES: Final = ("basic_anatomy", "semantic_gesture", "self_interaction", "object_interaction", "full_body")
Scene = Literal["varied", "studio", "clear"]
SCENES: Final[tuple[Scene, ...]] = get_args(Scene)
"""Scenes of rendered people. ``varied``: any backdrop, light and camera. ``studio``: a plain backdrop, seen almost from
straight ahead. ``clear``: the studio with colours that separate every limb from the surfaces behind it.
"""
UNSPECIFIED: Final = "unspecified"
"""Category of a photograph without a category."""
UNKNOWN: Final = "unknown"
"""Part and operation of an imported pair whose source does not name them; its severity is 0."""
PARTS: Final = ("hand", "arm", "leg", "foot", "face", "torso", "neck")
SIDES: Final = ("left", "right", "none")
Operation = Literal[
    "extra",
    "missing",
    "fused",
    "split",
    "duplicated",
    "elongated",
    "shortened",
    "thickened",
    "reversed_joint",
    "twisted",
    "detached",
    "swapped_side",
    "misshapen",
]
OPERATIONS: Final[tuple[Operation, ...]] = get_args(Operation)
HIDING_OPERATIONS: Final = ("missing", "detached", "swapped_side")
"""Operations after which the edited part may be absent from its place, so that its visibility is unknown."""
SEVERITIES: Final = (1, 2, 3)
GATE_REASONS: Final = (
    "outside_differs",
    "background_ssim_low",
    "background_lpips_high",
    "edge_ssim_low",
    "area_too_large",
    "area_too_small",
    "side_too_short",
    "contrast_low",
    "region_ssim_high",
    "region_ssim_low",
    "region_lpips_low",
    "hidden",
    "not_equal",
)
"""Reasons for which a gate rejects a pair. Other reasons of a build say why no pair could be made."""
SCREEN_REASON: Final = "not_worse"
"""Reason for which a screen rejects a pair from a diffusion model: the rejected side may be correct."""
IdentityPool = Literal["pairs", "judge", "rank"]
"""Identity pools keep people apart: those of alignment pairs, of training pairs of judges, and of screens."""
KINDS: Final = ("defect", "null_pose", "null_equal")
"""Kinds of the rejected side: broken anatomy, a different but correct pose, or the same image."""

REGIONS: Final = (
    "background",
    "object",
    "head",
    "neck",
    "torso",
    "arm.L",
    "hand.L",
    "leg.L",
    "foot.L",
    "arm.R",
    "hand.R",
    "leg.R",
    "foot.R",
)
"""Names of the values of a part-id map (uint8): the index in this tuple is the value."""

REGION_PART: Final = {
    "head": "face",
    "neck": "neck",
    "torso": "torso",
    "arm.L": "arm",
    "arm.R": "arm",
    "hand.L": "hand",
    "hand.R": "hand",
    "leg.L": "leg",
    "leg.R": "leg",
    "foot.L": "foot",
    "foot.R": "foot",
}

PIECES: Final = (
    "background",
    "object",
    "torso",
    "neck",
    "head",
    "eye",
    "mouth",
    "upperarm",
    "lowerarm",
    "palm",
    *(f"finger{number}-{joint}" for number in range(1, 6) for joint in range(1, 4)),
    "upperleg",
    "lowerleg",
    "foot",
    *(f"toe{number}" for number in range(1, 6)),
)
"""Names of the values of a piece map (uint8), finer than ``REGIONS`` and the same for left and right."""
FINE_PIECES: Final = tuple(name for name in PIECES if name.startswith(("finger", "palm", "toe", "eye", "mouth")))
"""Pieces that are small in an image and important to viewers."""


def region_id(name: str) -> int:
    """Value of region ``name`` in a part-id map; raises ``ValueError`` for an unknown name."""
    return REGIONS.index(name)
