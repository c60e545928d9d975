"""A producer without people, importable by worker processes: a grey square on noise, and the square gone wrong."""

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from asap.core.records import Edit, SceneTruth
from asap.core.seeds import derive, generator
from asap.workflows.pairs.candidate import Candidate, Refusal
from asap.workflows.pairs.producer import PairProducer
from asap.workflows.pairs.rendered import Rendered

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
"""Of processes that find this module."""
EDIT = Edit(kind="defect", part="hand", side="left", operation="misshapen", severity=2)


@dataclass(frozen=True, kw_only=True)
class Squares(PairProducer):
    """Pairs of squares; every second one of the rejected sides is too faint for the gates at the first attempt."""

    count: int
    seed: int = 0
    name: ClassVar[str] = "squares"
    chunk: ClassVar[int] = 16
    most: ClassVar[int] = 2

    def propose(self, indices: Sequence[int], attempt: int) -> Sequence[Candidate | Refusal]:
        return [self._one(index, attempt) for index in indices]

    def _one(self, index: int, attempt: int) -> Candidate | Refusal:
        if index % 5 == 4:
            return Refusal("no_square", final=True)
        chosen, noise = generator(self.seed, index).integers(0, 255, (2, 64, 64, 3)).astype(np.uint8)
        rejected = chosen.copy()
        if attempt or index % 2:
            rejected[16:48, 16:48] = 0.2 * chosen[16:48, 16:48] + 0.8 * noise[16:48, 16:48]
        truth = SceneTruth(
            person=f"square-{index % 7}", category="unspecified", caption="a square", attributes={}, visible_parts=(),
            seed=index,
        )  # fmt: skip
        return Candidate(
            uid=f"square-{derive(self.seed, index)}", chosen=chosen, rejected=rejected, edit=EDIT, truth=truth,
            regions=np.zeros((64, 64), np.uint8), keypoints=np.zeros((0, 3), np.float32), split_by=truth.person,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Copies(Squares):
    """Squares, of which every tenth is a copy of the one before it."""

    name: ClassVar[str] = "copies"

    def _one(self, index: int, attempt: int) -> Candidate | Refusal:
        found = super()._one(index - 1 if index % 10 == 6 else index, attempt)
        if isinstance(found, Candidate):
            object.__setattr__(found, "uid", f"copy-{index}")
        return found


@dataclass(frozen=True, kw_only=True)
class Deadly(Squares):
    """Squares; the process that proposes image 40 is killed, as long as ``mark`` does not exist."""

    mark: Path

    def propose(self, indices: Sequence[int], attempt: int) -> Sequence[Candidate | Refusal]:
        if 40 in indices and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().propose(indices, attempt)


@dataclass(frozen=True, kw_only=True)
class SmallChunks(Rendered):
    """Rendered people, written often."""

    chunk: ClassVar[int] = 8
