"""The audit says nothing of clean pairs, and notices every trace that is planted in the rejected sides."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from asap.backbones import load
from asap.core.records import ByteArray
from asap.core.seeds import generator
from asap.gates import leaks, permutation_test
from asap.stores.pairs import PairRow, PairStore
from asap.tensors import to_bytes, to_signed
from asap.workflows.datasets.audit import audit_pairs, groups_of
from asap.workflows.pairs.builder import build_store
from asap.workflows.pairs.rendered import Rendered

COUNT = 160
Change = Callable[[ByteArray], ByteArray]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit") / "pairs"
    build_store(folder, Rendered(count=COUNT, seed=23), workers=2)
    return folder


@pytest.fixture(scope="module")
def rows(store: Path) -> list[PairRow]:
    opened = PairStore.open(store)
    return opened.rows(range(len(opened)))


def verdicts(rows: list[PairRow], change: Change) -> dict[str, str]:
    """Verdict of each view of images when every rejected side went through ``change``."""
    found = [leaks.image_differences(row.chosen, change(row.rejected), row.mask) for row in rows]
    people = [row.person for row in rows]
    return {
        name: permutation_test.separability_test(
            np.stack([one[name] for one in found]), people, leaks.FEATURES[name], generator(0, name), level=0.9875
        ).verdict
        for name in found[0]
    }


def one_row(image: ByteArray) -> ByteArray:
    out = image.copy()
    out[0] = np.where(out[0] < 255, out[0] + 1, 255)
    return out


def jpeg(image: ByteArray) -> ByteArray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=90)
    return np.asarray(Image.open(buffer))


@torch.no_grad()
def autoencoded(image: ByteArray) -> ByteArray:
    backbone = load("mini")
    count, side = image.shape[0] // backbone.resolution, backbone.resolution
    tiles = image.reshape(count, side, count, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
    whole = to_bytes(backbone.decode(backbone.encode(to_signed(tiles)))).reshape(count, count, side, side, 3)
    return np.asarray(whole.swapaxes(1, 2).reshape(image.shape))


@pytest.mark.slow
def test_clean_pairs_are_clean(store: Path) -> None:
    found = audit_pairs(store)
    assert found["n"] == COUNT
    assert found["outside"] == {"differ": 0, "share": 0.0, "largest": 0}
    assert {name: view["verdict"] for name, view in found["views"].items()} == dict.fromkeys(leaks.VIEWS, "clean")
    for view in found["views"].values():
        assert view["ci"][0] <= 0.5 <= view["ci"][1]


@pytest.mark.slow
def test_a_row_that_is_one_grey_level_brighter_is_noticed(rows: list[PairRow]) -> None:
    assert verdicts(rows, one_row)["background"] == "leak"
    assert leaks.outside_difference(rows[0].chosen, one_row(rows[0].rejected), rows[0].mask) == 1


@pytest.mark.slow
def test_a_loser_that_was_a_jpeg_is_noticed(rows: list[PairRow]) -> None:
    found = verdicts(rows, jpeg)
    assert found["background"] == "leak"
    assert found["high frequencies"] == "leak"


@pytest.mark.slow
def test_a_loser_that_went_through_an_autoencoder_is_noticed(rows: list[PairRow]) -> None:
    found = verdicts(rows[:100], autoencoded)
    assert found["background"] == "leak"
    assert found["high frequencies"] == "leak"


def test_pairs_that_share_a_person_or_a_photograph_are_one_group() -> None:
    groups = groups_of(["a", "a", "b", "c", "", ""], ["", "x", "x", "", "", "y"])
    assert groups[0] == groups[1] == groups[2]
    assert len(set(groups)) == 4
