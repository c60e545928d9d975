"""Grounding DINO and SAM 2: our loading and preparing on tiny random models, our rules on hand-made values."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from asap.core.errors import ConfigError, StoreError
from asap.core.photos import PartRegion
from asap.core.records import BoolArray, ByteArray
from asap.core.seeds import generator
from asap.regions import grounded, landmarker
from asap.regions.grounded import Box, GroundedSam, _best, _owners, match, phrase_scores
from asap.regions.parts import region

NOTHING = np.zeros((0, 3), np.float32)


def square(x: int, y: int, size: int = 20) -> BoolArray:
    mask = np.zeros((100, 120), np.bool_)
    mask[y : y + size, x : x + size] = True
    return mask


def part(mask: BoolArray, side: str = "none", name: str = "hand", instrument: str = "sam") -> PartRegion:
    points = np.array([[50, 50, 0.9]], np.float32) if side != "none" else NOTHING
    names = (f"{side}_hand_root",) if side != "none" else ()
    return region(name, side, 0, mask, points, names, 0.5, instrument)


def test_a_phrase_has_the_score_of_its_best_token() -> None:
    odds = np.array([[9, 0.1, 0.5, 9, 0.2, 9, 9]], np.float32)
    assert phrase_scores(odds, [101, 5, 6, 1012, 7, 1012, 102], 1012, 2).tolist() == [pytest.approx([0.5, 0.2])]


def test_overlapping_boxes_of_a_phrase_are_one() -> None:
    corners = np.array([[0, 0, 10, 10], [1, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]], np.float32)
    found = _best("hand", np.array([0.6, 0.7, 0.5, 0.1], np.float32), corners, 0.3)
    assert [round(box.score, 1) for box in found] == [0.7, 0.5]


def test_a_part_belongs_to_the_smallest_person_around_it() -> None:
    people = [Box("person", 1.0, np.array(c, np.float32)) for c in ([50, 50, 90, 90], [0, 0, 100, 100])]
    parts = [
        Box("hand", 1.0, np.array(c, np.float32)) for c in ([5, 5, 10, 10], [60, 60, 70, 70], [300, 300, 310, 310])
    ]
    assert _owners(parts, people) == [0, 1, 0]


def test_masks_are_matched_to_keypoints_by_overlap() -> None:
    masks = [part(square(52, 40)), part(square(10, 10)), part(square(50, 42), name="foot")]
    parts = [
        part(square(50, 40), "left", instrument="mediapipe"),
        part(square(90, 70), "right", instrument="mediapipe"),
    ]
    result = match(masks, parts, 0.3)
    left, right = result.regions
    assert np.array_equal(left.mask, square(52, 40))
    assert (left.side, left.box, left.instrument) == ("left", (52, 40, 72, 60), "sam")
    assert left.point("left_hand_root") is not None
    assert (right.side, right.instrument) == ("right", "mediapipe")
    assert len(result.notes) == 2
    assert "no keypoints" in result.notes[0]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector's image is small, so that a test takes a second."""
    monkeypatch.setattr(grounded, "SHORT_SIDE", 96)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two models of a few thousand random weights, saved as the real ones are."""
    from transformers import (
        BertConfig,
        BertTokenizerFast,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        Sam2Config,
        Sam2Model,
        SwinConfig,
    )

    torch.manual_seed(0)
    detector, segmenter = tmp_path_factory.mktemp("detector"), tmp_path_factory.mktemp("segmenter")
    words = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
    words |= dict(enumerate(("hand", "face", "foot", "arm", "leg", "person"), start=200))
    (detector / "vocab.txt").write_text("\n".join(words.get(i, f"[unused{i}]") for i in range(1030)) + "\n")
    BertTokenizerFast.from_pretrained(str(detector)).save_pretrained(detector)
    swin = SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, out_indices=[2, 3, 4]
    )
    text = BertConfig(vocab_size=1030, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    config = GroundingDinoConfig(
        backbone_config=swin,
        text_config=text,
        d_model=32,
        num_queries=12,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        disable_custom_kernels=True,
    )
    GroundingDinoForObjectDetection(config).save_pretrained(detector)
    Sam2Model(_tiny_sam(Sam2Config)).save_pretrained(segmenter)
    return detector, segmenter


def _tiny_sam(kind: type) -> object:
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "num_attention_heads": 1,
        "image_size": [128, 128],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "window_size_per_stage": [8, 4, 8, 4],
        "window_positional_embedding_background_size": [4, 4],
        "global_attention_blocks": [3],
    }
    vision = {
        "backbone_config": backbone,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        "fpn_hidden_size": 32,
    }
    prompt = {"hidden_size": 32, "image_size": 128, "patch_size": 16}
    decoder = {"hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32}
    return kind(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)


@pytest.fixture(scope="module")
def image() -> ByteArray:
    return generator(0, "tests.regions.grounded").integers(0, 256, (100, 120, 3), np.uint8)


@pytest.fixture(scope="module")
def reader(folders: tuple[Path, Path]) -> GroundedSam:
    made = landmarker("grounded-sam", detector=str(folders[0]), segmenter=str(folders[1]), threshold=0.0, min_pixels=1)
    assert isinstance(made, GroundedSam)
    return made


def test_the_models_are_loaded_and_run(
    reader: GroundedSam, image: ByteArray, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    regions = reader.find(image)
    assert capfd.readouterr() == ("", "")
    assert regions
    for found in regions:
        assert found.part in reader.prompts
        assert found.mask.shape == (100, 120)
        assert found.keypoints.shape == (0, 3)
        assert (found.side, found.instrument) == ("none", "grounded-sam")


def test_answers_are_equal_after_pickling(reader: GroundedSam, image: ByteArray) -> None:
    again = pickle.loads(pickle.dumps(reader))
    assert again.fingerprint == reader.fingerprint
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(reader.find(image), again.find(image), strict=True))


def test_nothing_above_the_threshold_is_an_empty_tuple(folders: tuple[Path, Path], image: ByteArray) -> None:
    strict = landmarker("grounded-sam", detector=str(folders[0]), segmenter=str(folders[1]), threshold=1.1)
    assert strict.find(image) == ()


def test_another_landmarker_gives_sides(folders: tuple[Path, Path], image: ByteArray) -> None:
    class Other:
        name, fingerprint = "other", "x"

        def find(self, image: ByteArray) -> tuple[PartRegion, ...]:
            return (part(square(40, 40), "left", instrument="other"),)

    both = landmarker(
        "grounded-sam",
        detector=str(folders[0]),
        segmenter=str(folders[1]),
        threshold=0.0,
        likeness=0.0,
        landmarker=Other(),
        min_pixels=1,
    )
    (hand,) = both.find(image)
    assert (hand.side, hand.instrument) == ("left", "grounded-sam")


def test_wrong_settings_and_absent_models_are_one_line(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="wing"):
        landmarker("grounded-sam", detector=str(folders[0]), segmenter=str(folders[1]), prompts={"wing": "wing"})
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(StoreError, match="local folder"):
        landmarker("grounded-sam", detector="nobody/nothing-here")
