"""What Sana has that the battery does not ask for: the distilled kind."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from asap.backbones import load
from asap.backbones.pipeline import PipelineBackbone
from tests.backbones import battery
from tests.backbones.tiny import sana

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp("sana") / "sprint"
    sana.build_sprint(root)
    return root


@pytest.fixture(scope="module")
def sprint(folder: Path) -> PipelineBackbone:
    found = load(folder)
    assert isinstance(found, PipelineBackbone)
    return found


def test_sprint_is_a_flow_model_under_trigonometric_times(sprint: PipelineBackbone) -> None:
    """What the pipeline hands to its scheduler at angle a is cos(a) * noise - sin(a) * x, of our noise and x."""
    prompts, steps = ["a hand", "five fingers"], list[tuple[Tensor, Tensor, Tensor]]()
    scheduler = sprint.pipeline.scheduler
    original, spread = scheduler.step, scheduler.config.sigma_data

    def step(velocity: Tensor, angle: Tensor, sample: Tensor, *args: object, **kwargs: object) -> object:
        steps.append((velocity.clone() / spread, angle.clone(), sample.clone() / spread))
        return original(velocity, angle, sample, *args, **kwargs)

    scheduler.step = step
    generators = [torch.Generator().manual_seed(k) for k in range(2)]
    try:
        sprint.pipeline(
            prompts, height=64, width=96, generator=generators, output_type="latent", use_resolution_binning=False
        )
    finally:
        del scheduler.step
    assert len(steps) == 2
    condition = sprint.embed(prompts)
    for velocity, angle, sample in steps:
        sine, cosine = angle.sin().view(-1, 1, 1, 1), angle.cos().view(-1, 1, 1, 1)
        t = (angle.sin() / (angle.sin() + angle.cos())).float()
        x_t = sample / (sine + cosine)
        with torch.no_grad():
            prediction = sprint.denoise(x_t, t, condition)
        x, noise = sprint.path.to_data(x_t, prediction, t), sprint.path.to_noise(x_t, prediction, t)
        torch.testing.assert_close(cosine * noise - sine * x, velocity, atol=1e-5, rtol=1e-5)


def test_sprint_draws_with_any_number_of_steps(sprint: PipelineBackbone) -> None:
    pictures = [sprint.sample(["a hand"], [0], steps=steps) for steps in (1, 2, 4)]
    assert all(picture.shape == (1, 64, 64, 3) for picture in pictures)
    assert (pictures[0] != pictures[2]).any()


def test_sprint_trains_at_the_times_of_its_distillation(sprint: PipelineBackbone) -> None:
    """Half of the times are above tan(a) = e^0.2 / 0.5, at t = tan / (1 + tan) = 0.7095."""
    times = sprint.path.sample_time(8192, torch.Generator().manual_seed(0))
    ratio = math.exp(0.2) / 0.5
    assert times.median().item() == pytest.approx(ratio / (1 + ratio), abs=0.01)


def test_sprint_learns_and_diffusers_takes_its_adapter(folder: Path, tmp_path: Path) -> None:
    trained = battery.open_tiny(folder)
    battery.one_step_lowers_the_loss(trained, sana)
    battery.saved_adapter_works_in_diffusers(trained, folder, sana, tmp_path)
