"""Regenerate one region of an image with a model that sees the rest: its own errors, at known places.

The latents of the image get noise up to a time t. During denoising, everything outside the region is set to the noised
image at each step, so that the model fills the region consistently (as the known part in RePaint, arXiv:2201.09865,
section 4.1, without its resampling). The image itself passes through the autoencoder too, so that both sides have its
traces.

Legend: B images, R the resolution of the model, (C, h, w) a latent.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asap.backbones.protocol import Backbone, TextCondition
from asap.core.errors import InputError
from asap.core.seeds import derive
from asap.tensors import to_bytes, to_latent_mask, to_signed

__all__ = ["regenerate"]


@torch.inference_mode()
def regenerate(
    backbone: Backbone,
    images: npt.NDArray[np.uint8],
    masks: npt.NDArray[np.uint8],
    prompts: Sequence[str],
    starts: Sequence[float],
    seeds: Sequence[int],
    *,
    steps: int = 8,
    guidance: float = 1.0,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The images after the autoencoder, and the images with their region regenerated.

    Args:
        backbone: the model.
        images: (B, R, R, 3) sRGB.
        masks: (B, R, R), 255 in the region; every latent cell that it touches is regenerated.
        prompts: B captions.
        starts: B times in (0, 1) from which the region is regenerated; 0.9 keeps hardly anything of it.
        seeds: B seeds of the noise.
        steps: deterministic steps from there back to 0, evenly spaced.
        guidance: scale of classifier-free guidance; 1 disables it.

    Returns:
        Two arrays (B, R, R, 3) sRGB. They differ most inside the mask; a decoder spreads the change slightly beyond it.

    Raises:
        InputError: lengths differ, a time is out of range or there are no steps.
    """
    if not len(images) == len(masks) == len(prompts) == len(starts) == len(seeds) or steps < 1:
        raise InputError("regeneration needs a mask, prompt, time and seed per image, and at least one step")
    if not all(0 < value < 1 for value in starts):
        raise InputError(f"start times must lie in (0, 1), got {min(starts)} to {max(starts)}")
    x = backbone.encode(to_signed(images))
    mask = to_latent_mask(torch.from_numpy(masks), (x.shape[2], x.shape[3])).to(x.device)
    noise = torch.stack([_noise(seed, x.shape[1:]) for seed in seeds]).to(x)
    start = torch.tensor(starts, dtype=torch.float32, device=x.device)
    condition, empty = backbone.embed(prompts), backbone.embed([""] * len(prompts)) if guidance != 1 else None
    x_t = backbone.path.mix(x, noise, start)
    for step in range(steps):
        t, after = start * (1 - step / steps), start * (1 - (step + 1) / steps)
        prediction = _guided(backbone, x_t, t, condition, empty, guidance)
        data, grain = backbone.path.to_data(x_t, prediction, t), backbone.path.to_noise(x_t, prediction, t)
        x_t = torch.where(mask > 0, backbone.path.mix(data, grain, after), backbone.path.mix(x, noise, after))
    return to_bytes(backbone.decode(x)), to_bytes(backbone.decode(torch.where(mask > 0, x_t, x)))


def _guided(
    backbone: Backbone, x_t: Tensor, t: Tensor, condition: TextCondition, empty: TextCondition | None, guidance: float
) -> Tensor:
    """The prediction with classifier-free guidance (arXiv:2207.12598)."""
    asked = backbone.denoise(x_t, t, condition)
    if empty is None:
        return asked
    free = backbone.denoise(x_t, t, empty)
    return free + guidance * (asked - free)


def _noise(seed: int, shape: Sequence[int]) -> Tensor:
    """Standard normal noise of one image."""
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(derive(seed, "remake")))
