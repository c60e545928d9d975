"""Settings of screens and perceptual distances, and what a screen does to a pair."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from asap.core.errors import InputError, StoreError, UnknownNameError
from asap.core.photos import EditedPhoto, PartRegion
from asap.core.records import Edit
from asap.workflows.pairs import captions
from asap.workflows.pairs.filters import Screening, perceptual_of, screen_of, screened


def region() -> PartRegion:
    mask = np.zeros((64, 64), dtype=bool)
    mask[20:40, 20:40] = True
    return PartRegion(
        part="hand", side="left", person=0, mask=mask, box=(20, 20, 40, 40), keypoints=np.zeros((0, 3), np.float32),
        keypoint_names=(), confidence=1.0, instrument="test",
    )  # fmt: skip


def pair() -> EditedPhoto:
    edit = Edit(kind="defect", part="hand", side="left", operation="extra", severity=2, detail={"space": "image"})
    dark, light = (np.full((64, 64, 3), level, np.uint8) for level in (0, 255))
    return EditedPhoto(chosen=dark, rejected=light, mask=np.zeros((64, 64), np.uint8), edit=edit, instruments=("m",))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("landmarks", Screening(kind="landmarks")),
        ("vlm:org/seer@http://localhost:8000/v1", Screening(kind="vlm", model="org/seer", url="http://localhost:8000/v1")),
    ],
)  # fmt: skip
def test_screens_are_read(text: str, wanted: Screening) -> None:
    assert Screening.read(text) == wanted


@pytest.mark.parametrize("text", ["vlm", "vlm:seer", "vlm:@http://a/v1", "landmarks:seer@http://a/v1"])
def test_half_a_screen_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="a screen is landmarks or vlm:MODEL@URL"):
        Screening.read(text)


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(UnknownNameError, match="known: landmarks, vlm"):
        Screening.read("eyes")
    with pytest.raises(UnknownNameError, match="known: lpips"):
        perceptual_of("dists:a.pth")
    with pytest.raises(InputError, match="lpips:PATH"):
        perceptual_of("lpips")
    with pytest.raises(StoreError, match="no readable weights"):
        perceptual_of("lpips:/nowhere/alexnet.pth")
    assert perceptual_of("") is None


@pytest.mark.parametrize(("worse", "kept"), [(0.5, True), (0.2, True), (0.19, False), (-1.0, False)])
def test_a_pair_is_kept_when_the_screen_is_sure(worse: float, kept: bool) -> None:
    screen = SimpleNamespace(name="seer", worse=lambda *_: worse)
    found = screened(screen, 0.2, pair(), region())
    assert (found is not None) == kept
    if found is not None:
        assert found.edit.detail == {"space": "image", "screen": worse}
        assert found.instruments == ("m", "seer")


@pytest.mark.parametrize(
    ("answers", "worse"),
    [(["Second.", "first"], 1.0), (["first", "second"], -1.0), (["second", "second"], 0.0), (["neither", "both"], 0.0)],
)
def test_a_model_is_asked_in_both_orders(answers: list[str], worse: float, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def ask(endpoint: captions.Endpoint, prompt: str, *pictures: np.ndarray) -> str:
        asked.append((endpoint.url, endpoint.model, endpoint.key, [int(picture.mean()) for picture in pictures]))
        assert prompt.endswith("first or second.")
        return answers[len(asked) - 1]

    monkeypatch.setattr(captions, "ask", ask)
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    screen_of.cache_clear()
    screen = screen_of(Screening(kind="vlm", model="seer", url="http://a/v1"), "mediapipe")
    screen_of.cache_clear()
    assert screen.worse(pair().chosen, pair().rejected, region()) == worse
    assert asked == [("http://a/v1", "seer", "secret", [0, 255]), ("http://a/v1", "seer", "secret", [255, 0])]
    assert (screen.name, "secret" in screen.fingerprint) == ("seer", False)


def test_files_of_weights_are_named_with_commas(tmp_path: Path) -> None:
    from tests.backbones.test_lpips import heads, saved, weights

    trunk, ends = saved(weights("alex"), tmp_path / "trunk.pth"), saved(heads(), tmp_path / "heads.pth")
    metric = perceptual_of(f"lpips:{trunk},{ends}")
    assert metric is not None
    assert metric.name == "lpips-alex"
