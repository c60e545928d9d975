"""Denoisers with frozen weights in 4 or 8 bits, through the quantizers of diffusers.

    nf4      bitsandbytes, 4-bit normal floats (arXiv:2305.14314); needs a GPU that bitsandbytes supports
    int8     bitsandbytes, 8-bit integers with separate outliers (arXiv:2208.07339); needs the same
    ao_int8  torchao, 8-bit integer weights, computed in the model's dtype; also on the CPU
    ao_fp8   torchao, 8-bit floating point weights, computed in the model's dtype; also on the CPU

Only the denoiser is quantized: text encoders and autoencoder run once, before training. An adapter trains in float32
beside it; the quantized weights are also the reference, so delta is 0 before the first step.
"""

import importlib
import inspect
from importlib.util import find_spec
from typing import Any, Final, Literal, get_args

import torch

from asap.core.errors import ConfigError, MissingDependencyError

__all__ = ["QUANTIZATIONS", "Quantization", "check_quantization", "quantization_config"]

Quantization = Literal["nf4", "int8", "ao_int8", "ao_fp8"]
QUANTIZATIONS: Final[tuple[str, ...]] = get_args(Quantization)


def check_quantization(name: str) -> None:
    """Raise ``ConfigError`` for an unknown name, ``MissingDependencyError`` if its package is not installed."""
    if name not in QUANTIZATIONS:
        raise ConfigError(f"quantization must be one of {', '.join(QUANTIZATIONS)}, got {name!r}")
    package = "torchao" if name.startswith("ao_") else "bitsandbytes"
    if find_spec(package) is None:
        raise MissingDependencyError(package, f"quantization {name}")


def quantization_config(kind: Any, name: str, dtype: torch.dtype) -> Any:  # noqa: ANN401
    """The argument ``quantization_config`` of ``kind.from_pretrained``.

    Args:
        kind: a diffusers pipeline class; its denoiser is ``transformer`` or ``unet``.
        name: one of ``QUANTIZATIONS``.
        dtype: in which the denoiser computes.

    Raises:
        ConfigError: see ``check_quantization``.
        MissingDependencyError: likewise.
    """
    from diffusers import PipelineQuantizationConfig

    check_quantization(name)
    part = "transformer" if "transformer" in inspect.signature(kind.__init__).parameters else "unet"
    return PipelineQuantizationConfig(quant_mapping={part: _of(name, dtype)})


def _of(name: str, dtype: torch.dtype) -> Any:  # noqa: ANN401
    from diffusers import BitsAndBytesConfig, TorchAoConfig

    if name == "nf4":
        return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    if name == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    torchao: Any = importlib.import_module("torchao.quantization")
    return TorchAoConfig(torchao.Int8WeightOnlyConfig() if name == "ao_int8" else torchao.Float8WeightOnlyConfig())
