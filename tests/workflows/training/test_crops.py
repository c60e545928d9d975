"""Crops to several shapes and windows around the mask: what is seen of a pair, and that training on it is exact."""

import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from asap.align.batch import PairBatch
from asap.align.trainer import Metrics, Trainer
from asap.backbones import Backbone, load
from asap.core.errors import ConfigError, InputError
from asap.core.manifest import Manifest
from asap.core.records import PairRecord
from asap.core.seeds import generator
from asap.stores.cache import Cache
from asap.stores.pairs import PairStore, PairWriter
from asap.stores.trainlog import read_log
from asap.tensors import to_signed
from asap.tensors.masks import touched_cells
from asap.workflows.runtime.trained import trained_hash
from asap.workflows.training import dry_run as dryrun
from asap.workflows.training.config import configure
from asap.workflows.training.crops import Cropper, CropSettings, crops_of, groups_of
from asap.workflows.training.latents import LatentPairs, encode_pairs
from asap.workflows.training.run import TrainResult, train
from tests.backbones.tiny import flux, sana, sdxl
from tests.stores.samples import pair

SHAPES = [(64, 64), (96, 96), (80, 60), (64, 120), (130, 70)]
"""Heights and widths of stored images; the model's are 64 x 64."""


def shaped(index: int, size: tuple[int, int], split: str = "train") -> PairRecord:
    """Noise of any size, with a small box changed somewhere."""
    draw, (height, width) = generator(9, "shaped", index), size
    chosen = draw.integers(0, 255, (height, width, 3), dtype=np.uint8)
    tall, wide = (int(value) for value in draw.integers(3, 16, 2))
    y, x = int(draw.integers(0, height - tall)), int(draw.integers(0, width - wide))
    mask = np.zeros((height, width), np.uint8)
    mask[y : y + tall, x : x + wide] = 255
    rejected = np.where(mask[..., None] > 0, 255 - chosen, chosen)
    plain = pair(5 * (index // 4) + index % 4, split=split)  # every fifth of these is no defect
    return replace(
        plain,
        index=index,
        uid=f"{index:016x}",
        prompt=f"a person, number {index % 3}",
        chosen=chosen,
        rejected=rejected,
        mask=mask,
        regions=mask // 255,
        box=(x, y, x + wide, y + tall),
        split=split,
    )


def store(root: Path, count: int = 20, shapes: list[tuple[int, int]] | None = None) -> Path:
    chosen = shapes or SHAPES
    with PairWriter(root, {}, count) as writer:
        rows = [shaped(k, chosen[k % len(chosen)], "val" if k % 7 == 6 else "train") for k in range(count)]
        writer.write_chunk(0, rows, {}, 0.1)
        writer.finish(Manifest(kind="pairs"))
    return root


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(tmp_path_factory.mktemp("crops") / "pairs")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images that hold the square, some of them wide."""
    return store(tmp_path_factory.mktemp("crops") / "large", 12, [(64, 64), (96, 96), (64, 100)])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crops-model") / "sdxl"
    sdxl.build(folder)
    return folder


@pytest.fixture(scope="module")
def backbone(model: Path) -> Backbone:
    return load(model)


def run(model: Path, pairs: Path, out: Path, **settings: Any) -> TrainResult:  # noqa: ANN401
    how = {"steps": 5, "batch_size": 2, "lora_rank": 2, "lr": 1e-3, "target_margin": 0.5, "precision": "fp32"}
    return train(str(model), pairs, out, **{**how, **settings})


def rows(out: Path) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if key not in ("seconds", "seen")}
        for row in read_log(out / "log.jsonl")
    ]


# --- what is seen


@pytest.mark.parametrize(
    "crop_settings",
    [CropSettings(), CropSettings(buckets=True), CropSettings(window=0.4), CropSettings(buckets=True, window=0.25)],
)
def test_no_mask_is_ever_cut(crop_settings: CropSettings, backbone: Backbone) -> None:
    """For images and boxes of all kinds: the crop holds the box, and the window every cell that the box touches."""
    cropper, draw = Cropper(backbone, crop_settings), generator(1, "views")
    cropped, seen = set(), set()
    for _ in range(300):
        height, width = (int(value) for value in draw.integers(64, 160, 2))
        tall, wide = (int(value) for value in draw.integers(1, 40, 2))
        y, x = int(draw.integers(0, height - tall)), int(draw.integers(0, width - wide))
        crop = cropper.crop("u", height, width, (x, y, x + wide, y + tall))
        cropped.add(crop.size)
        seen.add(crop.window[2] * crop.window[3] / (crop.size[0] * crop.size[1]))
        for axis, (low, high, whole) in enumerate(((y, y + tall, height), (x, x + wide, width))):
            start, length = crop.frame[axis], crop.frame[2 + axis]
            assert 0 <= start <= low
            assert high <= start + length <= whole
            assert length >= crop.size[axis]
            first, end = touched_cells(low - start, high - start, length, crop.size[axis] // 8)
            window, side = crop.window[axis] // 8, crop.window[2 + axis] // 8
            assert crop.window[axis] % 8 == crop.window[2 + axis] % 8 == 0
            assert 0 <= window <= first
            assert end <= window + side <= crop.size[axis] // 8
    assert (len(cropped) > 5) == crop_settings.buckets
    assert (seen == {1.0}) == (crop_settings.window == 1)


def test_views_worked_by_hand(backbone: Backbone) -> None:
    """A box of 8 x 8 at (40, 16) of 64 x 64 is cell (5, 2), of which half the sides begin at cell (3, 0)."""
    crop = Cropper(backbone, CropSettings(window=0.5)).crop("u", 64, 64, (16, 40, 24, 48))
    assert (crop.frame, crop.size, crop.window) == ((0, 0, 64, 64), (64, 64), (24, 0, 32, 32))
    wide = Cropper(backbone, CropSettings(buckets=True)).crop("u", 60, 90, (80, 0, 90, 8))
    assert (wide.frame, wide.size, wide.window) == ((0, 0, 54, 90), (48, 80), (0, 0, 48, 80))


def test_a_mask_larger_than_the_window_widens_it(backbone: Backbone) -> None:
    """Five of eight cells: a window of 0.25 becomes one of five eighths; a mask that is everywhere is seen whole."""
    cropper = Cropper(backbone, CropSettings(window=0.25))
    assert cropper.crop("u", 64, 64, (8, 0, 41, 8)).window == (0, 8, 40, 40)
    assert cropper.crop("u", 64, 64, (0, 0, 64, 64)).window == (0, 0, 64, 64)
    assert cropper.crop("u", 64, 64, (0, 0, 0, 0)).window == (24, 24, 16, 16)


def test_the_shape_that_cuts_least_is_taken_unless_it_cuts_the_mask(backbone: Backbone) -> None:
    """64 x 104 is cut to 62 x 104 for the shape 48 x 80; a mask as high as the image wants 64 x 82, shape 56 x 72."""
    cropper = Cropper(backbone, CropSettings(buckets=True))
    usual, high = (cropper.crop("u", 64, 104, box) for box in ((10, 10, 20, 20), (10, 0, 20, 64)))
    assert (usual.size, usual.frame) == ((48, 80), (0, 0, 62, 104))
    assert (high.size, high.frame) == ((56, 72), (0, 0, 64, 82))


def test_pictures_too_small_and_models_of_one_size_are_refused(backbone: Backbone) -> None:
    with pytest.raises(InputError, match=r"48x48; .* at least 64 on each side or as many pixels in another shape"):
        Cropper(backbone, CropSettings(buckets=True)).crop("u", 48, 48, (0, 0, 8, 8))
    with pytest.raises(InputError, match="pair u: no square of an image of 64x120 holds a box of 8x80"):
        Cropper(backbone, CropSettings()).crop("u", 64, 120, (0, 0, 80, 8))
    with pytest.raises(ConfigError, match="tiny has images of one size, so no window can be cut"):
        Cropper(load("tiny"), CropSettings(window=0.5))
    assert Cropper(load("tiny"), CropSettings(buckets=True)).sizes == [(32, 32)]


# --- what is read


@pytest.mark.parametrize("module", [sdxl, flux, sana], ids=["sdxl", "flux", "sana"])
def test_windows_show_what_lies_there(module: ModuleType, pairs: Path, tmp_path: Path) -> None:
    """Latents, mask and place of a window are those of the same cells of the whole, and no cell of the mask is lost."""
    module.build(tmp_path / "model")
    backbone = load(tmp_path / "model")
    opened = PairStore.open(pairs, split="train")
    positions = [0, 1] if module is not sana else [1]
    cropper = Cropper(backbone, CropSettings(window=0.5))
    crops = tuple(crops_of(opened, positions, cropper)[0].values())
    encoded = encode_pairs(opened, backbone, "f", Cache(tmp_path / "cache"), positions)
    windows = LatentPairs(encoded, positions, cropper, crops)
    whole = LatentPairs(encoded, positions, Cropper(backbone, CropSettings()), ()).batch(range(len(positions)))
    for group in windows.groups():
        batch = windows.batch(group)
        assert batch.visible_share < 1
        for row, index in enumerate(group):
            assert_seen(batch, row, whole, index)
        assert list(batch.mask.sum(dim=(1, 2, 3))) == list(whole.mask[group].sum(dim=(1, 2, 3)))
        told = {"sdxl": "frame", "flux": "origin"}.get(module.__name__.split(".")[-1])
        assert (set(batch.condition.tensors) - set(whole.condition.tensors)) == ({told} if told else set())


def assert_seen(batch: PairBatch, row: int, whole: PairBatch, index: int) -> None:
    (top, left), (height, width) = batch.corners[row], batch.chosen.shape[2:]
    for name in ("chosen", "rejected", "mask"):
        there = getattr(whole, name)[index, :, top : top + height, left : left + width]
        assert torch.equal(getattr(batch, name)[row], there)


def test_crops_to_shapes_are_encoded_as_they_are(pairs: Path, backbone: Backbone, tmp_path: Path) -> None:
    """Rows of unlike shapes come back from one store as what the images' own crops are encoded to."""
    opened, crop_settings = PairStore.open(pairs, split="train"), CropSettings(buckets=True)
    positions, cropper = list(range(len(opened))), Cropper(backbone, crop_settings)
    crops = tuple(crops_of(opened, positions, cropper)[0].values())
    source = LatentPairs(
        encode_pairs(opened, backbone, "f", Cache(tmp_path / "cache"), positions, crop_settings),
        positions,
        cropper,
        crops,
    )
    assert {tuple(source.batch([index]).chosen.shape[2:]) for index in positions} == {
        (crop.size[0] // 8, crop.size[1] // 8) for crop in crops
    }
    assert len(source.groups()) == len({crop.size for crop in crops}) > 2
    for index in (0, 2, 3):
        row, crop = opened.row(index), crops[index]
        top, left, tall, wide = crop.frame
        cut = Image.fromarray(row.chosen[top : top + tall, left : left + wide])
        small = to_signed(np.array(cut.resize(crop.size[::-1], Image.Resampling.LANCZOS))[None])
        torch.testing.assert_close(source.batch([index]).chosen, backbone.encode(small), atol=1e-5, rtol=1e-5)
        assert source.batch([index]).mask.max() == 1


def test_a_box_that_does_not_say_where_the_mask_is(backbone: Backbone, tmp_path: Path) -> None:
    row = replace(shaped(0, (64, 64)), box=(0, 0, 5, 5))
    with PairWriter(tmp_path / "pairs", {}, 1) as writer:
        writer.write_chunk(0, [row], {}, 0.1)
        writer.finish(Manifest(kind="pairs"))
    opened = PairStore.open(tmp_path / "pairs")
    with pytest.raises(InputError, match=r"says that its mask is at \(0, 0, 5, 5\), but it is at"):
        encode_pairs(opened, backbone, "f", Cache(tmp_path / "cache"), [0], CropSettings(window=0.5))


# --- training


def test_a_window_that_is_the_whole_picture_is_no_window(model: Path, large: Path, tmp_path: Path) -> None:
    """0.99 is rounded up to eight eighths; every step and the weights are those of a run without windows."""
    run(model, large, tmp_path / "plain")
    run(model, large, tmp_path / "window", window=0.99)
    assert rows(tmp_path / "plain") == rows(tmp_path / "window")
    assert trained_hash(tmp_path / "plain/adapter") == trained_hash(tmp_path / "window/adapter")


def test_windows_train_and_are_remembered(model: Path, large: Path, tmp_path: Path) -> None:
    run(model, large, tmp_path / "run", window=0.5, validate_every=5, validation_images=0)
    assert all(row["seen"] < 1 for row in read_log(tmp_path / "run" / "log.jsonl") if "loss" in row)
    assert Manifest.read(tmp_path / "run" / "manifest.json").config["framing"] == {"buckets": False, "window": 0.5}
    with pytest.raises(InputError, match=r"framing.window is 0.5, not 1.0"):
        run(model, large, tmp_path / "run", steps=6)
    with pytest.raises(ConfigError, match=r"window must be above 0 and at most 1, got 1.5"):
        run(model, large, tmp_path / "other", window=1.5)


def test_a_dry_run_knows_of_windows(model: Path, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Boxes of at most 15 pixels are seen in windows of half the sides: a quarter of activations and forwards.

    One large mask, if it is met, makes the activations those of its own window.
    """
    monkeypatch.setattr(dryrun, "GIB", 1)  # tiny models are told in bytes

    def told(pairs: Path, **more: object) -> tuple[float, int, str]:
        how = {"model": str(model), "pairs": pairs, "out": "o", "steps": 40, "batch_size": 2, **more}
        found = dryrun.dry_run(configure(how))
        counted = re.search(r"activations of 4 (?:images|windows) ([\d.]+)", str(found["memory"]))
        cost = re.search(r"about ([\d,]+) forwards of one image", str(found["forwards"]))
        assert counted is not None
        assert cost is not None
        return float(counted[1]), int(cost[1].replace(",", "")), str(found["forwards"])

    whole, windows = told(large), told(large, window=0.5)
    assert (windows[0] / whole[0], windows[1] / whole[1]) == (0.25, 0.25)
    assert (whole[1], windows[1]) == (640, 160)
    assert windows[2].endswith("for windows show 25% of an image on the mean")
    assert "windows" not in whole[2]
    monkeypatch.setattr(
        Cropper, "_window", lambda _self, crop, _size, _box: (0, 0, *((64, 32) if crop[2] > 64 else (32, 32)))
    )
    uneven = told(large, window=0.5)
    assert uneven[0] / whole[0] == 0.5
    assert 0.25 < uneven[1] / whole[1] < 0.5


BOTH: dict[str, Any] = {"buckets": True, "window": 0.5}


@pytest.mark.parametrize("crop_settings", [{"buckets": True}, BOTH], ids=["buckets", "both"])
def test_shapes_change_nothing_about_stops_and_splits(
    crop_settings: dict[str, Any], model: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted and resumed gives the same bits; one pair at a time the same weights."""
    options = {**crop_settings, "checkpoint_every": 2, "validate_every": 5, "validation_images": 0}
    run(model, pairs, tmp_path / "whole", **options)
    original, calls = Trainer.backward, []

    def interrupted(self: Trainer, step: int, scale: float = 1.0) -> Metrics:
        calls.append(step)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(self, step, scale)

    monkeypatch.setattr(Trainer, "backward", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(model, pairs, tmp_path / "parts", **options)
    run(model, pairs, tmp_path / "parts", **options)
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    assert trained_hash(tmp_path / "parts/adapter") == trained_hash(tmp_path / "whole/adapter")
    run(model, pairs, tmp_path / "split", batch_size=1, global_batch=2, **options)
    for one, other in zip(rows(tmp_path / "whole"), rows(tmp_path / "split"), strict=True):
        for key in ("loss", "delta") if "loss" in one else ():
            assert one[key] == pytest.approx(other[key], rel=1e-4, abs=1e-6)


def test_squares_of_one_size_are_one_shape(model: Path, tmp_path: Path) -> None:
    """A store of squares trains the same with buckets: the same pairs in the same order."""
    squares = store(tmp_path / "pairs", 8, [(64, 64)])
    run(model, squares, tmp_path / "plain")
    run(model, squares, tmp_path / "buckets", buckets=True)
    assert rows(tmp_path / "plain") == rows(tmp_path / "buckets")
    assert trained_hash(tmp_path / "plain/adapter") == trained_hash(tmp_path / "buckets/adapter")
    assert groups_of(()) == []
