"""A diffusers pipeline behind the ``Backbone`` protocol; a family adds its text embedding and its denoiser's call."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from asap.backbones.family import INDEX, LoadOptions, read_settings
from asap.backbones.paths import NoisePath
from asap.backbones.protocol import TextCondition, Window
from asap.backbones.quantization import quantization_config
from asap.core.errors import ConfigError, InputError, StoreError
from asap.core.files import make_folder

__all__ = [
    "PipelineBackbone",
    "check_channels",
    "copy_weights",
    "diffusers_class",
    "dtype_argument",
    "open_pipeline",
    "reading",
]


class PipelineBackbone(ABC):
    """See ``asap.backbones.protocol.Backbone``. Images may have any size whose sides are multiples of ``cell``."""

    component: ClassVar[str] = "unet"
    """Name of the denoiser in the pipeline: unet or transformer."""
    chunk: ClassVar[int] = 1
    """Images per call of the pipeline. It is fixed and the last call is padded, because matrix kernels may round
    differently at another batch size; an image then does not depend on the number of images."""
    cell: int = 8
    """Pixels; sides of images must be multiples of it."""
    lora_targets: tuple[str, ...]
    """Names of the linear maps that get a LoRA: those of the community's own training scripts."""
    steps: ClassVar[int | None] = None
    """Default number of sampling steps; None for the pipeline's own."""
    guidance: ClassVar[float | None] = None
    """Default guidance scale; None for the pipeline's own."""

    def __init__(
        self,
        pipeline: Any,  # noqa: ANN401  diffusers has no types
        name: str,
        *,
        path: NoisePath,
        resolution: int,
        options: LoadOptions | None = None,
    ) -> None:
        """Wrap a loaded pipeline; its parts are frozen and put into evaluation mode.

        Args:
            pipeline: a diffusers pipeline.
            name: for messages.
            path: how data turns into noise.
            resolution: side in pixels of the images it was trained on.
            options: with which it was loaded; None for float32 on the CPU.
        """
        self.pipeline, self.name, self.path = pipeline, name, path
        self.options = (options or LoadOptions(device="cpu", dtype="float32")).settled()
        self.denoiser: nn.Module = getattr(pipeline, self.component)
        self.resolution = resolution
        self.latent_shape: tuple[int, int, int] = self.latent_size(resolution, resolution)
        pipeline.set_progress_bar_config(disable=True)
        for part in pipeline.components.values():
            if isinstance(part, nn.Module):
                part.eval()
                if part is not self.denoiser:
                    part.requires_grad_(False)

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """The pipeline's components that have weights."""
        return {name: part for name, part in self.pipeline.components.items() if isinstance(part, nn.Module)}

    @property
    def has_adapter(self) -> bool:
        """Whether the denoiser carries a LoRA."""
        return bool(getattr(self.denoiser, "peft_config", None))  # diffusers sets it with the first adapter

    @property
    def bf16(self) -> bool:
        """False: the dtype is chosen when the model is loaded."""
        return False

    def set_bf16(self, on: bool) -> None:
        """Ignored, see ``bf16``."""
        del on

    @property
    def device(self) -> torch.device:
        """Where the networks run."""
        return torch.device(self.options.device)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the denoiser's inputs."""
        return self.options.torch_dtype

    # --- images and latents

    def latent_size(self, height: int, width: int) -> tuple[int, int, int]:
        """(C, h, w) of an image's latents.

        Raises:
            InputError: a side is no positive multiple of ``cell``.
        """
        if min(height, width) < self.cell or height % self.cell or width % self.cell:
            raise InputError(
                f"{self.name} takes images whose sides are multiples of {self.cell}, got {height}x{width}; resize"
            )
        factor = self.pipeline.vae_scale_factor
        return self.channels, height // factor, width // factor

    @property
    def channels(self) -> int:
        """C of a latent."""
        return int(self.pipeline.vae.config.latent_channels)

    def encode(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] as latents (B, C, h, w), float32: the mode of the autoencoder's posterior.

        Raises:
            InputError: another shape, a size that ``latent_size`` refuses, or pixels or latents that are not finite.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise InputError(f"{self.name} reads images (B, 3, H, W), got {tuple(images.shape)}")
        self.latent_size(*images.shape[2:])
        if wrong := [row for row, image in enumerate(images) if not bool(torch.isfinite(image).all())]:
            raise InputError(f"image {wrong[0]} of {len(images)} holds pixels that are not finite; replace it")
        with torch.no_grad():
            latents = self.vae_encode(images.to(self.device, self.pipeline.vae.dtype))
        if not bool(torch.isfinite(latents).all()):
            raise InputError(
                f"the autoencoder of {self.name} overflows in {str(latents.dtype).removeprefix('torch.')}; load it "
                "with dtype bfloat16 or float32"
            )
        return latents.float()

    def decode(self, latents: Tensor) -> Tensor:
        """Latents as images (B, 3, H, W), float32, clipped to [-1, 1]."""
        with torch.no_grad():
            decoded = self.vae_decode(latents.to(self.device, self.pipeline.vae.dtype))
        return decoded.float().clamp(-1.0, 1.0)

    def vae_encode(self, images: Tensor) -> Tensor:
        """The autoencoder's part of ``encode``: (z - shift) * scale, with both from the config of AutoencoderKL."""
        vae = self.pipeline.vae
        shift = getattr(vae.config, "shift_factor", None) or 0.0
        latents: Tensor = (vae.encode(images).latent_dist.mode() - shift) * vae.config.scaling_factor
        return latents

    def vae_decode(self, latents: Tensor) -> Tensor:
        """The autoencoder's part of ``decode``, the inverse of ``vae_encode``."""
        vae = self.pipeline.vae
        shift = getattr(vae.config, "shift_factor", None) or 0.0
        decoded: Tensor = vae.decode(latents / vae.config.scaling_factor + shift).sample
        return decoded

    def unpack(self, latents: Tensor, height: int, width: int) -> Tensor:
        """Latents of the pipeline's loop as (B, C, h, w); ``height`` and ``width`` are the image's."""
        del height, width
        return latents

    # --- text and denoising: a family's own

    @abstractmethod
    def embed(self, prompts: Sequence[str]) -> TextCondition:
        """Text conditions of B prompts, float32, without graph."""

    @abstractmethod
    def denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        """Prediction (B, C, h, w), float32, at x_t (B, C, h, w) and t (B,) in [0, 1]."""

    def place(self, condition: TextCondition, windows: Sequence[Window]) -> TextCondition:
        """Add to each row the window of the whole image that it shows; unchanged for a family without such an input."""
        if len(windows) != len(condition):
            raise InputError(f"want one window per prompt, got {len(windows)} windows and {len(condition)} prompts")
        return condition

    # --- sampling

    def sample(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        guidance: float | None = None,
        height: int | None = None,
        width: int | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Images (B, H, W, 3), uint8, through the pipeline's own call, with one generator per image.

        Args:
            prompts: B of them.
            seeds: as many.
            steps: sampling steps; None for the default.
            guidance: guidance scale; None for the default.
            height: of the images in pixels; None for ``resolution``.
            width: likewise.

        Raises:
            InputError: there are not as many seeds as prompts, or the size does not fit.
        """
        if len(prompts) != len(seeds):
            raise InputError(f"want one seed per prompt, got {len(prompts)} prompts and {len(seeds)} seeds")
        height, width = height or self.resolution, width or self.resolution
        self.latent_size(height, width)
        size, how = (height, width), self._call_settings(steps, guidance)
        chunks = [
            self._sample_chunk(prompts[k : k + self.chunk], seeds[k : k + self.chunk], size, how)
            for k in range(0, len(prompts), self.chunk)
        ]
        return np.concatenate(chunks) if chunks else np.zeros((0, height, width, 3), dtype=np.uint8)

    def _call_settings(self, steps: int | None, guidance: float | None) -> dict[str, Any]:
        """Keyword arguments of the pipeline's call; what is absent is left to the pipeline."""
        steps = self.steps if steps is None else steps
        guidance = self.guidance if guidance is None else guidance
        named = {"num_inference_steps": steps, "guidance_scale": guidance}
        return {key: value for key, value in named.items() if value is not None}

    def _sample_chunk(
        self, prompts: Sequence[str], seeds: Sequence[int], size: tuple[int, int], how: Mapping[str, Any]
    ) -> npt.NDArray[np.uint8]:
        """At most ``chunk`` images; the call is padded with empty prompts to exactly that many."""
        missing = self.chunk - len(prompts)
        generators = [torch.Generator().manual_seed(int(seed)) for seed in [*seeds, *([0] * missing)]]
        with torch.no_grad():
            decoded = self.call([*prompts, *([""] * missing)], generators, size, how)
        values = (decoded[: len(prompts)] * 255.0).round().astype(np.uint8)
        return np.asarray(values, dtype=np.uint8)

    def call(
        self, prompts: list[str], generators: list[torch.Generator], size: tuple[int, int], how: Mapping[str, Any]
    ) -> npt.NDArray[np.floating[Any]]:
        """One call of the pipeline: images (B, H, W, 3) in [0, 1], decoded in the autoencoder's dtype."""
        height, width = size
        found = self.pipeline(
            **self.call_text(prompts), height=height, width=width, generator=generators, output_type="latent", **how
        ).images
        decoded = self.decode(self.unpack(found, height, width))
        return (decoded / 2 + 0.5).permute(0, 2, 3, 1).cpu().numpy()

    def call_text(self, prompts: list[str]) -> dict[str, Any]:
        """The prompts as arguments of the pipeline's call."""
        return {"prompt": prompts}

    # --- files

    def save_lora(self, folder: Path) -> None:
        """Write the adapter in diffusers format, with its rank and scale as metadata.

        Raises:
            InputError: the denoiser has no adapter, or the folder cannot be written.
        """
        from peft.utils import get_peft_model_state_dict

        denoiser: Any = self.denoiser
        if not self.has_adapter:
            raise InputError(f"the denoiser of {self.name} has no adapter to save")
        make_folder(folder)
        # peft's own key names: diffusers' converter renames the attention's keys only and its loader then drops them
        layers = {f"{self.component}_lora_layers": get_peft_model_state_dict(self.denoiser)}
        notes = {f"{self.component}_lora_adapter_metadata": next(iter(denoiser.peft_config.values())).to_dict()}
        try:
            type(self.pipeline).save_lora_weights(str(folder), **layers, **notes)
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"cannot write the adapter to {folder}: {reason}") from error

    def load_lora(self, folder: Path) -> None:
        """Load the adapter of a folder into the denoiser, in place of any other.

        Raises:
            InputError: the folder holds no adapter for this model.
        """
        if self.has_adapter:
            self.pipeline.unload_lora_weights()
        try:
            with _quiet():
                self.pipeline.load_lora_weights(str(folder))
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{folder} holds no adapter for {self.name}: {reason}") from error
        if not self.has_adapter:  # diffusers ignores keys of another model silently
            raise InputError(f"{folder} holds no adapter for {self.name}: no key is of its {self.component}")

    def fuse_lora(self) -> None:
        """Merge the denoiser's adapter into its weights; without an adapter nothing happens."""
        if self.has_adapter:
            self.pipeline.fuse_lora(components=[self.component])
            self.pipeline.unload_lora_weights()

    def save_pipeline(self, folder: Path) -> None:
        """Write a diffusers pipeline folder in the dtype that it was loaded in.

        Raises:
            InputError: it cannot be written, or the denoiser has an adapter, which would be lost.
        """
        if self.has_adapter:
            raise InputError(f"{self.name} carries an adapter; fuse it into the weights, or take it off, before saving")
        make_folder(folder)
        try:
            self.pipeline.save_pretrained(str(folder))
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"cannot write the pipeline to {folder}: {reason}") from error


def check_channels(
    denoiser: Any,  # noqa: ANN401
    vae: Any,  # noqa: ANN401
    name: str,
    *,
    cells: int = 1,
) -> None:
    """Refuse a model whose input is more than the image's latents.

    Args:
        denoiser: a diffusers model.
        vae: its autoencoder.
        name: for the message.
        cells: latent cells per token of the denoiser: 4 where 2x2 are packed.

    Raises:
        InputError: the denoiser takes more or fewer channels than the latents have.
    """
    taken, made = denoiser.config.in_channels, vae.config.latent_channels * cells
    if taken != made:
        raise InputError(
            f"{name} takes {taken} channels, its autoencoder makes {made}: "
            "it is an inpainting or editing model; align a text-to-image model"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, diffusers does not warn that an adapter has no weights for the text encoders."""
    log = logging.getLogger("diffusers.loaders.lora_base")

    def keep(record: logging.LogRecord) -> bool:
        return "No LoRA keys associated" not in record.getMessage()

    log.addFilter(keep)
    try:
        yield
    finally:
        log.removeFilter(keep)


def open_pipeline(
    folder: Path,
    options: LoadOptions,
    *,
    pipeline_class: str | None = None,
    vae_dtype: torch.dtype = torch.float32,
    **parts: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """A diffusers pipeline from a local folder, on its device and in its dtype.

    Args:
        folder: written by ``save_pretrained``, or a snapshot of the hub.
        options: device, dtype and the rest.
        pipeline_class: name of a class of diffusers; None for that of the folder's model_index.json.
        vae_dtype: of the autoencoder.
        parts: components given instead of those in the folder, for instance ``safety_checker=None``.

    Raises:
        StoreError: the folder is incomplete or unreadable.
        InputError: the installed diffusers has no such class.
        ConfigError: ``options.schedule`` names a setting that the scheduler does not have.
    """
    kind, options = (
        diffusers_class(pipeline_class or str(read_settings(folder / INDEX)["_class_name"])),
        options.settled(),
    )
    if options.quantization is not None:
        parts = {"quantization_config": quantization_config(kind, options.quantization, options.torch_dtype), **parts}
    dtypes = {"default": options.torch_dtype, "vae": vae_dtype}
    with reading(f"the pipeline in {folder}"):
        pipeline = kind.from_pretrained(
            str(folder), local_files_only=True, variant=options.variant, **dtype_argument(dtypes), **parts
        )
    for part in pipeline.components.values():
        if isinstance(part, nn.Module) and not getattr(part, "is_quantized", False):
            copy_weights(part)
    if options.schedule:
        _reschedule(pipeline, options.schedule)
    return pipeline.to(options.device) if options.offload == "none" else _offload(pipeline, options)


def diffusers_class(name: str) -> Any:  # noqa: ANN401
    """A class of diffusers by name; raises ``InputError`` if the installed version has none of that name."""
    import diffusers

    found = getattr(diffusers, name, None)
    if found is None:
        raise InputError(f"the installed diffusers {diffusers.__version__} has no {name}; update it")
    return found


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Inside, a failure of ``from_pretrained`` becomes a ``StoreError`` of one line that names ``what``."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        text = str(error).strip()
        reason = text.splitlines()[0] if text else type(error).__name__
        raise StoreError(f"cannot read {what}: {reason}") from error


def _offload(pipeline: Any, options: LoadOptions) -> Any:  # noqa: ANN401
    """Keep parts in main memory; each moves to the device when it runs and back when the next part runs."""
    from accelerate import cpu_offload_with_hook

    networks = {name: part for name, part in pipeline.components.items() if isinstance(part, nn.Module)}
    denoiser = networks.pop("transformer" if "transformer" in networks else "unet")
    before = None
    for _, part in sorted(networks.items()):  # the autoencoder comes after the text encoders
        _, before = cpu_offload_with_hook(part, torch.device(options.device), prev_module_hook=before)

    def leave(*_: object) -> None:
        for part in networks.values():
            if next(part.parameters()).device.type != "cpu":
                part.to("cpu")

    denoiser.register_forward_pre_hook(leave)
    if options.offload == "parts":
        denoiser.to(options.device)
    return pipeline


def _reschedule(pipeline: Any, schedule: Mapping[str, object]) -> None:  # noqa: ANN401
    """Override settings of the scheduler; raises ``ConfigError`` for one that it does not have."""
    config = pipeline.scheduler.config
    if unknown := sorted(set(schedule) - set(config)):
        known = ", ".join(sorted(key for key in config if not key.startswith("_")))
        raise ConfigError(f"{config['_class_name']} has no setting {', '.join(unknown)}; known: {known}")
    pipeline.scheduler = type(pipeline.scheduler).from_config(config, **schedule)


def copy_weights(module: nn.Module) -> None:
    """Copy the weights out of the memory-mapped file: matrix kernels of the CPU round differently at its addresses."""
    for parameter in module.parameters():
        parameter.data = parameter.data.clone()


def dtype_argument(dtype: torch.dtype | Mapping[str, torch.dtype]) -> dict[str, Any]:
    """The argument of ``from_pretrained`` that sets the dtype; its name differs between versions of diffusers."""
    from diffusers.utils import deprecation_utils

    return {"dtype" if hasattr(deprecation_utils, "_resolve_dtype") else "torch_dtype": dtype}
