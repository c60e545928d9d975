"""The step of diffusers' diffusion-DPO LoRA script for SDXL, told again, and the same step for FLUX.

What train_diffusion_dpo_sdxl.py of huggingface/diffusers (examples/research_projects, commit 58eb52c0) does
for each batch, in its order:

 1. decodes both JPEGs, scales, flips with probability 1/2, crops, normalises; tokenises the caption for both encoders;
 2. encodes winner and loser with the autoencoder and samples the posterior;
 3. draws one noise and one timestep a pair, used for both sides;
 4. runs both text encoders;
 5. predicts winner and loser with the adapter on, in one forward whose graph is kept;
 6. switches the adapter off, predicts both again without gradient, switches it on;
 7. -log sigmoid(-beta/2 * ((w - l) - (w_ref - l_ref))), mean over pairs, with means of squared errors;
 8. backward, clips the norm to 1, AdamW, constant learning rate, four numbers to the host for the log.

With ``checkpointing`` the denoiser keeps no activations inside its blocks. The script itself imports torchvision and
wandb and has its step inside one function; there is no torchvision for this torch on a CPU, so the step is told again
here, with the same calls of diffusers, peft and torch. diffusers has no such script for FLUX; there the noising and the
target are those of its FLUX LoRA script (x_t = (1 - t) x + t noise, target noise - x, logit-normal t).
"""

import io
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from benchmarks.align.models import Pair, embed
from diffusers import DDPMScheduler
from peft import LoraConfig
from PIL import Image
from torch import Tensor
from torch.nn import functional

from asap.backbones.pipeline import PipelineBackbone
from asap.backbones.protocol import TextCondition

__all__ = ["PeerStep", "read_pixels"]


def read_pixels(pair: Pair) -> Tensor:
    """Winner and loser (2, 3, S, S) in [-1, 1]; they have the model's size already."""
    pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in (pair.winner, pair.loser)]
    values = torch.stack([torch.from_numpy(np.array(picture)).permute(2, 0, 1).div(255) for picture in pictures])
    return (values - 0.5) / 0.5


class PeerStep:
    """One training step of the peer, on one pair after another."""

    def __init__(
        self, family: str, backbone: PipelineBackbone, pairs: Sequence[Pair], *, rank: int, checkpointing: bool
    ) -> None:
        """Add the adapter as the script does."""
        self.family, self.backbone, self.pairs, self.done = family, backbone, pairs, 0
        self.model: Any = backbone.denoiser
        self.model.requires_grad_(False)
        self.model.add_adapter(
            LoraConfig(
                r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=list(backbone.lora_targets)
            )
        )
        if checkpointing:
            self.model.enable_gradient_checkpointing()
        self.model.train()
        self.weights = [value for value in self.model.parameters() if value.requires_grad]
        self.optimizer = torch.optim.AdamW(self.weights, lr=1e-5, weight_decay=1e-2)
        self.clock = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
        self.random = random.Random(0)

    def step(self) -> dict[str, float]:
        """One pair, from its JPEGs to moved weights."""
        pair = self.pairs[self.done % len(self.pairs)]
        self.done += 1
        pixels = read_pixels(pair)
        pixels = pixels.flip(-1) if self.random.random() < 0.5 else pixels
        latents = self._encode(pixels)
        noise = torch.randn_like(latents).chunk(2)[0].repeat(2, 1, 1, 1)
        noised, target, time = self._noised(latents, noise)
        condition = embed(self.family, self.backbone, [pair.caption]).repeat(2)
        prediction = self._predict(noised, time, condition)
        errors = functional.mse_loss(prediction.float(), target, reduction="none").mean(dim=(1, 2, 3))
        winner, loser = errors.chunk(2)
        self.model.disable_adapters()
        with torch.no_grad():
            held = functional.mse_loss(self._predict(noised, time, condition).float(), target, reduction="none")
            held = held.mean(dim=(1, 2, 3))
        self.model.enable_adapters()
        held_winner, held_loser = held.chunk(2)
        inside = -0.5 * 5000 * ((winner - loser) - (held_winner - held_loser))
        loss = -functional.logsigmoid(inside).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return {
            "loss": loss.item(),
            "raw_model_loss": 0.5 * (winner.mean() + loser.mean()).item(),
            "ref_loss": held.mean().item(),
            "implicit_acc": float((inside > 0).float().mean()),
        }

    def _encode(self, pixels: Tensor) -> Tensor:
        vae = self.backbone.pipeline.vae
        with torch.no_grad():
            latents = vae.encode(pixels).latent_dist.sample()
        shift = getattr(vae.config, "shift_factor", None) or 0.0
        found: Tensor = (latents - shift) * vae.config.scaling_factor
        return found

    def _noised(self, latents: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x_t, target and t in [0, 1] of both sides."""
        if self.family == "sdxl":
            index = torch.randint(0, 1000, (1,)).repeat(2)
            return self.clock.add_noise(latents, noise, index), noise, (index + 1) / 1000
        time = torch.sigmoid(torch.randn(1)).repeat(2)
        share = time.reshape(-1, 1, 1, 1)
        return (1 - share) * latents + share * noise, noise - latents, time

    def _predict(self, noised: Tensor, time: Tensor, condition: TextCondition) -> Tensor:
        return self.backbone.denoise(noised, time, condition)
