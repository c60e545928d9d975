"""Export of a trained model: a plain diffusers pipeline folder with its model card and training log."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from asap.backbones.mini.backbone import GUIDANCE, STEPS, MiniBackbone
from asap.core.errors import InputError
from asap.core.files import make_folder, write_json, write_text

__all__ = ["export"]


def export(backbone: MiniBackbone, folder: Path, log: Path, settings: Mapping[str, Any], seconds: float) -> Path:
    """Write pipeline, README.md, training.jsonl and settings.json to ``folder``; returns it.

    Denoiser and autoencoder are stored in float16, which halves the package; the small text encoder stays float32,
    because transformers loads a model in the type it was stored in and the pipeline needs one type.

    Raises:
        InputError: the folder cannot be written.
    """
    make_folder(folder)
    for part in (backbone.pipeline.unet, backbone.pipeline.vae):
        part.to(dtype=torch.float16, memory_format=torch.contiguous_format)
    try:
        backbone.pipeline.save_pretrained(str(folder))
        shutil.copyfile(log, folder / "training.jsonl")
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot write the pipeline to {folder}: {reason}") from error
    finally:
        for part in (backbone.pipeline.unet, backbone.pipeline.vae):
            part.to(dtype=torch.float32)
    write_json(folder / "settings.json", dict(settings))
    write_text(folder / "README.md", _card(backbone, folder, settings, _last(log), seconds))
    return folder


def _last(log: Path) -> dict[str, dict[str, Any]]:
    """The newest value of every figure, by phase."""
    newest: dict[str, dict[str, Any]] = {}
    for text in log.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        newest.setdefault(line["phase"], {}).update(line)
    return newest


def _card(
    backbone: MiniBackbone, folder: Path, settings: Mapping[str, Any], last: Mapping[str, Any], seconds: float
) -> str:
    size = sum(path.stat().st_size for path in folder.rglob("*.safetensors")) / 1e6
    parts = {
        "denoiser": backbone.pipeline.unet,
        "text encoder": backbone.pipeline.text_encoder,
        "autoencoder": backbone.pipeline.vae,
    }
    counts = ", ".join(f"{name} {sum(p.numel() for p in m.parameters()) / 1e6:.2f} M" for name, m in parts.items())
    vae, denoiser = last.get("vae", {}), last.get("denoiser", {})
    decoder = f"PSNR {vae['psnr']} dB on held-out images" if "psnr" in vae else "that of the weights it began from"
    return f"""---
license: cc0-1.0
library_name: diffusers
pipeline_tag: text-to-image
---
# {backbone.name}: a small model of rendered people

A text-to-image model for {backbone.resolution}x{backbone.resolution} images of rendered people, hands and feet.
It exists to be aligned and measured on two CPU cores; it makes anatomical mistakes, and that is its use. It knows the
captions of this project's grammar and nothing else.

- Parts: stock diffusers and transformers modules, {size:.1f} MB on disk; parameters: {counts}.
- Path: flow (x_t = (1 - t) x + t noise, prediction noise - x, network time 1000 t), logit-normal times.
- Defaults: {STEPS} steps of DPM-Solver++ (order 2), guidance {GUIDANCE}.
- Data: {settings.get("pictures")} rendered images and their mirror images, no photograph, nobody's likeness. The body
  model's data (MakeHuman) is CC0; so are these weights.
- Recipe: `asap mini pretrain` with settings.json: {settings.get("steps")} steps of {settings.get("batch")}; the
  last stretch of this run took {seconds / 60:.0f} minutes.
- Autoencoder: {decoder}. Denoiser: held-out loss {denoiser.get("held_out")}.
- Log of the whole training: training.jsonl.

```python
from diffusers import DiffusionPipeline
pipe = DiffusionPipeline.from_pretrained("path/to/this/folder")
prompt = "a pale hand holding up two fingers, palm side, plain pink background"
pipe(prompt, num_inference_steps={STEPS}, guidance_scale={GUIDANCE}).images[0]
```
"""
