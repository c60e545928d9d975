"""Gates: does this pair teach anatomy and nothing else? Locality, severity, edge band, visibility, duplicates.

The gates follow HAP's in arXiv:2605.25759 (SSIM and perceptual distance, in the region and outside). No learned
instrument is used unless the caller plugs in a perceptual distance.
"""

from asap.gates.duplicates import NearDuplicates, perceptual_hash
from asap.gates.limits import GateLimits, evaluate
from asap.gates.masks import difference_mask, mask_margin, share_outside
from asap.gates.measures import Perceptual, measure, similarity_map

__all__ = [
    "GateLimits",
    "NearDuplicates",
    "Perceptual",
    "difference_mask",
    "evaluate",
    "mask_margin",
    "measure",
    "perceptual_hash",
    "share_outside",
    "similarity_map",
]
