"""Whole-body networks: their points become parts, people are ordered, what is unsure is left out and told."""

import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from asap.core.errors import ConfigError, MissingDependencyError, StoreError
from asap.core.wholebody import KEYPOINTS
from asap.regions import landmarker
from asap.regions.rtm import WholeBody, _unzipped
from tests.regions.test_models import archive

IMAGE = np.full((240, 320, 3), (10, 20, 30), np.uint8)
Arrays = tuple[npt.NDArray[Any], npt.NDArray[Any]]


class Fake:
    """Stands for rtmlib's solution: a small person and a larger one, each with a left hand and a face."""

    def __init__(self, **options: object) -> None:
        self.options = options

    def __call__(self, image: npt.NDArray[np.uint8]) -> Arrays:
        assert image[0, 0].tolist() == [30, 20, 10], "rtmlib wants blue first"
        points, scores = np.zeros((2, 133, 2)), np.zeros((2, 133))
        for person, (x, y, size) in enumerate([(60, 180, 8), (200, 200, 16)]):
            start = KEYPOINTS.index("left_hand_root")
            points[person, start] = x, y
            for finger in range(5):
                for joint in range(4):
                    points[person, start + 1 + 4 * finger + joint] = x + (finger - 2) * size, y - size * (1.5 + joint)
            scores[person, start : start + 21] = 1.2
            face = KEYPOINTS.index("face-0")
            turn = np.linspace(0, 2 * np.pi, 68, endpoint=False)
            ring = np.stack([np.cos(turn), np.sin(turn)], axis=1)
            points[person, face : face + 68] = (x, y - 9 * size) + 2 * size * ring
            scores[person, face : face + 68] = 0.8
        scores[0, face + 5] = 0.1
        return points, scores


class Nobody:
    def __call__(self, image: npt.NDArray[np.uint8]) -> Arrays:
        return np.zeros((0, 133, 2)), np.zeros((0, 133))


class Other:
    def __call__(self, image: npt.NDArray[np.uint8]) -> Arrays:
        return np.zeros((1, 17, 2)), np.zeros((1, 17))


@pytest.mark.parametrize("name", ["rtmw", "dwpose"])
def test_points_become_parts(name: str) -> None:
    reader = landmarker(name, model=Fake(), model_hash="abc")
    assert isinstance(reader, WholeBody)
    result = reader.search(IMAGE)
    assert [(part.person, part.part, part.instrument) for part in result.regions] == [
        (0, "hand", name),
        (0, "face", name),
        (1, "hand", name),
    ]
    large = result.regions[0]
    assert (large.side, large.confidence) == ("left", 1.0)
    assert large.point("left_hand_root") == pytest.approx((200, 200))
    assert large.mask[150, 200]
    assert result.notes == ("person 1: face left out, 67 of 68 points",)


def test_nobody_is_an_empty_tuple() -> None:
    assert landmarker("rtmw", model=Nobody(), model_hash="abc").find(IMAGE) == ()


def test_a_network_of_other_points_is_refused() -> None:
    with pytest.raises(StoreError, match="133"):
        landmarker("rtmw", model=Other(), model_hash="abc").find(IMAGE)
    with pytest.raises(ConfigError, match="model_hash"):
        landmarker("rtmw", model=Other())


def test_files_are_loaded_and_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Fake] = []
    package = types.ModuleType("rtmlib")
    package.Wholebody = lambda **options: made.append(Fake(**options)) or made[-1]  # type: ignore[attr-defined,func-returns-value]
    monkeypatch.setitem(sys.modules, "rtmlib", package)
    files = {"detector": tmp_path / "d.onnx", "pose": tmp_path / "p.onnx"}
    for path in files.values():
        path.write_bytes(path.name.encode())
    reader = pickle.loads(pickle.dumps(landmarker("dwpose", **files)))
    assert len(reader.find(IMAGE)) == 3
    assert made[0].options["pose"] == str(files["pose"])
    assert made[0].options["to_openpose"] is False
    before = reader.fingerprint
    files["pose"].write_bytes(b"other weights")
    assert landmarker("dwpose", **files).fingerprint != before


def test_without_the_package_or_the_files_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rtmlib", None)
    for name in ("d.onnx", "p.onnx"):
        (tmp_path / name).write_bytes(b"x")
    reader = landmarker("rtmw", detector=tmp_path / "d.onnx", pose=tmp_path / "p.onnx")
    with pytest.raises(MissingDependencyError, match="pip install rtmlib"):
        reader.find(IMAGE)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(StoreError, match="detector= and pose="):
        landmarker("rtmw")


def test_the_onnx_file_of_an_archive_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "net.zip"
    path.write_bytes(archive({"deploy/end2end.onnx": b"net"}))
    assert _unzipped(path).read_bytes() == b"net"
    for data in (archive({"other": b""}), b"no zip"):
        (tmp_path / "bad.zip").write_bytes(data)
        with pytest.raises(StoreError, match="bad"):
            _unzipped(tmp_path / "bad.zip")
