"""The limits that a pair must keep, and the verdict with its reasons."""

from collections.abc import Mapping
from dataclasses import dataclass

from asap.core.errors import InputError, UnknownNameError
from asap.core.records import GateResult
from asap.core.vocabulary import KINDS


@dataclass(frozen=True, kw_only=True)
class GateLimits:
    """Thresholds of the gates; each names its source. As they stand they are for rendered people."""

    region_ssim_max: float = 0.65
    """HAP's own gate (arXiv:2605.25759, as third parties report it)."""
    region_ssim_min: float = 0.02
    """Below this nothing of the part is left to compare; our choice."""
    background_ssim_min: float = 0.97
    """Ours; HAP asks 0.95. Pixels outside are equal to the bit here, so all that is lost is in windows that reach over
    the mask's rim: a large mask loses more than a small one and is no worse."""
    region_lpips_min: float = 0.25
    """HAP's own gate, from the same source; held only where a perceptual distance was measured."""
    background_lpips_max: float = 0.02
    """The same."""
    max_abs_diff_outside: float = 0.0
    """Ours: the images are equal to the bit outside the mask."""
    edge_ssim_min: float = 0.5
    """Ours: a hard seam just outside the rim gives the edit away."""
    area_min: float = 0.004
    """Ours: 8x8 pixels at 128; a latent of 16x16 still sees it."""
    area_max: float = 0.5
    """Ours: beyond this the change is not local."""
    short_side_min: int = 0
    """Ours: pixels of the shorter side of the mask's box; 0 asks nothing."""
    contrast_min: float = 0.04
    """Ours: mean change inside the mask, of 1; less cannot be seen."""
    changed_area_min: float = 0.004
    """Ours: clearly changed pixels, as a share of the image; the mask is grown by some pixels on every side, so one
    as large as ``area_min`` may hold a change of 2x2 pixels, which no eye and no latent sees."""
    visible_share_min: float = 0.002
    """Ours: touched skin that shows, as a share of the image; else the defect is hidden."""

    def __post_init__(self) -> None:
        """Refuse limits that nothing can keep."""
        if not self.area_min < self.area_max or not self.region_ssim_min < self.region_ssim_max:
            raise InputError("a lower limit of the gates is not below its upper limit; repair the settings")

    @classmethod
    def photographs(cls) -> "GateLimits":
        """Limits for pairs made from photographs: HAP's four gates to the letter, and ours where it has none.

        ``background_ssim_min`` is HAP's 0.95. ``region_ssim_min`` asks nothing: HAP has no such gate, and where a part
        was removed before a textured background nothing of it is left. Size is asked in pixels, not as a share, since
        photographs differ in size: 32 are four cells of a latent at 1/8 and two of FLUX's tokens (ours).
        ``visible_share_min`` asks nothing, since a photograph does not say which pixels the edit touched; contrast
        stands in for it.
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

    A null pose must be as local as a defect, but need not look different enough; equal images must be equal.
    Reasons: ``outside_differs``, ``background_ssim_low``, ``background_lpips_high``, ``edge_ssim_low``,
    ``area_too_large``, ``area_too_small``, ``side_too_short``, ``contrast_low``, ``region_ssim_high``,
    ``region_ssim_low``, ``region_lpips_low``, ``hidden``, ``not_equal``. The two perceptual ones apply only where a
    distance was measured.

    Args:
        values: of ``measure``.
        limits: thresholds.
        kind: of ``vocabulary.KINDS``.
        box: x0, y0, x1, y1 of the mask in pixels (``box_of``); wanted where ``short_side_min`` is above 0.

    Raises:
        UnknownNameError: ``kind`` is not in the vocabulary.
        InputError: the limits ask for a least size and there is no box.
    """
    if kind not in KINDS:
        raise UnknownNameError("kind of pair", kind, KINDS)
    if limits.short_side_min > 0 and box is None:
        raise InputError(f"these gates ask for {limits.short_side_min} pixels at least; give evaluate the mask's box")
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
