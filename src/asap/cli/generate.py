"""``asap generate``."""

from dataclasses import dataclass, field
from pathlib import Path

from asap.cli.sampling import Sampling, sampling_arguments
from asap.core.settings import Positive
from asap.workflows.runtime.loading import Loading


@dataclass(frozen=True, kw_only=True)
class Command:
    """Generate the images of a prompt suite with a model, with or without a LoRA."""

    out: Path
    """Folder of the generations."""
    seeds: Positive = 2
    """Images per prompt, with seeds 0 to N-1."""
    sampling: Sampling = field(default_factory=Sampling)
    loading: Loading = field(default_factory=Loading)

    def run(self) -> None:
        """Generate, or continue, and print the folder."""
        from asap.workflows.evaluation.generate import generate

        drawing = sampling_arguments(self.sampling, self.loading)
        print(generate(self.out, model=self.sampling.model, adapter=self.sampling.lora, seeds=self.seeds, **drawing))
