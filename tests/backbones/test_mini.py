"""The tiny variant stands for the embedded model: same parts, few channels, random weights."""

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig

from asap.backbones import TextCondition, load
from asap.backbones.family import LoadOptions
from asap.backbones.mini.backbone import CHUNK, MiniBackbone, load_folder, load_tiny
from asap.core.errors import InputError, StoreError, UnknownNameError
from asap.generate import round_trip
from asap.tensors.precision import native_bf16
from tests.one_device import OneDevice, bring_zeros

PROMPTS = ["a person with pale skin", "one hand raises 5 fingers", "zzz unknown words", ""]


@pytest.fixture(scope="module")
def tiny() -> MiniBackbone:
    return load_tiny()


def with_lora(seed: int = 1) -> MiniBackbone:
    backbone = load_tiny()
    config = LoraConfig(r=2, lora_alpha=6, target_modules=list(backbone.lora_targets), init_lora_weights=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone.denoiser.add_adapter(config)  # type: ignore[operator]
    return backbone


def predict(backbone: MiniBackbone) -> torch.Tensor:
    x = torch.randn(2, *backbone.latent_shape, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        return backbone.denoise(x, torch.tensor([0.2, 0.9]), backbone.embed(PROMPTS[:2]))


def test_shapes_and_types_are_those_of_the_protocol(tiny: MiniBackbone) -> None:
    pictures = torch.rand(2, 3, tiny.resolution, tiny.resolution) * 2 - 1
    latents = tiny.encode(pictures)
    assert latents.shape == (2, *tiny.latent_shape)
    assert tiny.decode(latents).shape == pictures.shape
    assert predict(tiny).shape == latents.shape
    assert predict(tiny).dtype == latents.dtype == torch.float32
    assert torch.equal(tiny.encode(pictures), latents)


def test_pictures_of_another_size_are_refused(tiny: MiniBackbone) -> None:
    with pytest.raises(InputError, match="resize"):
        tiny.encode(torch.zeros(1, 3, 16, 16))


def test_samples_repeat_and_do_not_depend_on_the_batch(tiny: MiniBackbone) -> None:
    prompts = (PROMPTS * 3)[: CHUNK + 2]
    seeds = list(range(len(prompts)))
    whole = tiny.sample(prompts, seeds, steps=3, guidance=2.0)
    assert whole.shape == (len(prompts), tiny.resolution, tiny.resolution, 3)
    assert whole.dtype == np.uint8
    for row in (0, 3, CHUNK + 1):
        alone = tiny.sample([prompts[row]], [seeds[row]], steps=3, guidance=2.0)
        assert np.array_equal(alone[0], whole[row])
    other = tiny.sample([prompts[0]], [99], steps=3, guidance=2.0)
    assert not np.array_equal(other[0], whole[0])
    assert tiny.sample([], []).shape == (0, tiny.resolution, tiny.resolution, 3)


def test_the_pipeline_steps_along_the_path(tiny: MiniBackbone) -> None:
    """The scheduler's sigma is our t, and the network is told 1000 * sigma (cut to a whole number by diffusers)."""
    scheduler = tiny.pipeline.scheduler
    scheduler.set_timesteps(12)
    sigmas = scheduler.sigmas[:-1]
    assert scheduler.init_noise_sigma == 1
    assert scheduler.sigmas[-1] == 0
    even = 0.999 * torch.arange(12, 0, -1) / 12
    torch.testing.assert_close(sigmas, 3 * even / (1 + 2 * even), atol=1e-5, rtol=0)
    assert (scheduler.timesteps - tiny.path.model_time(sigmas)).abs().max() <= 1
    x, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    state = tiny.path.mix(x, noise, sigmas[:1].double())
    for index, t in enumerate(scheduler.timesteps):
        at = sigmas[index].double().reshape(1)
        state = scheduler.step(tiny.path.target(x, noise, at), t, state).prev_sample
    torch.testing.assert_close(state, x, atol=2e-3, rtol=0)


def test_diffusers_loads_the_folder_without_our_code(tiny: MiniBackbone, tmp_path: Path) -> None:
    from diffusers import DiffusionPipeline

    tiny.save_pipeline(tmp_path)
    pipeline = DiffusionPipeline.from_pretrained(str(tmp_path))
    pipeline.set_progress_bar_config(disable=True)
    generators = [torch.Generator().manual_seed(s) for s in range(CHUNK)]
    theirs = pipeline(
        PROMPTS[:1] * CHUNK, num_inference_steps=3, guidance_scale=2.0, generator=generators, output_type="np"
    ).images
    ours = tiny.sample(PROMPTS[:1] * CHUNK, list(range(CHUNK)), steps=3, guidance=2.0)
    assert np.abs(np.round(theirs * 255) - ours).max() <= 1
    again = load_folder(tmp_path, bf16=False)
    assert np.array_equal(again.sample(PROMPTS, [1, 2, 3, 4], steps=2), tiny.sample(PROMPTS, [1, 2, 3, 4], steps=2))


def test_words_of_the_captions_are_single_tokens(tiny: MiniBackbone) -> None:
    tokens = tiny.pipeline.tokenizer.tokenize("A person with Pale skin raises 5 fingers, quixotic")
    assert tokens[:7] == [f"{word}</w>" for word in "a person with pale skin raises 5".split()]
    assert len(tokens) > 10
    ids = tiny.tokenize(["quixotic " * 90, ""])
    assert ids.shape == (2, tiny.pipeline.tokenizer.model_max_length)
    assert ids[0, -1] == tiny.pipeline.tokenizer.eos_token_id


def test_an_adapter_saved_is_the_adapter_loaded(tmp_path: Path) -> None:
    from diffusers import DiffusionPipeline

    trained, fresh = with_lora(), load_tiny()
    plain = predict(fresh)
    assert not torch.equal(predict(trained), plain)
    trained.save_lora(tmp_path / "lora")
    fresh.load_lora(tmp_path / "lora")
    assert torch.equal(predict(fresh), predict(trained))
    fresh.load_lora(tmp_path / "lora")
    assert torch.equal(predict(fresh), predict(trained))
    fresh.pipeline.unload_lora_weights()
    fresh.save_pipeline(tmp_path / "pipeline")
    pipeline = DiffusionPipeline.from_pretrained(str(tmp_path / "pipeline"))
    pipeline.load_lora_weights(str(tmp_path / "lora"))
    outside = MiniBackbone(pipeline, "outside", bf16=False)
    assert torch.equal(predict(outside), predict(trained))


def test_without_adapter_there_is_nothing_to_save(tiny: MiniBackbone, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no adapter"):
        tiny.save_lora(tmp_path)
    with pytest.raises(InputError, match="holds no adapter"):
        load_tiny().load_lora(tmp_path)


def test_loading_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="mini"):
        load("flux9")
    with pytest.raises(StoreError, match="model_index"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("file", "change", "found"),
    [
        ("model_index.json", {"_class_name": "FluxPipeline"}, "the class FluxPipeline"),
        ("model_index.json", {"vae": ["diffusers", "AutoencoderKL"]}, "the autoencoder AutoencoderKL"),
        ("scheduler/scheduler_config.json", {"prediction_type": "epsilon"}, "prediction_type epsilon"),
        ("scheduler/scheduler_config.json", {"use_flow_sigmas": False}, "use_flow_sigmas False"),
        ("unet/config.json", {"sample_size": [8, 16]}, r"the sample_size \[8, 16\]"),
    ],
)
def test_a_pipeline_of_another_kind_is_refused(
    tiny: MiniBackbone, tmp_path: Path, file: str, change: dict[str, Any], found: str
) -> None:
    tiny.save_pipeline(tmp_path)
    load(tmp_path)
    settings = json.loads((tmp_path / file).read_text())
    (tmp_path / file).write_text(json.dumps({**settings, **change}))
    with pytest.raises(InputError, match=f"it has .*{found}.*; supported is a StableDiffusionPipeline with"):
        load_folder(tmp_path)


def test_loading_warns_of_nothing_to_come_and_gives_float32(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = load_tiny()
    half.pipeline.unet.half()
    half.save_pipeline(tmp_path)
    monkeypatch.setattr(logging.getLogger("diffusers"), "propagate", True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        found = load_folder(tmp_path, bf16=False)
    assert not [line for line in caplog.messages if "float32" in line or "dtype" in line]
    parts = (found.pipeline.unet, found.pipeline.vae, found.pipeline.text_encoder)
    assert {value.dtype for part in parts for value in part.parameters()} == {torch.float32}


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, bare = with_lora(), load_tiny()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bare.pipeline, "save_pretrained", full)
    monkeypatch.setattr("diffusers.StableDiffusionPipeline.save_lora_weights", full)
    for save in (bare.save_pipeline, backbone.save_lora):
        with pytest.raises(InputError, match=f"to {tmp_path}: No space left on device"):
            save(tmp_path)


def test_the_same_seed_builds_the_same_model_and_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    first, second, other = load_tiny(3), load_tiny(3), load_tiny(4)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(predict(first), predict(second))
    assert not torch.equal(predict(first), predict(other))


def test_conditions_are_indexed_and_repeated() -> None:
    condition = TextCondition({"text": torch.arange(6.0).reshape(3, 2)})
    assert len(condition) == 3
    assert condition.index([2, 0]).tensors["text"].tolist() == [[4, 5], [0, 1]]
    assert condition.repeat(2).tensors["text"][3:].tolist() == condition.tensors["text"].tolist()


def test_on_another_device_everything_is_done_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images, words, times and noise are given on the CPU, as workflows do."""
    backbone = load("tiny", LoadOptions(device="meta"))
    bring_zeros(monkeypatch)
    assert isinstance(backbone, MiniBackbone)
    assert (backbone.device.type, backbone.dtype, backbone.bf16) == ("meta", torch.float32, False)
    side = backbone.resolution
    with OneDevice():
        latents = backbone.encode(torch.zeros(2, 3, side, side))
        condition = backbone.embed(PROMPTS[:2])
        there = backbone.denoise(latents, torch.tensor([0.2, 0.9]), condition)
        noise, words = torch.zeros(2, *backbone.latent_shape), TextCondition({"text": torch.zeros(2, 32, 16)})
        moved = backbone.denoise(noise, torch.tensor([0.2, 0.9]), words)
        pictures = backbone.decode(torch.zeros(2, *backbone.latent_shape))
    found = [latents, condition.tensors["text"], there, moved, pictures]
    assert {value.device.type for value in found} == {"meta"}
    with OneDevice():
        trip = round_trip(backbone, np.zeros((2, side, side, 3), np.uint8), PROMPTS[:2], [0.0, 0.2], [1, 2])
    assert trip.shape == (2, side, side, 3)


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": "bfloat16"},
        {"offload": "parts"},
        {"variant": "fp16"},
        {"schedule": {"flow_shift": 3}},
        {"device": "warp9"},
    ],
)
def test_options_that_the_embedded_models_do_not_take_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    wanted = "device must be auto, cpu.* got 'warp9'" if "device" in options else "choose a device and nothing else"
    with pytest.raises(InputError, match=wanted):
        load("tiny", LoadOptions(**options))
    if options.keys() & {"dtype", "offload"}:
        load_tiny().save_pipeline(tmp_path)
        with pytest.raises(InputError, match="in float32 and whole, not in"):
            load(tmp_path, LoadOptions(**options))


def test_float32_means_float32_wherever_it_runs(tmp_path: Path) -> None:
    load_tiny().save_pipeline(tmp_path)
    found = load(tmp_path, LoadOptions(device="cpu", dtype="float32"))
    assert isinstance(found, MiniBackbone)
    assert not found.bf16
    free = load(tmp_path, LoadOptions(device="cpu"))
    assert isinstance(free, MiniBackbone)
    assert free.bf16 == native_bf16("cpu")
