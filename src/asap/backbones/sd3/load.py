"""Loading of Stable Diffusion 3 and 3.5."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from asap.backbones.family import INDEX, LoadOptions, read_settings
from asap.backbones.paths import FlowPath, flow_shift
from asap.backbones.pipeline import check_channels, open_pipeline
from asap.backbones.sd3.backbone import Sd3Backbone
from asap.backbones.sd3.targets import LORA_TARGETS

__all__ = ["load"]

TEXT: Final = tuple(part + suffix for part in ("text_encoder", "tokenizer") for suffix in ("", "_2", "_3"))
"""Parts that a folder may lack; its index then says null."""


def load(folder: Path, name: str, options: LoadOptions) -> Sd3Backbone:
    """A pipeline folder of SD3 or SD3.5; raises as ``open_pipeline`` and ``check_channels``."""
    from diffusers import StableDiffusion3Pipeline

    pipeline = open_pipeline(StableDiffusion3Pipeline, folder, options, **_absent(read_settings(folder / INDEX)))
    check_channels(pipeline.transformer, pipeline.vae, name)
    resolution = pipeline.transformer.config.sample_size * pipeline.vae_scale_factor
    tokens = (resolution // Sd3Backbone.cell) ** 2
    return Sd3Backbone(
        pipeline,
        name,
        path=FlowPath(shift=flow_shift(pipeline.scheduler.config, tokens)),
        lora_targets=LORA_TARGETS,
        resolution=resolution,
        options=options,
    )


def _absent(index: Mapping[str, Any]) -> dict[str, None]:
    """Said outright, for diffusers takes an absent part for a fault of the folder."""
    return {part: None for part in TEXT if not any(index.get(part) or [])}
