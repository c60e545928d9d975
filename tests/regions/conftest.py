"""The photographs and the models lie outside the project; tests that need them are skipped where they are absent."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from asap.core.photos import PartRegion, Photo
from asap.regions import decode, landmarker
from asap.regions.mediapipe.landmarker import MediaPipe
from asap.regions.models import missing

PHOTOS = Path(os.environ.get("ASAP_PHOTOS") or Path(__file__).parents[3] / "shared" / "photos")


@pytest.fixture(scope="session")
def photo() -> Callable[[str], Photo]:
    """Reads one of the real photographs by its file name."""

    def read(name: str) -> Photo:
        path = PHOTOS / name
        if not path.is_file():
            pytest.skip(f"no photograph {path}; set ASAP_PHOTOS to the folder that has it")
        return decode(path.read_bytes(), name)

    return read


@pytest.fixture(scope="session")
def mediapipe() -> MediaPipe:
    if importlib.util.find_spec("ai_edge_litert") is None:
        pytest.skip("the package ai-edge-litert is absent; run: make install")
    if absent := missing():
        pytest.skip(f"models {', '.join(absent)} are absent; run: python -m asap.regions.fetch")
    made = landmarker("mediapipe")
    assert isinstance(made, MediaPipe)
    return made


@pytest.fixture(scope="session")
def found(mediapipe: MediaPipe, photo: Callable[[str], Photo]) -> Callable[[str], tuple[PartRegion, ...]]:
    """The parts in one of the photographs, looked for once a session."""
    known: dict[str, tuple[PartRegion, ...]] = {}

    def find(name: str) -> tuple[PartRegion, ...]:
        if name not in known:
            known[name] = mediapipe.find(photo(name).image)
        return known[name]

    return find
