"""``asap fuse``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Command:
    """Write a pipeline folder with a trained LoRA merged into the model's weights."""

    model: str = "mini"
    """Model that was aligned: a known name, a pipeline folder or a Hub id."""
    lora: Path
    """Folder of the training run, or of an adapter."""
    out: Path
    """Pipeline folder to write."""
    device: str = "auto"
    """Device of torch: cpu, cuda, cuda:1; a GPU is used automatically."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Dtype of the weights to write; auto is float32 on the CPU and bfloat16 elsewhere."""

    def run(self) -> None:
        """Write the folder and print its path."""
        from asap.backbones.family import LoadOptions
        from asap.workflows.training.export import fuse

        options = LoadOptions(device=self.device, dtype=self.dtype)
        print(fuse(self.model, self.lora, self.out, options=options))
