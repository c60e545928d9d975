"""The description of a model family, and the options with which a model is loaded."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

import torch

from asap.backbones.quantization import Quantization, check_quantization
from asap.core.errors import ConfigError, InputError, StoreError
from asap.core.files import read_json

__all__ = [
    "DTYPES",
    "INDEX",
    "OFFLOADS",
    "Dtype",
    "Family",
    "LoadOptions",
    "Offload",
    "device_named",
    "read_settings",
]

INDEX: Final = "model_index.json"
"""The file that makes a folder a diffusers pipeline."""
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
DTYPES: Final[tuple[str, ...]] = get_args(Dtype)[1:]
Offload = Literal["none", "parts", "blocks"]
OFFLOADS: Final[tuple[str, ...]] = get_args(Offload)


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """Device, dtype and memory options of a model."""

    device: str = "auto"
    """As torch names it: cpu, cuda, cuda:1, mps. auto is a GPU if there is one (with several processes, that of
    LOCAL_RANK), else cpu."""
    dtype: Dtype = "auto"
    """Of denoiser and text encoders; auto is float32 on the CPU and bfloat16 elsewhere. The autoencoder is float32
    always: latents are encoded once, and some autoencoders overflow in float16."""
    revision: str | None = None
    """Branch, tag or commit of a model on the hub; None for its main branch."""
    variant: str | None = None
    """Which weight files, for instance fp16; None for those without a variant in their name."""
    quantization: Quantization | None = None
    """Of the denoiser's weights, which are then frozen; see ``backbones.quantization``."""
    offload: Offload = "none"
    """What is kept in main memory and moved to the device to run: with ``parts`` the autoencoder and the text encoders,
    with ``blocks`` also the frozen weights of the denoiser, layer by layer (in training only)."""
    schedule: Mapping[str, object] = field(default_factory=dict)
    """Settings of the scheduler that override those of its file, for a checkpoint whose file is wrong: a v-model that
    is published with prediction_type epsilon would be trained towards a wrong target without any message."""

    @property
    def torch_dtype(self) -> torch.dtype:
        """``dtype`` as torch has it; call ``settled`` first."""
        return cast("torch.dtype", getattr(torch, self.dtype))

    def settled(self) -> "LoadOptions":
        """The same options with ``auto`` resolved on this machine.

        Raises:
            ConfigError: an unknown dtype, quantization or offload, or two that exclude each other.
            MissingDependencyError: the quantization's package is not installed.
            InputError: this machine does not have the device.
        """
        if self.dtype not in ("auto", *DTYPES):
            raise ConfigError(f"dtype must be auto, {', '.join(DTYPES)}, got {self.dtype!r}")
        if self.offload not in OFFLOADS:
            raise ConfigError(f"offload must be {', '.join(OFFLOADS)}, got {self.offload!r}")
        if self.quantization is not None:
            check_quantization(self.quantization)
            if self.offload == "blocks":
                raise ConfigError("quantized weights stay on the device; offload parts, or leave quantization out")
        device, dtype = device_named(self.device), self.dtype
        if dtype == "auto":
            dtype = "float32" if torch.device(device).type == "cpu" else "bfloat16"
        return replace(self, device=device, dtype=dtype)


def device_named(name: str) -> str:
    """Resolve and check the name of a device; ``auto`` is a GPU if there is one (that of LOCAL_RANK), else cpu.

    Raises:
        ConfigError: torch has no such device.
        InputError: this machine does not have it.
    """
    if name == "auto":
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"
    try:
        torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device must be auto, cpu, cuda, cuda:1 or another of torch, got {name!r}") from error
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"no device {name!r} here: {reason}; choose another, for instance cpu") from error
    return name


@dataclass(frozen=True, kw_only=True)
class Family:
    """A model family; the constant ``FAMILY`` of its folder's ``__init__``, which imports no diffusers."""

    name: str
    """The folder's name."""
    pipelines: tuple[str, ...]
    """Values of ``_class_name`` in model_index.json that belong to the family."""
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Component -> its possible classes, where several families share a pipeline class."""
    unused: tuple[str, ...] = ()
    """Components that are neither downloaded nor loaded."""
    hubs: tuple[str, ...] = ()
    """Ids of known models on the hub, for documentation."""
    original: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Linear maps of the original code, by which kohya names LoRA weights -> the maps that diffusers makes of each
    one's rows, in their order; {} is a block's number. Empty where kohya's names are diffusers' or those of ``sgm``."""
    sgm: bool = False
    """Whether kohya names the layers of the UNet as ``lorafiles.sgm_name`` does."""
    lora_forms: tuple[str, ...] = ("kohya", "comfyui")
    """Forms of LoRA files, besides diffusers and peft, that a program reads for this family."""
    comfyui: Literal["diffusers", "kohya"] = "diffusers"
    """Whose names ComfyUI maps to its own layers: diffusers' after ``transformer.``, or kohya's."""

    def knows(self, index: Mapping[str, Any]) -> bool:
        """Whether a model_index.json is of this family."""
        return index.get("_class_name") in self.pipelines and all(
            _part(index, part) in classes for part, classes in self.parts.items()
        )


def _part(index: Mapping[str, Any], name: str) -> str | None:
    """Class of a component, from its entry [library, class]."""
    entry = index.get(name)
    return entry[1] if isinstance(entry, list) and len(entry) == 2 else None


def read_settings(path: Path) -> Mapping[str, Any]:
    """A configuration file of a model; raises ``StoreError`` when it is missing or broken."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise StoreError(f"{path} holds no settings; fetch or export the model anew")
    return cast("Mapping[str, Any]", value)
