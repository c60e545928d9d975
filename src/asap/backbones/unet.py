"""Base class of the families with a UNet on a discrete noise schedule."""

from typing import Any

from asap.backbones.family import LoadOptions
from asap.backbones.paths import path_of_schedule
from asap.backbones.pipeline import PipelineBackbone, check_channels
from asap.core.errors import InputError

__all__ = ["UnetBackbone"]


class UnetBackbone(PipelineBackbone):
    """Predicts noise or v as the scheduler's config says, with or without zero terminal SNR."""

    def __init__(self, pipeline: Any, name: str, options: LoadOptions | None = None) -> None:  # noqa: ANN401
        """Wrap a pipeline; see ``PipelineBackbone``.

        Raises:
            InputError: the UNet takes other inputs than latents, time and text, or the schedule is not supported.
        """
        unet = pipeline.unet.config
        check_channels(pipeline.unet, pipeline.vae, name)
        if unet.time_cond_proj_dim is not None:
            raise InputError(f"{name} is distilled over guidance (a latent consistency model); align what it came from")
        super().__init__(
            pipeline,
            name,
            path=path_of_schedule(pipeline.scheduler.config),
            resolution=_side(unet.sample_size, name) * pipeline.vae_scale_factor,
            options=options,
        )


def _side(size: object, name: str) -> int:
    """A UNet's ``sample_size`` as one number of latent cells."""
    sides = size if isinstance(size, list | tuple) else [size]
    if not sides or not all(isinstance(side, int) for side in sides):
        raise InputError(f"{name} does not say its resolution: the UNet's sample_size is {size!r}")
    return int(max(sides))
