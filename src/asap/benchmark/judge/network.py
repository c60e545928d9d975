"""The learned judge: a small convolutional network that says per part whether it is seen and whether it is wrong.

It is told where parts and defects are (coarse maps, known exactly for rendered pairs), because "something in this
picture is wrong" alone is a slow teacher. The verdict head reads pooled features, part logits and the defect map.

Legend: B pictures, S pixels on a side, G = S / 8 cells on a side, P = 7 parts, C channels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asap.core.errors import StoreError
from asap.core.vocabulary import PARTS

__all__ = ["STRIDE", "JudgeNetwork", "JudgeOutput", "JudgeSpec", "attribute_classes"]

STRIDE: Final = 8
HIDDEN: Final = 128
SUMMARY: Final = len(PARTS) + 1


@dataclass(frozen=True, kw_only=True)
class JudgeSpec:
    """What is needed to build the network; plain values."""

    size: int = 128
    """S; other pictures are resized to it."""
    widths: tuple[int, int, int, int] = (24, 48, 96, 160)
    """Channels at strides 2, 4, 8, 16."""
    attributes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Name and classes of each caption attribute, both in the order of the outputs."""

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "JudgeSpec":
        """Inverse of ``to_json``; raises ``StoreError`` for anything else."""
        try:
            widths = cast("tuple[int, int, int, int]", tuple(int(width) for width in value["widths"]))
            names = tuple((str(name), tuple(map(str, classes))) for name, classes in value["attributes"])
            return cls(size=int(value["size"]), widths=widths, attributes=names)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"not the description of a judge ({error}); train it anew") from error


@dataclass(frozen=True, kw_only=True)
class JudgeOutput:
    """Logits."""

    fails: Tensor
    """(B,) the picture has wrong anatomy."""
    visible: Tensor
    """(B, P) the part is seen."""
    wrong: Tensor
    """(B, P) the part is wrong."""
    parts: Tensor
    """(B, P, G, G) where the parts are."""
    person: Tensor
    """(B, G, G) where a person is."""
    defect: Tensor
    """(B, G, G) where the anatomy is wrong."""
    attributes: dict[str, Tensor]
    """(B, classes) for each attribute."""


def _conv(inner: int, outer: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, batch normalization, ReLU."""
    conv = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outer), nn.ReLU(inplace=True))


class _Residual(nn.Module):
    """x + two convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return F.relu(x + cast("Tensor", self.second(self.first(x))))


class JudgeNetwork(nn.Module):
    """Pictures (B, 3, S, S) in [-1, 1] to ``JudgeOutput``."""

    def __init__(self, spec: JudgeSpec, dropout: float = 0.1) -> None:
        """Build with random weights from torch's global state; fork it around the call."""
        super().__init__()
        self.spec = spec
        first, second, third, top = spec.widths
        self.fine = nn.Sequential(_conv(3, first, 2), _conv(first, second, 2), _Residual(second))
        self.middle = nn.Sequential(_conv(second, third, 2), _Residual(third), _Residual(third))
        self.top = nn.Sequential(_conv(third, top, 2), _Residual(top))
        self.lateral = nn.Conv2d(top, third, 1)
        self.maps = nn.Conv2d(third, len(PARTS) + 2, 1)
        self.summary = nn.Sequential(nn.Linear(2 * top, HIDDEN), nn.ReLU(), nn.Dropout(dropout))
        width = third + HIDDEN
        self.part_weight = nn.Parameter(torch.randn(len(PARTS), width, 2) * width**-0.5)
        self.part_bias = nn.Parameter(torch.zeros(len(PARTS), 2))
        self.verdict = nn.Linear(HIDDEN + SUMMARY, 1)
        self.attribute_heads = nn.ModuleList(nn.Linear(width, len(classes)) for _, classes in spec.attributes)

    def forward(self, images: Tensor) -> JudgeOutput:
        """Pictures (B, 3, S, S) in [-1, 1], S a multiple of 16."""
        middle = self.middle(self.fine(images))
        top = self.top(middle)
        fused = F.relu(middle + F.interpolate(self.lateral(top), scale_factor=2.0, mode="nearest")).float()
        maps = self.maps(fused).float()
        parts, person, defect = maps[:, : len(PARTS)], maps[:, -2], maps[:, -1]
        summary = self.summary(torch.cat([top.mean((2, 3)), top.amax((2, 3))], 1)).float()
        look = parts.flatten(2).softmax(-1)
        pooled = torch.einsum("bpn,bcn->bpc", look, fused.flatten(2))
        features = torch.cat([pooled, summary[:, None].expand(-1, len(PARTS), -1)], 2)
        both = torch.einsum("bpc,pck->bpk", features.float(), self.part_weight) + self.part_bias
        peak = defect.flatten(1).logsumexp(1, keepdim=True) - 4
        fails = self.verdict(torch.cat([summary, both[..., 1].float(), peak], 1)).float()[:, 0]
        heads = zip(self.spec.attributes, self.attribute_heads, strict=True)
        return JudgeOutput(
            fails=fails,
            visible=both[..., 0].float(),
            wrong=both[..., 1].float(),
            parts=parts,
            person=person,
            defect=defect,
            attributes={name: head(features[:, 0]).float() for (name, _), head in heads},
        )


def attribute_classes(
    rows: Sequence[Mapping[str, str]], names: Sequence[str], limit: int = 32
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The classes of each named attribute that the rows hold; "" is the class "none"; names with one class are dropped.

    An attribute with more than ``limit`` classes is free text, not a class, and is dropped too.
    """
    found = []
    for name in names:
        classes = sorted({row[name] or "none" for row in rows if name in row})
        if 2 <= len(classes) <= limit:
            found.append((name, tuple(classes)))
    return tuple(found)
