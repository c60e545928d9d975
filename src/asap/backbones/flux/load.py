"""Loading of FLUX.1."""

from pathlib import Path

from asap.backbones.family import LoadOptions
from asap.backbones.flux.backbone import FluxBackbone
from asap.backbones.flux.targets import LORA_TARGETS
from asap.backbones.paths import FlowPath, flow_shift
from asap.backbones.pipeline import check_channels, open_pipeline

__all__ = ["load"]


def load(folder: Path, name: str, options: LoadOptions) -> FluxBackbone:
    """A pipeline folder of FLUX.1; raises as ``open_pipeline`` and ``check_channels``.

    The transformer takes times from 0 to 1 and multiplies them by 1000 itself: its clock ends at 1.
    """
    from diffusers import FluxPipeline

    pipeline = open_pipeline(FluxPipeline, folder, options)
    check_channels(pipeline.transformer, pipeline.vae, name, cells=4)
    resolution = pipeline.vae.config.sample_size
    tokens = (resolution // FluxBackbone.cell) ** 2
    return FluxBackbone(
        pipeline,
        name,
        path=FlowPath(clock=1.0, shift=flow_shift(pipeline.scheduler.config, tokens)),
        lora_targets=LORA_TARGETS,
        resolution=resolution,
        options=options,
    )
