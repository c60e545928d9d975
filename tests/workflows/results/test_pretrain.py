"""Pretraining end to end on coloured blocks with the tiny variant: resume, refusal, learning, and what is exported."""

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from asap.backbones.mini import fit
from asap.backbones.mini.backbone import MiniBackbone, load_folder
from asap.core.errors import InputError, StoreError, TrainingError
from asap.core.prefetch import Prefetcher
from asap.core.vocabulary import PIECES
from asap.stores.trainlog import TrainLog
from asap.workflows.results import pretrain as stage
from asap.workflows.results.pretrain import PretrainConfig, pretrain, write_sheet
from asap.workflows.training.loop import Loop
from tests.one_device import OneDevice, bring_zeros

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 210)}
CONFIG = PretrainConfig(steps=12, size="tiny", batch=8, vae_steps=10, vae_batch=8, vae_window=32)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    draw = np.random.default_rng(0)
    images = np.zeros((48, 32, 32, 3), dtype=np.uint8)
    pieces = np.zeros((48, 32, 32), dtype=np.uint8)
    records = []
    for image, piece in zip(images, pieces, strict=True):
        name = str(draw.choice(list(COLOURS)))
        row, column = draw.integers(0, 20, 2)
        image[:] = draw.integers(90, 160)
        image[row : row + 12, column : column + 12] = COLOURS[name]
        piece[row : row + 12, column : column + 12] = PIECES.index("palm")
        records.append({"caption": f"a {name} block", "category": name})
    np.save(folder / "images-000000.npy", images)
    np.save(folder / "pieces-000000.npy", pieces)
    (folder / "people-000000.json").write_text(json.dumps(records))
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    pipeline = load_folder(folder, bf16=False).pipeline
    parts = {"unet": pipeline.unet, "vae": pipeline.vae, "text": pipeline.text_encoder}
    return {f"{part}.{name}": value for part, module in parts.items() for name, value in module.state_dict().items()}


def killed_at(call: int, how: Callable[[], None]) -> Callable[[Loop], dict[str, float | None]]:
    """A step of the loop; before the given call of it, ``how`` happens."""
    calls, original = iter(range(10**6)), Loop.step

    def step(loop: Loop) -> dict[str, float | None]:
        if next(calls) == call:
            how()
        return original(loop)

    return step


def kill() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("call", [4, 17])
def test_a_killed_run_ends_with_the_weights_of_an_undisturbed_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    monkeypatch.setattr(stage, "LOG_EVERY", 3)
    whole = pretrain(data, tmp_path / "whole", CONFIG, save_seconds=0, evaluate_every=5)
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "step", killed_at(call, kill))
        with pytest.raises(KeyboardInterrupt):
            pretrain(data, tmp_path / "cut", CONFIG, save_seconds=0, evaluate_every=5)
    cut = pretrain(data, tmp_path / "cut", CONFIG, save_seconds=0, evaluate_every=5)
    wanted, came = weights(whole), weights(cut)
    assert wanted.keys() == came.keys()
    assert all(torch.equal(wanted[name], came[name]) for name in wanted)
    steps = [json.loads(line)["step"] for line in (cut / "training.jsonl").read_text().splitlines()]
    assert steps == [3, 5, 6, 9, 10, 10, 3, 5, 6, 9, 10, 12, 12]


def test_an_interrupted_run_saves_a_checkpoint_first(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "step", killed_at(16, lambda: signal.raise_signal(signal.SIGINT)))
        with pytest.raises(KeyboardInterrupt):
            pretrain(data, tmp_path / "cut", CONFIG)
    assert json.loads((tmp_path / "cut" / "denoiser" / "latest.json").read_text())["step"] == 7
    whole, cut = pretrain(data, tmp_path / "whole", CONFIG), pretrain(data, tmp_path / "cut", CONFIG)
    assert all(torch.equal(value, weights(cut)[name]) for name, value in weights(whole).items())


def test_the_steps_are_fitted_to_the_time_once(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed, out = replace(CONFIG, steps=0), tmp_path / "timed"
    for config, seconds in ((timed, 0.0), (CONFIG, 60.0)):
        with pytest.raises(InputError, match="either a number of steps or a number of seconds"):
            pretrain(data, out, config, seconds=seconds)
    clock = iter(range(10**6))
    monkeypatch.setattr(stage, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))  # a second per step
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "step", killed_at(30, kill))
        with pytest.raises(KeyboardInterrupt):
            pretrain(data, out, timed, seconds=33, save_seconds=0)
    steps = json.loads((out / "config.json").read_text())["steps"]
    assert steps == int(0.75 * 32)
    resumed = pretrain(data, out, timed, seconds=500)
    plain = pretrain(data, tmp_path / "plain", replace(CONFIG, steps=steps))
    assert json.loads((resumed / "settings.json").read_text())["steps"] == steps
    assert all(torch.equal(value, weights(plain)[name]) for name, value in weights(resumed).items())


def test_the_export_is_a_pipeline_with_card_log_and_settings(data: Path, tmp_path: Path) -> None:
    folder = pretrain(data, tmp_path / "out", CONFIG)
    assert json.loads((folder / "settings.json").read_text())["pictures"] == 44
    assert "tiny" in (folder / "README.md").read_text()
    assert load_folder(folder, bf16=False).sample(["a red block"], [0], steps=2).shape == (1, 32, 32, 3)
    assert (tmp_path / "out" / "samples" / "step-000012.png").exists()
    again = pretrain(data, tmp_path / "out", CONFIG)
    assert again == folder


def test_a_folder_belongs_to_one_configuration(data: Path, tmp_path: Path) -> None:
    pretrain(data, tmp_path / "out", CONFIG)
    other = PretrainConfig(steps=13, size="tiny", batch=8, vae_steps=10, vae_batch=8, vae_window=32)
    with pytest.raises(InputError, match="steps was 12 and is 13"):
        pretrain(data, tmp_path / "out", other)


def test_a_run_gets_more_steps_until_its_cooldown_begins(data: Path, tmp_path: Path) -> None:
    """12 steps and then 20 end with the weights of 20, as the rate was constant; after that nothing may change."""
    cool = replace(CONFIG, cooldown=4)

    def stopped(out: Path, steps: int, at: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Loop, "step", killed_at(at, kill))
            with pytest.raises(KeyboardInterrupt):
                pretrain(data, out, replace(cool, steps=steps), save_seconds=0)

    stopped(tmp_path / "more", 12, CONFIG.vae_steps + 8)
    longer = pretrain(data, tmp_path / "more", replace(cool, steps=20))
    plain = pretrain(data, tmp_path / "plain", replace(cool, steps=20))
    assert all(torch.equal(value, weights(plain)[name]) for name, value in weights(longer).items())
    with pytest.raises(InputError, match="steps was 20 and is 30"):
        pretrain(data, tmp_path / "more", replace(cool, steps=30))
    stopped(tmp_path / "late", 12, CONFIG.vae_steps + 9)
    with pytest.raises(InputError, match="steps was 12 and is 20"):
        pretrain(data, tmp_path / "late", replace(cool, steps=20))


def test_the_rate_is_constant_until_the_cooldown() -> None:
    schedule = stage._denoiser_settings(PretrainConfig(steps=1000, cooldown=300, lr=1.0)).schedule
    assert [round(schedule.at(step), 3) for step in (99, 200, 700, 850, 999)] == [0.5, 1.0, 1.0, 0.5, 0.0]


def test_wrong_pictures_and_a_loss_that_is_no_number_are_reported(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="64 pixels"):
        pretrain(data, tmp_path / "mini", PretrainConfig(steps=2))
    monkeypatch.setattr(fit, "LATENT_NOISE", float("nan"))
    with pytest.raises(TrainingError, match="step 0"):
        pretrain(data, tmp_path / "nan", CONFIG)


def test_what_cannot_be_written_is_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"cannot read {tmp_path}: "):
        TrainLog(tmp_path, done=0, first=1, phase="vae")
    with pytest.raises(InputError, match=f"cannot write {tmp_path}: "):
        write_sheet(tmp_path, np.zeros((2, 4, 4, 3), np.uint8), 2)
    (tmp_path / "out" / "latents.npy").mkdir(parents=True)
    with pytest.raises(InputError, match=r"cannot write .*latents\.npy: "):
        pretrain(data, tmp_path / "out", CONFIG)


def test_the_encoder_keeps_what_principal_components_keep() -> None:
    """Four components of patches that have four degrees of freedom lose nothing."""
    from asap.backbones.mini.backbone import load_tiny
    from asap.tensors import to_signed

    draw = np.random.default_rng(1)
    values = draw.integers(40, 215, (16, 8, 8, 4))
    basis = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    colours = np.einsum("nhwk,ck->nhwc", values, basis).repeat(4, 1).repeat(4, 2)
    colours[:, ::2, ::2] += (values[..., 3:] // 6).repeat(2, 1).repeat(2, 2)
    images = colours.astype(np.uint8)
    tiny = load_tiny()
    fit.principal_encoder(tiny.pipeline.vae, images)
    latents = tiny.encode(to_signed(images)).permute(0, 2, 3, 1).reshape(-1, 4).double().numpy()
    patches = images.reshape(16, 8, 4, 8, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 48) / 255.0
    columns = np.column_stack([latents, np.ones(len(latents))])
    found = columns @ np.linalg.lstsq(columns, patches, rcond=None)[0]
    assert np.abs(found - patches).max() < 1e-3
    assert latents.std(0) == pytest.approx([1, 1, 1, fit.DETAIL], rel=0.02)
    assert np.abs(latents.mean(0)).max() < 0.01


def test_going_on_from_other_weights_keeps_the_autoencoder_and_trains_the_denoiser(data: Path, tmp_path: Path) -> None:
    first = pretrain(data, tmp_path / "first", CONFIG)
    more = pretrain(data, tmp_path / "more", replace(CONFIG, init=str(first), steps=3))
    before, after = weights(first), weights(more)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("vae."))
    assert any(not torch.equal(before[name], after[name]) for name in before if name.startswith("unet."))
    scale = [json.loads((run / "vae" / "config.json").read_text())["scaling_factor"] for run in (first, more)]
    assert scale[0] == scale[1]
    phases = {json.loads(line)["phase"] for line in (more / "training.jsonl").read_text().splitlines()}
    assert phases == {"denoiser"}


def test_on_another_device_both_phases_are_computed_there(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = stage._read(data, CONFIG)
    backbone = stage._initial(CONFIG, content, "meta")
    bring_zeros(monkeypatch)
    adamw = torch.optim.AdamW  # its fused kernel knows no meta tensors
    monkeypatch.setattr(torch.optim, "AdamW", lambda parameters, fused, **how: adamw(parameters, **how))
    monkeypatch.setattr(MiniBackbone, "sample", lambda self, prompts, _: np.zeros((len(prompts), 32, 32, 3), np.uint8))
    with OneDevice():
        phases = [stage._autoencoder(backbone, content, CONFIG)]
        latents = stage._latents(backbone, content, tmp_path, rescale=True)
        phases += [stage._denoising(backbone, content, latents, CONFIG, 5, tmp_path)]
        for one in phases:
            one.model.requires_grad_(True)
            loss, _ = one.loss(0)
            assert loss.device.type == "meta"
            loop = one.loop()
            loop.step()
            assert loop.average is not None
            loop.average.restore([torch.zeros(value.shape) for value in loop.task.weights.values()])
            with loop.averaged():
                assert one.evaluate(5)
            assert {value.device.type for value in loop.task.weights.values()} == {"meta"}


def test_what_is_drawn_ahead_by_threads_trains_the_same_weights(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = replace(CONFIG, steps=4, vae_steps=4)
    plain = pretrain(data, tmp_path / "plain", few, device="cpu")
    monkeypatch.setattr(stage, "Prefetcher", lambda make, threads: Prefetcher(make, threads=2))
    ahead = pretrain(data, tmp_path / "ahead", few, device="auto")
    wanted, came = weights(plain), weights(ahead)
    assert all(torch.equal(wanted[name], came[name]) for name in wanted)
    assert json.loads((ahead / "settings.json").read_text())["device"] == "cpu"


def test_a_device_that_is_not_here_is_refused_before_anything_is_written(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"device must be auto, cpu.* got 'warp9'"):
        pretrain(data, tmp_path / "out", CONFIG, device="warp9")
    assert not (tmp_path / "out").exists()


def test_focus_weighs_what_is_seen_of_a_body_and_leaves_the_mean_at_one(data: Path) -> None:
    content = stage._read(data, CONFIG)
    weights = stage._weights(content, 1.0)
    assert content.attention is not None
    assert weights is not None
    assert weights.shape == (48, 8, 8)
    assert weights[torch.from_numpy(content.train)].float().mean().item() == pytest.approx(1, abs=2e-3)
    empty, full = weights[torch.from_numpy(content.attention == 0)], weights[torch.from_numpy(content.attention == 2)]
    assert len(set(empty.tolist())) == len(set(full.tolist())) == 1
    assert (full[0] / empty[0]).item() == pytest.approx(3, abs=0.01)


def test_focus_turns_with_the_mirror_image(data: Path) -> None:
    content = stage._read(data, CONFIG)
    backbone = stage._initial(CONFIG, content, "cpu")
    latents = np.zeros((96, *backbone.latent_shape), np.float16)
    task = stage._Denoising(backbone, content, latents, CONFIG)
    there, mirrored = task.weight(torch.tensor([3])), task.weight(torch.tensor([3 + 48]))
    assert not torch.equal(there, mirrored)
    assert torch.equal(there, mirrored.flip(-1))


def test_without_focus_nothing_is_read_of_pieces_and_with_it_old_shards_are_refused(data: Path, tmp_path: Path) -> None:
    (data / "pieces-000000.npy").unlink()
    with pytest.raises(InputError, match="--focus 0"):
        pretrain(data, tmp_path / "out", CONFIG)
    plain = pretrain(data, tmp_path / "plain", replace(CONFIG, focus=0.0))
    lines = [json.loads(line) for line in (plain / "training.jsonl").read_text().splitlines()]
    assert "held_out" in lines[-1]
    assert "held_out_focus" not in lines[-1]
