"""What is encoded once: without padding that says nothing, within a bound, and the same training whatever is kept."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asap.backbones import TextCondition
from asap.core.errors import ConfigError, InputError
from asap.stores.cache import GIGABYTE, room_taken
from asap.stores.latents import DONE, KEY
from asap.workflows.runtime.trained import trained_hash
from asap.workflows.training import latents as encode
from asap.workflows.training.run import train
from tests.workflows.training.test_crops import store

MASKED = ("qwen_image", "sana", "zimage")
"""Families whose denoisers do not look at the padding of a text."""


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(tmp_path_factory.mktemp("caches") / "pairs", 6, [(64, 64)])


def run(model: str | Path, pairs: Path, out: Path, **settings: Any) -> None:  # noqa: ANN401
    how = {"steps": 2, "batch_size": 2, "lora_rank": 2, "lr": 1e-4, "target_margin": 0.5, "precision": "fp32"}
    train(str(model), pairs, out, **{**how, **settings})


def folders(cache: Path) -> dict[str, Path]:
    """The stores of a cache by the columns that they hold."""
    return {
        "+".join(sorted(path.stem for path in key.parent.glob("*.bin"))): key.parent for key in cache.glob(f"*/{KEY}")
    }


@pytest.mark.parametrize(
    "name", [name if name == "qwen_image" else pytest.param(name, marks=pytest.mark.slow) for name in MASKED]
)
def test_padding_is_not_kept_and_changes_no_weight(
    name: str, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps with texts as long as they are, and with all that stands behind them: the same bits, less room taken."""
    importlib.import_module(f"tests.backbones.tiny.{name}").build(tmp_path / "model")
    run(tmp_path / "model", pairs, tmp_path / "short", steps=3, cache=tmp_path / "cache")
    monkeypatch.setattr(encode, "blanked", noisy)
    run(tmp_path / "model", pairs, tmp_path / "long", steps=3, cache=tmp_path / "long-cache")
    assert trained_hash(tmp_path / "short" / "adapter") == trained_hash(tmp_path / "long" / "adapter")
    text, padded = ((folders(tmp_path / at)["mask+text"] / "text.bin").stat() for at in ("cache", "long-cache"))
    assert text.st_size == padded.st_size
    assert text.st_blocks < 0.5 * padded.st_blocks


def noisy(condition: TextCondition) -> TextCondition:
    """With numbers for padding."""
    text, mask = condition.tensors["text"], condition.tensors["mask"]
    return TextCondition({**condition.tensors, "text": text + (~mask)[..., None].to(text)})


def test_a_caption_that_many_pairs_share_is_kept_once(pairs: Path, tmp_path: Path) -> None:
    run("tiny", pairs, tmp_path / "run", steps=3, cache=tmp_path / "cache")
    found = folders(tmp_path / "cache")
    rows = {name: int(np.load(path / DONE).sum()) for name, path in found.items()}
    assert rows == {"loser+mask+winner": 6, "text": 3}


def test_a_limit_is_refused_where_the_run_itself_needs_more(pairs: Path, tmp_path: Path) -> None:
    run("tiny", pairs, tmp_path / "one", cache=tmp_path / "cache")
    found = folders(tmp_path / "cache").values()
    room = sum(map(room_taken, found)) / GIGABYTE
    run("tiny", pairs, tmp_path / "two", cache=tmp_path / "wide", cache_limit=room)
    with pytest.raises(
        InputError, match=r"cache_limit allows .* GB; raise it, train fewer steps, or name another cache"
    ):
        run("tiny", pairs, tmp_path / "three", cache=tmp_path / "small", cache_limit=0.5 * room)
    assert not (tmp_path / "three").exists()
    with pytest.raises(ConfigError, match="cache_limit must be above 0, got -1"):
        run("tiny", pairs, tmp_path / "four", cache_limit=-1)
    assert not [path for folder in found for path in folder.glob(".lock*")]


def test_a_run_with_a_limit_takes_the_place_of_another_models_pairs(pairs: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    run("tiny", pairs, tmp_path / "one", cache=cache)
    first = set(folders(cache).values())
    importlib.import_module("tests.backbones.tiny.sd15").build(tmp_path / "model")
    run(tmp_path / "model", pairs, tmp_path / "probe", cache=tmp_path / "probe-cache")
    room = sum(map(room_taken, folders(tmp_path / "probe-cache").values())) / GIGABYTE
    run(tmp_path / "model", pairs, tmp_path / "two", cache=cache, cache_limit=room)
    left = set(folders(cache).values())
    assert len(left) == 2
    assert not left & first


# --- weights in main memory


@pytest.mark.parametrize("offload", ["parts", "blocks"])
def test_parts_in_main_memory_change_no_weight(offload: str, pairs: Path, tmp_path: Path) -> None:
    """On the CPU nothing moves, but hooks run: the same adapter, and a run that draws images while it goes on."""
    importlib.import_module("tests.backbones.tiny.sdxl").build(tmp_path / "model")
    watch = {"validate_every": 2, "validation_images": 1, "validation_steps": 1}
    for name, given in (("here", "none"), ("away", offload)):
        run(tmp_path / "model", pairs, tmp_path / name, cache=tmp_path / "cache", **{"offload": given, **watch})
    assert trained_hash(tmp_path / "here" / "adapter") == trained_hash(tmp_path / "away" / "adapter")


def test_what_cannot_be_left_away_is_refused(pairs: Path, tmp_path: Path) -> None:
    importlib.import_module("tests.backbones.tiny.sd15").build(tmp_path / "model")
    with pytest.raises(InputError, match="this run trains every weight; offload parts instead"):
        run(tmp_path / "model", pairs, tmp_path / "run", full=True, lora_rank=None, offload="blocks")
    with pytest.raises(InputError, match="this run trains DoRA"):
        run(tmp_path / "model", pairs, tmp_path / "run", offload="blocks", adapter="dora")
    with pytest.raises(ConfigError, match="offload must be one of none, parts, blocks, got 'all'"):
        run(tmp_path / "model", pairs, tmp_path / "run", offload="all")
    assert not (tmp_path / "run").exists()
