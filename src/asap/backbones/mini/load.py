"""Loading the embedded model: the packaged weights, another pipeline folder, or the random tiny variant."""

from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from torch import nn

from asap.backbones.mini.backbone import MiniBackbone
from asap.backbones.mini.build import build_pipeline
from asap.core.errors import StoreError

__all__ = ["WEIGHTS", "load_folder", "load_mini", "load_tiny"]

WEIGHTS = Path(__file__).parent / "weights"
"""The packaged pipeline folder."""
TINY_CAPTION = "a person with pale skin raises one hand with 5 fingers on a plain grey background"


def load_folder(folder: Path, name: str | None = None, *, bf16: bool | None = None) -> MiniBackbone:
    """A pipeline folder written by ``asap mini pretrain`` or ``save_pipeline``.

    Raises:
        StoreError: it is missing, incomplete or unreadable.
    """
    if not (folder / "model_index.json").is_file():
        raise StoreError(f"{folder} is no diffusers pipeline folder: it has no model_index.json")
    try:
        pipeline = StableDiffusionPipeline.from_pretrained(
            str(folder), torch_dtype=torch.float32, safety_checker=None, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise StoreError(f"cannot read the pipeline in {folder}: {str(error).splitlines()[0]}") from error
    for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        _settle(part)
    return MiniBackbone(pipeline, name or folder.name, bf16=bf16)


def _settle(module: nn.Module) -> None:
    """Move weights out of the mapped file: matrix kernels round differently at its odd addresses."""
    for parameter in module.parameters():
        parameter.data = parameter.data.clone()


def load_mini() -> MiniBackbone:
    """The packaged model; raises ``StoreError`` if the installation lacks its weights."""
    return load_folder(WEIGHTS, "mini")


def load_tiny(seed: int = 0) -> MiniBackbone:
    """Random weights in the same architecture with a few channels, 32x32 pixels; for tests, float32 throughout."""
    return MiniBackbone(build_pipeline("tiny", [TINY_CAPTION], seed), "tiny", bf16=False)
