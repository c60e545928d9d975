"""The closed vocabularies of the project: categories, parts, sides, operations.

Every store column, caption, gate and judge speaks these words; nothing else invents names. The five categories
are those of HAF-Bench (arXiv:2605.25759); the parts and operations are ours.
"""

from typing import Final

CATEGORIES: Final = ("basic_anatomy", "semantic_gesture", "self_interaction", "object_interaction", "full_body")
SCENES: Final = ("varied", "studio", "clear")
"""Around rendered people: any backdrop, light and camera; a plain backdrop seen from about straight ahead; or the
studio with colours that keep every limb apart from what lies behind it."""
UNSPECIFIED: Final = "unspecified"
"""Category of a photograph of which nobody said what it is about."""
UNKNOWN: Final = "unknown"
"""Part and operation of an imported pair whose source did not say what is wrong; its severity is 0."""
PARTS: Final = ("hand", "arm", "leg", "foot", "face", "torso", "neck")
SIDES: Final = ("left", "right", "none")
OPERATIONS: Final = (
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
)
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
"""Why a gate refuses a pair that was made; other reasons of a build say why none could be made."""
SCREEN_REASON: Final = "not_worse"
"""Why a screen refuses a pair that a diffusion model made: the rejected side may be right."""
IDENTITY_POOLS: Final = ("pairs", "judge", "rank")
"""Whose people pairs show: those that models are aligned with, that judges learn from, and that a screen does."""
KINDS: Final = ("defect", "null_pose", "null_equal")
"""What the rejected side is: broken anatomy, a different but correct pose, or the same image."""

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
"""Pieces that are small in an image and large in what people look at."""


def region_id(name: str) -> int:
    """Value of region ``name`` in a part-id map; raises ``ValueError`` for an unknown name."""
    return REGIONS.index(name)
