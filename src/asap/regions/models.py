"""Weights of the landmarkers on disk: file names, folder and verification by hash.

They come from the wheel mediapipe 0.10.21 (Apache-2.0), which ``python -m asap.regions.fetch`` downloads once from the
user's package index. Nothing else of the wheel is kept, and its code is not run.
"""

import io
import os
import zipfile
from pathlib import Path
from typing import Final

from asap.core.errors import InputError, StoreError
from asap.core.hashing import digest

__all__ = ["BUNDLED", "FOLDER_VARIABLE", "MODELS", "from_bundle", "load", "missing", "models_folder", "unpack"]

FOLDER_VARIABLE: Final = "ASAP_MODELS"
"""Environment variable for a folder other than the user's cache."""
MODELS: Final = {
    "face_detection_full_range_sparse": "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    "face_detection_short_range": "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    "face_landmark": "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    "hand_landmark_full": "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
    "palm_detection_full": "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
    "pose_detection": "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    "pose_landmark_full": "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
}
"""SHA-256 of the file of each model, by name."""
BUNDLED: Final = {
    "hand_detector.tflite": "palm_detection_full",
    "hand_landmarks_detector.tflite": "hand_landmark_full",
    "face_detector.tflite": "face_detection_short_range",
    "pose_detector.tflite": "pose_detection",
    "pose_landmarks_detector.tflite": "pose_landmark_full",
}
"""Files in .task bundles of MediaPipe, and the model that each one replaces."""


def models_folder() -> Path:
    """The folder of the models: ``$ASAP_MODELS``, else ``asap/models`` in the user's cache folder (XDG)."""
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "asap" / "models"


def missing(folder: Path | None = None) -> tuple[str, ...]:
    """Names of the models that are absent from ``folder`` (default: ``models_folder()``)."""
    place = folder or models_folder()
    return tuple(name for name in MODELS if not (place / f"{name}.tflite").is_file())


def load(name: str, folder: Path | None = None) -> bytes:
    """Read the file of a model.

    Raises:
        StoreError: it is absent, or its hash is not the known one.
    """
    path = (folder or models_folder()) / f"{name}.tflite"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError(f"no model {name} in {path.parent}; run: python -m asap.regions.fetch") from error
    return _checked(name, data, str(path))


def unpack(wheel: bytes) -> dict[str, bytes]:
    """Extract all models from the bytes of the wheel, by name.

    Raises:
        StoreError: the wheel is damaged, lacks a model, or has another version of one.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
            places = {Path(entry).stem: entry for entry in archive.namelist() if entry.endswith(".tflite")}
            if absent := [name for name in MODELS if name not in places]:
                raise StoreError(f"the wheel lacks the models {', '.join(absent)}; use mediapipe 0.10.21")
            return {name: _checked(name, archive.read(places[name]), "the wheel") for name in MODELS}
    except zipfile.BadZipFile as error:
        raise StoreError(f"the wheel is damaged ({error}); download it again") from error


def from_bundle(path: Path) -> dict[str, bytes]:
    """Extract the models of a .task bundle of MediaPipe, under the names of those that they replace.

    Raises:
        InputError: the file cannot be read, is not a bundle, or has no model that is used here.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = {BUNDLED[name]: archive.read(name) for name in archive.namelist() if name in BUNDLED}
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot read the bundle {path} ({error}); give a .task file of MediaPipe") from error
    if not found:
        raise InputError(f"{path} has none of {', '.join(BUNDLED)}; give a .task bundle for hands, faces or poses")
    return found


def _checked(name: str, data: bytes, place: str) -> bytes:
    if (came := digest(data)) != MODELS[name]:
        raise StoreError(
            f"{place}: model {name} should have SHA-256 {MODELS[name][:12]}, has {came[:12]}; delete it and run: "
            "python -m asap.regions.fetch"
        )
    return data
