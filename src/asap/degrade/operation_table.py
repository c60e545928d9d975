"""The table of mesh operations: which function breaks which part, and how often it is sampled.

To add an operation, write one function and register it with one line per part in ``OPERATION_TABLE``.

A weight is the share of generated images with that fault, where it was counted. The counts come from 300 images with
expert annotations: misshapen hand 0.71, misshapen face 0.49, limb of wrong proportion 0.48, misshapen limb 0.41,
missing hand or finger 0.40, wrongly oriented limb 0.29, extra finger or hand 0.19. One count for several entries
is divided among them. Where nothing was counted, the weight is our choice, set so that the sum of each part comes near
its own count (hands 0.91, limbs 0.75, face 0.62, torso 0.42, feet 0.36).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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

MeshOperation = Callable[[EditableBody, str, str, int, np.random.Generator], dict[str, float | int | str]]
"""``(body, part, side, severity, rng) -> detail``: edits ``body`` in place and returns what it sampled."""


@dataclass(frozen=True)
class Entry:
    """One way to break one part."""

    function: MeshOperation
    weight: float
    """Sampling weight; weights are not normalized."""
    source: str
    """Where the weight comes from."""


OPERATION_TABLE: Final[Mapping[tuple[str, str], Entry]] = MappingProxyType(
    {
        ("hand", "misshapen"): Entry(misshapen, 0.71, "counted"),
        ("hand", "missing"): Entry(missing, 0.4, "counted: missing hand or finger"),
        ("hand", "extra"): Entry(extra, 0.14, "counted: extra finger or hand 0.19, three quarters fingers"),
        ("hand", "duplicated"): Entry(duplicated, 0.05, "counted: extra finger or hand 0.19, one quarter hands"),
        ("hand", "fused"): Entry(fused, 0.2, "our choice"),
        ("hand", "split"): Entry(split, 0.08, "our choice"),
        ("hand", "elongated"): Entry(elongated, 0.12, "our choice"),
        ("hand", "shortened"): Entry(shortened, 0.1, "our choice"),
        ("hand", "thickened"): Entry(thickened, 0.08, "our choice"),
        ("hand", "reversed_joint"): Entry(reversed_joint, 0.1, "our choice"),
        ("hand", "twisted"): Entry(twisted, 0.08, "our choice"),
        ("hand", "detached"): Entry(detached, 0.05, "our choice"),
        ("hand", "swapped_side"): Entry(swapped_side, 0.08, "our choice"),
        ("arm", "misshapen"): Entry(misshapen, 0.205, "counted: misshapen limb 0.41, half"),
        ("arm", "elongated"): Entry(elongated, 0.08, "counted: limb of wrong proportion 0.48, a sixth"),
        ("arm", "shortened"): Entry(shortened, 0.08, "counted: limb of wrong proportion 0.48, a sixth"),
        ("arm", "thickened"): Entry(thickened, 0.08, "counted: limb of wrong proportion 0.48, a sixth"),
        ("arm", "reversed_joint"): Entry(reversed_joint, 0.08, "counted: wrongly oriented limb 0.29, about a quarter"),
        ("arm", "twisted"): Entry(twisted, 0.065, "counted: wrongly oriented limb 0.29, about a quarter"),
        ("arm", "extra"): Entry(extra, 0.06, "our choice"),
        ("arm", "missing"): Entry(missing, 0.06, "our choice"),
        ("arm", "split"): Entry(split, 0.02, "our choice"),
        ("arm", "duplicated"): Entry(duplicated, 0.03, "our choice"),
        ("arm", "detached"): Entry(detached, 0.04, "our choice"),
        ("leg", "misshapen"): Entry(misshapen, 0.205, "counted: misshapen limb 0.41, half"),
        ("leg", "elongated"): Entry(elongated, 0.08, "counted: limb of wrong proportion 0.48, a sixth"),
        ("leg", "shortened"): Entry(shortened, 0.08, "counted: limb of wrong proportion 0.48, a sixth"),
        ("leg", "thickened"): Entry(thickened, 0.08, "counted: limb of wrong proportion 0.48, a sixth"),
        ("leg", "reversed_joint"): Entry(reversed_joint, 0.08, "counted: wrongly oriented limb 0.29, about a quarter"),
        ("leg", "twisted"): Entry(twisted, 0.065, "counted: wrongly oriented limb 0.29, about a quarter"),
        ("leg", "extra"): Entry(extra, 0.06, "our choice"),
        ("leg", "missing"): Entry(missing, 0.06, "our choice"),
        ("leg", "fused"): Entry(fused, 0.04, "our choice"),
        ("leg", "split"): Entry(split, 0.02, "our choice"),
        ("leg", "duplicated"): Entry(duplicated, 0.03, "our choice"),
        ("leg", "detached"): Entry(detached, 0.04, "our choice"),
        ("foot", "misshapen"): Entry(misshapen, 0.2, "our choice"),
        ("foot", "missing"): Entry(missing, 0.06, "our choice"),
        ("foot", "extra"): Entry(extra, 0.05, "our choice"),
        ("foot", "duplicated"): Entry(duplicated, 0.04, "our choice"),
        ("foot", "fused"): Entry(fused, 0.05, "our choice"),
        ("foot", "split"): Entry(split, 0.03, "our choice"),
        ("foot", "elongated"): Entry(elongated, 0.06, "our choice"),
        ("foot", "shortened"): Entry(shortened, 0.05, "our choice"),
        ("foot", "thickened"): Entry(thickened, 0.05, "our choice"),
        ("foot", "twisted"): Entry(twisted, 0.06, "our choice"),
        ("foot", "detached"): Entry(detached, 0.03, "our choice"),
        ("foot", "swapped_side"): Entry(swapped_side, 0.04, "our choice"),
        ("face", "misshapen"): Entry(misshapen, 0.49, "counted"),
        ("face", "missing"): Entry(missing, 0.08, "our choice"),
        ("face", "duplicated"): Entry(duplicated, 0.06, "our choice"),
        ("face", "extra"): Entry(extra, 0.05, "our choice"),
        ("face", "elongated"): Entry(elongated, 0.06, "our choice"),
        ("face", "shortened"): Entry(shortened, 0.06, "our choice"),
        ("face", "thickened"): Entry(thickened, 0.05, "our choice"),
        ("face", "twisted"): Entry(twisted, 0.06, "our choice"),
        ("torso", "misshapen"): Entry(misshapen, 0.22, "our choice"),
        ("torso", "elongated"): Entry(elongated, 0.05, "our choice"),
        ("torso", "shortened"): Entry(shortened, 0.05, "our choice"),
        ("torso", "thickened"): Entry(thickened, 0.08, "our choice"),
        ("torso", "twisted"): Entry(twisted, 0.04, "our choice"),
        ("neck", "misshapen"): Entry(misshapen, 0.05, "our choice"),
        ("neck", "elongated"): Entry(elongated, 0.05, "our choice"),
        ("neck", "shortened"): Entry(shortened, 0.03, "our choice"),
        ("neck", "thickened"): Entry(thickened, 0.04, "our choice"),
        ("neck", "twisted"): Entry(twisted, 0.05, "our choice"),
        ("neck", "detached"): Entry(detached, 0.02, "our choice"),
    }
)
"""Every (part, operation) that makes sense."""
SEVERITY_SHARES: Final = (0.25, 0.4, 0.35)
"""Probability of severity 1, 2 and 3. Our choice: subtle faults are rarer among the pairs that pass the gates."""
