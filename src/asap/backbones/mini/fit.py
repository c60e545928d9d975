"""Numerics of pretraining: starting values, losses of the two phases, averaging of weights, learning rate. No files."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.vae import AutoencoderTinyBlock
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

__all__ = [
    "attention",
    "calm_decoder",
    "calm_denoiser",
    "crops",
    "decoder_loss",
    "principal_encoder",
    "psnr",
]

LATENT_NOISE = 0.03
"""Noise on latents while the autoencoder learns, so that near latents decode to near images."""
DETAIL = 0.4
"""Standard deviation of the latent channels beyond the three of mean colour."""


def principal_encoder(vae: nn.Module, images: npt.NDArray[np.uint8]) -> None:
    """Set the linear encoder of an AutoencoderTiny without blocks to principal components of 4x4 patches.

    ``images`` (N, H, W, 3) uint8. Two convolutions of stride 2 move each patch into 48 channels, the last one projects
    it. The first three components (in effect the mean colour) get variance 1, the others, which are near 0 except at
    edges, a standard deviation of ``DETAIL``: at 1 their rare large values would leave the decoder's range of 3.
    """
    first, second, third, last = (layer for layer in _layers(vae, "encoder") if isinstance(layer, nn.Conv2d))
    count, height, width, _ = images.shape
    cells = images.reshape(count, height // 4, 4, width // 4, 4, 3).transpose(0, 1, 3, 2, 4, 5)
    patches = cells.reshape(-1, 48).astype(np.float64) / 255.0
    mean = patches.mean(0)
    powers, axes = np.linalg.eigh(np.cov((patches - mean).T))
    powers, axes = powers[::-1][: last.out_channels], axes[:, ::-1][:, : last.out_channels]
    axes = axes * np.where(axes.sum(0) < 0, -1.0, 1.0)  # eigenvectors have no sign of their own
    spread = np.where(np.arange(last.out_channels) < 3, 1.0, DETAIL) / np.sqrt(powers + 1e-12)
    projection = torch.from_numpy((axes * spread).T.copy())
    with torch.no_grad():
        for layer in (first, second, third, last):
            layer.weight.zero_()
            if layer.bias is not None:
                layer.bias.zero_()
        for colour in range(3):
            first.weight[colour, colour, 1, 1] = 1
        _gather(second, 3)
        _gather(third, 12)
        for row, column, colour in np.ndindex(4, 4, 3):
            channel = (row // 2 * 2 + column // 2) * 12 + (row % 2 * 2 + column % 2) * 3 + colour
            last.weight[:, channel, 1, 1] = projection[:, (row * 4 + column) * 3 + colour].float()
        assert last.bias is not None
        last.bias.copy_((-projection @ torch.from_numpy(mean)).float())
    vae.get_submodule("encoder").requires_grad_(False)


def _layers(vae: nn.Module, part: str) -> Iterable[nn.Module]:
    """Layers of the encoder or decoder in their order."""
    return vae.get_submodule(f"{part}.layers").children()


def _gather(layer: nn.Conv2d, channels: int) -> None:
    """Let a 3x3 convolution of stride 2 stack the four pixels of each 2x2 cell: ``channels`` become four times more."""
    for row, column, channel in np.ndindex(2, 2, channels):
        layer.weight.data[(row * 2 + column) * channels + channel, channel, 1 + row, 1 + column] = 1


def calm_decoder(vae: nn.Module) -> None:
    """Let every residual block of the decoder start as the identity."""
    for block in vae.get_submodule("decoder").modules():
        if isinstance(block, AutoencoderTinyBlock):
            nn.init.zeros_(block.conv[-1].weight)


def calm_denoiser(unet: nn.Module) -> None:
    """Let every residual block start as the identity and the prediction start at 0 (arXiv:2105.05233, appendix)."""
    for block in unet.modules():
        if isinstance(block, ResnetBlock2D):
            nn.init.zeros_(block.conv2.weight)
    head = unet.get_submodule("conv_out")
    assert isinstance(head, nn.Conv2d)
    assert head.bias is not None
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)


def crops(images: Tensor, size: int, count: int, generator: torch.Generator) -> Tensor:
    """``count`` random windows of each image: (B, 3, H, W) to (B * count, 3, size, size)."""
    reach = images.shape[-1] - size + 1
    corners = torch.randint(reach, (images.shape[0], count, 2), generator=generator).tolist()
    cut = [images[i, :, y : y + size, x : x + size] for i, row in enumerate(corners) for y, x in row]
    return torch.stack(cut)


def _slopes(images: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbours along both axes."""
    return images[..., 1:] - images[..., :-1], images[..., 1:, :] - images[..., :-1, :]


def decoder_loss(vae: nn.Module, images: Tensor, noise: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Absolute error of values and of slopes of what the decoder makes of the encoder's latents.

    ``images`` (B, 3, H, W) in [-1, 1]; ``noise`` is standard normal of the latents' shape. Returns the loss and terms.
    """
    with torch.no_grad():
        latents: Tensor = vae.encode(images).latents.float()  # type: ignore[operator]
    decoded: Tensor = vae.decode(latents + LATENT_NOISE * noise).sample.float()  # type: ignore[operator]
    values = F.l1_loss(decoded, images)
    across, down = (F.l1_loss(a, b) for a, b in zip(_slopes(decoded), _slopes(images), strict=True))
    slopes = across + down
    return values + slopes, {"values": values.detach(), "slopes": slopes.detach()}


def psnr(decoded: Tensor, images: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, (B,), for a range of 2 (from -1 to 1)."""
    return 10 * torch.log10(4 / (decoded - images).square().mean((1, 2, 3)).clamp_min(1e-10))


def attention(pieces: npt.NDArray[np.uint8], importance: npt.NDArray[np.float32], cell: int) -> npt.NDArray[np.float16]:
    """How much each cell of the latents is about people: the mean importance of its pixels, (N, H / cell, W / cell).

    ``pieces`` (N, H, W) are indices into ``importance``.
    """
    count, height, width = pieces.shape
    looked_up = importance.astype(np.float16)[pieces]
    cells = looked_up.reshape(count, height // cell, cell, width // cell, cell)
    return np.asarray(cells.mean((2, 4), dtype=np.float32), dtype=np.float16)
