"""What a run can be asked for: files of settings, flags over them, dry runs, and one line for each mistake."""

import json
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from asap.align.methods import METHODS
from asap.align.settings import TrainSettings
from asap.backbones.families import families
from asap.backbones.family import LoadOptions
from asap.cli import main
from asap.cli.app import parse, read_yaml
from asap.core.errors import ConfigError
from asap.core.manifest import Manifest
from asap.core.settings import build, names
from asap.workflows.training.config import FULL_LR, LORA_LR, TrainConfig, configure
from asap.workflows.training.dry_run import dry_run
from asap.workflows.training.run import loss_settings, train_settings
from tests.workflows.training.test_settings import store

ROOT = Path(__file__).parents[3]
CONFIGS = ROOT / "configs"
FILES = sorted(CONFIGS.glob("*.yaml"))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(tmp_path_factory.mktemp("request") / "pairs")


def asked(**given: object) -> TrainConfig:
    return configure({"pairs": "p", "out": "o", **given})


def test_every_family_has_one_file_and_no_other_is_there() -> None:
    assert {path.stem for path in FILES} == {family.name for family in families()}
    assert {path.parent.name for path in CONFIGS.rglob("*.yaml")} == {"configs", "accelerate"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_shipped_file_loads_with_every_method(path: Path) -> None:
    config = build(TrainConfig, {**read_yaml(path), "pairs": "p", "out": "o"})
    hubs = next(family.hubs for family in families() if family.name == path.stem)
    assert config.model in (hubs or ("mini",))
    for method in METHODS.names():
        found: Any = parse(["train", "--config", str(path), "--method", method, "--pairs", "p", "--out", "o"])
        assert (found.method, found.optim) == (method, config.optim)
    for processes in (1, 2, 4):
        if config.optim.global_batch and config.optim.global_batch % (config.optim.batch_size * processes) == 0:
            at_once = config.optim.batch_size * config.grad_accum(processes) * processes
            assert at_once == config.optim.global_batch


def test_the_first_comment_of_every_file_is_a_command_for_it() -> None:
    for path in FILES:
        line = path.read_text(encoding="utf-8").splitlines()[1].strip("# ")
        words = line.partition(" [")[0].split()
        assert words[:4] == ["asap", "train", "--config", f"configs/{path.name}"]
        assert parse(["train", "--config", str(path), *words[4:]])


@pytest.mark.parametrize(
    ("words", "scale", "margin"),
    [
        ([], "reference", 0.05),
        (["--scale", "none"], "none", 0.01),
        (["--scale", "area"], "area", 0.01),
        (["--scale", "none", "--target-margin", "0.02"], "none", 0.02),
        (["--method", "dpo"], "none", 0.01),
    ],
)
def test_the_margin_from_the_command_line(words: list[str], scale: str, margin: float) -> None:
    found: Any = parse(["train", "--pairs", "p", "--out", "o", *words])
    settings = loss_settings(found)[1]
    assert (settings.scale, settings.target_margin) == (scale, margin)


def test_names_are_unique_over_the_sections() -> None:
    known = names(TrainConfig)
    sections = [item.type for item in fields(TrainConfig) if is_dataclass(item.type)]
    own = [item.name for item in fields(TrainConfig) if not is_dataclass(item.type)]
    assert len(sections) == 6
    assert len(known) == len(own) + sum(len(fields(section)) for section in sections)


def test_defaults_are_those_of_the_rooms() -> None:
    """A setting that a room has as well starts with the same value, but for those that a run decides itself."""
    config = asked()
    decided = {"lr": LORA_LR, "steps": 150, "grad_accum": 1}
    for item in fields(TrainSettings):
        assert getattr(train_settings(config, 1), item.name) == decided.get(item.name, item.default), item.name
    assert loss_settings(config)[1] == METHODS.get(config.method).settings
    assert config.runtime.options() == LoadOptions()
    assert asked(full=True).lr == FULL_LR
    assert asked(full=True).rank is None


def test_an_unknown_key_is_told_with_the_nearest_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("model: tiny\nlora_rnak: 4\nbatch_size: 2\noptim:\n  stepz: 9\n  lr: fast\n")
    assert main(["train", "--config", str(path), "--pairs", "p", "--out", str(tmp_path / "run")]) == 2
    line = f"asap: error: {path}: unknown key 'batch_size', did you mean optim.batch_size?; "
    line += "unknown key 'lora_rnak', did you mean lora_rank?; unknown key 'optim.stepz', did you mean optim.steps?; "
    line += "optim.lr must be a finite number or nothing, got 'fast'"
    assert capsys.readouterr().err == f"{line}\n"
    with pytest.raises(ConfigError, match=r"unknown key 'qqq'; known: pairs, out, model, .*; unknown key 'zzzz'"):
        asked(qqq=1, zzzz=2)


def test_flags_override_the_file(pairs: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "run.yaml", tmp_path / "run"
    path.write_text(
        "model: tiny\nfull: true\noptim:\n  steps: 9\n  batch_size: 2\n  global_batch: 6\nloss:\n  target_margin: 0.5\n"
        "noise:\n  noise_samples: 2\n  timestep_range: [0.25, 1]\nruntime:\n  precision: fp32\n"
        f"pairs: {pairs}\nout: {out}\n"
    )
    words = ["--no-full", "--lora-rank", "1", "--steps", "1", "--global-batch", "2", "--noise-samples", "1"]
    assert main(["train", "--config", str(path), *words]) == 0
    config: Any = Manifest.read(out / "manifest.json").config
    assert config["lora"]["rank"] == 1
    assert config["training"]["steps"] == config["training"]["draws"] == config["training"]["grad_accum"] == 1
    assert config["training"]["time_range"] == [0.25, 1.0]
    assert config["loss"]["tau"] == 0.5


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("- a\n- b\n", "must hold lines of the form `name: value`"),
        ("a: [", "is not YAML"),
        ("model: 3", "model must be text, got 3"),
        ("validation: {snapshots: [a]}", "validation.snapshots must be a list, each a whole number, got ['a']"),
        ("full: 1", "full must be true or false, got 1"),
        ("data: {kinds: []}", "kinds must name at least one of defect"),
        ("data: {kinds: [odd]}", "data.kinds must be a list, each one of defect, null_pose, null_equal, got ['odd']"),
        ("lora_rank: 0", "lora_rank must be at least 1, got 0"),
        ("runtime: {schedule: 3}", "runtime.schedule must be names and values, got 3"),
        ("optim: 3", "optim must be a section of names and values, got 3"),
        ("noise: {timestep_range: [0.8, 0.2]}", "timestep_range must be 0 <= low < high <= 1, got (0.8, 0.2)"),
        ("noise: {stratified: true}", "stratified and timestep_shift need timestep_sampling uniform or logit_normal"),
        (
            "noise: {noise_samples: 3, fixed_noise_samples: 2}",
            "fixed_noise_samples must be 0 or at least noise_samples",
        ),
        ("validation: {stop_on_texture: 2}", "stop_on_texture needs images"),
        ("optim: {lr: .nan}", "optim.lr must be a finite number or nothing, got nan"),
    ],
)
def test_mistakes_in_a_file(text: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    assert main(["train", "--config", str(path), "--pairs", "p", "--out", "o"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"asap: error: {path}")
    assert line in error
    assert error.count("\n") == 1


def test_a_missing_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--config=none.yaml", "--pairs", "p", "--out", "o"]) == 2
    assert "cannot read none.yaml: No such file" in capsys.readouterr().err


def test_the_batch_of_a_step_is_split_over_processes() -> None:
    config = asked(global_batch=12, batch_size=3)
    assert config.grad_accum(2) == 2
    assert config.grad_accum(1) == 4
    assert asked(batch_size=3).grad_accum(5) == 1
    with pytest.raises(ConfigError, match="global_batch must be a multiple of batch_size x processes = 15, got 12"):
        config.grad_accum(5)
    with pytest.raises(ConfigError, match="pairs is missing; out is missing"):
        configure({})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_asked_for_and_absent(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(["train", "--model", "tiny", "--pairs", str(pairs), "--out", str(out), "--device", "cuda"]) == 2
    error = capsys.readouterr().err
    assert re.match(r"asap: error: no device 'cuda' here: .*; choose another, for instance cpu\n$", error)
    assert not out.exists()


def test_a_dry_run_says_what_it_would_take(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    words = ["--steps", "10", "--batch-size", "2", "--global-batch", "6", "--lora-rank", "2", "--noise-samples", "2"]
    assert main(["train", "--model", "tiny", "--pairs", str(pairs), "--out", str(out), "--dry-run", *words]) == 0
    told = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    told = {key: value.strip() for key, value in told.items()}
    assert told["steps"].startswith("10 of 6 pairs (2 x 3 micro-batches x 1 processes)")
    assert "240 of the policy, 240 of the reference, 240 backwards: about 960 forwards" in told["forwards"]
    assert re.search(r"[\d,]+ parameters, \d+\.\d+% of the model", told["trained"])
    assert "activations of 8 images" in told["memory"]
    assert told["pairs"].startswith("4, of which 4 are met")
    frugal = dry_run(configure({"model": "tiny", "pairs": pairs, "out": out, "gradient": "two_pass"}))
    assert "activations of 1 images" in str(frugal["memory"])
    assert not out.exists()


def test_what_is_trained_is_counted_by_hand(pairs: Path) -> None:
    """A LoRA of rank r on a linear map of a to b numbers has r (a + b) weights."""
    from asap.backbones import load

    backbone = load("tiny")
    modules = [
        (name, module) for name, module in backbone.denoiser.named_modules() if name.endswith(backbone.lora_targets)
    ]
    expected = 0
    for _, module in modules:
        shape = module.weight.shape
        area = shape[2] * shape[3] if len(shape) == 4 else 1
        expected += 3 * (int(shape[1]) * area + int(shape[0]))
    told = dry_run(configure({"model": "tiny", "pairs": pairs, "out": "o", "lora_rank": 3}))
    assert str(told["trained"]).startswith(f"{expected:,} parameters")
    assert json.dumps(told)
