"""From a folder of photographs to a pair store: every file gets its answer, and nothing depends on kills or engines."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from asap.core.errors import InputError, StoreError
from asap.core.pairs import split_of
from asap.core.seeds import generator
from asap.stores.pairs import PairStore
from asap.workflows.pairs.builder import SOURCES, build_store
from asap.workflows.pairs.candidate import Candidate
from asap.workflows.pairs.photos import Photos
from asap.workflows.pairs.sources import fit, halved, list_sources, read

ROOT = Path(__file__).parents[3]
PHOTOS = Path(os.environ.get("ASAP_PHOTOS", ROOT.parent / "shared" / "photos"))
needs_photos = pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"the five photographs are not at {PHOTOS}")
QUICK: dict[str, Any] = {"degrade": ("warp",), "per_image": 2, "size": 256, "null_share": 0.3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photographs with hands, one of them twice under another name and made smaller, and three bad files."""
    folder = tmp_path_factory.mktemp("photos")
    if not PHOTOS.is_dir():
        pytest.skip(f"the five photographs are not at {PHOTOS}")
    for name in ("thumb_up.jpg", "two_thumbs_up.jpg", "sitting_stretch.jpg"):
        (folder / name).write_bytes((PHOTOS / name).read_bytes())
    with Image.open(PHOTOS / "thumb_up.jpg") as picture:
        picture.resize((480, 390)).save(folder / "u_again.png")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "page.png").write_text("<html></html>")
    Image.fromarray(np.full((200, 300, 3), 90, np.uint8)).save(folder / "wall.png")
    (folder / "thumb_up.txt").write_text("A thumb\n held up")
    return folder


def outcomes(store: Path) -> dict[str, str]:
    rows = [json.loads(line) for line in (store / SOURCES).read_text().splitlines()]
    return {row["name"]: row["outcome"] for row in rows}


@pytest.fixture(scope="module")
def store(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("store") / "pairs"
    build_store(out, Photos(source=folder, **QUICK), workers=2)
    return out


def test_every_file_has_its_answer(store: Path) -> None:
    found = outcomes(store)
    hands = [found.pop(name) for name in ("sitting_stretch.jpg", "thumb_up.jpg", "two_thumbs_up.jpg")]
    assert set(hands) <= {"pairs", "no_pair"}  # small hands may have no mask that is large enough at 256 pixels
    assert "pairs" in hands
    assert found == {
        "empty.jpg": "empty",
        "page.png": "not_a_picture",
        "u_again.png": "duplicate",
        "wall.png": "no_person",
    }
    stats = PairStore.open(store).stats()
    assert sum(stats["by_outcome"].values()) == 7
    assert {"empty", "not_a_picture", "no_person"} <= set(stats["by_reason"])


def test_rows_hold_what_they_claim(store: Path) -> None:
    opened = PairStore.open(store)
    rows = opened.rows(range(len(opened)))
    assert rows
    for row in rows:
        inside = row.mask > 0
        assert np.array_equal(row.chosen[~inside], row.rejected[~inside])
        assert row.width % 8 == row.height % 8 == 0
        assert max(row.width, row.height) <= 256
        assert row.split == split_of(0, row.parents[0])
        assert row.person == f"photo-{row.parents[0][:12]}"
        assert (row.regions > 0).any()
        assert (row.keypoints[:, 2] == 2).sum() >= 10
    said = {row.source: row.prompt for row in rows}
    texts = {"thumb_up.jpg": "A thumb held up", "two_thumbs_up.jpg": "", "sitting_stretch.jpg": ""}
    assert said == {name: texts[name] for name in said}
    assert len({row.split for row in rows if row.source == "thumb_up.jpg"}) == 1


def test_half_the_size_keeps_the_mean_of_four_in_brightness_and_smooths_colour() -> None:
    grey = np.array([[[0] * 3, [0] * 3], [[1] * 3, [2] * 3]], np.uint8)
    assert halved(grey).tolist() == [[[1, 1, 1]]]
    assert halved(np.full((4, 6, 3), 255, np.uint8)).tolist() == [[[255] * 3] * 3] * 2
    noise = np.random.default_rng(0).integers(80, 170, (64, 64, 3)).astype(np.uint8)
    weights = np.array([0.299, 0.587, 0.114])
    means = noise.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    found = halved(noise).astype(float)
    np.testing.assert_allclose(found @ weights, means @ weights, atol=0.5)
    colour = [(side - (side @ weights)[..., None])[..., 0].std() for side in (found, means)]
    assert colour[0] < 0.4 * colour[1]


def test_both_sides_are_reduced_from_a_picture_of_twice_the_size(folder: Path) -> None:
    """Where nothing is edited the pair is the finer image's means of four, and its parts lie at half their places."""
    place = next(one.number for one in list_sources(folder) if one.name == "thumb_up.jpg")
    producer = Photos(source=folder, degrade=("warp",), per_image=12, size=256, null_share=1.0)
    found = producer.propose(range(place * 12, place * 12 + 12), 0)
    pairs = [one for one in found if isinstance(one, Candidate)]
    assert len(pairs) > 6
    source = producer.files[place]
    fine = fit(read(source), 512, grid=16).image
    assert max(fine.shape) == 512
    assert {pair.edit.kind for pair in pairs} == {"null_equal", "null_pose"}
    for pair in pairs:
        assert pair.chosen.shape == (*pair.regions.shape, 3) == (fine.shape[0] // 2, fine.shape[1] // 2, 3)
        gap = np.abs(pair.chosen.astype(int) - halved(fine)).max(axis=2)
        assert (gap == 0).mean() > 0.5  # beside the part it is looked up again
        assert pair.edit.kind == "null_pose" or gap.max() == 0
        seen = pair.keypoints[pair.keypoints[:, 2] == 2][:, :2]
        assert (seen < np.array(pair.chosen.shape[1::-1])).all()
        assert pair.regions[tuple(seen.mean(axis=0).astype(int)[::-1])] > 0


def test_the_manifest_lists_what_had_a_say(store: Path) -> None:
    roles = {instrument.role for instrument in PairStore.open(store).manifest.instruments}
    assert roles == {"landmarker", "pair_gate"}


def test_building_again_changes_nothing(folder: Path, store: Path) -> None:
    before = PairStore.open(store).content_hash
    assert build_store(store, Photos(source=folder, **QUICK), workers=1) == before


def test_other_settings_or_files_are_refused(folder: Path, store: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="per_image is 2, not 3"):
        build_store(store, Photos(source=folder, **{**QUICK, "per_image": 3}))
    (tmp_path / "one.jpg").write_bytes((folder / "thumb_up.jpg").read_bytes())
    with pytest.raises(InputError, match="file_names"):
        build_store(store, Photos(source=tmp_path, **QUICK), workers=2)


def test_a_repaired_store_equals_one_never_broken(folder: Path, store: Path) -> None:
    before = PairStore.open(store).content_hash
    shard = sorted((store / "data").iterdir())[0]
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(StoreError):
        PairStore.open(store)
    assert build_store(store, Photos(source=folder, **QUICK), workers=2) == before


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"degrade": ()}, "at least one way"),
        ({"degrade": ("melt",)}, "degrade must be a list, each one of warp, remove, graft"),
        ({"per_image": 0}, "per_image must be at least 1"),
        ({"size": 20}, "size must be at least 64 and at most 4096"),
        ({"null_share": 1.5}, "at most 1"),
        ({"landmarker": "eyes"}, "mediapipe"),
    ],
)
def test_wrong_settings_have_one_line_each(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match=words) as caught:
        build_store(tmp_path / "out", Photos(source=tmp_path, **settings))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_no_pair_at_all_says_why(tmp_path: Path) -> None:
    Image.fromarray(np.full((200, 300, 3), 90, np.uint8)).save(tmp_path / "wall.png")
    with pytest.raises(StoreError, match="no pair was accepted"):
        build_store(tmp_path / "out", Photos(source=tmp_path, **QUICK), workers=2)


def spoil(data: bytes, number: int) -> bytes:
    """A malformed copy: cut, with flipped bytes, behind a foreign head, or empty."""
    rng = generator(7, "spoil", number)
    kind = number % 4
    if kind == 0:
        return data[: int(rng.integers(0, len(data) // 2))]
    if kind == 1:
        broken = bytearray(data)
        for place in rng.integers(0, min(400, len(data)), 40):
            broken[int(place)] ^= int(rng.integers(1, 256))
        return bytes(broken)
    if kind == 2:
        return bytes(rng.integers(0, 256, 16, dtype=np.uint8)) + data[16:]
    return b""


@pytest.mark.slow
@needs_photos
def test_two_hundred_malformed_files_are_each_reported(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    with Image.open(PHOTOS / "thumb_up.jpg") as picture:
        small = picture.convert("RGB").resize((320, 260))
    files = {}
    for ending, kind in ((".jpg", "JPEG"), (".png", "PNG"), (".webp", "WEBP"), (".gif", "GIF")):
        buffer = io.BytesIO()
        small.save(buffer, format=kind)
        files[ending] = buffer.getvalue()
    for number in range(199):
        ending = list(files)[number // 4 % 4]
        (folder / f"bad{number:03d}{ending}").write_bytes(spoil(files[ending], number))
    bomb = bytearray(files[".png"])
    bomb[16:24] = (200_000).to_bytes(4, "big") * 2
    (folder / "bomb.png").write_bytes(bytes(bomb))
    (folder / "good.jpg").write_bytes((PHOTOS / "thumb_up.jpg").read_bytes())
    build_store(tmp_path / "out", Photos(source=folder, **QUICK), workers=2)
    found = outcomes(tmp_path / "out")
    assert len(found) == 201
    assert found["good.jpg"] in ("pairs", "duplicate")
    assert found["bomb.png"] in ("bomb", "unreadable", "truncated")
    refused = [
        outcome for name, outcome in found.items() if outcome not in ("pairs", "no_pair", "no_person", "duplicate")
    ]
    assert len(refused) >= 140, "flipped bytes may leave an image that can still be read"


def command(folder: Path, out: Path, engine: str) -> list[str]:
    words = [sys.executable, "-m", "asap.cli", "pairs", "build", "photos", "--source", str(folder), "--out", str(out)]
    return [*words, "--degrade", "warp", "--per-image", "2", "--size", "256", "--null-share", "0.3", "--engine", engine]


@pytest.mark.slow
@needs_photos
@pytest.mark.parametrize("engine", ["pool", "ray"])
def test_a_killed_build_ends_with_the_same_content(folder: Path, store: Path, tmp_path: Path, engine: str) -> None:
    out = tmp_path / "out"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    for seconds in (6.0, 9.0, 12.0):
        with subprocess.Popen(
            command(folder, out, engine), env=environment, start_new_session=True, stderr=subprocess.DEVNULL
        ) as build:
            time.sleep(seconds)
            if build.poll() is None:
                os.killpg(build.pid, signal.SIGKILL)
    subprocess.run(command(folder, out, engine), env=environment, check=True, stderr=subprocess.DEVNULL)
    assert PairStore.open(out).content_hash == PairStore.open(store).content_hash
