"""The scores of others on tiny models: the loading code is real, the weights are drawn."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from transformers import CLIPModel, CLIPProcessor

from asap.benchmark.frechet import frechet
from asap.benchmark.quality import MEASURES, InceptionFeatures, kid, quality_of, scorer
from asap.benchmark.quality.clip import AestheticHead, from_open_clip
from asap.benchmark.quality.distances import INCEPTION
from asap.core.errors import MissingDependencyError, StoreError, UnknownNameError
from asap.core.records import ByteArray
from tests.benchmark.quality.tiny import open_clip_names, save_weights, tiny_clip

PROMPTS = ["a hand", "a foot", "a hand"]


@pytest.fixture(scope="module")
def images() -> list[ByteArray]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, 255, (40, 30, 3), dtype=np.uint8) for _ in PROMPTS]


@pytest.fixture(scope="module")
def clip() -> CLIPModel:
    return tiny_clip()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, clip: CLIPModel) -> Path:
    return save_weights(tmp_path_factory.mktemp("weights"), clip)


def test_clip_scores_are_cosines(weights: Path, images: list[ByteArray], clip: CLIPModel) -> None:
    plain = scorer("clipscore", weights).score(images, PROMPTS)
    assert all(-100 <= value <= 100 for value in plain)
    assert len(set(plain)) == 3
    picked = scorer("pickscore", weights).score(images, PROMPTS)
    assert picked == pytest.approx([value / 100 * clip.logit_scale.exp().item() for value in plain], rel=1e-5)
    hps = scorer("hpsv2.1", weights).score(images, PROMPTS)
    assert hps == pytest.approx([value / 100 for value in plain], rel=1e-5)


def test_a_score_is_the_models_own_logit(weights: Path, images: list[ByteArray], clip: CLIPModel) -> None:
    processor = CLIPProcessor.from_pretrained(weights / "pickscore")
    given = processor(
        text=PROMPTS, images=[Image.fromarray(image) for image in images], padding=True, return_tensors="pt"
    )
    with torch.inference_mode():
        expected = clip(**given).logits_per_image.diagonal().tolist()
    assert scorer("pickscore", weights).score(images, PROMPTS) == pytest.approx(expected, rel=1e-5)


def test_an_open_clip_checkpoint_must_fit(tmp_path: Path, clip: CLIPModel) -> None:
    state = open_clip_names(clip)
    torch.save({name: value for name, value in state.items() if name != "ln_final.bias"}, tmp_path / "less.pt")
    torch.save(state | {"visual.more": torch.zeros(1)}, tmp_path / "more.pt")
    (tmp_path / "torn.pt").write_bytes(b"PK")
    for name in ("less.pt", "more.pt", "torn.pt", "none.pt"):
        with pytest.raises(StoreError):
            from_open_clip(tmp_path / name, CLIPModel(clip.config))


def test_the_aesthetic_head_sees_the_normed_picture_alone(weights: Path, images: list[ByteArray]) -> None:
    found = scorer("aesthetic", weights)
    assert found.score(images, PROMPTS) == found.score(images, ["other"] * 3)
    torch.manual_seed(1)
    head = AestheticHead(12).eval()
    assert [layer.in_features for layer in head.layers if isinstance(layer, torch.nn.Linear)] == [12, 1024, 128, 64, 16]
    with torch.inference_mode():
        assert head(F.normalize(torch.ones(1, 12), dim=-1)).item() != 0


def test_packages_are_asked_as_their_authors_say(images: list[ByteArray], monkeypatch: pytest.MonkeyPatch) -> None:
    def reward(*, prompts: list[str], image_paths: list[str]) -> list[list[float]]:
        sizes = []
        for path in image_paths:
            with Image.open(path) as image:
                sizes.append(image.size)
        return [[float(len(prompt) + size[0]), 9.0] for prompt, size in zip(prompts, sizes, strict=True)]

    first, second = ModuleType("ImageReward"), ModuleType("hpsv3")
    first.load = lambda name, device: SimpleNamespace(  # type: ignore[attr-defined]
        score=lambda prompt, image: len(name + prompt) + image.size[1]
    )
    second.HPSv3RewardInferencer = lambda device: SimpleNamespace(reward=reward)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ImageReward", first)
    monkeypatch.setitem(sys.modules, "hpsv3", second)
    assert scorer("imagereward").score(images, PROMPTS) == [16 + 6 + 40] * 3
    assert scorer("hpsv3").score(images, PROMPTS) == [6 + 30] * 3


def test_what_is_missing_is_named_and_left_blank(
    images: list[ByteArray], weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked: dict[str, Any] = {"ImageReward": None, "hpsv3": None}
    for name, value in blocked.items():
        monkeypatch.setitem(sys.modules, name, value)
    found = dict(quality_of(images, PROMPTS, weights=weights, reference=images))
    assert tuple(found) == MEASURES
    blank = {name for name, row in found.items() if row["value"] is None}
    assert blank == {"imagereward", "hpsv3"}
    assert "pip install hpsv3" in found["hpsv3"]["note"]
    assert found["clipscore"]["n"] == 3
    assert found["fid"]["value"] == pytest.approx(0, abs=1e-9)
    with pytest.raises(MissingDependencyError):
        scorer("hpsv3")
    with pytest.raises(UnknownNameError, match=r"hpsv2\.1"):
        list(quality_of(images, PROMPTS, names=["beauty"]))


def test_without_weights_everything_is_blank(images: list[ByteArray]) -> None:
    found = dict(quality_of(images, PROMPTS, names=["clipscore", "pickscore", "hpsv2.1", "aesthetic"]))
    assert all(row["value"] is None and row["note"] for row in found.values())


def test_kid_by_hand_and_against_itself(weights: Path, images: list[ByteArray]) -> None:
    first, second = np.array([[1.0], [0.0]]), np.array([[2.0], [0.0]])
    # kernels (xy + 1)**3: off the diagonals 1 and 1; between 27, 1, 1, 1
    assert kid(first, second) == pytest.approx(1 + 1 - 2 * (27 + 1 + 1 + 1) / 4)
    features = InceptionFeatures(weights / INCEPTION)(images)
    assert features.shape == (3, 6)
    assert frechet(features, features) == pytest.approx(0, abs=1e-9)
    with pytest.raises(StoreError, match="TorchScript"):
        InceptionFeatures(weights / "none.pt")


def test_pictures_of_several_sizes_have_features(weights: Path, images: list[ByteArray]) -> None:
    mixed = [images[0], images[1][:20], images[2][:20]]
    features = InceptionFeatures(weights / INCEPTION)
    assert np.allclose(features(mixed), np.concatenate([features([image]) for image in mixed]))


def test_a_score_that_is_no_number_leaves_a_blank(images: list[ByteArray], monkeypatch: pytest.MonkeyPatch) -> None:
    broken = SimpleNamespace(score=lambda images, prompts: [float("nan"), *[1.0] * (len(images) - 1)])
    monkeypatch.setattr("asap.benchmark.quality.table.scorer", lambda *_: broken)
    found = dict(quality_of(images, PROMPTS, names=["clipscore"]))
    assert found["clipscore"]["value"] is None
    assert found["clipscore"]["note"] == "1 of 3 scores are no numbers"
