"""Pass a rendered image through the generator: encode, add noise up to a moderate time, denoise, decode.

The result shows the same person with the blur, texture and colour of the generator. A judge that learns from such
images cannot tell the sides by their sharpness, because both sides of a pair get the same noise. The idea is that of
SDEdit (arXiv:2108.01073), section 3.

Legend: B images, R the resolution of the model.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from asap.backbones.protocol import Backbone
from asap.core.errors import InputError
from asap.core.seeds import derive
from asap.tensors import to_bytes

__all__ = ["round_trip"]


@torch.inference_mode()
def round_trip(
    backbone: Backbone,
    images: npt.NDArray[np.uint8],
    prompts: Sequence[str],
    strengths: Sequence[float],
    seeds: Sequence[int],
    *,
    steps: int = 3,
) -> npt.NDArray[np.uint8]:
    """Pass images through the generator. Equal seeds give equal noise.

    Args:
        backbone: the generator, conditioned on the prompts without guidance.
        images: (B, H, W, 3) sRGB, resized to R.
        prompts: B captions.
        strengths: B times t in [0, 1) to which noise is added; 0 only encodes and decodes.
        seeds: B seeds of the noise.
        steps: deterministic steps from t back to 0, evenly spaced.

    Returns:
        (B, R, R, 3) sRGB.

    Raises:
        InputError: lengths differ, a strength is out of range or there are no steps.
    """
    if not len(images) == len(prompts) == len(strengths) == len(seeds) or steps < 1:
        raise InputError("a round trip needs as many prompts, strengths and seeds as images, and at least one step")
    if not all(0 <= value < 1 for value in strengths):
        raise InputError(f"round-trip strengths must lie in [0, 1), got {min(strengths)} to {max(strengths)}")
    latents = backbone.encode(_pixels(images, backbone.resolution))
    moving = [row for row, value in enumerate(strengths) if value > 0]
    if moving:
        latents = latents.clone()
        noise = torch.stack([_noise(seeds[row], latents.shape[1:]) for row in moving]).to(latents.device)
        start = torch.tensor([strengths[row] for row in moving], dtype=torch.float32, device=latents.device)
        words = [prompts[row] for row in moving]
        latents[moving] = _there_and_back(backbone, latents[moving], noise, start, words, steps)
    return to_bytes(backbone.decode(latents))


def _there_and_back(
    backbone: Backbone, x: Tensor, noise: Tensor, start: Tensor, prompts: Sequence[str], steps: int
) -> Tensor:
    """Add noise up to ``start`` (B,), then take DDIM-like steps: predict data and noise, mix them at the next time."""
    condition, path = backbone.embed(prompts), backbone.path
    x_t, t = path.mix(x, noise, start), start
    for step in range(1, steps + 1):
        prediction = backbone.denoise(x_t, t, condition)
        data = path.to_data(x_t, prediction, t)
        after = start * (1 - step / steps)
        x_t, t = (path.mix(data, path.to_noise(x_t, prediction, t), after), after) if step < steps else (data, after)
    return x_t.to(x.dtype)


def _noise(seed: int, shape: Sequence[int]) -> Tensor:
    """Standard normal noise of one image."""
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(derive(seed, "round-trip")))


def _pixels(images: npt.NDArray[np.uint8], size: int) -> Tensor:
    """(B, H, W, 3) bytes to (B, 3, size, size) in [-1, 1]."""
    tensor = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).to(torch.float32).div(127.5).sub(1)
    if tuple(tensor.shape[2:]) == (size, size):
        return tensor
    return F.interpolate(tensor, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
