"""Body-guided pairs from rendered people to the store, on a tiny pipeline with random weights."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asap.cli import main
from asap.core.errors import ConfigError, InputError
from asap.core.vocabulary import SCREEN_REASON
from asap.gates import GateLimits
from asap.stores.pairs import PairStore
from asap.workflows.datasets.recipe import write_recipe
from asap.workflows.pairs.builder import build_store
from asap.workflows.pairs.controlnet import ControlNet
from asap.workflows.pairs.inpainting import Diffusion
from asap.workflows.pairs.rebuild import rebuild
from tests.degrade.diffusion.tiny import save_tiny


def test_settings_out_of_range(tmp_path: Path) -> None:
    model = Diffusion(model=str(tmp_path / "none"))
    for settings, words in (
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"size": 32}, "size must be at least 64 and at most 2048, got 32"),
        ({"operations": ("melt",)}, "operations must be a list, each one of extra"),
    ):
        with pytest.raises(ConfigError, match=words):
            ControlNet(**{"count": 1, "diffusion": model, **settings})  # type: ignore[arg-type]
    with pytest.raises(InputError):
        build_store(tmp_path / "out", ControlNet(count=1, diffusion=model))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--count", "2"], "--model"),
        (["--model", "m"], "--count"),
        (["--count", "2", "--model", "m", "--per-image", "2"], "--per-image"),
    ],
)
def test_wrong_words(words: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pairs", "build", "controlnet", "--out", str(tmp_path / "out"), *words]) == 2
    assert line in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gates that ask for no size and no contrast: random weights hardly follow the maps, and are refused for it."""
    limits = replace(GateLimits.photographs(), contrast_min=0.0, region_ssim_max=1.0, area_max=1.0, short_side_min=0)
    monkeypatch.setattr(GateLimits, "photographs", staticmethod(lambda: limits))


@pytest.mark.slow
@pytest.mark.usefixtures("lenient")
def test_from_the_command_to_the_store_and_back(tmp_path: Path) -> None:
    model, network = save_tiny("sd", tmp_path / "model"), save_tiny("sd-controlnet", tmp_path / "controlnet")
    words = ["pairs", "build", "controlnet", "--count", "3", "--size", "64", "--null-share", "0.2", "--seed", "4"]
    words += ["--model", str(model), "--controlnet", f"depth={network}", "--steps", "1"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    store = PairStore.open(tmp_path / "out")
    assert len(store) == 3
    assert "defect" in store.column("kind")
    assert {one.role for one in store.manifest.instruments} == {"generator", "pair_gate"}
    for row in store.rows(range(len(store))):
        inside = row.mask > 0
        assert np.array_equal(row.chosen[~inside], row.rejected[~inside])
        assert (row.chosen[inside] != row.rejected[inside]).any()
        assert row.detail["space"] == "guided"
        assert row.recipe["method"] == "guided"
        assert row.prompt
    recipe = write_recipe(tmp_path / "out", tmp_path / "recipe.json")
    assert rebuild(recipe, tmp_path / "again") == store.content_hash


@pytest.mark.slow
@pytest.mark.usefixtures("lenient")
def test_a_screen_that_finds_nothing_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, network = save_tiny("sd", tmp_path / "model"), save_tiny("sd-controlnet", tmp_path / "controlnet")
    diffusion = Diffusion(model=str(model), controlnet=str(network), steps=1)
    monkeypatch.setattr(ControlNet, "most", 2)
    with pytest.raises(InputError, match="2 images gave 0 pairs of 1 "):
        build_store(
            tmp_path / "out", ControlNet(count=1, diffusion=diffusion, size=64, null_share=0.0, screen="landmarks")
        )
    parts = [json.loads(path.read_text()) for path in (tmp_path / "out" / "parts").iterdir()]
    assert sum(part["rejected"].get(SCREEN_REASON, 0) for part in parts) > 0
