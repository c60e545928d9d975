"""Shared by the tests of diffusion: tiny pipelines on disk, a painter without a model, a hand."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from asap.core.errors import BrokenImageError
from asap.core.photos import EditedPhoto, PartRegion
from asap.core.records import BoolArray, ByteArray
from asap.core.wholebody import FINGERS
from asap.degrade.diffusion import Inpainter, Painting, PaintRequest
from tests.degrade.diffusion.tiny import save_tiny

T = TypeVar("T")


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    """Layers this small lose more by a second thread than they gain."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="package")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """A function from a kind of ``tiny.py`` (and a seed) to its folder, each written once."""
    root = tmp_path_factory.mktemp("tiny")
    known: dict[tuple[str, int], Path] = {}

    def folder(kind: str, seed: int = 0) -> str:
        if (kind, seed) not in known:
            known[kind, seed] = save_tiny(kind, root / f"{kind}-{seed}", seed)
        return str(known[kind, seed])

    return folder


@dataclass
class FakeInpainter:
    """Paints noise into the mask and leaves a trace of 3 grey levels on everything, as an autoencoder would."""

    maps: tuple[str, ...] = ()
    name: str = "fake"
    fingerprint: str = "0" * 64
    size_multiple: int = 8
    native_size: int = 64
    at_most: int | None = None
    sizes: list[int] = field(default_factory=list)
    """Images of each call."""
    calls: list[dict[str, object]] = field(default_factory=list)

    def paint(self, requests: Sequence[PaintRequest]) -> list[ByteArray | BrokenImageError]:
        self.sizes.append(len(requests))
        return [self._paint(request) for request in requests]

    def _paint(self, request: PaintRequest) -> ByteArray:
        image, mask = request.image, request.mask
        assert image.shape[0] % self.size_multiple == 0
        assert image.shape[1] % self.size_multiple == 0
        assert mask.shape == image.shape[:2]
        self.calls.append({**vars(request), "control": dict(request.control or {})})
        out = self.roundtrip(image)
        noise = np.random.default_rng(request.seed).integers(0, 256, image.shape, dtype=np.uint8)
        out[mask] = noise[mask]
        return out

    def roundtrip(self, image: ByteArray) -> ByteArray:
        return np.where(image < 128, image + 3, image - 3).astype(np.uint8)


def painted(painter: Inpainter, image: ByteArray, mask: BoolArray, prompt: str, **more: Any) -> ByteArray:  # noqa: ANN401
    """One image of an inpainter."""
    (result,) = painter.paint([PaintRequest(image=image, mask=mask, prompt=prompt, **more)])
    assert not isinstance(result, BrokenImageError)
    return result


def finished(steps: Generator[PaintRequest, ByteArray, T], painter: Inpainter) -> T:
    """The result of a painting that is given its images one by one."""
    try:
        request = next(steps)
        while True:
            (image,) = painter.paint([request])
            assert not isinstance(image, BrokenImageError)
            request = steps.send(image)
    except StopIteration as end:
        result: T = end.value
        return result


def pair_of(make: Callable[..., Painting], *arguments: Any, **more: Any) -> EditedPhoto:  # noqa: ANN401
    """The pair that a function like ``inpaint_pair`` paints alone."""
    (painter,) = (value for value in arguments if hasattr(value, "roundtrip"))
    return finished(make(*arguments, **more), painter)


def hand_region(
    shape: tuple[int, int] = (120, 160), corner: tuple[int, int] = (60, 40), scale: float = 4.0
) -> PartRegion:
    """A left hand of ten by eleven units at ``corner`` (x, y): root below, five straight fingers upwards.

    Finger f (0 is the thumb) stands at x = 2 f + 1, its points lie at y = 8, 6, 4 and 2; the root is at (5, 11).
    """
    names, points = ["left_hand_root"], [(5.0, 11.0)]
    for number, finger in enumerate(FINGERS):
        names += [f"left_{finger}{joint}" for joint in (1, 2, 3, 4)]
        points += [(2.0 * number + 1.0, 10.0 - 2.0 * joint) for joint in (1, 2, 3, 4)]
    places = np.array(points) * scale + np.array(corner)
    x0, y0, x1, y1 = corner[0], corner[1], int(corner[0] + 10 * scale), int(corner[1] + 12 * scale)
    mask = np.zeros(shape, dtype=bool)
    mask[y0:y1, x0:x1] = True
    return PartRegion(
        part="hand",
        side="left",
        person=0,
        mask=mask,
        box=(x0, y0, x1, y1),
        keypoints=np.column_stack([places, np.ones(len(names))]).astype(np.float32),
        keypoint_names=tuple(names),
        confidence=0.9,
        instrument="test",
    )


@pytest.fixture
def hand() -> PartRegion:
    return hand_region()


@pytest.fixture
def photo() -> ByteArray:
    return np.random.default_rng(7).integers(0, 256, (120, 160, 3), dtype=np.uint8)
