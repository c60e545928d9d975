"""Loading of FLUX.2."""

from pathlib import Path

from asap.backbones.family import INDEX, LoadOptions, read_settings
from asap.backbones.flux2.backbone import Flux2Backbone
from asap.backbones.flux2.targets import lora_targets
from asap.backbones.paths import FlowPath, flow_shift
from asap.backbones.pipeline import check_channels, open_pipeline

__all__ = ["load"]


def load(folder: Path, name: str, options: LoadOptions) -> Flux2Backbone:
    """A pipeline folder of FLUX.2 klein or dev; raises as ``open_pipeline`` and ``check_channels``.

    The transformer takes times from 0 to 1 and multiplies them by 1000 itself: its clock ends at 1.
    """
    import diffusers

    kind = getattr(diffusers, read_settings(folder / INDEX)["_class_name"])
    pipeline = open_pipeline(kind, folder, options)
    check_channels(pipeline.transformer, pipeline.vae, name, cells=4)
    resolution = pipeline.vae.config.sample_size
    tokens = (resolution // Flux2Backbone.cell) ** 2
    return Flux2Backbone(
        pipeline,
        name,
        path=FlowPath(clock=1.0, shift=flow_shift(pipeline.scheduler.config, tokens)),
        lora_targets=lora_targets(pipeline.transformer.config.num_single_layers),
        resolution=resolution,
        options=options,
    )
