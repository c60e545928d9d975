"""``asap judge train``."""

from dataclasses import dataclass
from pathlib import Path

from asap.cli.output import print_lines, tell
from asap.core.settings import Natural, NonNegative, Positive, PositiveFloat


@dataclass(frozen=True, kw_only=True)
class Command:
    """Train the learned judge on rendered people, whose defects are known."""

    out: Path
    """Folder of the judge."""
    pairs: Path
    """Pair store built with `--identity-pool judge`."""
    model: str = "mini"
    """Model whose autoencoder the images pass through."""
    limit: Positive | None = None
    """Take at most this many training pairs."""
    seed: Natural = 0
    """Seed of the selection of people and of the weights."""
    init: str | None = None
    """Judge to continue from: learned, or a folder; by default training starts from random weights."""
    rounded: Positive = 5000
    """Number of training pairs that pass through the autoencoder."""
    window_epochs: NonNegative = 14.0
    """Epochs on crops."""
    epochs: PositiveFloat = 9.0
    """Epochs on whole images."""
    batch_size: Positive = 32
    """Pairs per step."""
    lr: PositiveFloat = 2e-3
    """Highest learning rate."""
    device: str = "auto"
    """Device of torch: cpu, cuda, cuda:1; a GPU is used automatically."""

    def run(self) -> None:
        """Train, or continue, and print the measures."""
        from asap.workflows.training.judge import JudgeTraining, train

        settings = JudgeTraining(
            window_epochs=self.window_epochs, epochs=self.epochs, batch=self.batch_size, learning_rate=self.lr
        )
        found = train(
            self.out,
            pairs=self.pairs,
            model=self.model,
            seed=self.seed,
            limit=self.limit,
            rounded=self.rounded,
            settings=settings,
            init=self.init,
            device=self.device,
            report=tell,
        )
        print_lines(found)
