"""Which operation makes sense on which part, how often, and which function does it.

A weight is the share of generated images with that fault, where it was counted (300 expert-annotated images, see
``docs``: misshapen hand 0.71, misshapen face 0.49, limb of wrong proportion 0.48, misshapen limb 0.41, missing hand or
finger 0.40, wrongly oriented limb 0.29, extra finger or hand 0.19). A count for several cells is divided among them;
where nothing was counted the weight is our choice, set so that the parts come near their own counts (hands 0.91, limbs
0.75, face 0.62, torso 0.42, feet 0.36).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from asap.degrade.deform import misshapen
from asap.degrade.duplicate import duplicated, extra, split
from asap.degrade.editable_body import EditableBody
from asap.degrade.fuse import fused, swapped_side
from asap.degrade.orientation import reversed_joint, twisted
from asap.degrade.proportions import elongated, shortened, thickened
from asap.degrade.removal import detached, missing

Operation = Callable[[EditableBody, str, str, int, np.random.Generator], dict[str, float | int | str]]

FUNCTIONS: Final[Mapping[str, Operation]] = MappingProxyType(
    {
        "extra": extra,
        "missing": missing,
        "fused": fused,
        "split": split,
        "duplicated": duplicated,
        "elongated": elongated,
        "shortened": shortened,
        "thickened": thickened,
        "reversed_joint": reversed_joint,
        "twisted": twisted,
        "detached": detached,
        "swapped_side": swapped_side,
        "misshapen": misshapen,
    }
)

_TABLE: Final = (
    # part, operation, weight, where the weight comes from
    ("hand", "misshapen", 0.71, "counted"),
    ("hand", "missing", 0.40, "counted: missing hand or finger"),
    ("hand", "extra", 0.14, "counted: extra finger or hand 0.19, three quarters fingers"),
    ("hand", "duplicated", 0.05, "counted: extra finger or hand 0.19, one quarter hands"),
    ("hand", "fused", 0.20, "our choice"),
    ("hand", "split", 0.08, "our choice"),
    ("hand", "elongated", 0.12, "our choice"),
    ("hand", "shortened", 0.10, "our choice"),
    ("hand", "thickened", 0.08, "our choice"),
    ("hand", "reversed_joint", 0.10, "our choice"),
    ("hand", "twisted", 0.08, "our choice"),
    ("hand", "detached", 0.05, "our choice"),
    ("hand", "swapped_side", 0.08, "our choice"),
    ("arm", "misshapen", 0.205, "counted: misshapen limb 0.41, half"),
    ("arm", "elongated", 0.08, "counted: limb of wrong proportion 0.48, a sixth"),
    ("arm", "shortened", 0.08, "counted: limb of wrong proportion 0.48, a sixth"),
    ("arm", "thickened", 0.08, "counted: limb of wrong proportion 0.48, a sixth"),
    ("arm", "reversed_joint", 0.08, "counted: wrongly oriented limb 0.29, about a quarter"),
    ("arm", "twisted", 0.065, "counted: wrongly oriented limb 0.29, about a quarter"),
    ("arm", "extra", 0.06, "our choice"),
    ("arm", "missing", 0.06, "our choice"),
    ("arm", "split", 0.02, "our choice"),
    ("arm", "duplicated", 0.03, "our choice"),
    ("arm", "detached", 0.04, "our choice"),
    ("leg", "misshapen", 0.205, "counted: misshapen limb 0.41, half"),
    ("leg", "elongated", 0.08, "counted: limb of wrong proportion 0.48, a sixth"),
    ("leg", "shortened", 0.08, "counted: limb of wrong proportion 0.48, a sixth"),
    ("leg", "thickened", 0.08, "counted: limb of wrong proportion 0.48, a sixth"),
    ("leg", "reversed_joint", 0.08, "counted: wrongly oriented limb 0.29, about a quarter"),
    ("leg", "twisted", 0.065, "counted: wrongly oriented limb 0.29, about a quarter"),
    ("leg", "extra", 0.06, "our choice"),
    ("leg", "missing", 0.06, "our choice"),
    ("leg", "fused", 0.04, "our choice"),
    ("leg", "split", 0.02, "our choice"),
    ("leg", "duplicated", 0.03, "our choice"),
    ("leg", "detached", 0.04, "our choice"),
    ("foot", "misshapen", 0.20, "our choice"),
    ("foot", "missing", 0.06, "our choice"),
    ("foot", "extra", 0.05, "our choice"),
    ("foot", "duplicated", 0.04, "our choice"),
    ("foot", "fused", 0.05, "our choice"),
    ("foot", "split", 0.03, "our choice"),
    ("foot", "elongated", 0.06, "our choice"),
    ("foot", "shortened", 0.05, "our choice"),
    ("foot", "thickened", 0.05, "our choice"),
    ("foot", "twisted", 0.06, "our choice"),
    ("foot", "detached", 0.03, "our choice"),
    ("foot", "swapped_side", 0.04, "our choice"),
    ("face", "misshapen", 0.49, "counted"),
    ("face", "missing", 0.08, "our choice"),
    ("face", "duplicated", 0.06, "our choice"),
    ("face", "extra", 0.05, "our choice"),
    ("face", "elongated", 0.06, "our choice"),
    ("face", "shortened", 0.06, "our choice"),
    ("face", "thickened", 0.05, "our choice"),
    ("face", "twisted", 0.06, "our choice"),
    ("torso", "misshapen", 0.22, "our choice"),
    ("torso", "elongated", 0.05, "our choice"),
    ("torso", "shortened", 0.05, "our choice"),
    ("torso", "thickened", 0.08, "our choice"),
    ("torso", "twisted", 0.04, "our choice"),
    ("neck", "misshapen", 0.05, "our choice"),
    ("neck", "elongated", 0.05, "our choice"),
    ("neck", "shortened", 0.03, "our choice"),
    ("neck", "thickened", 0.04, "our choice"),
    ("neck", "twisted", 0.05, "our choice"),
    ("neck", "detached", 0.02, "our choice"),
)

CELLS: Final[Mapping[tuple[str, str], float]] = MappingProxyType({(p, o): w for p, o, w, _ in _TABLE})
"""Sampling weight of every (part, operation) that makes sense; not normalized."""
SOURCES: Final[Mapping[tuple[str, str], str]] = MappingProxyType({(p, o): s for p, o, _, s in _TABLE})
"""Where each weight comes from."""
SEVERITY_SHARES: Final = (0.25, 0.4, 0.35)
"""How often severity 1, 2 and 3 are drawn; our choice: subtle faults are the rarer ones that pass the gates."""
