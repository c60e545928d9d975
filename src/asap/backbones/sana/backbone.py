"""Sana and Sana Sprint behind the ``Backbone`` protocol: cells of 32 pixels, an instruction before every prompt."""

import inspect
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from asap.backbones.family import LoadOptions
from asap.backbones.paths import FlowPath, flow_shift
from asap.backbones.pipeline import PipelineBackbone, open_pipeline
from asap.backbones.protocol import TextCondition

__all__ = ["SanaBackbone", "SprintBackbone", "load"]

LENGTH: Final = 300
"""Tokens that the denoiser sees of a prompt, the pipeline's default."""
SPRINT_LOCATION: Final = 0.2
"""Mean of ln(sigma) at which Sana Sprint was trained, and below its standard deviation: defaults of the authors' recipe
(diffusers, examples/research_projects/sana/train_sana_sprint_diffusers.py)."""
SPRINT_SCALE: Final = 1.6


class SanaBackbone(PipelineBackbone):
    """The denoiser's tokens are the latent's cells; see README.md."""

    component = "transformer"
    cell = 32
    lora_targets: tuple[str, ...] = ("to_k", "to_q", "to_v", "to_out.0")
    """Self-attention and cross-attention in every block: SimpleTuner's default (helpers/models/sana/model.py,
    DEFAULT_LORA_TARGET); diffusers (examples/dreambooth/train_dreambooth_lora_sana.py) leaves ``to_out.0`` out."""

    def __init__(self, pipeline: Any, name: str, options: LoadOptions) -> None:  # noqa: ANN401
        """Wrap a ``SanaPipeline`` or ``SanaSprintPipeline``."""
        resolution = pipeline.transformer.config.sample_size * pipeline.vae_scale_factor
        super().__init__(pipeline, name, path=self._path(pipeline), resolution=resolution, options=options)

    @staticmethod
    def _path(pipeline: Any) -> FlowPath:  # noqa: ANN401
        return FlowPath(shift=flow_shift(pipeline.scheduler.config, 0))

    def vae_encode(self, images: Tensor) -> Tensor:
        """The autoencoder has no posterior, one scale and no shift."""
        vae = self.pipeline.vae
        latents: Tensor = vae.encode(images).latent * vae.config.scaling_factor
        return latents

    def embed(self, prompts: Sequence[str]) -> TextCondition:
        """``text`` and ``mask`` of ``LENGTH`` tokens, with the pipeline's own instruction before the prompt."""
        wanted = inspect.signature(type(self.pipeline).__call__).parameters["complex_human_instruction"].default
        settings: dict[str, Any] = {"device": self.device, "max_sequence_length": LENGTH}
        if "do_classifier_free_guidance" in inspect.signature(self.pipeline.encode_prompt).parameters:
            settings["do_classifier_free_guidance"] = False
        with torch.no_grad():
            text, mask = self.pipeline.encode_prompt(list(prompts), complex_human_instruction=wanted, **settings)[:2]
        return TextCondition({"text": text.float(), "mask": mask.bool()})

    def denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        """Predicted noise - x at x_t, (B, C, h, w), float32."""
        prediction: Tensor = self.denoiser(
            x_t.to(self.device, self.dtype),
            encoder_hidden_states=condition.tensors["text"].to(self.device, self.dtype),
            encoder_attention_mask=condition.tensors["mask"].to(self.device),
            return_dict=False,
            **self._clocks(t),
        )[0]
        return prediction.float()

    def _clocks(self, t: Tensor) -> dict[str, Tensor]:
        """The denoiser's inputs beside latents and text."""
        return {"timestep": self.path.model_time(t).to(self.device) * self.pipeline.transformer.config.timestep_scale}

    def _call_settings(self, steps: int | None, guidance: float | None) -> dict[str, Any]:
        """At the asked size, not at the nearest of the pipeline's table."""
        return {**super()._call_settings(steps, guidance), "use_resolution_binning": False}


class SprintBackbone(SanaBackbone):
    """Sana distilled to one to four steps: the same denoiser with its clock in [0, 1] and guidance as an input.

    Its sampler works with trigonometric times, but hands the denoiser the latents of the straight path and takes from
    it the noise - x of that path (arXiv:2503.09641, section 3.1), so the flow path is its path too.
    """

    @staticmethod
    def _path(pipeline: Any) -> FlowPath:  # noqa: ANN401
        """With tan(angle) = sigma / sigma_data, the straight path's time is tan / (1 + tan), a logistic of ln(tan)."""
        location = SPRINT_LOCATION - math.log(pipeline.scheduler.config.sigma_data)
        return FlowPath(clock=1.0, location=location, scale=SPRINT_SCALE)

    def _clocks(self, t: Tensor) -> dict[str, Tensor]:
        """Time, unscaled, and the guidance that images are drawn with."""
        default = inspect.signature(type(self.pipeline).__call__).parameters["guidance_scale"].default
        unit = self.pipeline.transformer.config.guidance_embeds_scale
        guidance = torch.full([len(t)], default * unit, device=self.device, dtype=self.dtype)
        return {"timestep": self.path.model_time(t).to(self.device), "guidance": guidance}

    def _call_settings(self, steps: int | None, guidance: float | None) -> dict[str, Any]:
        """The sampler's second time is for two steps alone."""
        how = super()._call_settings(steps, guidance)
        return how if how.get("num_inference_steps", 2) == 2 else {**how, "intermediate_timesteps": None}


def load(folder: Path, name: str, options: LoadOptions) -> SanaBackbone:
    """A pipeline folder of Sana or Sana Sprint; raises as ``open_pipeline``."""
    pipeline = open_pipeline(folder, options)
    kind = SprintBackbone if type(pipeline).__name__ == "SanaSprintPipeline" else SanaBackbone
    return kind(pipeline, name, options)
