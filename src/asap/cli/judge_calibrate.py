"""``asap judge calibrate``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from asap.cli.output import print_json, print_lines, tell
from asap.core.errors import InputError
from asap.core.settings import Positive


@dataclass(frozen=True, kw_only=True)
class Command:
    """Calibrate a judge on images whose defects are known.

    --truth calibrates any judge on pair stores. --rated calibrates it on generated images that people rated. --pairs
    calibrates the learned judge on images that passed through the generator's autoencoder. The result is valid only
    for images of the same kind.
    """

    judge: str
    """Judge: learned, landmarks, vlm, human, ensemble, or the folder of a learned judge."""
    set: Mapping[str, object] = field(default_factory=dict)
    """Settings of the judge, for instance url=http://localhost:8000/v1 model=qwen."""
    truth: tuple[Path, ...] = ()
    """Pair stores to calibrate on."""
    split: Literal["train", "val", "test", "all"] = "test"
    """Split of --truth."""
    pairwise: bool = False
    """Also compare the two images of each pair, in both orders."""
    rated: tuple[Path, ...] = ()
    """Folders of generations to calibrate on."""
    ratings: tuple[Path, ...] = ()
    """Folders of raters' answers on --rated."""
    pairs: Path | None = None
    """Pair store to calibrate a learned judge on, through the autoencoder of --model."""
    out: Path | None = None
    """Folder of the result; the judge's folder by default. Required for the packaged judge."""
    model: str = "mini"
    """Model whose autoencoder the images pass through."""
    limit: Positive | None = None
    """Take at most this many pairs."""
    json: bool = False
    """Print JSON."""
    device: str = "auto"
    """Device of torch: cpu, cuda, cuda:1; a GPU is used automatically."""

    def run(self) -> None:
        """Calibrate and print the measures."""
        how = self._on_ratings if self.rated or self.ratings else self._on_truth if self.truth else self._on_pairs
        (print_json if self.json else print_lines)(how())

    def _on_ratings(self) -> Mapping[str, object]:
        from asap.workflows.evaluation.calibrate import calibrate_on_ratings

        if self.pairs or self.truth or not (self.rated and self.ratings and self.out):
            raise InputError("--rated needs --ratings DIR and --out DIR for the result, and no --pairs or --truth")
        return calibrate_on_ratings(
            self.judge, self.rated, self.ratings, self.out, options=self.set, device=self.device, report=tell
        )

    def _on_truth(self) -> Mapping[str, object]:
        from asap.workflows.evaluation.calibrate import calibrate_on

        if self.pairs or not self.out:
            raise InputError("--truth needs --out DIR for the result, and no --pairs")
        return calibrate_on(
            self.judge,
            self.truth,
            self.out,
            options=self.set,
            split=self.split,
            limit=self.limit,
            pairwise=self.pairwise,
            device=self.device,
            report=tell,
        )

    def _on_pairs(self) -> Mapping[str, object]:
        from asap.workflows.evaluation.judges import JUDGES
        from asap.workflows.evaluation.learned import calibrate

        if self.judge in JUDGES and self.judge != "learned":
            raise InputError(f"the judge {self.judge} is calibrated on pairs of known truth; give --truth and --out")
        return calibrate(
            self.judge,
            pairs=self.pairs,
            out=self.out,
            model=self.model,
            limit=self.limit,
            device=self.device,
            report=tell,
        )
