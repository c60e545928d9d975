"""Loading the embedded model: the packaged weights, another pipeline folder, or the random tiny variant."""

from pathlib import Path
from typing import Final

from diffusers import StableDiffusionPipeline
from torch import nn

from asap.backbones.family import LoadOptions, device_named, read_settings
from asap.backbones.mini.backbone import MiniBackbone
from asap.backbones.mini.build import build_pipeline
from asap.core.errors import InputError, StoreError

__all__ = ["WEIGHTS", "load_family", "load_folder", "load_mini", "load_tiny"]

WEIGHTS = Path(__file__).parent / "weights"
"""The packaged pipeline folder."""
TINY_CAPTION = "a person with pale skin raises one hand with 5 fingers on a plain grey background"


SUPPORTED: Final = (
    "a StableDiffusionPipeline with AutoencoderTiny, a scheduler of flow_prediction with use_flow_sigmas, and square "
    "latents"
)


def load_folder(
    folder: Path, name: str | None = None, *, bf16: bool | None = None, device: str = "cpu"
) -> MiniBackbone:
    """A pipeline folder written by ``asap mini pretrain`` or ``save_pipeline``.

    Raises:
        StoreError: it is missing, incomplete or unreadable.
        InputError: it is a pipeline of another kind, or the device is absent.
    """
    if not (folder / "model_index.json").is_file():
        raise StoreError(f"{folder} is no diffusers pipeline folder: it has no model_index.json")
    if faults := _strange(folder):
        raise InputError(f"cannot use the pipeline in {folder}: it has {', '.join(faults)}; supported is {SUPPORTED}")
    try:
        # The type is set by _settle, because the name of its argument here differs between versions of diffusers.
        pipeline = StableDiffusionPipeline.from_pretrained(str(folder), safety_checker=None, local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise StoreError(f"cannot read the pipeline in {folder}: {str(error).splitlines()[0]}") from error
    for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        _settle(part)
    return MiniBackbone(pipeline, name or folder.name, bf16=bf16, device=device)


def load_family(folder: Path, name: str, options: LoadOptions) -> MiniBackbone:
    """``load_folder`` for ``asap.backbones.load``; raises ``InputError`` for another number type or offloading, too.

    The number type ``auto`` computes in bfloat16 where the device multiplies in it, ``float32`` never does.
    """
    if options.dtype not in ("auto", "float32") or options.offload != "none":
        raise InputError(
            f"a model of this kind is loaded in float32 and whole, not in {options.dtype} with offload "
            f"{options.offload}; leave these out"
        )
    bf16 = None if options.dtype == "auto" else False
    return load_folder(folder, name, bf16=bf16, device=device_named(options.device))


def _strange(folder: Path) -> list[str]:
    """What a pipeline folder has that ``MiniBackbone`` cannot work with, in words; read before any weights are."""
    index = read_settings(folder / "model_index.json")
    kind, vae = index.get("_class_name"), (index.get("vae") or [None])[-1]
    if kind != "StableDiffusionPipeline":
        return [f"the class {kind}"]
    faults = [] if vae == "AutoencoderTiny" else [f"the autoencoder {vae}"]
    clock, unet = (
        read_settings(folder / "scheduler" / "scheduler_config.json"),
        read_settings(folder / "unet" / "config.json"),
    )
    if clock.get("prediction_type") != "flow_prediction" or not clock.get("use_flow_sigmas"):
        faults.append(
            f"the scheduler {clock.get('_class_name')} with prediction_type {clock.get('prediction_type')} and "
            f"use_flow_sigmas {bool(clock.get('use_flow_sigmas'))}"
        )
    if not isinstance(unet.get("sample_size"), int):
        faults.append(f"the sample_size {unet.get('sample_size')} instead of one number")
    return faults


def _settle(module: nn.Module) -> None:
    """Float32, and out of the mapped file: matrix kernels round differently at its odd addresses."""
    module.float()  # not ``to``, about which diffusers warns
    for parameter in module.parameters():
        parameter.data = parameter.data.clone()


def load_mini(device: str = "cpu") -> MiniBackbone:
    """The packaged model; raises ``StoreError`` if the installation lacks its weights."""
    return load_folder(WEIGHTS, "mini", device=device)


def load_tiny(seed: int = 0, device: str = "cpu") -> MiniBackbone:
    """Random weights in the same architecture with a few channels, 32x32 pixels; for tests, float32 throughout."""
    return MiniBackbone(build_pipeline("tiny", [TINY_CAPTION], seed), "tiny", bf16=False, device=device)
