"""``asap mini pretrain``."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asap.core.settings import Natural, NonNegative, Positive, PositiveFloat


@dataclass(frozen=True, kw_only=True)
class Command:
    """Train the embedded model from scratch on rendered people: the recipe of the packaged weights."""

    out: Path
    """Folder of the run."""
    data: Path | None = None
    """Folder of shards of rendered people; by default they are rendered into OUT/people."""
    people: Positive = 24000
    """People to render."""
    scene: Literal["varied", "studio", "clear"] = "studio"
    """Scene around the people."""
    steps: Positive | None = None
    """Steps of the denoiser; required without `--seconds`."""
    seconds: PositiveFloat | None = None
    """Training time in seconds, as an alternative to `--steps`: the number of steps is computed from the rate measured
    at the start."""
    cooldown: Natural = 0
    """Steps at the end over which the learning rate falls, constant before; 0 lets it fall from the first step on.
    Until the cooldown begins, the same folder continues with another number of steps."""
    init: str | None = None
    """Model to continue from, for instance mini, or a folder; by default training starts from random weights."""
    seed: Natural = 0
    """Seed of people, noise and weights."""
    workers: Positive | None = None
    """Number of worker processes that render; one per core by default."""
    batch_size: Positive = 32
    """Images per step."""
    lr: PositiveFloat = 6e-4
    """Highest learning rate."""
    focus: NonNegative = 1.0
    """Extra loss weight on bodies, doubled on hands and faces; 0 gives all pixels the same weight."""
    save_every: PositiveFloat = 180.0
    """Seconds between checkpoints."""
    device: str = "auto"
    """Device of torch: cpu, cuda, cuda:1; a GPU is used automatically."""

    def run(self) -> None:
        """Train, or continue, and print the folder of the model."""
        from asap.workflows.results.pretrain import PretrainConfig, pretrain, pretrain_on_new_people

        config = PretrainConfig(
            steps=self.steps or 0,
            cooldown=self.cooldown,
            seed=self.seed,
            init=self.init or "",
            batch=self.batch_size,
            lr=self.lr,
            focus=self.focus,
        )
        seconds, save, device = self.seconds or 0.0, self.save_every, self.device
        if self.data is not None:
            print(pretrain(self.data, self.out, config, seconds=seconds, device=device, save_seconds=save))
            return
        model = pretrain_on_new_people(
            self.out,
            config,
            people=self.people,
            scene=self.scene,
            workers=self.workers or os.cpu_count() or 1,
            seconds=seconds,
            device=device,
            save_seconds=save,
        )
        print(model)
