"""Photographs broken by diffusion models, end to end, on tiny pipelines with random weights."""

import os
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from asap.core.errors import InputError
from asap.stores.pairs import PairStore
from asap.workflows.pairs.builder import build_store
from asap.workflows.pairs.inpainting import Diffusion, Inpainting
from tests.degrade.diffusion.tiny import save_tiny

PHOTOS = Path(os.environ.get("ASAP_PHOTOS", Path(__file__).parents[4] / "shared" / "photos"))
pytestmark = pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"the five photographs are not at {PHOTOS}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "thumb_up.jpg").write_bytes((PHOTOS / "thumb_up.jpg").read_bytes())
    (folder / "thumb_up.txt").write_text("a thumb held up")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "controlnet"), [("repaint", ""), ("skeleton", "sd-controlnet")])
def test_a_painted_set_runs_from_the_folder_to_the_store(
    folder: Path, tmp_path: Path, kind: Literal["repaint", "skeleton"], controlnet: str
) -> None:
    model = save_tiny("sd", tmp_path / "model")
    steering = str(save_tiny(controlnet, tmp_path / "controlnet")) if controlnet else ""
    diffusion = Diffusion(model=str(model), controlnet=steering, steps=2)
    producer = Inpainting(source=folder, method=kind, per_image=2, size=256, null_share=0.0, diffusion=diffusion)
    build_store(tmp_path / "out", producer, workers=1)
    store = PairStore.open(tmp_path / "out")
    roles = {instrument.role for instrument in store.manifest.instruments}
    assert roles == {"landmarker", "pair_gate", "generator"}
    for row in store.rows(range(len(store))):
        inside = row.mask > 0
        assert np.array_equal(row.chosen[~inside], row.rejected[~inside])
        assert inside.any()
        assert row.recipe["method"] == kind
        assert row.prompt == "a thumb held up"


def test_a_missing_model_has_one_line_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    producer = Inpainting(source=folder, diffusion=Diffusion(model=str(tmp_path / "none")))
    with pytest.raises(InputError) as caught:
        build_store(tmp_path / "out", producer)
    assert "\n" not in caught.value.line
    assert not (tmp_path / "out").exists()


def test_a_screen_of_landmarks_needs_a_landmarker(folder: Path) -> None:
    with pytest.raises(InputError, match="name another"):
        Inpainting(source=folder, diffusion=Diffusion(model="m"), screen="landmarks", landmarker="user")
