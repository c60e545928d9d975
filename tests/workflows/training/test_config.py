"""What a run can be asked for: files of settings, flags over them, dry runs, and one line for each mistake."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from asap.align.methods import METHODS
from asap.backbones.families import families
from asap.cli import main
from asap.core.errors import ConfigError, InputError
from asap.core.manifest import Manifest
from asap.workflows.training.config import known_keys, read_config, request, settle
from asap.workflows.training.dry_run import dry_run
from tests.workflows.training.test_settings import store

ROOT = Path(__file__).parents[3]
FILES = sorted(path for path in (ROOT / "configs").glob("*/*.yaml") if path.parent.name != "accelerate")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(tmp_path_factory.mktemp("request") / "pairs")


def asked(**given: object) -> Any:  # noqa: ANN401
    return request({"pairs": "p", "out": "o", **given})


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "configs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_family_and_method_has_its_file_and_no_other_is_there() -> None:
    wanted = {f"{family.name}/{method}.yaml" for family in families() for method in METHODS.names()}
    assert {path.relative_to(ROOT / "configs").as_posix() for path in FILES} == wanted
    for path, text in generator().written().items():
        assert (ROOT / "configs" / path).read_text(encoding="utf-8") == text, path


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_shipped_file_loads(path: Path) -> None:
    found = asked(**read_config(path))
    family, method = path.parent.name, path.stem
    assert found.method == method
    assert found.loss == METHODS.get(method).settings
    hubs = next(item.hubs for item in families() if item.name == family)
    assert found.model in (hubs or ("mini",))
    for processes in (1, 2, 4):
        if found.global_batch % (found.training.batch_size * processes) == 0:
            training = settle(found, processes).training
            assert training.batch_size * training.grad_accum * processes == found.global_batch


def test_an_unknown_key_is_told_with_the_nearest_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("model: tiny\nlora_rnak: 4\nbatchsize: 2\n")
    assert main(["train", "--config", str(path), "--pairs", "p", "--out", str(tmp_path / "run")]) == 2
    line = f"{path}: unknown key 'batchsize', did you mean batch_size?; "
    line += f"{path}: unknown key 'lora_rnak', did you mean lora_rank?"
    assert capsys.readouterr().err == f"asap: error: {line}\n"
    with pytest.raises(ConfigError) as caught:
        asked(qqq=1, zzzz=2)
    assert str(caught.value).count("checkpoint_every") == 1
    assert "checkpoint_every" in known_keys()


def test_flags_win_over_the_file(pairs: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "run.yaml", tmp_path / "run"
    lines = [
        "model: tiny",
        "full: true",
        "steps: 9",
        "batch_size: 2",
        "noise_samples: 2",
        "global_batch: 6",
        "target_margin: 0.5",
    ]
    path.write_text(
        "\n".join([*lines, "precision: fp32", "timestep_range: [0.25, 1]", f"pairs: {pairs}", f"out: {out}"])
    )
    words = ["--lora-rank", "1", "--steps", "1", "--grad-accum", "1", "--set", "noise_samples=1"]
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
        ("snapshots: [a]", r"snapshots must be a list of whole numbers, got \['a'\]"),
        ("full: 1", "full must be true or false, got 1"),
        ("kinds: []", "kinds must be some of .*, got none"),
        ("lora_rank: 0", "lora_rank must be at least 1, got 0"),
        ("schedule: 3", "schedule must be names and values, got 3"),
    ],
)
def test_mistakes_in_a_file(text: str, line: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=line):
        asked(**read_config(path))
    with pytest.raises(InputError, match="cannot read"):
        read_config(tmp_path / "none.yaml")


def test_the_batch_of_a_step_is_split_over_processes() -> None:
    found = asked(global_batch=12, batch_size=3)
    assert settle(found, 2).training.grad_accum == 2
    assert settle(found, 1).training.grad_accum == 4
    with pytest.raises(ConfigError, match="global_batch must be a multiple of batch_size x processes = 15, got 12"):
        settle(found, 5)
    with pytest.raises(ConfigError, match="training needs pairs and out"):
        request({})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_asked_for_and_absent(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(["train", "--model", "tiny", "--pairs", str(pairs), "--out", str(out), "--device", "cuda"]) == 2
    error = capsys.readouterr().err
    assert re.match(r"asap: error: no device 'cuda' here: .*; choose another, for instance cpu\n$", error)
    assert not out.exists()


def test_a_dry_run_says_what_it_would_take(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    words = ["--steps", "10", "--batch-size", "2", "--grad-accum", "3", "--lora-rank", "2", "--set", "noise_samples=2"]
    assert main(["train", "--model", "tiny", "--pairs", str(pairs), "--out", str(out), "--dry-run", *words]) == 0
    told = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    told = {key: value.strip() for key, value in told.items()}
    assert told["steps"].startswith("10 of 6 pairs (2 x 3 micro-batches x 1 processes)")
    assert "240 of the policy, 240 of the reference, 240 backwards: about 960 forwards" in told["forwards"]
    assert re.search(r"[\d,]+ parameters, \d+\.\d+% of the model", told["trained"])
    assert "activations of 8 images" in told["memory"]
    assert told["pairs"].startswith("4, of which 4 are met")
    frugal = dry_run(request({"model": "tiny", "pairs": pairs, "out": out, "gradient": "two_pass"}))
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
    told = dry_run(request({"model": "tiny", "pairs": pairs, "out": "o", "lora_rank": 3}))
    assert str(told["trained"]).startswith(f"{expected:,} parameters")
    assert json.dumps(told)
