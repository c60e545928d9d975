"""The learned judge: a small convolutional network that says per part whether it is seen and whether it is wrong.

It learns where parts and defects are (maps, known exactly for rendered pairs), because "something in this image is
wrong" alone teaches slowly. One trunk reads two scales: the image, and the image halved, where a leg fills what
a hand fills in the first. The same trunk learns on windows, whose verdict comes from one scale.

Legend: B images, S pixels on a side, G = S / 4 cells on a side, P = 7 parts, C channels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asap.core.errors import StoreError
from asap.core.vocabulary import PARTS

__all__ = [
    "STRIDE",
    "JudgeNetwork",
    "JudgeOutput",
    "JudgeSpec",
    "ScaleOutput",
    "attribute_classes",
    "freeze_statistics",
]

STRIDE: Final = 4
HIDDEN: Final = 128


@dataclass(frozen=True, kw_only=True)
class JudgeSpec:
    """What is needed to build the network; plain values."""

    size: int = 64
    """S; other images are resized to it."""
    widths: tuple[int, int, int, int] = (32, 48, 96, 160)
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
            raise StoreError(f"not the description of a judge ({error}); train it again") from error


@dataclass(frozen=True, kw_only=True)
class JudgeOutput:
    """Logits."""

    fails: Tensor
    """(B,) the image has wrong anatomy."""
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


@dataclass(frozen=True, kw_only=True)
class ScaleOutput:
    """What the trunk makes of images (B, 3, H, H)."""

    fine: Tensor
    """(B, C, H / 4, H / 4) before anything coarser is added: colours are still in it."""
    middle: Tensor
    """(B, C, H / 8, H / 8)."""
    summary: Tensor
    """(B, HIDDEN)."""
    maps: Tensor
    """(B, P + 2, H / 4, H / 4) logits: parts, person, defect."""
    fails: Tensor
    """(B,) logit from this scale alone."""

    @property
    def peak(self) -> Tensor:
        """(B, 1) soft maximum of the defect map."""
        return _peak(self.maps)


def _peak(maps: Tensor) -> Tensor:
    return maps[:, -1].flatten(1).logsumexp(1, keepdim=True) - 4


class _Dropout(nn.Dropout):
    """Draws from the CPU's generator wherever the network lies, so that a seed means the same."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        if not self.training or x.device.type == "cpu":
            return super().forward(x)
        return x * F.dropout(torch.ones(x.shape, dtype=x.dtype), self.p).to(x.device)


class JudgeNetwork(nn.Module):
    """Images (B, 3, S, S) in [-1, 1] to ``JudgeOutput``."""

    said_mean: Tensor
    said_spread: Tensor

    def __init__(self, spec: JudgeSpec, dropout: float = 0.1) -> None:
        """Build with random weights from torch's global state; fork it around the call."""
        super().__init__()
        self.spec = spec
        first, second, third, top = spec.widths
        self.fine = nn.Sequential(_conv(3, first, 2), _conv(first, second, 2), _Residual(second))
        self.middle = nn.Sequential(_conv(second, third, 2), _Residual(third), _Residual(third))
        self.top = nn.Sequential(_conv(third, top, 2), _Residual(top), _Residual(top))
        self.from_top, self.from_middle = nn.Conv2d(top, third, 1), nn.Conv2d(third, second, 1)
        self.maps = nn.Sequential(_Residual(second), nn.Conv2d(second, len(PARTS) + 2, 1))
        self.summary = nn.Sequential(nn.Linear(2 * top, HIDDEN), nn.ReLU(), _Dropout(dropout))
        self.glance = nn.Linear(HIDDEN + 1, 1)
        width = third + HIDDEN
        self.part_weight = nn.Parameter(torch.randn(len(PARTS), width, 2) * width**-0.5)
        self.part_bias = nn.Parameter(torch.zeros(len(PARTS), 2))
        self.verdict = nn.Linear(2 * HIDDEN + len(PARTS) + 4, 1)
        said = (len(PARTS) + 2) * (3 + second) + 2 * HIDDEN
        self.register_buffer("said_mean", torch.zeros(said))
        self.register_buffer("said_spread", torch.ones(said))
        self.attribute_trunk = nn.Sequential(nn.Linear(said, HIDDEN), nn.ReLU(), _Dropout(2 * dropout))
        self.attribute_heads = nn.ModuleList(nn.Linear(HIDDEN, len(classes)) for _, classes in spec.attributes)

    @property
    def device(self) -> torch.device:
        """Where it lies, and its images must."""
        return self.part_bias.device

    def at_scale(self, images: Tensor) -> ScaleOutput:
        """Images or windows (B, 3, H, H), H a multiple of 16, at one scale."""
        first = self.fine(images)
        middle = self.middle(first)
        top = self.top(middle)
        middle = F.relu(middle + F.interpolate(self.from_top(top), scale_factor=2.0, mode="nearest"))
        fine = F.relu(first + F.interpolate(self.from_middle(middle), scale_factor=2.0, mode="nearest"))
        maps = self.maps(fine).float()
        summary = self.summary(torch.cat([top.mean((2, 3)), top.amax((2, 3))], 1)).float()
        fails = self.glance(torch.cat([summary, _peak(maps)], 1)).float()[:, 0]
        return ScaleOutput(fine=first.float(), middle=middle.float(), summary=summary, maps=maps, fails=fails)

    def forward(self, images: Tensor) -> JudgeOutput:
        """Images (B, 3, S, S) in [-1, 1], S a multiple of 32."""
        near, far = self.at_scale(images), self.at_scale(F.avg_pool2d(images, 2))
        parts = near.maps[:, : len(PARTS)]
        where = F.avg_pool2d(parts, 2).flatten(2).softmax(-1)
        pooled = torch.einsum("bpn,bcn->bpc", where, near.middle.flatten(2))
        features = torch.cat([pooled, far.summary[:, None].expand(-1, len(PARTS), -1)], 2)
        both = torch.einsum("bpc,pck->bpk", features, self.part_weight) + self.part_bias
        inputs = [value for one in (near, far) for value in (one.summary, one.peak, one.fails[:, None])]
        fails = self.verdict(torch.cat([*inputs, both[..., 1]], 1)).float()[:, 0]
        return JudgeOutput(
            fails=fails,
            visible=both[..., 0].float(),
            wrong=both[..., 1].float(),
            parts=parts,
            person=near.maps[:, -2],
            defect=near.maps[:, -1],
            attributes=self.attributes(self.described(images, near, far)),
        )

    def described(self, images: Tensor, near: ScaleOutput, far: ScaleOutput) -> Tensor:
        """What attributes are read from, (B, F): colours and features of every part, of the person and of the rest."""
        logits = near.maps[:, : len(PARTS) + 1].flatten(2)
        person = logits[:, -1:].sigmoid()
        where = torch.cat([logits[:, :-1].softmax(-1), person + 1e-6, 1 - person + 1e-6], 1)
        cells = torch.cat([F.avg_pool2d(images, STRIDE).float(), near.fine], 1).flatten(2)
        pooled = torch.einsum("bpn,bcn->bpc", where / where.sum(-1, keepdim=True), cells)
        return torch.cat([pooled.flatten(1), near.summary, far.summary], 1).float()

    def attributes(self, described: Tensor) -> dict[str, Tensor]:
        """Logits (B, classes) of each attribute from (B, F)."""
        hidden = self.attribute_trunk((described - self.said_mean) / self.said_spread)
        heads = zip(self.spec.attributes, self.attribute_heads, strict=True)
        return {name: head(hidden).float() for (name, _), head in heads}


def freeze_statistics(network: JudgeNetwork) -> None:
    """Let every batch normalization use what it has gathered, as in evaluation, and gather no more."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


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
