"""An inpainter made of a diffusers pipeline: several images per call, one CPU generator per image."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from asap.core.errors import AsapError, BrokenImageError, InputError
from asap.core.hashing import digest_json
from asap.core.records import ByteArray
from asap.degrade.diffusion.families import Family
from asap.degrade.diffusion.inpainter import PaintRequest

__all__ = ["PipelineInpainter"]


class PipelineInpainter:
    """The inpainter that ``load_inpainter`` returns. It is not thread-safe: the pipeline's scheduler keeps state."""

    def __init__(
        self,
        pipeline: Any,  # noqa: ANN401  diffusers has no types
        family: Family,
        *,
        name: str,
        weights: str,
        steps: int,
        guidance: float,
        size: int | None,
        maps: tuple[str, ...],
    ) -> None:
        """Wrap a loaded pipeline; ``weights`` is a hash of its files, ``size`` overrides the native size."""
        self.pipeline, self.family, self.name, self.maps = pipeline, family, name, maps
        self.steps, self.guidance = steps, guidance
        pipeline.set_progress_bar_config(disable=True)
        self.size_multiple = _multiple(pipeline)
        self.native_size = size or _native(pipeline)
        if self.native_size % self.size_multiple:
            raise InputError(f"size must be a multiple of {self.size_multiple} for {name}, not {self.native_size}")
        self.fingerprint = digest_json(
            {
                "weights": weights,
                "pipeline": family.pipeline,
                "maps": maps,
                "scale": family.scale,
                "steps": steps,
                "guidance": guidance,
                "size": self.native_size,
                "dtype": str(pipeline.dtype),
            }
        )

    @property
    def at_most(self) -> int | None:
        """One where diffusers takes no batch: with several maps, with modes in FLUX, and where the table says so."""
        alone = len(self.maps) > 1 or ("Flux" in self.family.pipeline and bool(self.maps) and self._wants_modes())
        return None if self.family.batched and not alone else 1

    def paint(self, requests: Sequence[PaintRequest]) -> list[ByteArray | BrokenImageError]:
        """As ``Inpainter.paint``.

        Raises:
            InputError: a shape or the strength does not fit, or a map is missing.
            AsapError: the memory is too small, as it would be for any other images, or the pipeline returned another
                number of images.
        """
        for request in requests:
            self._check(request, requests[0])
        (height, width), strength = requests[0].mask.shape, requests[0].strength
        arguments: dict[str, Any] = {
            "prompt": _alone([request.prompt for request in requests]),
            "height": height,
            "width": width,
            "num_inference_steps": self.steps,
            "output_type": "np",
            self.family.guidance_argument: self.guidance,
            # on the CPU, so that every device gets the same noise
            "generator": _alone([torch.Generator().manual_seed(request.seed) for request in requests]),
            self.family.image_argument: _alone([Image.fromarray(request.image) for request in requests]),
            self.family.mask_argument: _alone(
                [Image.fromarray(np.where(request.mask, 255, 0).astype(np.uint8)) for request in requests]
            ),
        }
        if self.family.strength:  # at least one step, however few there are; 49 * (1 / 49) is less than 1
            arguments["strength"] = min(1.0, max(strength, 1.0001 / self.steps))
        if self.family.negative and self.guidance > 1:
            # without a negative prompt, Qwen-Image skips guidance; SDXL treats None differently from an empty prompt
            spare = " " if self.family.guidance_argument == "true_cfg_scale" else None
            given = bool(requests[0].negative)
            negatives = [request.negative if given else spare for request in requests]
            arguments["negative_prompt"] = _alone(negatives) if given or spare else None
        if self.maps:
            arguments |= self._control([request.control or {} for request in requests])
        try:
            with torch.random.fork_rng(devices=[]):  # some schedulers draw from the global generator
                torch.manual_seed(requests[0].seed)
                painted = self.pipeline(**arguments).images
        except torch.OutOfMemoryError as error:
            raise AsapError(
                f"{self.name} does not fit into memory with {len(requests)} images of {width}x{height}; choose a "
                "smaller size or batch size, dtype bfloat16, or a smaller model"
            ) from error
        if len(painted) != len(requests):
            raise AsapError(
                f"{self.name} was asked for {len(requests)} images and returned {len(painted)}; report this"
            )
        return [self._image(values, height, width) for values in painted]

    def _image(self, values: npt.NDArray[Any], height: int, width: int) -> ByteArray | BrokenImageError:
        """(H, W, 3) uint8 of (h, w, 3) in [0, 1]."""
        if values.ndim != 3 or values.shape[2] != 3 or not np.isfinite(values).all():
            came = f"shape {values.shape}" if values.ndim != 3 or values.shape[2] != 3 else "values that are not finite"
            return BrokenImageError(
                f"{self.name} returned an image with {came}; try --dtype float32, or bfloat16 in place of float16"
            )
        image = Image.fromarray((values * 255).round().astype(np.uint8))
        if image.size != (width, height):  # Qwen-Image-Edit chooses its own size
            image = image.resize((width, height), Image.Resampling.LANCZOS)
        return np.asarray(image, dtype=np.uint8)

    def roundtrip(self, image: ByteArray) -> ByteArray:
        """As ``Inpainter.roundtrip``; raises ``InputError`` if the size does not fit."""
        self._check_size(image)
        vae, processor = self.pipeline.vae, self.pipeline.image_processor
        before = vae.dtype
        # the rule of diffusers' SDXL pipelines: this encoder overflows in half precision
        wide = before != torch.float32 and bool(getattr(vae.config, "force_upcast", False))
        if wide:
            vae.float()
        with torch.no_grad():
            values = processor.preprocess(Image.fromarray(image), height=image.shape[0], width=image.shape[1])
            values = values.to(self.pipeline._execution_device, vae.dtype)
            values = values.unsqueeze(2) if _is_video(vae) else values
            encoded = vae.encode(values)
            latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
            decoded = vae.decode(latents).sample
            decoded = decoded[:, :, 0] if _is_video(vae) else decoded
        if wide:
            torch.nn.Module.to(vae, before)  # not the pipeline's own ``to``, which warns
        result = processor.postprocess(decoded.float(), output_type="pil")[0]
        return np.asarray(result.convert("RGB"), dtype=np.uint8)

    def _control(self, controls: Sequence[Mapping[str, ByteArray]]) -> dict[str, Any]:
        """The maps as the pipeline needs them: alone, as a batch, or as lists of one image's if there are several."""
        images = [_alone([Image.fromarray(control[name]) for control in controls]) for name in self.maps]
        modes = [self.family.modes[name] for name in self.maps] if self._wants_modes() else None
        several = len(self.maps) > 1 or type(self.pipeline.controlnet).__name__.startswith(("Multi", "FluxMulti"))
        out: dict[str, Any] = {"controlnet_conditioning_scale": self.family.scale}
        if type(self.pipeline.controlnet).__name__ == "ControlNetUnionModel":
            return out | {"control_image": images, "control_mode": modes}
        out["control_image"] = images if several else images[0]
        if several:
            out["controlnet_conditioning_scale"] = [self.family.scale] * len(images)
        if modes is not None:
            out["control_mode"] = modes if several else modes[0]
        elif several and "Flux" in self.family.pipeline:
            out["control_mode"] = [None] * len(images)
        return out

    def _wants_modes(self) -> bool:
        """Whether the ControlNet was trained on several maps and needs the index of this map."""
        network = self.pipeline.controlnet
        first = network.nets[0] if hasattr(network, "nets") else network
        return type(first).__name__ == "ControlNetUnionModel" or bool(getattr(first, "union", False))

    def _check(self, request: PaintRequest, first: PaintRequest) -> None:
        image, mask, control = request.image, request.mask, request.control or {}
        self._check_size(image)
        if mask.shape != image.shape[:2] or mask.dtype != np.bool_:
            raise InputError(f"the mask must be bool {image.shape[:2]}, got {mask.dtype} {mask.shape}")
        if not 0 < request.strength <= 1:
            raise InputError(f"strength must be above 0 and at most 1, not {request.strength}")
        if request.kind != first.kind:
            raise InputError("requests of one call must have one size and one strength, and a negative prompt or none")
        for name in self.maps:
            if name not in control or control[name].shape != image.shape or control[name].dtype != np.uint8:
                came = f"{control[name].dtype} {control[name].shape}" if name in control else "none"
                raise InputError(f"{self.name} needs the map {name!r} as uint8 {image.shape}, got {came}")

    def _check_size(self, image: ByteArray) -> None:
        fits = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        if not fits or image.shape[0] % self.size_multiple or image.shape[1] % self.size_multiple:
            raise InputError(
                f"{self.name} wants uint8 (H, W, 3) with sides that are multiples of {self.size_multiple}, "
                f"got {image.dtype} {image.shape}"
            )


def _alone(items: list[Any]) -> Any:  # noqa: ANN401
    """The only item, or the list of several: some pipelines take no list of one."""
    return items[0] if len(items) == 1 else items


def _is_video(vae: Any) -> bool:  # noqa: ANN401
    """Whether the autoencoder has a time axis. That of Qwen-Image was made for video."""
    return type(vae).__name__ == "AutoencoderKLQwenImage"


def _multiple(pipeline: Any) -> int:  # noqa: ANN401
    """The number that divides the sides at every level of the UNet, or in the 2x2 patches of a transformer."""
    scale = int(pipeline.vae_scale_factor)
    unet = getattr(pipeline, "unet", None)
    whole = scale * (2 ** (len(unet.config.block_out_channels) - 1) if unet is not None else 2)
    return math.lcm(whole, 8)  # the calls themselves require 8, whatever the model


def _native(pipeline: Any) -> int:  # noqa: ANN401
    """The training size of the model according to its configuration; 1024 if it has none."""
    unet = getattr(pipeline, "unet", None)
    if unet is not None:
        return int(unet.config.sample_size) * int(pipeline.vae_scale_factor)
    return int(getattr(pipeline.vae.config, "sample_size", None) or 1024)
