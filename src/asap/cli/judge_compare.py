"""``asap judge compare``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asap.cli.output import print_lines, tell


@dataclass(frozen=True, kw_only=True)
class Command:
    """Compare the images of two models side by side with the judge vlm, in both orders."""

    generations: Path
    """Generations of the model."""
    base: Path
    """Generations of the base model."""
    out: Path
    """Folder of the votes."""
    set: Mapping[str, object] = field(default_factory=dict)
    """Settings of the judge, for instance url=http://localhost:8000/v1 model=qwen."""

    def run(self) -> None:
        """Compare, or continue, and print the counts."""
        from asap.workflows.evaluation.run_judge import compare

        print_lines(compare(self.generations, self.base, self.out, options=self.set, report=tell))
