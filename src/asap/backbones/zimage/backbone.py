"""Z-Image behind the ``Backbone`` protocol: a backward clock, lists of latents and of texts."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from asap.backbones.family import LoadOptions
from asap.backbones.paths import FlowPath, flow_shift
from asap.backbones.pipeline import PipelineBackbone, open_pipeline
from asap.backbones.protocol import TextCondition
from asap.backbones.text import padded, rows

__all__ = ["ZImageBackbone", "load"]

LENGTH: Final = 512
"""Most tokens of a prompt with the chat around it, the pipeline's default."""
TURBO: Final = {"num_inference_steps": 8, "guidance_scale": 0.0}
"""How the distilled checkpoint is sampled, after diffusers' example for it (pipelines/z_image/pipeline_z_image.py)."""
DISTILLED: Final = re.compile(r"(?<!de)(?<!de-)(?<!de_)turbo", re.IGNORECASE)
"""Nothing in a folder tells Turbo from the base model except its name."""


class ZImageBackbone(PipelineBackbone):
    """The denoiser packs 2x2 cells itself; see README.md."""

    component = "transformer"
    cell = 16
    lora_targets: tuple[str, ...] = ("to_k", "to_q", "to_v", "to_out.0")
    """Attention in every block, the refiners' too: the default of diffusers (examples/dreambooth,
    train_dreambooth_lora_z_image.py) and of SimpleTuner (helpers/models/z_image/model.py)."""

    def __init__(self, pipeline: Any, name: str, options: LoadOptions) -> None:  # noqa: ANN401
        """Wrap a ``ZImagePipeline``."""
        resolution = pipeline.vae.config.sample_size
        shift = flow_shift(pipeline.scheduler.config, (resolution // self.cell) ** 2)
        super().__init__(
            pipeline,
            name,
            path=FlowPath(clock=1.0, shift=shift, backward=True),
            resolution=resolution,
            options=options,
        )

    def _call_settings(self, steps: int | None, guidance: float | None) -> dict[str, Any]:
        """A model with Turbo in its name takes few steps without guidance by default."""
        return {**(TURBO if DISTILLED.search(self.name) else {}), **super()._call_settings(steps, guidance)}

    def embed(self, prompts: Sequence[str]) -> TextCondition:
        """``text`` and ``mask`` of ``LENGTH`` tokens."""
        with torch.no_grad():  # the pipeline overwrites the list that it is given
            texts, _ = self.pipeline.encode_prompt(
                list(prompts),
                device=self.device,
                do_classifier_free_guidance=False,
                max_sequence_length=LENGTH,
            )
        return padded(texts, LENGTH)

    def denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        """Predicted x - noise at x_t, (B, C, h, w), float32."""
        predictions: list[Tensor] = self.denoiser(
            list(x_t.to(self.device, self.dtype)[:, :, None].unbind(0)),
            self.path.model_time(t).to(self.device),
            [text.to(self.device, self.dtype) for text in rows(condition)],
            return_dict=False,
        )[0]
        return torch.stack([prediction.float() for prediction in predictions])[:, :, 0]


def load(folder: Path, name: str, options: LoadOptions) -> ZImageBackbone:
    """A pipeline folder of Z-Image; raises as ``open_pipeline``."""
    return ZImageBackbone(open_pipeline(folder, options), name, options)
