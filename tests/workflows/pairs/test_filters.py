"""Settings of screens and perceptual distances, and what a screen does to a pair."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from asap.core.errors import InputError, StoreError, UnknownNameError
from asap.core.photos import PartRegion
from asap.core.records import Edit, SceneTruth
from asap.core.vocabulary import SCREEN_REASON
from asap.gates import GateLimits
from asap.workflows.pairs import filters
from asap.workflows.pairs.candidate import Candidate
from asap.workflows.pairs.filters import PairFilter, Passed, Screening, perceptual_of, screen_of
from asap.workflows.runtime import http


def region() -> PartRegion:
    mask = np.zeros((64, 64), dtype=bool)
    mask[20:40, 20:40] = True
    return PartRegion(
        part="hand", side="left", person=0, mask=mask, box=(20, 20, 40, 40), keypoints=np.zeros((0, 3), np.float32),
        keypoint_names=(), confidence=1.0, instrument="test",
    )  # fmt: skip


def candidate() -> Candidate:
    edit = Edit(kind="defect", part="hand", side="left", operation="extra", severity=2, detail={"space": "image"})
    dark, light = (np.full((64, 64, 3), level, np.uint8) for level in (0, 255))
    truth = SceneTruth(person="p", category="", caption="", attributes={}, visible_parts=(), seed=0)
    return Candidate(
        uid="u", chosen=dark, rejected=light, mask=np.full((64, 64), 255, np.uint8), edit=edit, truth=truth,
        regions=np.zeros((64, 64), np.uint8), keypoints=np.zeros((0, 3), np.float32), split_by="p", screened=region(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("landmarks", Screening(kind="landmarks")),
        ("vlm:org/seer@http://localhost:8000/v1", Screening(kind="vlm", model="org/seer", url="http://localhost:8000/v1")),
    ],
)  # fmt: skip
def test_screens_are_read(text: str, wanted: Screening) -> None:
    assert Screening.read(text) == wanted
    assert wanted.text == text


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
def test_a_pair_is_kept_when_the_screen_is_sure(worse: float, kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "screen_of", lambda *_: SimpleNamespace(worse=lambda *_: worse))
    limits = GateLimits(area_max=1.0, region_ssim_min=-1.0)
    found = PairFilter(limits=limits, screening=Screening(kind="landmarks")).judge(candidate())
    if kept:
        assert isinstance(found, Passed)
        assert found.edit.detail == {"space": "image", "screen": worse}
    else:
        assert found == SCREEN_REASON


def test_gates_come_before_the_screen() -> None:
    assert PairFilter(screening=Screening(kind="landmarks")).judge(candidate()) == "area_too_large"


def test_a_pair_that_no_screen_is_for_passes_without_one() -> None:
    limits = GateLimits(area_max=1.0, region_ssim_min=-1.0)
    found = PairFilter(limits=limits, screening=Screening(kind="landmarks")).judge(replace(candidate(), screened=None))
    assert isinstance(found, Passed)
    assert found.edit.detail == {"space": "image"}


@pytest.mark.parametrize(
    ("answers", "worse"),
    [(["Second.", "first"], 1.0), (["first", "second"], -1.0), (["second", "second"], 0.0), (["neither", "both"], 0.0)],
)
def test_a_model_is_asked_in_both_orders(answers: list[str], worse: float, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def ask(endpoint: http.Endpoint, prompt: str, *pictures: np.ndarray) -> str:
        asked.append((endpoint.url, endpoint.model, endpoint.key, [int(picture.mean()) for picture in pictures]))
        assert prompt.endswith("first or second.")
        return answers[len(asked) - 1]

    monkeypatch.setattr(http, "ask", ask)
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    screen_of.cache_clear()
    screen = screen_of(Screening(kind="vlm", model="seer", url="http://a/v1"), "mediapipe")
    screen_of.cache_clear()
    assert screen.worse(candidate().chosen, candidate().rejected, region()) == worse
    assert asked == [("http://a/v1", "seer", "secret", [0, 255]), ("http://a/v1", "seer", "secret", [255, 0])]
    assert (screen.name, "secret" in screen.fingerprint) == ("seer", False)


def test_files_of_weights_are_named_with_commas(tmp_path: Path) -> None:
    from tests.backbones.test_lpips import heads, saved, weights

    trunk, ends = saved(weights("alex"), tmp_path / "trunk.pth"), saved(heads(), tmp_path / "heads.pth")
    metric = perceptual_of(f"lpips:{trunk},{ends}")
    assert metric is not None
    assert metric.name == "lpips-alex"
