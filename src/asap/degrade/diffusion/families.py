"""The diffusers pipeline for each kind of model folder.

The table is explicit, because the pipelines differ in their calls.

``AutoPipelineForInpainting`` does not know FLUX Fill, FLUX.2 and the inpainting ControlNets, and it returns pipelines
(Kandinsky, DeepFloyd) that take other arguments.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from asap.core.errors import InputError

__all__ = ["FAMILIES", "Family", "find_family"]


@dataclass(frozen=True, kw_only=True)
class Family:
    """How one kind of model is loaded and called."""

    sources: tuple[str, ...]
    """Values of ``_class_name`` in model_index.json."""
    pipeline: str
    """Class of the diffusers pipeline."""
    kinds: tuple[str, ...]
    """Kinds of ``inpainter.KINDS`` that it supports."""
    steps: int
    """Default number of steps, from the model cards named in docs/guides/photographs.md."""
    guidance: float
    """Default guidance, from the same cards."""
    controlnet: str = ""
    """Class of its ControlNet; empty if it takes none."""
    guidance_argument: str = "guidance_scale"
    image_argument: str = "image"
    mask_argument: str = "mask_image"
    negative: bool = True
    """Whether it takes a negative prompt."""
    strength: bool = True
    """Whether it takes a strength. Without one, the mask always starts from pure noise."""
    batched: bool = True
    """Whether one call takes several images."""
    scale: float = 1.0
    """Factor on the output of the ControlNet. The defaults of diffusers are 0.5 to 1 and differ between its
    pipelines.
    """
    drop: tuple[str, ...] = ()
    """Components that are not loaded. A safety checker, for example, returns a black image."""
    modes: Mapping[str, int] = field(default_factory=dict)
    """Index of each map in a ControlNet that was trained on several, if the pipeline needs it."""


_SD: Final = ("StableDiffusionPipeline", "StableDiffusionInpaintPipeline", "StableDiffusionImg2ImgPipeline")
_SDXL: Final = ("StableDiffusionXLPipeline", "StableDiffusionXLInpaintPipeline")
_FLUX: Final = ("FluxPipeline", "FluxInpaintPipeline", "FluxImg2ImgPipeline")
_QWEN: Final = ("QwenImagePipeline", "QwenImageInpaintPipeline", "QwenImageImg2ImgPipeline")
_Z: Final = ("ZImagePipeline", "ZImageInpaintPipeline", "ZImageImg2ImgPipeline")
_CHECKER: Final = ("safety_checker", "feature_extractor")
_STEERED: Final = ("skeleton", "guided")

FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {
        "sd": Family(
            sources=_SD,
            pipeline="StableDiffusionInpaintPipeline",
            kinds=("repaint",),
            steps=30,
            guidance=7.5,
            drop=_CHECKER,
        ),
        "sdxl": Family(
            sources=_SDXL, pipeline="StableDiffusionXLInpaintPipeline", kinds=("repaint",), steps=30, guidance=7.0
        ),
        "sd3": Family(
            sources=("StableDiffusion3Pipeline", "StableDiffusion3InpaintPipeline"),
            pipeline="StableDiffusion3InpaintPipeline",
            kinds=("repaint",),
            steps=28,
            guidance=7.0,
        ),
        "flux-fill": Family(
            sources=("FluxFillPipeline",),
            pipeline="FluxFillPipeline",
            kinds=("repaint",),
            steps=50,
            guidance=30.0,
            negative=False,
        ),
        "flux": Family(
            sources=_FLUX,
            pipeline="FluxInpaintPipeline",
            kinds=("repaint",),
            steps=28,
            guidance=3.5,
            negative=False,
        ),
        "flux2-klein": Family(
            sources=("Flux2KleinPipeline", "Flux2KleinInpaintPipeline"),
            pipeline="Flux2KleinInpaintPipeline",
            kinds=("repaint",),
            steps=4,
            guidance=1.0,
            negative=False,
        ),
        "qwen": Family(
            sources=_QWEN,
            pipeline="QwenImageInpaintPipeline",
            kinds=("repaint",),
            steps=30,
            guidance=4.0,
            guidance_argument="true_cfg_scale",
        ),
        "qwen-edit": Family(
            sources=("QwenImageEditPipeline", "QwenImageEditInpaintPipeline"),
            pipeline="QwenImageEditInpaintPipeline",
            kinds=("repaint",),
            steps=30,
            guidance=4.0,
            guidance_argument="true_cfg_scale",
        ),
        "z-image": Family(sources=_Z, pipeline="ZImageInpaintPipeline", kinds=("repaint",), steps=9, guidance=0.0),
        "qwen-control": Family(
            sources=_QWEN,
            pipeline="QwenImageControlNetInpaintPipeline",
            kinds=("repaint",),
            steps=30,
            guidance=4.0,
            controlnet="QwenImageControlNetModel",
            guidance_argument="true_cfg_scale",
            image_argument="control_image",
            mask_argument="control_mask",
            strength=False,
            batched=False,
        ),
        "sd-steered": Family(
            sources=_SD,
            pipeline="StableDiffusionControlNetInpaintPipeline",
            kinds=_STEERED,
            steps=30,
            guidance=7.5,
            controlnet="ControlNetModel",
            drop=_CHECKER,
        ),
        "sdxl-steered": Family(
            sources=_SDXL,
            pipeline="StableDiffusionXLControlNetInpaintPipeline",
            kinds=_STEERED,
            steps=30,
            guidance=7.0,
            controlnet="ControlNetModel",
        ),
        "sdxl-union": Family(
            sources=_SDXL,
            pipeline="StableDiffusionXLControlNetUnionInpaintPipeline",
            kinds=_STEERED,
            steps=30,
            guidance=7.0,
            controlnet="ControlNetUnionModel",
            modes={"pose": 0, "depth": 1, "normal": 4},
        ),
        "flux-steered": Family(
            sources=_FLUX,
            pipeline="FluxControlNetInpaintPipeline",
            kinds=_STEERED,
            steps=28,
            guidance=3.5,
            controlnet="FluxControlNetModel",
            negative=False,
            modes={"depth": 2, "pose": 4},
        ),
        "z-image-steered": Family(
            sources=_Z,
            pipeline="ZImageControlNetInpaintPipeline",
            kinds=_STEERED,
            steps=9,
            guidance=0.0,
            controlnet="ZImageControlNetModel",
            scale=0.75,
            strength=False,
        ),
    }
)


def find_family(kind: str, source: str, *, controlled: bool, union: bool = False) -> Family:
    """The family that inpaints ``kind`` with a model whose model_index.json names ``source``.

    Args:
        kind: of ``inpainter.KINDS``.
        source: pipeline class of the model.
        controlled: whether a ControlNet was given.
        union: whether that is one of ``ControlNetUnionModel``.

    Raises:
        InputError: there is none; the message lists the classes that work, or says what is missing.
    """
    for family in FAMILIES.values():
        fits = kind in family.kinds and source in family.sources and bool(family.controlnet) == controlled
        if fits and (family.controlnet == "ControlNetUnionModel") == union:
            return family
    other = [f for f in FAMILIES.values() if kind in f.kinds and source in f.sources and not union]
    if other:
        wanted = f"a ControlNet of class {other[0].controlnet}" if other[0].controlnet else "no ControlNet"
        raise InputError(f"{kind} with a {source} takes {wanted}; {'leave it out' if controlled else 'name one'}")
    known = sorted({name for f in FAMILIES.values() if kind in f.kinds for name in f.sources})
    raise InputError(f"cannot {kind} with a model of class {source!r}; known: {', '.join(known)}")
