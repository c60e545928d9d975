"""On-policy pairs from the command to the store; a fixed mistake takes the place of what the model regenerates.

The tiny model has random weights, whose images are all alike; ``generate.regenerate`` has tests of its own.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asap.backbones import Backbone
from asap.cli import main
from asap.core.errors import ConfigError, InputError, StoreError
from asap.core.records import ByteArray
from asap.core.vocabulary import UNKNOWN, region_id
from asap.gates import GateLimits
from asap.stores.pairs import PairStore
from asap.workflows.datasets.recipe import write_recipe
from asap.workflows.evaluation.learned import judge_named
from asap.workflows.pairs import on_policy
from asap.workflows.pairs.builder import build_store
from asap.workflows.pairs.on_policy import OnPolicy
from asap.workflows.pairs.rebuild import rebuild
from tests.workflows.tries import SCREEN_PRINT, Stored, bright, lenient, screened

__all__ = ["screened"]

COUNT = 6
TINY: dict[str, Any] = {"model": "tiny", "steps": 2, "device": "cpu"}


def mistaken(backbone: Backbone, images: ByteArray, masks: ByteArray, *rest: object, **how: object) -> Any:  # noqa: ANN401
    """Both sides; the place is upside down and inverted on the second."""
    assert images.shape[1:] == (backbone.resolution, backbone.resolution, 3)
    assert all(len(given) == len(images) for given in rest)  # type: ignore[arg-type]
    assert how == {"steps": how["steps"], "guidance": 2.5}
    return images, np.where(masks[..., None] > 0, 255 - images[:, ::-1], images)


@pytest.fixture(autouse=True)
def _lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    lenient(monkeypatch)
    monkeypatch.setattr("asap.generate.regenerate", mistaken)


@pytest.fixture(name="built")
def _built(tmp_path: Path) -> Path:
    build_store(tmp_path / "whole", OnPolicy(count=COUNT, **TINY))
    return tmp_path / "whole"


def test_what_is_stored_says_whose_mistakes_these_are(built: Path) -> None:
    store = PairStore.open(built)
    assert len(store) == COUNT
    assert {one.role for one in store.manifest.instruments} == {"generator", "pair_gate"}
    for row in store.rows(range(COUNT)):
        inside = row.mask > 0
        assert np.array_equal(row.chosen[~inside], row.rejected[~inside])
        assert (row.chosen[inside] != row.rejected[inside]).any()
        assert (row.kind, row.operation, row.severity) == ("defect", UNKNOWN, 0)
        assert row.part in row.visible_parts
        assert row.recipe["method"] == "own"


def test_a_build_that_was_stopped_ends_with_the_same_hash(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    propose = OnPolicy.propose

    def stops(producer: OnPolicy, indices: Sequence[int], attempt: int) -> object:
        if indices[0] == 4:
            raise KeyboardInterrupt
        return propose(producer, indices, attempt)

    monkeypatch.setattr(OnPolicy, "propose", stops)
    with pytest.raises(KeyboardInterrupt):
        build_store(tmp_path / "cut", OnPolicy(count=COUNT, **TINY))
    monkeypatch.setattr(OnPolicy, "propose", propose)
    assert build_store(tmp_path / "cut", OnPolicy(count=COUNT, **TINY)) == PairStore.open(built).content_hash


def test_a_recipe_makes_them_again(built: Path, tmp_path: Path) -> None:
    recipe = write_recipe(built, tmp_path / "recipe.json")
    assert rebuild(recipe, tmp_path / "again") == PairStore.open(built).content_hash


def test_a_screen_puts_the_best_try_beside_the_worst(screened: None, tmp_path: Path) -> None:
    build_store(tmp_path / "out", OnPolicy(count=4, samples=5, ranker="some", **TINY))
    store = PairStore.open(tmp_path / "out")
    assert ("screen", "some", SCREEN_PRINT) in [tuple(vars(one).values()) for one in store.manifest.instruments]
    assert store.manifest.config["draws"] == 5
    for row in store.rows(range(len(store))):
        assert row.rejected.mean() > 127
        assert row.rejected.mean() - row.chosen.mean() >= on_policy.GAP - 0.01
        assert float(row.recipe["screen_rejected"]) > 0
        assert float(row.recipe["screen_rejected"]) + 127 == pytest.approx(row.rejected.mean(), abs=0.01)
    recipe = write_recipe(tmp_path / "out", tmp_path / "recipe.json")
    assert rebuild(recipe, tmp_path / "again") == store.content_hash


def test_a_screen_refuses_tries_that_it_cannot_tell_apart() -> None:
    greys = np.array([[10, 250, 10], [10, 90, 127], [200, 201, 200]], dtype=np.uint8)
    drawn = np.broadcast_to(greys[:, :, None, None, None], (3, 3, 8, 8, 3)).copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("asap.benchmark.judge.predict", bright)
        first, *rest = on_policy.rank(Stored(), drawn)  # type: ignore[arg-type]
    assert rest == [None, None]
    assert first is not None
    assert (first.chosen.mean(), first.rejected.mean()) == (10, 250)
    assert first.scores == {"screen_chosen": 10 - 127, "screen_rejected": 250 - 127}


def test_the_packaged_ranker_shares_nothing_with_the_judge() -> None:
    ranker, judge = judge_named("ranker"), judge_named("learned")
    assert ranker.fingerprint != judge.fingerprint
    assert ranker.settings["notes"]["pairs"] != judge.settings["notes"]["pairs"]
    assert ranker.settings["notes"]["init"] is None


def test_a_whole_person_is_drawn_anew(tmp_path: Path) -> None:
    build_store(tmp_path / "out", OnPolicy(count=COUNT, whole_share=1.0, **TINY))
    store = PairStore.open(tmp_path / "out")
    for row in store.rows(range(COUNT)):
        assert (row.part, row.side) == (UNKNOWN, "none")
        seen = row.regions >= region_id("head")
        assert (row.mask[seen] > 0).mean() > 0.8


def test_a_model_that_makes_no_mistakes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = replace(GateLimits(), region_ssim_min=-1.0, region_ssim_max=-0.99)
    monkeypatch.setattr(on_policy, "limits_of", lambda scene: limits)
    monkeypatch.setattr(OnPolicy, "most", 4)
    with pytest.raises(InputError, match=r"4 images gave 0 pairs of 1 .*take another model"):
        build_store(tmp_path / "out", OnPolicy(count=1, **TINY))


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"count": 0}, ConfigError),
        ({"guidance": 0.5}, ConfigError),
        ({"scene": "beach"}, ConfigError),
        ({"ranker": "s", "samples": 1}, ConfigError),
        ({"whole_share": 1.5}, ConfigError),
        ({"ranker": "no-such-folder"}, StoreError),
        ({"model": "huge-model"}, InputError),
    ],
)
def test_wrong_settings_leave_nothing_behind(tmp_path: Path, settings: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        build_store(tmp_path / "no", OnPolicy(**{"count": 1, "model": "tiny", **settings}))
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "--count"),
        (["--count", "1", "--source", "photos"], "--source"),
        (["--count", "1", "--controlnet", "c"], "--controlnet"),
        (["--count", "1", "--samples", "1"], "samples must be at least 2, got 1"),
    ],
)
def test_wrong_words(words: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pairs", "build", "on-policy", "--out", str(tmp_path / "out"), *words]) == 2
    assert line in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_builds_them(tmp_path: Path) -> None:
    words = ["pairs", "build", "on-policy", "--model", "tiny", "--count", "2", "--steps", "1"]
    assert main([*words, "--scene", "studio", "--device", "cpu", "--out", str(tmp_path / "out")]) == 0
    store = PairStore.open(tmp_path / "out")
    assert (len(store), store.manifest.config["scene"], store.manifest.config["source"]) == (2, "studio", "own")
