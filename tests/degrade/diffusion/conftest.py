"""Shared by the tests of diffusion: tiny pipelines on disk, a painter without a model, a hand."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from asap.core.photos import PartRegion
from asap.core.records import BoolArray, ByteArray
from asap.core.wholebody import FINGERS
from tests.degrade.diffusion.tiny import save_tiny


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
    calls: list[dict[str, object]] = field(default_factory=list)

    def paint(
        self,
        image: ByteArray,
        mask: BoolArray,
        prompt: str,
        *,
        seed: int,
        strength: float,
        control: Mapping[str, ByteArray] | None = None,
        negative: str = "",
    ) -> ByteArray:
        assert image.shape[0] % self.size_multiple == 0
        assert image.shape[1] % self.size_multiple == 0
        assert mask.shape == image.shape[:2]
        arguments = {"prompt": prompt, "seed": seed, "strength": strength, "negative": negative}
        self.calls.append({**arguments, "image": image, "mask": mask, "control": dict(control or {})})
        out = self.roundtrip(image)
        noise = np.random.default_rng(seed).integers(0, 256, image.shape, dtype=np.uint8)
        out[mask] = noise[mask]
        return out

    def roundtrip(self, image: ByteArray) -> ByteArray:
        return np.where(image < 128, image + 3, image - 3).astype(np.uint8)


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
