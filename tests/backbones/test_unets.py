"""What the UNet families know beyond the battery: schedules, windows, and models that look like theirs and are not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler, EulerDiscreteScheduler, UNet2DConditionModel
from torch import Tensor

from asap.backbones import TextCondition, load
from asap.backbones.family import LoadOptions
from asap.backbones.paths import VariancePreservingPath, path_of_schedule
from asap.backbones.pipeline import PipelineBackbone
from asap.backbones.protocol import Window
from asap.core.errors import ConfigError, InputError
from tests.backbones import battery
from tests.backbones.tiny import sd15, sdxl

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
VELOCITY = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("unets")
    sd15.build(root / "sd15")
    sdxl.build(root / "sdxl")
    return {"sd15": root / "sd15", "sdxl": root / "sdxl"}


def copy_with(folder: Path, to: Path, file: str, change: Callable[[dict[str, Any]], object]) -> Path:
    """The pipeline with one settings file changed."""
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).symlink_to(path)
    target = to / file
    if "/" in file:
        (to / target.parent.name).unlink()
        target.parent.mkdir()
        for path in (folder / target.parent.name).iterdir():
            (target.parent / path.name).symlink_to(path)
    settings = json.loads(target.read_text())
    change(settings)
    target.unlink()
    target.write_text(json.dumps(settings))
    return to


# --- schedules


@pytest.mark.parametrize("clock", [{}, {"prediction_type": "v_prediction"}, VELOCITY, {"beta_schedule": "linear"}])
def test_paths_of_schedules_are_those_of_diffusers(clock: dict[str, Any]) -> None:
    other = DDPMScheduler(**{**BETAS, **clock})
    path = path_of_schedule(dict(other.config))
    assert path.prediction == ("v" if "prediction_type" in clock else "eps")
    x, noise = torch.randn(2, 6, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    steps = torch.tensor([0, 1, 300, 777, 998, 999])
    t = (steps + 1) / 1000
    torch.testing.assert_close(path.mix(x, noise, t), other.add_noise(x, noise, steps), rtol=1e-4, atol=1e-4)
    wanted = other.get_velocity(x, noise, steps) if path.prediction == "v" else noise
    torch.testing.assert_close(path.target(x, noise, t), wanted, rtol=1e-4, atol=1e-4)


def test_zero_terminal_schedules_end_in_pure_noise_and_v_still_leads_back() -> None:
    path = path_of_schedule({**BETAS, **VELOCITY, "num_train_timesteps": 1000})
    assert path.alphas[-1] == 0
    assert path.alphas[0] == pytest.approx(1 - BETAS["beta_start"])  # type: ignore[operator]
    x, noise, end = torch.ones(1, 2), torch.full((1, 2), 3.0), torch.ones(1)
    assert torch.equal(path.mix(x, noise, end), noise)
    assert torch.equal(path.target(x, noise, end), -x)
    assert torch.equal(path.to_data(noise, -x, end), x)


def test_betas_may_be_listed() -> None:
    path = path_of_schedule({"trained_betas": [0.5, 0.5], "prediction_type": "epsilon"})
    assert path.alphas == (0.5, 0.25)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**BETAS, "prediction_type": "sample"}, "predicts 'sample'"),
        ({"num_train_timesteps": 1000, "sigma_min": 0.002}, "without beta_start"),
        ({**BETAS, "num_train_timesteps": 1000, "beta_schedule": "squaredcos_cap_v2"}, "'squaredcos_cap_v2'"),
    ],
)
def test_other_schedules_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        path_of_schedule(settings)


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
@pytest.mark.parametrize("clock", [{}, VELOCITY, {**VELOCITY, "timestep_spacing": "trailing"}])
def test_denoise_is_the_pipelines_under_other_schedules(
    folders: dict[str, Path], tmp_path: Path, name: str, clock: dict[str, Any]
) -> None:
    """SD 2.1 is sd15 with v, NoobAI XL is sdxl with v and zero terminal SNR; Euler scales what the network sees."""
    EulerDiscreteScheduler(**{**BETAS, "timestep_spacing": "leading", "steps_offset": 1, **clock}).save_pretrained(
        tmp_path / "new" / "scheduler"
    )
    new = json.loads((tmp_path / "new" / "scheduler" / "scheduler_config.json").read_text())

    def replaced(settings: dict[str, Any]) -> None:
        settings.clear()
        settings.update(new)

    folder = copy_with(folders[name], tmp_path / "model", "scheduler/scheduler_config.json", replaced)
    index = json.loads((folder / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "EulerDiscreteScheduler"]
    (folder / "model_index.json").unlink()
    (folder / "model_index.json").write_text(json.dumps(index))
    backbone = battery.open_tiny(folder)
    path = backbone.path
    assert isinstance(path, VariancePreservingPath)
    assert path.prediction == ("v" if clock else "eps")
    assert (path.alphas[-1] == 0) == bool(clock)
    module = {"sd15": sd15, "sdxl": sdxl}[name]
    battery.denoise_is_the_pipelines(backbone, module)
    if clock == VELOCITY:
        battery.one_step_lowers_the_loss(backbone, module)


def test_a_schedule_that_its_file_gets_wrong_can_be_told(folders: dict[str, Path]) -> None:
    right = load(folders["sdxl"], LoadOptions(schedule=VELOCITY))
    assert isinstance(right.path, VariancePreservingPath)
    assert (right.path.prediction, right.path.alphas[-1]) == ("v", 0)
    with pytest.raises(ConfigError, match=r"has no setting prediction; known: .*prediction_type"):
        load(folders["sdxl"], LoadOptions(schedule={"prediction": "v"}))


# --- windows


def test_sdxl_is_told_of_which_window_it_sees(folders: dict[str, Path]) -> None:
    """The six numbers are those that the pipeline makes of original size, crop and target size."""
    backbone = battery.open_tiny(folders["sdxl"])
    pipeline = backbone.pipeline
    with torch.no_grad(), battery.recording(pipeline.unet) as theirs:
        pipeline(
            "a hand",
            height=48,
            width=32,
            original_size=(200, 104),
            crops_coords_top_left=(64, 40),
            target_size=(48, 32),
            guidance_scale=1.0,
            num_inference_steps=1,
            output_type="latent",
        )
    windows = [
        Window(top=64, left=40, whole_height=200, whole_width=104),
        Window(top=0, left=8, whole_height=96, whole_width=64),
    ]
    condition = backbone.place(backbone.embed(["a hand", "a foot"]), windows).index([1, 0])
    seen = sizes(backbone, condition.tensors, torch.zeros(2, 4, 6, 4))
    assert torch.equal(seen[1:], theirs[0]["added_cond_kwargs.time_ids"])
    assert seen[0].tolist() == [96, 64, 0, 8, 48, 32]


def test_without_windows_the_picture_is_whole(folders: dict[str, Path]) -> None:
    backbone = battery.open_tiny(folders["sdxl"])
    condition = backbone.embed(["a hand", "a foot"])
    assert sizes(backbone, condition.tensors, torch.zeros(2, 4, 6, 4)).tolist() == [[48, 32, 0, 0, 48, 32]] * 2
    with pytest.raises(InputError, match="one window per prompt, got 0 windows and 2 prompts"):
        backbone.place(condition, [])
    plain = battery.open_tiny(folders["sd15"])
    text = plain.embed(["a hand"])
    assert plain.place(text, [Window(top=0, left=0, whole_height=64, whole_width=64)]) is text


def sizes(backbone: PipelineBackbone, tensors: Any, x_t: Tensor) -> Tensor:
    with torch.no_grad(), battery.recording(backbone.denoiser) as calls:
        backbone.denoise(x_t, torch.full((len(x_t),), 0.5), TextCondition(tensors))
    return calls[0]["added_cond_kwargs.time_ids"]


# --- models of another kind


@pytest.mark.parametrize(
    ("name", "file", "change", "message"),
    [
        ("sd15", "unet/config.json", {"sample_size": None}, "does not say its resolution"),
        ("sd15", "scheduler/scheduler_config.json", {"prediction_type": "sample"}, "predicts 'sample'"),
        ("sd15", "vae/config.json", {"norm_num_groups": 3}, "cannot read the pipeline in"),
    ],
)
def test_models_of_another_kind_are_refused(
    folders: dict[str, Path], tmp_path: Path, name: str, file: str, change: dict[str, Any], message: str
) -> None:
    folder = copy_with(folders[name], tmp_path / "model", file, lambda settings: settings.update(change))
    with pytest.raises(InputError, match=message):
        load(folder)


def test_inpainting_distilled_and_refining_networks_are_refused(tmp_path: Path) -> None:
    text_time = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": 40,
    }
    sdxl.build(tmp_path / "inpaint", unet=sd15.unet(40, in_channels=9, **text_time))
    with pytest.raises(InputError, match="takes 9 channels, its autoencoder makes 4"):
        load(tmp_path / "inpaint")
    sdxl.build(tmp_path / "lcm", unet=sd15.unet(40, time_cond_proj_dim=8, **text_time))
    with pytest.raises(InputError, match="distilled over guidance"):
        load(tmp_path / "lcm")
    sdxl.build(tmp_path / "refiner", text_encoder=None, tokenizer=None)
    with pytest.raises(InputError, match="align a base model"):
        load(tmp_path / "refiner")


# --- the published architectures


@pytest.mark.parametrize(
    ("name", "settings", "blocks"),
    [
        ("sd15", {"cross_attention_dim": 768}, 16),
        (
            "sdxl",
            {
                "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                "block_out_channels": (320, 640, 1280),
                "transformer_layers_per_block": (1, 2, 10),
                "attention_head_dim": (5, 10, 20),
                "cross_attention_dim": 2048,
                "use_linear_projection": True,
                "addition_embed_type": "text_time",
                "addition_time_embed_dim": 256,
                "projection_class_embeddings_input_dim": 2816,
            },
            70,
        ),
    ],
)
def test_targets_take_all_attention_of_the_published_networks(
    folders: dict[str, Path], name: str, settings: dict[str, Any], blocks: int
) -> None:
    """16 transformer blocks in SD 1.5, 70 in SDXL, each of two attentions with four maps."""
    with torch.device("meta"):
        network = UNet2DConditionModel(**settings)
    targets = load(folders[name]).lora_targets
    layers = [part for part, _ in network.named_modules() if any(part.endswith(f".{target}") for target in targets)]
    assert len(layers) == blocks * 2 * 4
