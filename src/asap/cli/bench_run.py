"""``asap bench run``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from asap.cli.output import print_lines
from asap.cli.sampling import Sampling, sampling_arguments
from asap.core.settings import Positive
from asap.workflows.runtime.loading import Loading

if TYPE_CHECKING:
    from asap.workflows.evaluation.quality import Measures

Measure = Literal["hpsv2.1", "hpsv3", "pickscore", "imagereward", "aesthetic", "clipscore", "fid", "kid", "all"]


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Image quality scores."""

    quality: tuple[Measure, ...] = ()
    """Scores to compute, or all."""
    weights: Path | None = None
    """Folder with the weights of each score, WEIGHTS/NAME; the Hub's cache by default."""
    reference: Path | None = None
    """Folder of real images for FID and KID."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """Run HAF-Bench: generate the images of a suite, or read existing images, and judge them.

    There is no default judge. Without --judge the images are only generated.
    """

    out: Path
    """Folder of the run; its name is the name of the model in comparisons."""
    images: Path | None = None
    """Judge the images of this folder instead of generating them."""
    judge: str | None = None
    """Judge, as in `asap judge run`."""
    set: Mapping[str, object] = field(default_factory=dict)
    """Settings of the judge, for instance url=http://localhost:8000/v1 model=qwen."""
    calibration: Path | None = None
    """File that `asap judge calibrate` wrote for the judge."""
    seeds: Positive = 4
    """Images per prompt, with seeds 0 to N-1."""
    sampling: Sampling = field(default_factory=Sampling)
    loading: Loading = field(default_factory=Loading)
    quality: Quality = field(default_factory=Quality)

    def run(self) -> None:
        """Run, or continue, and print the folders."""
        from asap.workflows.evaluation.bench import run

        print_lines(
            run(
                self.out,
                model=self.sampling.model,
                lora=self.sampling.lora,
                images=self.images,
                judge=self.judge,
                settings=self.set,
                calibration=self.calibration,
                quality=self._measures(),
                seeds=self.seeds,
                **sampling_arguments(self.sampling, self.loading),
            )
        )

    def _measures(self) -> "Measures | None":
        asked = self.quality
        if not (asked.quality or asked.weights or asked.reference):
            return None
        from asap.benchmark.quality import MEASURES
        from asap.workflows.evaluation.quality import Measures

        return Measures(
            names=MEASURES if "all" in asked.quality else tuple(map(str, asked.quality)),
            weights=asked.weights,
            reference=asked.reference,
            device=self.loading.device,
            batch=self.sampling.batch_size,
        )
