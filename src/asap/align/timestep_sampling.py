"""Distributions of t in [0, 1], each the image of a uniform variable, so that it can be stratified.

    path          the noise path's own distribution (its ``sample_time``)
    uniform       t = u
    logit_normal  t = sigmoid(mean + std * normal)        section 3.1 of arXiv:2403.03206; mean 0, std 1
    shift s       afterwards, t = s*t / (1 + (s - 1)*t)   the same paper's resolution shift; s > 1 favours noise

Stratified: the noise samples of one optimizer step, over all micro-batches and processes, take one stratum of [0, 1]
each, in a random order, so that every step sees all noise levels and its gradient varies less. A timestep depends on
(seed, step, slot, sample) and on the size of the whole step, so a run resumes exactly however its batch is split.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from asap.core.errors import InputError

__all__ = ["TRIES", "TimestepDistribution", "TimestepSampler", "TimestepSampling"]

TRIES = 1000
"""How often a timestep of the path's own distribution is sampled again until it lies in the given range."""
TimestepDistribution = Literal["path", "uniform", "logit_normal"]


class TimestepSampler(Protocol):
    """The part of a noise path that samples timesteps."""

    def sample_time(self, batch: int, generator: torch.Generator) -> Tensor:
        """(batch,) timesteps in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class TimestepSampling:
    """A distribution of t with its parameters."""

    distribution: TimestepDistribution = "path"
    mean: float = 0.0
    """Of the normal variable of ``logit_normal``."""
    std: float = 1.0
    """Its standard deviation, > 0."""
    shift: float = 1.0
    """> 0; 1 changes nothing."""
    stratified: bool = False
    range: tuple[float, float] = (0.0, 1.0)
    """The distribution is conditioned on this range."""

    def config(self) -> dict[str, object]:
        """The parameters under the keys that hashes use."""
        return {
            "law": self.distribution,
            "mean": self.mean,
            "spread": self.std,
            "shift": self.shift,
            "stratified": self.stratified,
            "range": self.range,
        }

    def faults(self) -> list[str]:
        """What is out of range, one message each, by the names of ``TrainSettings``."""
        low, high = self.range
        names = get_args(TimestepDistribution)
        checks = {
            f"timestep_sampling must be one of {', '.join(names)}, got {self.distribution!r}": self.distribution
            in names,
            f"timestep_std must be > 0, got {self.std}": self.std > 0,
            f"timestep_shift must be > 0, got {self.shift}": self.shift > 0,
            f"timestep_range must be 0 <= low < high <= 1, got {self.range}": 0 <= low < high <= 1,
            "stratified timesteps and timestep_shift need timestep_sampling uniform or logit_normal; path samples from "
            "a distribution of its own": self.distribution != "path" or not (self.stratified or self.shift != 1),
        }
        return [message for message, valid in checks.items() if not valid]

    def sample(self, path: TimestepSampler, source: torch.Generator, stratum: tuple[int, int] | None) -> float:
        """One timestep.

        Args:
            path: samples it where the distribution is its own.
            source: all randomness.
            stratum: number and count of the strata; None: not stratified.

        Raises:
            InputError: the path practically never samples a timestep in the range.
        """
        if self.distribution == "path":
            return self._from_path(path, source)
        unit = float(torch.rand(1, generator=source, dtype=torch.float64))
        if stratum is not None:
            unit = (stratum[0] + unit) / stratum[1]
        low, high = (self._cdf(bound) for bound in self.range)
        return self._quantile(low + unit * (high - low))

    def _from_path(self, path: TimestepSampler, source: torch.Generator) -> float:
        low, high = self.range
        for _ in range(TRIES):
            value = float(path.sample_time(1, source)[0])
            if low <= value <= high:
                return value
        raise InputError(f"no timestep in [{low}, {high}] was sampled in {TRIES} tries; widen timestep_range")

    def _cdf(self, t: float) -> float:
        if t <= 0 or t >= 1:
            return float(t >= 1)
        unshifted = t / (self.shift - (self.shift - 1) * t)
        if self.distribution == "uniform":
            return unshifted
        value = torch.tensor(unshifted, dtype=torch.float64)
        return float(torch.special.ndtr((torch.logit(value) - self.mean) / self.std))

    def _quantile(self, share: float) -> float:
        if self.distribution == "uniform":
            t = share
        else:
            normal = torch.special.ndtri(torch.tensor(share, dtype=torch.float64))
            t = float(torch.sigmoid(self.mean + self.std * normal))
        return self.shift * t / (1 + (self.shift - 1) * t)
