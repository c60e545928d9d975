"""The limits of the gates, and the verdict on a pair with its reasons."""

from collections.abc import Mapping
from dataclasses import dataclass

from asap.core.errors import InputError, UnknownNameError
from asap.core.records import GateResult
from asap.core.vocabulary import KINDS


@dataclass(frozen=True, kw_only=True)
class GateLimits:
    """Thresholds of the gates with their sources. The defaults are for rendered people."""

    region_ssim_max: float = 0.65
    """The gate of HAP (arXiv:2605.25759, as third parties report it)."""
    region_ssim_min: float = 0.02
    """Below it, nothing of the part is left to compare. Our choice."""
    background_ssim_min: float = 0.97
    """Our choice; HAP uses 0.95. Pixels outside are bit-identical here, so SSIM is lost only in windows that overlap
    the mask: a large mask loses more than a small one and is not worse.
    """
    region_lpips_min: float = 0.25
    """The gate of HAP, from the same source; applied only if a perceptual distance was measured."""
    background_lpips_max: float = 0.02
    """The same."""
    max_abs_diff_outside: float = 0.0
    """Our choice: the images are bit-identical outside the mask."""
    edge_ssim_min: float = 0.5
    """Our choice: a hard seam just outside the rim reveals the edit."""
    area_min: float = 0.004
    """Our choice: 8x8 pixels at 128, which are still visible in a latent of 16x16."""
    area_max: float = 0.5
    """Our choice: beyond this, the change is not local."""
    short_side_min: int = 0
    """Our choice: pixels of the shorter side of the box of the mask; 0 disables the gate."""
    contrast_min: float = 0.04
    """Our choice: mean change inside the mask, relative to 1; a smaller change is not visible."""
    changed_area_min: float = 0.004
    """Our choice: clearly changed pixels, as a share of the image. The mask is dilated by some pixels, so one as large
    as ``area_min`` may hold a change of 2x2 pixels, which neither a person nor a latent sees.
    """
    visible_share_min: float = 0.002
    """Our choice: visible pixels of edited skin, as a share of the image; otherwise the defect is hidden."""

    def __post_init__(self) -> None:
        """Refuse limits that no pair can satisfy."""
        if not self.area_min < self.area_max or not self.region_ssim_min < self.region_ssim_max:
            raise InputError("a lower limit of the gates is not below its upper limit; correct the settings")

    @classmethod
    def photographs(cls) -> "GateLimits":
        """Limits for pairs from photographs: the four gates of HAP unchanged, and ours where it has none.

        ``background_ssim_min`` is HAP's 0.95. ``region_ssim_min`` is disabled: HAP has no such gate, and a part that is
        removed in front of a textured background leaves nothing to compare. Size is measured in pixels, not as a share,
        because photographs differ in size: 32 pixels are four cells of a latent at 1/8 and two tokens of FLUX (our
        choice). ``visible_share_min`` is disabled, because it is not known which pixels of a photograph the edit
        touched; contrast replaces it.
        """
        return cls(
            background_ssim_min=0.95,
            region_ssim_min=-1.0,
            area_min=0.0,
            changed_area_min=0.0,
            short_side_min=32,
            visible_share_min=0.0,
        )


def evaluate(
    values: Mapping[str, float], limits: GateLimits, kind: str, *, box: tuple[int, int, int, int] | None = None
) -> GateResult:
    """Judge the ``values`` of ``measure`` for a pair of ``kind``.

    A control pose must be as local as a defect, but need not look different enough; equal images must be equal.
    Reasons: ``outside_differs``, ``background_ssim_low``, ``background_lpips_high``, ``edge_ssim_low``,
    ``area_too_large``, ``area_too_small``, ``side_too_short``, ``contrast_low``, ``region_ssim_high``,
    ``region_ssim_low``, ``region_lpips_low``, ``hidden``, ``not_equal``. The two perceptual ones apply only if a
    distance was measured.

    Args:
        values: of ``measure``.
        limits: thresholds.
        kind: of ``vocabulary.KINDS``.
        box: x0, y0, x1, y1 of the mask in pixels (``box_of``); required if ``short_side_min`` is above 0.

    Raises:
        UnknownNameError: ``kind`` is not in the vocabulary.
        InputError: the limits have a minimum size and there is no box.
    """
    if kind not in KINDS:
        raise UnknownNameError("kind of pair", kind, KINDS)
    if limits.short_side_min > 0 and box is None:
        raise InputError(f"these gates need at least {limits.short_side_min} pixels; pass the box of the mask")
    reasons = {
        "outside_differs": values["max_abs_diff_outside"] > limits.max_abs_diff_outside,
        "background_ssim_low": values["background_ssim"] < limits.background_ssim_min,
        "background_lpips_high": values.get("background_lpips", 0.0) > limits.background_lpips_max,
        "edge_ssim_low": values["edge_ssim"] < limits.edge_ssim_min,
        "area_too_large": values["area_share"] > limits.area_max,
    }
    if kind == "null_equal":
        reasons["not_equal"] = values["contrast"] > 0
    else:
        reasons["area_too_small"] = values["area_share"] < limits.area_min
        reasons["side_too_short"] = box is not None and _short_side(box) < limits.short_side_min
    if kind == "defect":
        reasons["area_too_small"] |= values["changed_share"] * values["area_share"] < limits.changed_area_min
        reasons["contrast_low"] = values["contrast"] < limits.contrast_min
        reasons["region_ssim_high"] = values["region_ssim"] > limits.region_ssim_max
        reasons["region_ssim_low"] = values["region_ssim"] < limits.region_ssim_min
        reasons["region_lpips_low"] = values.get("region_lpips", limits.region_lpips_min) < limits.region_lpips_min
        reasons["hidden"] = values["visible_share"] < limits.visible_share_min
    return GateResult(values=dict(values), reasons=tuple(name for name, failed in reasons.items() if failed))


def _short_side(box: tuple[int, int, int, int]) -> int:
    return min(box[2] - box[0], box[3] - box[1])
