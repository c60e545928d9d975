"""LPIPS (Zhang et al., arXiv:1801.03924): a perceptual distance, from weight files that the user has.

Neither half is shipped. The trunk is a classifier's convolutions: the file that torchvision publishes as ``alexnet`` or
``vgg16``. The heads are one weight a channel, in the packages ``lpips`` and ``torchmetrics`` (their file is read, the
package is not imported). A saved ``lpips.LPIPS().state_dict()`` holds both. Needs no torchvision.

Legend: H and W pixels, L layers that are compared (5), C channels of one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from pickle import UnpicklingError
from typing import Final

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from asap.core.errors import InputError, MissingDependencyError, StoreError
from asap.core.hashing import digest_file, digest_json
from asap.core.records import ByteArray, FloatArray

__all__ = ["Lpips", "load_lpips"]

SHIFT: Final = (-0.030, -0.088, -0.188)
"""Mean of ImageNet's colours, of values from -1 to 1, in LPIPS."""
SCALE: Final = (0.458, 0.448, 0.450)
LEAST: Final = 64
"""Pixels of a side below which AlexNet's last layers have nothing to look at; smaller images are continued."""
TINY: Final = 1e-10
_CONVOLUTION: Final = re.compile(r"(?:features|net\.slice\d)\.(\d+)\.(weight|bias)")
_HEAD: Final = re.compile(r"lin(\d)\.model\.1\.weight")
_PACKAGES: Final = (("torchmetrics", "functional/image/lpips_models/{}.pth"), ("lpips", "weights/v0.1/{}.pth"))


_Layer = tuple[Tensor, Tensor]
"""Weight and bias of a convolution."""


@dataclass(frozen=True, kw_only=True)
class _Trunk:
    """What a classifier's layers are besides their weights; layers by their number in torchvision's ``features``."""

    convolutions: tuple[int, ...]
    stride: int
    """Of the first one; the others have 1."""
    padding: tuple[int, ...]
    pools: tuple[int, ...]
    """Convolutions after whose activation the image is halved."""
    window: int
    """Pixels that halving takes the largest of."""
    compared: tuple[int, ...]
    """Convolutions whose activations are compared."""


TRUNKS: Final[Mapping[str, _Trunk]] = {
    "alex": _Trunk(
        convolutions=(0, 3, 6, 8, 10),
        stride=4,
        padding=(2, 2, 1, 1, 1),
        pools=(0, 3),
        window=3,
        compared=(0, 3, 6, 8, 10),
    ),
    "vgg": _Trunk(
        convolutions=(0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
        stride=1,
        padding=(1,) * 13,
        pools=(2, 7, 14, 21),
        window=2,
        compared=(2, 7, 14, 21, 28),
    ),
}


class Lpips:
    """The distance at each pixel; satisfies ``gates.Perceptual``."""

    def __init__(
        self, kind: str, layers: Mapping[int, tuple[Tensor, Tensor]], heads: list[Tensor], digest: str
    ) -> None:
        """Use ``load_lpips``: ``layers`` are weight and bias by number, ``heads`` L times (C,)."""
        self.name, self.fingerprint = f"lpips-{kind}", digest
        self._trunk, self._layers, self._heads = TRUNKS[kind], layers, heads

    def __call__(self, first: ByteArray, second: ByteArray) -> FloatArray:
        """(H, W) distance of two (H, W, 3) uint8 images; its mean over an image is the LPIPS that is published."""
        height, width = first.shape[:2]
        with torch.inference_mode():
            both = zip(self._features(first), self._features(second), self._heads, strict=True)
            total = torch.zeros(max(height, LEAST), max(width, LEAST))
            for one, two, head in both:
                layer = ((one - two) ** 2 * head[:, None, None]).sum(dim=0)[None, None]
                total += functional.interpolate(layer, total.shape, mode="bilinear", align_corners=False)[0, 0]
        return np.asarray(total.numpy()[:height, :width], dtype=np.float32)

    def _features(self, image: ByteArray) -> list[Tensor]:
        """L activations (C, h, w), each pixel of length 1 over its channels."""
        pixels = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
        values = (pixels - torch.tensor(SHIFT)[:, None, None]) / torch.tensor(SCALE)[:, None, None]
        right, below = (max(0, LEAST - side) for side in (image.shape[1], image.shape[0]))
        values = functional.pad(values, (0, right, 0, below), mode="replicate")
        trunk, found = self._trunk, []
        for number, padding in zip(trunk.convolutions, trunk.padding, strict=True):
            weight, bias = self._layers[number]
            stride = trunk.stride if number == 0 else 1
            values = functional.conv2d(values, weight, bias, stride=stride, padding=padding).relu()
            if number in trunk.compared:
                found.append((values / (values.square().sum(dim=1, keepdim=True).sqrt() + TINY))[0])
            if number in trunk.pools:
                values = functional.max_pool2d(values, trunk.window, 2)
        return found


def load_lpips(trunk: Path, heads: Path | None = None) -> Lpips:
    """The metric of a trunk's weights; AlexNet and VGG-16 are told by their layers.

    Args:
        trunk: ``.pth`` or ``.safetensors``, as torchvision names its layers or as ``lpips`` does.
        heads: file of the heads; None for those in ``trunk``, or else those of an installed package.

    Raises:
        StoreError: a file is missing or holds no weights.
        InputError: weights of another network, or heads and trunk that do not fit.
        MissingDependencyError: no heads are named and no package has them.
    """
    weights = _read(trunk)
    layers = _layers(weights)
    kind = next((name for name, known in TRUNKS.items() if set(known.convolutions) == set(layers)), None)
    if kind is None:
        raise InputError(f"{trunk} is no trunk of AlexNet or VGG-16; name torchvision's file, or a saved LPIPS")
    own = heads is None and any(_HEAD.fullmatch(key) for key in weights)
    place = trunk if own else heads or _carried(kind)
    found = {int(match[1]): value for key, value in _read(place).items() if (match := _HEAD.fullmatch(key))}
    chain = [layers[number] for number in TRUNKS[kind].convolutions]
    compared = [layers[number][0].shape[0] for number in TRUNKS[kind].compared]
    sizes = [found[number].numel() for number in sorted(found)]
    if sizes != compared or any(after[0].shape[1] != before[0].shape[0] for before, after in pairwise(chain)):
        raise InputError(f"the heads in {place} have {sizes} channels, the layers of {trunk} {compared}; name a pair")
    digest = digest_json([kind, digest_file(trunk), digest_file(place)])
    return Lpips(kind, layers, [found[number].reshape(-1).float() for number in sorted(found)], digest)


def _layers(weights: Mapping[str, Tensor]) -> dict[int, _Layer]:
    """Weight and bias of each convolution, by its number; those that lack one are left out."""
    parts: dict[int, dict[str, Tensor]] = {}
    for key, value in weights.items():
        if match := _CONVOLUTION.fullmatch(key):
            parts.setdefault(int(match[1]), {})[match[2]] = value.float()
    return {number: (part["weight"], part["bias"]) for number, part in parts.items() if len(part) == 2}


def _carried(kind: str) -> Path:
    """The file of heads in an installed package."""
    for package, place in _PACKAGES:
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            path = Path(folder) / place.format(kind)
            if path.is_file():
                return path
    raise MissingDependencyError("torchmetrics", "LPIPS without a file of heads (lpips:TRUNK,HEADS)")


def _read(path: Path) -> dict[str, Tensor]:
    """Tensors by name."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, UnpicklingError, RuntimeError, EOFError, SafetensorError) as error:
        fault = str(error).partition("\n")[0]
        raise StoreError(f"{path} holds no readable weights ({fault}); name a .pth or .safetensors file") from error
    if not isinstance(found, dict):
        raise StoreError(f"{path} holds no weights by name; save a state_dict")
    return {str(key): value for key, value in found.items() if isinstance(value, Tensor)}
