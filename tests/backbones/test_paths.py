"""Every conversion is undone by its opposite, in float64; the conventions are checked against values worked by hand."""

import math

import pytest
import torch
from torch import Tensor

from asap.backbones.paths import FlowPath, NoisePath, VariancePreservingPath, flow_shift, scaled_linear_alphas
from asap.core.errors import InputError

ALPHAS = scaled_linear_alphas()
PATHS: list[NoisePath] = [
    FlowPath(),
    FlowPath(clock=1.0, backward=True),
    VariancePreservingPath(ALPHAS, "eps"),
    VariancePreservingPath(ALPHAS, "v"),
]


def draw() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x, noise = (torch.randn(7, 3, 4, 5, dtype=torch.float64, generator=generator) for _ in range(2))
    return x, noise, torch.rand(7, dtype=torch.float64, generator=generator) * 0.98 + 0.01


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.name}-{getattr(path, 'prediction', '')}")
def test_target_leads_back_to_data_and_noise(path: NoisePath) -> None:
    x, noise, t = draw()
    x_t = path.mix(x, noise, t)
    target = path.target(x, noise, t)
    torch.testing.assert_close(path.to_data(x_t, target, t), x, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(path.to_noise(x_t, target, t), noise, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.name}-{getattr(path, 'prediction', '')}")
def test_drawn_times_are_inside_and_repeat_with_the_generator(path: NoisePath) -> None:
    first = path.sample_time(4096, torch.Generator().manual_seed(5))
    assert first.dtype == torch.float32
    assert ((first > 0) & (first <= 1)).all()
    assert torch.equal(first, path.sample_time(4096, torch.Generator().manual_seed(5)))
    assert abs(first.mean().item() - 0.5) < 0.02


def test_flow_goes_from_data_to_noise_with_velocity_as_target() -> None:
    x, noise, _ = draw()
    path = FlowPath()
    assert torch.equal(path.mix(x, noise, torch.zeros(7, dtype=torch.float64)), x)
    assert torch.equal(path.mix(x, noise, torch.ones(7, dtype=torch.float64)), noise)
    near, step = torch.full((7,), 0.3, dtype=torch.float64), 1e-3
    slope = (path.mix(x, noise, near + step) - path.mix(x, noise, near - step)) / (2 * step)
    torch.testing.assert_close(path.target(x, noise, near), slope)
    assert path.model_time(torch.tensor([0.25])).item() == 250


def test_a_shift_moves_drawn_times_and_nothing_else() -> None:
    plain, shifted = FlowPath(), FlowPath(shift=3.0)
    t = plain.sample_time(64, torch.Generator().manual_seed(2))
    torch.testing.assert_close(shifted.sample_time(64, torch.Generator().manual_seed(2)), 3 * t / (1 + 2 * t))
    x, noise, t = draw()
    assert torch.equal(shifted.mix(x, noise, t), plain.mix(x, noise, t))
    assert torch.equal(shifted.model_time(t), plain.model_time(t))
    with pytest.raises(InputError, match="above 0, got 0"):
        FlowPath(shift=0)


@pytest.mark.parametrize("kind", ["exponential", "linear"])
def test_the_shift_of_a_picture_is_that_of_the_scheduler_of_diffusers(kind: str) -> None:
    """FLUX.1 at 1024 x 1024 has 4096 tokens and mu = 1.15; half way between 256 and 4096 tokens mu = 0.825."""
    from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0, time_shift_type=kind)
    for tokens, mu in ((4096, 1.15), (2176, 0.825), (64, calculate_shift(64))):
        scheduler.set_timesteps(sigmas=[0.75, 0.5, 0.25], mu=mu)
        s = flow_shift(scheduler.config, tokens)
        assert s == pytest.approx(mu if kind == "linear" else math.exp(mu))
        t = torch.tensor([0.75, 0.5, 0.25, 0.0])
        torch.testing.assert_close(s * t / (1 + (s - 1) * t), scheduler.sigmas)
    assert flow_shift(FlowMatchEulerDiscreteScheduler(shift=3.0).config, 4096) == 3
    sana = DPMSolverMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0)
    assert flow_shift(sana.config, 1024) == 3


def test_a_backward_network_counts_from_noise_to_data_and_predicts_the_opposite() -> None:
    x, noise, t = draw()
    path, other = FlowPath(clock=1.0, backward=True), FlowPath()
    assert path.model_time(torch.tensor([0.25, 1.0])).tolist() == [0.75, 0.0]
    assert torch.equal(path.target(x, noise, t), -other.target(x, noise, t))
    assert torch.equal(path.mix(x, noise, t), other.mix(x, noise, t))


def test_variance_preserving_coefficients_and_v_by_hand() -> None:
    path = VariancePreservingPath((0.64, 0.36), "v")
    t = torch.tensor([0.5, 1.0], dtype=torch.float64)
    signal, sigma = path.coefficients(t)
    torch.testing.assert_close(signal, torch.tensor([0.8, 0.6], dtype=torch.float64))
    torch.testing.assert_close(sigma, torch.tensor([0.6, 0.8], dtype=torch.float64))
    assert path.model_time(t).tolist() == [0, 1]
    one = torch.ones(2, 1, dtype=torch.float64)
    torch.testing.assert_close(path.target(one, 2 * one, t).flatten(), torch.tensor([1.0, 0.4], dtype=torch.float64))


def test_the_schedule_matches_the_scheduler_of_diffusers() -> None:
    from diffusers import DDPMScheduler

    other = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    x, noise, _ = draw()
    steps = torch.tensor([0, 1, 250, 500, 777, 998, 999])
    wanted = other.add_noise(x, noise, steps)
    path = VariancePreservingPath(ALPHAS, "v")
    t = (steps + 1).double() / 1000
    assert path.model_time(t).tolist() == steps.tolist()
    torch.testing.assert_close(path.mix(x, noise, t), wanted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(path.target(x, noise, t), other.get_velocity(x, noise, steps), rtol=1e-4, atol=1e-4)


def test_nonsense_schedules_are_refused() -> None:
    with pytest.raises(InputError, match="eps or v"):
        VariancePreservingPath(ALPHAS, "x0")
    with pytest.raises(InputError, match="alphas"):
        VariancePreservingPath((1.5,))
