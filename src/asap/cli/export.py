"""``asap export``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional


@dataclass(frozen=True, kw_only=True)
class Command:
    """Write a trained LoRA with the key names of kohya, ComfyUI or diffusers."""

    lora: Positional[Path]
    """Folder of a training run, of its best/ or one of its snapshots, or of an adapter."""
    format: Literal["kohya", "comfyui", "diffusers"]
    """Key names to write."""
    out: Path
    """File to write, .safetensors."""
    model: str | None = None
    """Model that the LoRA was trained on; none is the one that the run names."""

    def run(self) -> None:
        """Write the file and print its path."""
        from asap.workflows.training.export import export_lora

        print(export_lora(self.lora, self.out, form=self.format, model=self.model))
