"""The landmarkers ``rtmw`` and ``dwpose``: whole-body pose by ONNX networks, run by the package rtmlib (Apache-2.0).

A detector finds people, and a pose network gives each one the 133 points of COCO-WholeBody. Masks are derived from the
points.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from asap.core.errors import ConfigError, MissingDependencyError, StoreError
from asap.core.hashing import digest_file, digest_json
from asap.core.photos import PartRegion
from asap.core.records import ByteArray, FloatArray
from asap.core.wholebody import KEYPOINTS
from asap.regions.parts import MIN_PART_PIXELS, Found
from asap.regions.skeleton import people_parts

__all__ = ["NETWORKS", "Networks", "WholeBody"]

METHOD: Final = 1
"""Increase this when the same models and settings give different results."""
Predict = Callable[[ByteArray], tuple[npt.NDArray[Any], npt.NDArray[Any]]]
"""(H, W, 3) blue-green-red bytes to (N, 133, 2) pixels and (N, 133) scores, as a solution of rtmlib returns them."""


@dataclass(frozen=True, kw_only=True)
class Networks:
    """Where a detector and a pose network are published, and the sizes of their inputs."""

    detector: tuple[str, str]
    """Repository on the Hugging Face Hub and file in it."""
    detector_size: tuple[int, int]
    pose: tuple[str, str]
    pose_size: tuple[int, int]
    """Width, height."""


_PROJECTS: Final = "Tau-J/RTMPose"
NETWORKS: Final = {
    "rtmw": Networks(
        detector=(_PROJECTS, "rtmposev1/onnx_sdk/yolox_m_8xb8-300e_humanart-c2c7a14a.zip"),
        detector_size=(640, 640),
        pose=(_PROJECTS, "rtmw/onnx_sdk/rtmw-dw-x-l_simcc-cocktail14_270e-384x288_20231122.zip"),
        pose_size=(288, 384),
    ),
    "dwpose": Networks(
        detector=("yzd-v/DWPose", "yolox_l.onnx"),
        detector_size=(640, 640),
        pose=("yzd-v/DWPose", "dw-ll_ucoco_384.onnx"),
        pose_size=(288, 384),
    ),
}
"""RTMW (arXiv:2407.08634) and DWPose (arXiv:2307.15880)."""


@dataclass(frozen=True, kw_only=True)
class WholeBody:
    """One of ``NETWORKS``, from local files or from the hub."""

    name: str
    detector: str | Path | None = None
    """ONNX file of the detector; by default the published one, from the hub or its cache."""
    pose: str | Path | None = None
    """ONNX file of the pose network; default as above."""
    device: str = "cpu"
    threshold: float = 0.3
    """Points with a lower score count as not known."""
    min_pixels: int = MIN_PART_PIXELS
    model: Predict | None = field(default=None, repr=False)
    """A loaded solution of rtmlib instead of the files; ``model_hash`` then identifies its weights."""
    model_hash: str = ""

    def __post_init__(self) -> None:
        """Raise errors of missing packages or files now instead of at the first image."""
        if self.model is not None and not self.model_hash:
            raise ConfigError(f"landmarker {self.name}: a given model needs a model_hash, for the manifest")
        _ = self.fingerprint

    def __getstate__(self) -> dict[str, Any]:
        """The settings only; another process loads the networks itself."""
        return {setting.name: getattr(self, setting.name) for setting in fields(self)}

    @cached_property
    def _files(self) -> tuple[Path, Path]:
        networks = NETWORKS[self.name]
        return (
            Path(self.detector) if self.detector else _published(*networks.detector),
            Path(self.pose) if self.pose else _published(*networks.pose),
        )

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the weights, the settings that matter and the method."""
        weights = [self.model_hash] if self.model is not None else [digest_file(path) for path in self._files]
        settings = {"threshold": self.threshold, "min_pixels": self.min_pixels}
        return digest_json({"models": weights, "settings": settings, "method": METHOD})

    @cached_property
    def _predict(self) -> Predict:
        return self.model or _load(NETWORKS[self.name], *self._files, self.device)

    def find(self, image: ByteArray) -> tuple[PartRegion, ...]:
        """Parts in (H, W, 3) sRGB ``image``, people by size; empty if nobody is found."""
        return self.search(image).regions

    def search(self, image: ByteArray) -> Found:
        """As ``find``, with a note for each part that is left out."""
        points, scores = self._predict(np.ascontiguousarray(image[..., ::-1]))
        people = [_person(place, score, self.threshold) for place, score in zip(points, scores, strict=True)]
        return people_parts(people, image.shape[:2], self.name, image=image, min_pixels=self.min_pixels)


def _person(points: npt.NDArray[Any], scores: npt.NDArray[Any], threshold: float) -> FloatArray:
    """(133, 3) with confidences in [0, 1], 0 below ``threshold``; scores of rtmlib can be slightly above 1."""
    if points.shape != (len(KEYPOINTS), 2) or scores.shape != (len(KEYPOINTS),):
        raise StoreError(f"the pose network gives {points.shape} points; use one for the 133 of COCO-WholeBody")
    confidence = np.where(scores >= threshold, np.clip(scores, 0, 1), 0)
    return np.concatenate([points, confidence[:, None]], axis=1).astype(np.float32)


def _published(repository: str, name: str) -> Path:
    """A file of the hub, from its cache if present; from a zip archive, the ONNX file in it."""
    from huggingface_hub import hf_hub_download

    try:
        path = Path(hf_hub_download(repository, name))
    except (OSError, ValueError) as error:  # the hub raises both
        said = str(error).splitlines()[0]
        raise StoreError(
            f"cannot get {name} of {repository} ({said}); give the ONNX files as detector= and pose="
        ) from error
    return _unzipped(path) if path.suffix == ".zip" else path


def _unzipped(archive: Path) -> Path:
    """The ONNX file of an archive, extracted beside it once; raises ``StoreError`` if it has none."""
    import zipfile

    from asap.core.files import write_bytes

    target = archive.with_suffix(".onnx")
    if not target.exists():
        try:
            with zipfile.ZipFile(archive) as packed:
                inside = next((name for name in packed.namelist() if name.endswith(".onnx")), None)
                if inside is None:
                    raise StoreError(f"{archive} has no .onnx file; give the ONNX files as detector= and pose=")
                write_bytes(target, packed.read(inside))
        except zipfile.BadZipFile as error:
            raise StoreError(f"{archive} is damaged ({error}); delete it and download it again") from error
    return target


def _load(networks: Networks, detector: Path, pose: Path, device: str) -> Predict:
    """Load a solution of rtmlib; raises ``MissingDependencyError``."""
    try:
        from rtmlib import Wholebody
    except ImportError as error:
        raise MissingDependencyError("rtmlib", "the landmarkers rtmw and dwpose") from error
    loaded: Predict = Wholebody(
        det=str(detector),
        det_input_size=networks.detector_size,
        pose=str(pose),
        pose_input_size=networks.pose_size,
        to_openpose=False,
        backend="onnxruntime",
        device=device,
    )
    return loaded
