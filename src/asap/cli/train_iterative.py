"""``asap train iterative``."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asap.cli.output import print_lines, tell
from asap.core.settings import Fraction, Natural, Positive, PositiveFloat


@dataclass(frozen=True, kw_only=True)
class Command:
    """Align a model on images that it generates itself, in rounds.

    Each round builds on-policy pairs with the model of the previous round and aligns that model on them. To add rounds
    later, run the command again with a larger --rounds.
    """

    out: Path
    """Folder of the rounds."""
    rounds: Positive = 2
    """Number of rounds."""
    model: str = "mini"
    """Known name, pipeline folder or Hub id."""
    ranker: str = "ranker"
    """Learned judge that ranks the samples of the model: ranker, or a folder."""
    scene: Literal["varied", "studio", "clear"] = "varied"
    """Scene around the people; the embedded model was trained on studio."""
    count: Positive = 400
    """Pairs per round."""
    samples: Positive = 4
    """Samples per pair; the best becomes the chosen image and the worst the rejected image."""
    whole_share: Fraction = 0.5
    """Share of pairs in which the whole person is regenerated instead of one part."""
    method: str = "localized_dpo"
    """Objective, as in `asap train`."""
    steps: Positive = 64
    """Optimizer steps per round."""
    batch_size: Positive = 8
    """Pairs per process and forward pass."""
    lr: PositiveFloat = 3e-5
    """Learning rate."""
    full: bool = True
    """Train all weights of the denoiser; --no-full trains a LoRA."""
    seed: Natural = 0
    """Seed of pairs and training."""
    workers: Positive | None = None
    """Number of worker processes that build pairs; one per core by default."""
    device: str = "auto"
    """Device of torch: cpu, cuda, cuda:1; a GPU is used automatically."""

    def run(self) -> None:
        """Run the rounds, or continue, and print the folder of the model."""
        from asap.workflows.training.iterative import RoundSettings, align_in_rounds

        settings = RoundSettings(
            model=self.model,
            count=self.count,
            screen=self.ranker,
            draws=self.samples,
            whole=self.whole_share,
            scene=self.scene,
            method=self.method,
            steps=self.steps,
            batch_size=self.batch_size,
            lr=self.lr,
            full=self.full,
            seed=self.seed,
        )
        model = align_in_rounds(
            self.out,
            rounds=self.rounds,
            settings=settings,
            workers=self.workers or os.cpu_count() or 1,
            device=self.device,
            report=tell,
        )
        print_lines({"model": str(model), "rounds": self.rounds})
