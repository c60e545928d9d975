"""Models are taken from the wheel once, checked by hash, and asked for in one line where they are absent."""

import io
import subprocess
import zipfile
from pathlib import Path

import pytest

from asap.core.errors import InputError, StoreError
from asap.core.hashing import digest
from asap.regions import fetch, models


def archive(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A wheel with two small models, the only ones that are known."""
    contents = {"palm_detection_full": b"palm", "pose_detection": b"pose"}
    monkeypatch.setattr(models, "MODELS", {name: digest(data) for name, data in contents.items()})
    monkeypatch.setattr(fetch, "MODELS", models.MODELS)
    return archive({f"mediapipe/modules/x/{name}.tflite": data for name, data in contents.items()} | {"code.py": b"!"})


def test_the_folder_is_the_users_cache_or_what_the_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    monkeypatch.delenv("ASAP_MODELS", raising=False)
    assert models.models_folder() == Path("/cache/asap/models")
    monkeypatch.setenv("ASAP_MODELS", "/else")
    assert models.models_folder() == Path("/else")


def test_fetching_unpacks_the_models_and_nothing_else(
    toy: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fetch, "_download", lambda _: toy)
    assert models.missing(tmp_path) == ("palm_detection_full", "pose_detection")
    assert fetch.fetch(tmp_path) == tmp_path
    assert sorted(path.name for path in tmp_path.iterdir()) == ["palm_detection_full.tflite", "pose_detection.tflite"]
    assert models.load("pose_detection", tmp_path) == b"pose"
    monkeypatch.setattr(fetch, "_download", lambda _: pytest.fail("downloaded again"))
    fetch.fetch(tmp_path)


def test_a_damaged_or_absent_model_is_one_line(toy: bytes, tmp_path: Path) -> None:
    assert toy
    with pytest.raises(StoreError, match=r"python -m asap\.regions\.fetch"):
        models.load("pose_detection", tmp_path)
    (tmp_path / "pose_detection.tflite").write_bytes(b"other")
    with pytest.raises(StoreError, match="SHA-256"):
        models.load("pose_detection", tmp_path)


@pytest.mark.parametrize("wheel", [b"no zip", archive({"x/palm_detection_full.tflite": b"palm"})])
def test_a_wheel_that_is_not_the_one_is_refused(toy: bytes, wheel: bytes) -> None:
    assert toy
    with pytest.raises(StoreError, match="wheel"):
        models.unpack(wheel)


def test_what_pip_says_is_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer = subprocess.CompletedProcess([], 1, "", "looking\nERROR: no such thing\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)
    with pytest.raises(InputError, match=r"ERROR: no such thing.*index"):
        fetch.fetch(tmp_path)


def test_a_bundle_gives_the_models_it_replaces(tmp_path: Path) -> None:
    path = tmp_path / "hand.task"
    path.write_bytes(archive({"hand_detector.tflite": b"d", "hand_landmarks_detector.tflite": b"l"}))
    assert models.from_bundle(path) == {"palm_detection_full": b"d", "hand_landmark_full": b"l"}
    path.write_bytes(archive({"other": b""}))
    with pytest.raises(InputError, match="none of"):
        models.from_bundle(path)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="bundle"):
        models.from_bundle(path)
