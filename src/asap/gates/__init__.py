"""Gates: does this pair teach anatomy and nothing else? Locality, severity, edge band, visibility, duplicates.

The gates follow HAP's in arXiv:2605.25759 (region SSIM at most 0.65, background SSIM high); the paper's perceptual
gates (LPIPS) need a downloaded trunk and are not here. No learned instrument is used.
"""

from asap.gates.duplicates import NearDuplicates, perceptual_hash
from asap.gates.limits import GateLimits, evaluate
from asap.gates.masks import compose, difference_mask
from asap.gates.measures import measure, similarity_map

__all__ = [
    "GateLimits",
    "NearDuplicates",
    "compose",
    "difference_mask",
    "evaluate",
    "measure",
    "perceptual_hash",
    "similarity_map",
]
