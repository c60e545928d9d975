"""The limits that a pair must keep, and the verdict with its reasons."""

from collections.abc import Mapping
from dataclasses import dataclass

from asap.core.errors import InputError, UnknownNameError
from asap.core.records import GateResult
from asap.core.vocabulary import KINDS


@dataclass(frozen=True, kw_only=True)
class GateLimits:
    """Thresholds of the gates; each names its source."""

    region_ssim_max: float = 0.65
    """HAP's own gate (arXiv:2605.25759, as third parties report it)."""
    region_ssim_min: float = 0.02
    """Below this nothing of the part is left to compare; our choice."""
    background_ssim_min: float = 0.97
    """Ours; HAP asks 0.95. Pixels outside are equal to the bit here, so all that is lost is in windows that reach over
    the mask's rim: a large mask loses more than a small one and is no worse."""
    max_abs_diff_outside: float = 0.0
    """Ours: the pictures are equal to the bit outside the mask."""
    edge_ssim_min: float = 0.5
    """Ours: a hard seam just outside the rim gives the edit away."""
    area_min: float = 0.004
    """Ours: 8x8 pixels at 128; a latent of 16x16 still sees it."""
    area_max: float = 0.5
    """Ours: beyond this the change is not local."""
    contrast_min: float = 0.04
    """Ours: mean change inside the mask, of 1; less cannot be seen."""
    visible_share_min: float = 0.002
    """Ours: touched skin that shows, as a share of the picture; else the defect is hidden."""

    def __post_init__(self) -> None:
        """Refuse limits that nothing can keep."""
        if not self.area_min < self.area_max or not self.region_ssim_min < self.region_ssim_max:
            raise InputError("a lower limit of the gates is not below its upper limit; repair the settings")


def evaluate(values: Mapping[str, float], limits: GateLimits, kind: str) -> GateResult:
    """Judge the ``values`` of ``measure`` for a pair of ``kind``.

    A null pose must be as local as a defect, but need not look different enough; equal pictures must be equal.
    Reasons: ``outside_differs``, ``background_ssim_low``, ``edge_ssim_low``, ``area_too_large``, ``area_too_small``,
    ``contrast_low``, ``region_ssim_high``, ``region_ssim_low``, ``hidden``, ``not_equal``.

    Raises:
        UnknownNameError: ``kind`` is not in the vocabulary.
    """
    if kind not in KINDS:
        raise UnknownNameError("kind of pair", kind, KINDS)
    reasons = {
        "outside_differs": values["max_abs_diff_outside"] > limits.max_abs_diff_outside,
        "background_ssim_low": values["background_ssim"] < limits.background_ssim_min,
        "edge_ssim_low": values["edge_ssim"] < limits.edge_ssim_min,
        "area_too_large": values["area_share"] > limits.area_max,
    }
    if kind == "null_equal":
        reasons["not_equal"] = values["contrast"] > 0
    else:
        reasons["area_too_small"] = values["area_share"] < limits.area_min
    if kind == "defect":
        reasons["contrast_low"] = values["contrast"] < limits.contrast_min
        reasons["region_ssim_high"] = values["region_ssim"] > limits.region_ssim_max
        reasons["region_ssim_low"] = values["region_ssim"] < limits.region_ssim_min
        reasons["hidden"] = values["visible_share"] < limits.visible_share_min
    return GateResult(values=dict(values), reasons=tuple(name for name, failed in reasons.items() if failed))
