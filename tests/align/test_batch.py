"""Randomness by name: the noise of a slot depends on nothing but (seed, step, slot, sample)."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from asap.align.batch import NoiseSamples, Slots, sample_noise
from asap.align.sampler import shuffled_pairs
from asap.align.timestep_sampling import TimestepSampling
from asap.core.errors import InputError
from tests.align.fakes import StraightPath


def sampled(
    places: Sequence[int],
    *,
    step: int = 2,
    samples: int = 1,
    shape: tuple[int, ...] = (4, 8, 8),
    path: StraightPath | None = None,
    **settings: object,
) -> NoiseSamples:
    """Noise of some places of a step of eight pairs out of twenty."""
    pairs = shuffled_pairs(1, step, 8, 20)
    chosen = tuple(pairs[place % 8] for place in places)
    slots = Slots(step=step, places=tuple(places), pairs=chosen, batch=8, total=20, start=8 * step)
    return sample_noise(path or StraightPath(), shape, slots, seed=1, samples=samples, **settings)  # type: ignore[arg-type]


def test_noise_does_not_depend_on_the_split() -> None:
    whole, part = sampled(range(6), samples=3), sampled([4, 5], samples=3)
    assert torch.equal(whole.noise[4:], part.noise)
    assert torch.equal(whole.time[4:], part.time)
    assert len({float(one.sum()) for one in whole.noise.flatten(0, 1)}) == 18
    assert not torch.equal(part.noise, sampled([4, 5], samples=3, step=3).noise)


def test_noise_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    sampled([0])
    assert torch.equal(before, torch.get_rng_state())


def test_timestep_range() -> None:
    times = sampled(range(50), shape=(1, 1, 1), timesteps=TimestepSampling(range=(0.4, 0.6))).time
    assert times.min() >= 0.4
    assert times.max() <= 0.6


class StuckPath(StraightPath):
    def sample_time(self, batch: int, generator: torch.Generator) -> Tensor:
        return torch.full((batch,), 0.9)


def test_timestep_range_that_is_never_met() -> None:
    with pytest.raises(InputError, match=r"no timestep in \[0.1, 0.2\]"):
        sampled([0], path=StuckPath(), timesteps=TimestepSampling(range=(0.1, 0.2)))


def test_a_pair_goes_through_its_fixed_samples_in_turn() -> None:
    """Twenty pairs, eight a step: pair 3 is met once in each pass of 2.5 steps; with three fixed samples, its fourth
    visit sees the first again, wherever in a step it stands."""
    seen = []
    for step in range(10):
        pairs = shuffled_pairs(1, step, 8, 20)
        if 3 in pairs:
            seen.append(sampled([pairs.index(3)], step=step, fixed=3).noise)
    assert len(seen) == 4
    assert torch.equal(seen[0], seen[3])
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])


DISTRIBUTIONS = {
    "uniform": (TimestepSampling(distribution="uniform"), lambda u: u),
    "logit_normal": (TimestepSampling(distribution="logit_normal", mean=0.5, std=2.0), None),
    "shifted": (TimestepSampling(distribution="uniform", shift=3.0), lambda u: 3 * u / (1 + 2 * u)),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distributions_have_their_quantiles(name: str) -> None:
    """Of 1500 times a quarter lies below the lower quartile, and so on, within four standard errors."""
    timesteps, quantile = DISTRIBUTIONS[name]
    times = sampled(range(1500), shape=(1, 1, 1), timesteps=timesteps).time.flatten().double()
    for share in (0.25, 0.5, 0.75):
        normal = torch.special.ndtri(torch.tensor(share, dtype=torch.float64))
        bound = float(torch.sigmoid(0.5 + 2 * normal)) if quantile is None else quantile(share)
        assert float((times < bound).double().mean()) == pytest.approx(share, abs=4 * 0.5 / 1500**0.5)


def test_a_distribution_is_conditioned_on_its_range() -> None:
    """Uniform on [0.2, 0.6] has its median at 0.4; the shift is undone at the ends."""
    times = sampled(
        range(800), shape=(1, 1, 1), timesteps=TimestepSampling(distribution="uniform", shift=2.0, range=(0.2, 0.6))
    ).time
    assert 0.2 <= float(times.min()) < 0.21
    assert 0.59 < float(times.max()) <= 0.6


@pytest.mark.parametrize("fixed", [0, 4])
def test_strata_are_sampled_once_each_whatever_the_split(fixed: int) -> None:
    """Over a step of 8 places with 2 samples, or over a pair's four fixed samples, each stratum holds one time."""
    timesteps = TimestepSampling(distribution="uniform", stratified=True)
    if not fixed:
        times = torch.cat(
            [
                sampled(range(4), samples=2, timesteps=timesteps).time,
                sampled(range(4, 8), samples=2, timesteps=timesteps).time,
            ]
        )
        assert sorted((times.flatten() * 16).long().tolist()) == list(range(16))
        return
    times = torch.cat([sampled([0], step=0, samples=4, timesteps=timesteps, fixed=4).time])
    assert sorted((times.flatten() * 4).long().tolist()) == list(range(4))


def test_faults() -> None:
    assert "need timestep_sampling uniform or logit_normal" in TimestepSampling(stratified=True).faults()[0]
    assert "timestep_std must be > 0" in TimestepSampling(distribution="logit_normal", std=0.0).faults()[0]
    assert "timestep_shift must be > 0" in TimestepSampling(distribution="uniform", shift=-1.0).faults()[0]
