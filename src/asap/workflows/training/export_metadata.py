"""The metadata of an exported LoRA file, as the programs that list and load such files read it.

``modelspec.*`` is version 1.0.1 of Stability-AI/ModelSpec. ``ss_*`` are the keys of kohya's sd-scripts and
musubi-tuner, as far as they apply; by ``sshs_model_hash`` web interfaces recognize a file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from asap.backbones.family import Family
from asap.backbones.lorafiles import Lora
from asap.core.manifest import Manifest
from asap.workflows.runtime.lineage import MANIFEST
from asap.workflows.runtime.trained import ADAPTER

__all__ = ["ARCHITECTURES", "Architecture", "file_metadata"]

SPEC: Final = "1.0.1"
PREDICTIONS: Final = {"eps": "epsilon", "v": "v"}
"""Names of a path's prediction in ModelSpec; flow models have none."""


@dataclass(frozen=True)
class Architecture:
    """What a base model is called elsewhere."""

    name: str
    """``modelspec.architecture``, without ``/lora``."""
    implementation: str
    """``modelspec.implementation``."""
    side: int
    """Of its images, in pixels."""
    version: str = ""
    """``ss_base_model_version``; empty where no trainer of kohya's knows it."""
    network: str = ""
    """``ss_network_module``."""


SD: Final = "https://github.com/Stability-AI/generative-models"
FLUX, FLUX2 = "https://github.com/black-forest-labs/flux", "https://github.com/black-forest-labs/flux2"
QWEN, ZIMAGE = "https://github.com/QwenLM/Qwen-Image", "https://github.com/Tongyi-MAI/Z-Image"
ARCHITECTURES: Final = {
    "mini": Architecture("asap-mini", "diffusers", 64),
    "sd15": Architecture("stable-diffusion-v1", "diffusers", 512, "sd_v1", "networks.lora"),
    "sd2": Architecture("stable-diffusion-v2-512", "diffusers", 512, "sd_v2", "networks.lora"),
    "sd2_v": Architecture("stable-diffusion-v2-768-v", "diffusers", 768, "sd_v2_v", "networks.lora"),
    "sdxl": Architecture("stable-diffusion-xl-v1-base", SD, 1024, "sdxl_base_v1-0", "networks.lora"),
    "sd3": Architecture("stable-diffusion-3-medium", "diffusers", 1024, "medium", "networks.lora_sd3"),
    "sd35_medium": Architecture("stable-diffusion-3-5-medium", "diffusers", 1024, "5-medium", "networks.lora_sd3"),
    "sd35_large": Architecture("stable-diffusion-3-5-large", "diffusers", 1024, "5-large", "networks.lora_sd3"),
    "flux": Architecture("flux-1-dev", FLUX, 1024, "flux1", "networks.lora_flux"),
    "flux_schnell": Architecture("flux-1-schnell", FLUX, 1024, "flux1", "networks.lora_flux"),
    "flux2": Architecture("Flux.2-dev", FLUX2, 1024, "flux_2_dev", "networks.lora_flux_2"),
    "flux2_klein_4b": Architecture("Flux.2-klein-4b", FLUX2, 1024, "flux_2_klein_4b", "networks.lora_flux_2"),
    "flux2_klein_9b": Architecture("Flux.2-klein-9b", FLUX2, 1024, "flux_2_klein_9b", "networks.lora_flux_2"),
    "qwen_image": Architecture("Qwen-Image", QWEN, 1328, "qwen_image", "networks.lora_qwen_image"),
    "zimage": Architecture("Z-Image", ZIMAGE, 1024, "z_image", "networks.lora_zimage"),
    "sana": Architecture("sana", "diffusers", 1024),
}
"""By family, or by what ``_variant`` tells apart within it. Names are those of sd-scripts (library/sai_model_spec.py)
and musubi-tuner (utils/sai_model_spec.py, dataset/architectures.py); ``sana`` and ``mini`` are in neither."""
DORA: Final = ("lycoris.kohya", {"algo": "lora", "dora_wd": "True"})
"""Network module and arguments with which kohya's scripts read DoRA."""


def file_metadata(
    digest: str, weights: Path, family: Family, config: Mapping[str, Any], layers: Mapping[str, Lora], model: str
) -> dict[str, str]:
    """Metadata for a safetensors file.

    Args:
        digest: SHA-256 of the file's tensors, in hexadecimal.
        weights: the adapter's file; its time is the date.
        family: of the model.
        config: of the model's denoiser.
        layers: the adapter.
        model: its name or path.
    """
    manifest = _manifest_of(weights.parent)
    run = manifest.config if manifest else {}
    known = ARCHITECTURES.get(_variant(family.name, config, run), Architecture(family.name, "diffusers", 1024))
    spec = {
        "sai_model_spec": SPEC,
        "architecture": f"{known.name}/lora",
        "implementation": known.implementation,
        "title": _title(weights),
        "date": datetime.fromtimestamp(int(weights.stat().st_mtime), UTC).isoformat(),
        "hash_sha256": f"0x{digest}",
        "resolution": f"{known.side}x{known.side}",
        "tags": "asap",
        "prediction_type": PREDICTIONS.get(str(run.get("predicts"))),
        "description": f"Aligned by asap with the method {run['method']}." if run else None,
    }
    trained = {
        **_network(known, layers),
        "sd_model_name": Path(model).name,
        "output_name": _title(weights),
        **(_training(run, manifest.notes) if manifest else {}),
    }
    return {
        "format": "pt",
        **{f"modelspec.{key}": value for key, value in spec.items() if value is not None},
        **{f"ss_{key}": str(value) for key, value in trained.items() if value is not None},
        "sshs_model_hash": digest,
    }


def _variant(family: str, config: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """A key of ``ARCHITECTURES``."""
    if family == "sd15" and config.get("cross_attention_dim") == 1024:
        return "sd2_v" if run.get("predicts") == "v" else "sd2"
    if family == "sd3" and config.get("qk_norm"):
        return "sd35_medium" if config.get("dual_attention_layers") else "sd35_large"
    if family == "flux" and not config.get("guidance_embeds"):
        return "flux_schnell"
    if family == "flux2" and not config.get("guidance_embeds"):
        return "flux2_klein_9b" if config.get("num_attention_heads") == 32 else "flux2_klein_4b"
    return family


def _network(known: Architecture, layers: Mapping[str, Lora]) -> dict[str, object]:
    if not known.network:
        return {}
    ranks = {lora.rank for lora in layers.values()}
    alphas = {lora.rank * lora.scale for lora in layers.values()}
    dora = any(lora.magnitude is not None for lora in layers.values())
    return {
        "base_model_version": known.version,
        "v2": known.version.startswith("sd_v2"),
        "network_module": DORA[0] if dora else known.network,
        "network_dim": ranks.pop() if len(ranks) == 1 else "Dynamic",
        "network_alpha": alphas.pop() if len(alphas) == 1 else "Dynamic",
        "network_args": json.dumps(DORA[1] if dora else {}),
    }


def _training(run: Mapping[str, Any], notes: Mapping[str, Any]) -> dict[str, object]:
    """Settings of the run under kohya's names."""
    steps = run["training"]
    return {
        "learning_rate": steps.get("lr"),
        "lr_warmup_steps": steps.get("warmup"),
        "max_train_steps": steps.get("steps"),
        "steps": notes.get("steps"),
        "batch_size_per_device": steps.get("batch_size"),
        "gradient_accumulation_steps": steps.get("grad_accum"),
        "max_grad_norm": steps.get("max_grad_norm"),
        "optimizer": steps.get("optimizer"),
        "mixed_precision": steps.get("precision"),
        "seed": steps.get("seed"),
        "training_comment": f"asap {run['method']}, pairs {str(run['pairs'])[:16]}",
    }


def _manifest_of(folder: Path) -> Manifest | None:
    """That of the adapter, or of the run around it."""
    found = (place / MANIFEST for place in (folder, folder.parent) if (place / MANIFEST).is_file())
    path = next(found, None)
    manifest = Manifest.read(path) if path else None
    return manifest if manifest and manifest.kind == "trained" else None


def _title(weights: Path) -> str:
    """Name of the run's folder."""
    folder = weights.parent.resolve()
    return folder.parent.name if folder.name == ADAPTER else folder.name
