"""``asap demo``."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Command:
    """Run the whole loop at small size with the embedded model: pairs, training, images, judge, comparison."""

    out: Path
    """Folder of the demo."""
    device: str = "auto"
    """Device of torch: cpu, cuda, cuda:1; a GPU is used automatically."""

    def run(self) -> None:
        """Run the demo, which prints its own lines."""
        from asap.workflows.results.demo import demo

        demo(self.out, device=self.device)
