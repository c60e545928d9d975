"""``asap export``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional


@dataclass(frozen=True, kw_only=True)
class Command:
    """Write a trained LoRA or DoRA in the file format of another program.

    kohya: sd-scripts and musubi-tuner. comfyui: ComfyUI. diffusers: `load_lora_weights`. peft: a folder for
    `PeftModel.from_pretrained` and for servers that take one.
    """

    lora: Positional[Path]
    """Folder of a training run, of its best/ or one of its snapshots, or of an adapter."""
    format: Literal["kohya", "comfyui", "diffusers", "peft"]
    """Program that reads the result."""
    out: Path
    """File to write, .safetensors; with peft a new folder."""
    model: str | None = None
    """Base model of the LoRA; by default the model that the run names."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Dtype of the weights in the file. Alphas and the magnitudes of DoRA stay float32."""

    def run(self) -> None:
        """Write the file and print its path."""
        from asap.workflows.training.export import export_lora

        print(export_lora(self.lora, self.out, form=self.format, model=self.model, dtype=self.dtype))
