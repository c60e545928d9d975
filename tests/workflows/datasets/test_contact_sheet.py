from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from asap.core.errors import InputError, StoreError
from asap.core.manifest import Manifest
from asap.stores.pairs import PairStore, PairWriter
from asap.workflows.datasets.contact_sheet import _title, show_pairs
from tests.stores.samples import SIZE, pair

WIDTH, HEIGHT = 3 * SIZE + 6, SIZE + 18
"""Of a tile: three images and a margin, an image and a line of text."""


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("contact") / "pairs"
    with PairWriter(root, {}, 12) as writer:
        writer.write_chunk(0, [pair(index) for index in range(12)], {}, 0.1)
        writer.finish(Manifest(kind="pairs"))
    return root


def sheet(pairs: Path, out: Path, **settings: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    assert show_pairs(pairs, out, **settings) == out
    with Image.open(out) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def test_chosen_rejected_and_tint_in_rows_of_four(pairs: Path, tmp_path: Path) -> None:
    found = sheet(pairs, tmp_path / "deep" / "sheet.png", count=12)
    assert found.shape == (3 * HEIGHT, 4 * WIDTH, 3)
    for position, row in enumerate(PairStore.open(pairs).rows(range(12))):
        top, left = position // 4 * HEIGHT + 2, position % 4 * WIDTH + 3
        chosen, rejected, tint = (found[top : top + SIZE, left + k * SIZE :][:, :SIZE] for k in range(3))
        np.testing.assert_array_equal(chosen, row.chosen)
        np.testing.assert_array_equal(rejected, row.rejected)
        inside = row.mask > 0
        np.testing.assert_array_equal(tint[~inside], rejected[~inside])
        np.testing.assert_allclose(tint[inside], 0.6 * rejected[inside] + np.array([102, 16, 16]), atol=1)
        assert (found[top + SIZE : top + SIZE + 16, left : left + WIDTH - 3] < 128).any()  # the line below


def test_a_sheet_that_is_not_full_ends_in_white(pairs: Path, tmp_path: Path) -> None:
    found = sheet(pairs, tmp_path / "sheet.png", count=5)
    assert found.shape == (2 * HEIGHT, 4 * WIDTH, 3)
    assert (found[HEIGHT:, WIDTH:] == 255).all()
    assert not (found[HEIGHT:, :WIDTH] == 255).all()


def test_the_seed_picks_the_pairs(pairs: Path, tmp_path: Path) -> None:
    first, again, other = (sheet(pairs, tmp_path / "sheet.png", count=4, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_mistakes_leave_nothing(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ending in \.png, got .*sheet\.jpg"):
        show_pairs(pairs, tmp_path / "sheet.jpg")
    with pytest.raises(StoreError, match="is not a pair store"):
        show_pairs(tmp_path, tmp_path / "sheet.png")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot make the folder"):
        show_pairs(pairs, tmp_path / "file" / "sheet.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({}, "left hand: missing 2"),
        ({"side": "none"}, "hand: missing 2"),
        ({"operation": "unknown"}, "left hand 2"),
        ({"part": "unknown", "side": "none"}, "missing 2"),
        ({"part": "unknown", "side": "none", "operation": "unknown", "severity": 0}, "a woman waves"),
        ({"part": "unknown", "side": "none", "operation": "unknown", "severity": 0, "prompt": ""}, "a/b.jpg"),
        ({"part": "unknown", "operation": "unknown", "severity": 0, "prompt": "", "source": ""}, "pair-1"),
        ({"kind": "null_pose", "operation": "none", "severity": 0}, "left hand: null_pose"),
        ({"part": "unknown", "operation": "unknown", "severity": 0, "prompt": "\u00e9t\u00e9"}, "?t?"),
    ],
)
def test_titles_say_what_is_known(changes: dict[str, object], title: str) -> None:
    known = {
        "kind": "defect", "part": "hand", "side": "left", "operation": "missing", "severity": 2,
        "prompt": "a woman waves", "source": "a/b.jpg", "uid": "pair-1",
    }  # fmt: skip
    assert _title(SimpleNamespace(**known | changes)) == title  # type: ignore[arg-type]
