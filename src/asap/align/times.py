"""Which noise levels a run trains on: laws of t in [0, 1], each the image of a uniform number, so that it can be split.

    path          the noise path's own law (its ``sample_time``)
    uniform       t = u
    logit_normal  t = sigmoid(mean + spread * normal)     section 3.1 of arXiv:2403.03206; mean 0, spread 1
    shift s       afterwards, t = s*t / (1 + (s - 1)*t)   the same paper's resolution shift; s > 1 favours noise

Stratified: the draws of one optimizer step, over all micro-batches and processes, take one stratum of [0, 1] each in a
drawn order, so that every step sees all noise levels and its gradient varies less. A time depends on (seed, step, slot,
draw) and the size of the whole step alone, so a run resumes exactly and does not depend on how its batch is split.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from asap.core.errors import InputError

__all__ = ["TRIES", "Law", "TimeLaw", "TimeSampler"]

TRIES = 1000
"""How often a time of the path's own law is redrawn until it lies in the asked range."""
Law = Literal["path", "uniform", "logit_normal"]


class TimeSampler(Protocol):
    """The part of a noise path that draws times."""

    def sample_time(self, batch: int, generator: torch.Generator) -> Tensor:
        """(batch,) times in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class TimeLaw:
    """A law of t with its numbers."""

    law: Law = "path"
    mean: float = 0.0
    """Of the normal under ``logit_normal``."""
    spread: float = 1.0
    """Its standard deviation, > 0."""
    shift: float = 1.0
    """> 0; 1 changes nothing."""
    stratified: bool = False
    range: tuple[float, float] = (0.0, 1.0)
    """Times outside it do not occur; the law is conditioned on it."""

    def faults(self) -> list[str]:
        """What is out of range, in words, by the names that a run's settings have."""
        low, high = self.range
        checks = {
            f"times must be path, uniform or logit_normal, got {self.law!r}": self.law
            in ("path", "uniform", "logit_normal"),
            f"time_spread must be > 0, got {self.spread}": self.spread > 0,
            f"time_shift must be > 0, got {self.shift}": self.shift > 0,
            f"time_range must be 0 <= low < high <= 1, got {self.range}": 0 <= low < high <= 1,
            "stratified times and time_shift need times uniform or logit_normal; path draws by a law of its own": (
                self.law != "path" or not (self.stratified or self.shift != 1)
            ),
        }
        return [text for text, good in checks.items() if not good]

    def draw(self, path: TimeSampler, source: torch.Generator, stratum: tuple[int, int] | None) -> float:
        """One time.

        Args:
            path: draws it where the law is its own.
            source: decides it.
            stratum: number and count of the strata; None: not stratified.

        Raises:
            InputError: the path practically never draws a time in the range.
        """
        if self.law == "path":
            return self._from_path(path, source)
        unit = float(torch.rand(1, generator=source, dtype=torch.float64))
        if stratum is not None:
            unit = (stratum[0] + unit) / stratum[1]
        low, high = (self._share_below(bound) for bound in self.range)
        return self._at(low + unit * (high - low))

    def _from_path(self, path: TimeSampler, source: torch.Generator) -> float:
        low, high = self.range
        for _ in range(TRIES):
            value = float(path.sample_time(1, source)[0])
            if low <= value <= high:
                return value
        raise InputError(f"no time in [{low}, {high}] was drawn in {TRIES} tries; widen time_range")

    def _share_below(self, t: float) -> float:
        """Distribution function at ``t``: how much of the law lies below."""
        if t <= 0 or t >= 1:
            return float(t >= 1)
        before = t / (self.shift - (self.shift - 1) * t)  # undoes the shift
        if self.law == "uniform":
            return before
        value = torch.tensor(before, dtype=torch.float64)
        return float(torch.special.ndtr((torch.logit(value) - self.mean) / self.spread))

    def _at(self, share: float) -> float:
        """The time below which ``share`` of the law lies."""
        if self.law == "uniform":
            t = share
        else:
            normal = torch.special.ndtri(torch.tensor(share, dtype=torch.float64))
            t = float(torch.sigmoid(self.mean + self.spread * normal))
        return self.shift * t / (1 + (self.shift - 1) * t)
