"""What the judge is taught with: one number per batch from its output and the labels of both sides of each pair.

Legend: B pairs, so 2B images or windows: first all chosen, then all rejected; P parts, G cells. Label -1 is ignored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from asap.benchmark.judge.network import JudgeOutput, ScaleOutput

__all__ = ["WEIGHTS", "Targets", "judge_loss", "window_loss"]

WEIGHTS: Final[Mapping[str, float]] = {
    "fails": 1.0,
    "rank": 0.5,
    "wrong": 0.5,
    "visible": 0.2,
    "maps": 0.3,
    "defect": 1.0,
}
RARE: Final = 4.0
"""Weight of a wrong part or cell against a right one: a defect covers some 2 % of an image."""


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Labels of 2B images."""

    fails: Tensor
    """(2B,) 0, 1 or -1."""
    visible: Tensor
    """(2B, P)."""
    wrong: Tensor
    """(2B, P)."""
    maps: Tensor
    """(2B, P + 1, G, G) covered share of each cell, -1 unknown."""
    defect: Tensor
    """(2B, G, G) share of each cell inside the defect."""
    attributes: dict[str, Tensor]
    """(2B,) class index, -1 unknown."""


def _masked(logits: Tensor, labels: Tensor, weight: float = 1.0) -> Tensor:
    """Mean binary cross entropy over known labels; 0 when none is known."""
    known = labels >= 0
    raw = F.binary_cross_entropy_with_logits(
        logits, labels.clamp_min(0), pos_weight=torch.tensor(weight, device=logits.device), reduction="none"
    )
    return (raw * known).sum() / known.sum().clamp_min(1)


def _rank(fails: Tensor, labels: Tensor) -> Tensor:
    """log(1 + exp(chosen - rejected)) over pairs whose rejected side is wrong: the same person, so anatomy decides."""
    chosen, rejected = fails.chunk(2)
    defect = labels.chunk(2)[1] == 1
    return (F.softplus(chosen - rejected) * defect).sum() / defect.sum().clamp_min(1)


def judge_loss(output: JudgeOutput, targets: Targets) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum and its terms."""
    terms = {
        "fails": _masked(output.fails, targets.fails),
        "rank": _rank(output.fails, targets.fails),
        "wrong": _masked(output.wrong, targets.wrong, RARE),
        "visible": _masked(output.visible, targets.visible),
        "maps": _masked(torch.cat([output.parts, output.person[:, None]], 1), targets.maps),
        "defect": _masked(output.defect, targets.defect, RARE),
    }
    return _total(terms), terms


def window_loss(output: ScaleOutput, targets: Targets) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum of what windows (2B, 3, H, H) can teach, and its terms."""
    terms = {
        "fails": _masked(output.fails, targets.fails),
        "rank": _rank(output.fails, targets.fails),
        "maps": _masked(output.maps[:, :-1], targets.maps),
        "defect": _masked(output.maps[:, -1], targets.defect, RARE),
    }
    return _total(terms), terms


def _total(terms: Mapping[str, Tensor]) -> Tensor:
    return torch.stack([WEIGHTS[name] * term for name, term in terms.items()]).sum()
