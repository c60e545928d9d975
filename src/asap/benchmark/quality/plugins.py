"""The scores by name, and how each is loaded: from ``FOLDER/NAME`` of the user's, else from the hub's cache.

| name | weights | licence of the weights |
|---|---|---|
| clipscore | openai/clip-vit-large-patch14 | MIT |
| pickscore | yuvalkirstain/PickScore_v1, words by laion/CLIP-ViT-H-14-laion2B-s32B-b79K | MIT |
| hpsv2.1 | xswu/HPSv2, HPS_v2.1_compressed.pt | Apache-2.0 |
| aesthetic | sac+logos+ava1-l14-linearMSE.pth on openai/clip-vit-large-patch14 | Apache-2.0 |
| imagereward | the package image-reward | Apache-2.0 |
| hpsv3 | the package hpsv3 | MIT |
"""

import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

from PIL import Image

from asap.benchmark.quality.clip import AestheticHead, ClipScorer, from_open_clip
from asap.core.errors import MissingDependencyError, StoreError
from asap.core.records import ByteArray
from asap.core.registry import Registry

__all__ = ["QUALITY", "Scorer", "scorer"]

OPENAI: Final = "openai/clip-vit-large-patch14"
LAION: Final = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
PICK: Final = "yuvalkirstain/PickScore_v1"
HPS: Final = "HPS_v2.1_compressed.pt"
AESTHETIC: Final = "sac+logos+ava1-l14-linearMSE.pth"


class Scorer(Protocol):
    """A number for each image and its prompt."""

    @property
    def name(self) -> str:
        """Its name in ``QUALITY``."""
        ...

    def score(self, images: Sequence[ByteArray], prompts: Sequence[str]) -> list[float]:
        """One number an image (H, W, 3); higher is better."""
        ...


Loader = Callable[[Path | None, str], Scorer]
"""Folder of the weights, or None for the hub's cache; device."""


def _clip(place: str | Path) -> Any:  # noqa: ANN401
    """A CLIP model; raises ``StoreError`` where it is neither in the folder nor in the cache."""
    from transformers import CLIPModel

    return _hub(CLIPModel, place)


def _processor(place: str | Path) -> Any:  # noqa: ANN401
    from transformers import CLIPProcessor

    return _hub(CLIPProcessor, place)


def _hub(kind: Any, place: str | Path) -> Any:  # noqa: ANN401
    try:
        return kind.from_pretrained(place, local_files_only=True)
    except (OSError, ValueError) as error:
        raise StoreError(f"no weights of {place} on this machine; fetch them with `hf download {place}`") from error


def _file(folder: Path | None, repository: str, name: str) -> Path:
    """A file of the folder, or of the hub's cache."""
    if folder is not None:
        if not (folder / name).is_file():
            raise StoreError(f"{folder} lacks {name}; put it there")
        return folder / name
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, name, local_files_only=True))
    except (OSError, ValueError) as error:
        raise StoreError(f"no {name} on this machine; fetch it with `hf download {repository} {name}`") from error


def _clipscore(folder: Path | None, device: str) -> Scorer:
    place = folder or OPENAI
    return ClipScorer("clipscore", _clip(place), _processor(place), scale=100.0, device=device)


def _pickscore(folder: Path | None, device: str) -> Scorer:
    return ClipScorer("pickscore", _clip(folder or PICK), _processor(folder or LAION), scale=None, device=device)


def _hpsv2(folder: Path | None, device: str) -> Scorer:
    from transformers import CLIPConfig, CLIPModel

    place = folder or LAION
    model = from_open_clip(_file(folder, "xswu/HPSv2", HPS), CLIPModel(_hub(CLIPConfig, place)))
    return ClipScorer("hpsv2.1", model, _processor(place), scale=1.0, device=device)


def _aesthetic(folder: Path | None, device: str) -> Scorer:
    head = AestheticHead.load(_file(folder, "camenduru/improved-aesthetic-predictor", AESTHETIC))
    place = folder or OPENAI
    return ClipScorer("aesthetic", _clip(place), _processor(place), scale=1.0, head=head, device=device)


class _ImageReward:
    """ImageReward (Xu et al. 2023) through its own package."""

    name = "imagereward"

    def __init__(self, folder: Path | None, device: str) -> None:
        package = _package("ImageReward", "image-reward", self.name)
        where = {"download_root": str(folder)} if folder else {}
        try:
            self._model = package.load("ImageReward-v1.0", device=device, **where)
        except (OSError, RuntimeError) as error:
            raise StoreError(f"no weights of ImageReward-v1.0 on this machine ({error})") from error

    def score(self, images: Sequence[ByteArray], prompts: Sequence[str]) -> list[float]:
        """One number an image."""
        pairs = zip(images, prompts, strict=True)
        return [float(self._model.score(prompt, Image.fromarray(image))) for image, prompt in pairs]


class _Hpsv3:
    """HPSv3 (Ma et al. 2025) through its own package; the first of its two outputs, the mean, is the score."""

    name = "hpsv3"

    def __init__(self, folder: Path | None, device: str) -> None:
        package = _package("hpsv3", "hpsv3", self.name)
        where = {"checkpoint_path": str(folder / "HPSv3.safetensors")} if folder else {}
        try:
            self._model = package.HPSv3RewardInferencer(device=device, **where)
        except (OSError, RuntimeError) as error:
            raise StoreError(f"no weights of HPSv3 on this machine ({error})") from error

    def score(self, images: Sequence[ByteArray], prompts: Sequence[str]) -> list[float]:
        """One number an image; the package reads images from files."""
        with tempfile.TemporaryDirectory() as folder:
            paths = [str(Path(folder) / f"{place}.png") for place in range(len(images))]
            for path, image in zip(paths, images, strict=True):
                Image.fromarray(image).save(path)
            return [float(row[0]) for row in self._model.reward(prompts=list(prompts), image_paths=paths)]


def _package(module: str, package: str, purpose: str) -> Any:  # noqa: ANN401
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingDependencyError(package, f"the score {purpose}") from error


QUALITY: Registry[Loader] = Registry("quality score")
QUALITY.register("hpsv2.1", _hpsv2)
QUALITY.register("hpsv3", _Hpsv3)
QUALITY.register("pickscore", _pickscore)
QUALITY.register("imagereward", _ImageReward)
QUALITY.register("aesthetic", _aesthetic)
QUALITY.register("clipscore", _clipscore)


def scorer(name: str, weights: Path | None = None, device: str = "cpu") -> Scorer:
    """The score ``name``, loaded from ``weights/NAME`` where that folder is there, else from the hub's cache.

    Raises:
        UnknownNameError: no such score.
        MissingDependencyError: its package is not installed.
        StoreError: its weights are not on this machine.
    """
    make = QUALITY.get(name)
    own = weights / name if weights is not None else None
    return make(own if own is not None and own.is_dir() else None, device)
