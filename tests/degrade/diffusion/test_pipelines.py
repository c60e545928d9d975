"""Every family that is loaded and called for real, on tiny random weights."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asap.core.errors import AsapError, ConfigError, InputError, StoreError, UnknownNameError
from asap.core.hashing import digest_file
from asap.core.photos import PartRegion
from asap.core.records import ByteArray
from asap.degrade.diffusion import KINDS, inpaint_pair
from asap.degrade.diffusion.families import FAMILIES, find_family
from asap.degrade.diffusion.load import load_inpainter
from tests.degrade.diffusion.conftest import painted, pair_of
from tests.degrade.diffusion.tiny import PIPELINES, SIZE

Tiny = Callable[..., str]
CLASSES = {
    "sd": "StableDiffusionInpaintPipeline",
    "sdxl": "StableDiffusionXLInpaintPipeline",
    "sd3": "StableDiffusion3InpaintPipeline",
    "flux": "FluxInpaintPipeline",
    "flux-fill": "FluxFillPipeline",
    "flux2-klein": "Flux2KleinInpaintPipeline",
    "qwen": "QwenImageInpaintPipeline",
    "z-image": "ZImageInpaintPipeline",
}


def square(seed: int = 0, height: int = SIZE) -> ByteArray:
    return np.random.default_rng(seed).integers(0, 256, (height, SIZE, 3), dtype=np.uint8)


def middle(height: int = SIZE) -> np.ndarray:
    mask = np.zeros((height, SIZE), dtype=bool)
    mask[16:40, 16:40] = True
    return mask


def test_torch_is_imported_with_the_first_painter_only() -> None:
    code = (
        "import sys, asap.degrade.diffusion; sys.exit(bool({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_all_tiny_pipelines_are_tried() -> None:
    assert set(CLASSES) == set(PIPELINES)


@pytest.mark.parametrize("kind", CLASSES)
def test_repaint_end_to_end(kind: str, tiny: Tiny, photo: ByteArray, hand: PartRegion) -> None:
    inpainter = load_inpainter("repaint", tiny(kind), steps=2, size=SIZE)
    assert type(inpainter.pipeline).__name__ == CLASSES[kind]
    assert (inpainter.native_size, inpainter.size_multiple, inpainter.maps) == (SIZE, 8, ())
    pair = pair_of(inpaint_pair, photo, hand, 3, np.random.default_rng(1), inpainter, caption="a hand")
    other = pair_of(inpaint_pair, photo, hand, 3, np.random.default_rng(2), inpainter, caption="a hand")
    again = pair_of(inpaint_pair, photo, hand, 3, np.random.default_rng(1), inpainter, caption="a hand")
    inside = pair.mask == 255
    assert (pair.chosen[~inside] == photo[~inside]).all()
    assert (pair.rejected[~inside] == photo[~inside]).all()
    assert (pair.chosen != pair.rejected).any(axis=2)[hand.mask].mean() > 0.5
    # one call is one image: what was painted before and after it does not matter
    assert (pair.rejected == again.rejected).all()
    assert (pair.rejected != other.rejected).any()
    assert (pair.chosen == other.chosen).all()


def test_an_inpainting_controlnet_takes_the_masked_image_itself(tiny: Tiny, photo: ByteArray, hand: PartRegion) -> None:
    inpainter = load_inpainter("repaint", tiny("qwen"), controlnet=tiny("qwen-controlnet"), steps=1, size=SIZE)
    assert type(inpainter.pipeline).__name__ == "QwenImageControlNetInpaintPipeline"
    pair = pair_of(inpaint_pair, photo, hand, 1, np.random.default_rng(1), inpainter)
    assert (pair.rejected[pair.mask == 0] == photo[pair.mask == 0]).all()
    first, second = (painted(inpainter, square(i), middle(), "x", seed=1, strength=1.0) for i in (0, 1))
    assert (first != second).any()


def test_a_painter_loaded_twice_paints_the_same(tiny: Tiny) -> None:
    first, second = (load_inpainter("repaint", tiny("sd"), steps=2) for _ in range(2))
    images = [painted(p, square(), middle(), "a hand", seed=5, strength=1.0) for p in (first, second)]
    assert (images[0] == images[1]).all()
    assert first.fingerprint == second.fingerprint
    assert first.native_size == SIZE  # of the UNet's configuration


def test_the_global_generator_is_neither_read_nor_moved(tiny: Tiny) -> None:
    import torch

    inpainter = load_inpainter("repaint", tiny("sd"), steps=2)
    images = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        images.append(painted(inpainter, square(), middle(), "a hand", seed=5, strength=0.7))
        assert torch.equal(before, torch.get_rng_state())
    assert (images[0] == images[1]).all()


def test_prompt_negative_and_strength_reach_the_model(tiny: Tiny) -> None:
    inpainter = load_inpainter("repaint", tiny("sd"), steps=4)

    def paint(prompt: str = "a hand", negative: str = "", strength: float = 1.0) -> ByteArray:
        return painted(inpainter, square(), middle(), prompt, seed=5, strength=strength, negative=negative)

    plain = paint()
    assert (plain != paint(prompt="six fingers")).any()
    assert (plain != paint(negative="six fingers")).any()
    assert (plain != paint(strength=0.5)).any()


def test_other_weights_or_settings_have_another_fingerprint(tiny: Tiny) -> None:
    marks = [
        load_inpainter("repaint", tiny("sd"), steps=2).fingerprint,
        load_inpainter("repaint", tiny("sd"), steps=3).fingerprint,
        load_inpainter("repaint", tiny("sd"), steps=2, guidance=1.0).fingerprint,
        load_inpainter("repaint", tiny("sd"), steps=2, size=SIZE * 2).fingerprint,
        load_inpainter("repaint", tiny("sd", 1), steps=2).fingerprint,
    ]
    assert len(set(marks)) == len(marks)


def test_a_hub_cache_has_the_fingerprint_of_a_plain_folder(tiny: Tiny, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(tiny("sd"), cache)
    weights = next((cache / "unet").glob("*.safetensors"))
    blob = tmp_path / digest_file(weights)
    weights.rename(blob)
    weights.symlink_to(blob)
    plain, linked = (load_inpainter("repaint", str(folder), steps=2) for folder in (tiny("sd"), cache))
    assert plain.fingerprint == linked.fingerprint


def test_a_image_that_is_not_square(tiny: Tiny) -> None:
    inpainter = load_inpainter("repaint", tiny("sdxl"), steps=1)
    image = square(height=SIZE + 16)
    assert painted(inpainter, image, middle(SIZE + 16), "a hand", seed=0, strength=1.0).shape == image.shape
    assert inpainter.roundtrip(image).shape == image.shape


def test_roundtrip_is_the_autoencoder_alone(tiny: Tiny) -> None:
    import torch

    inpainter = load_inpainter("repaint", tiny("sd"), steps=1)
    image = square()
    values = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        decoded = inpainter.pipeline.vae.decode(inpainter.pipeline.vae.encode(values).latent_dist.mode()).sample
    expected = ((decoded[0].permute(1, 2, 0).clamp(-1, 1) / 2 + 0.5) * 255).round().numpy().astype(int)
    assert np.abs(inpainter.roundtrip(image).astype(int) - expected).max() <= 1


def test_half_precision_leaves_the_autoencoder_as_it_was(tiny: Tiny) -> None:
    import torch

    half = load_inpainter("repaint", tiny("sdxl"), steps=1, dtype="float16")
    full = load_inpainter("repaint", tiny("sdxl"), steps=1)
    difference = np.abs(half.roundtrip(square()).astype(int) - full.roundtrip(square()).astype(int))
    assert difference.max() <= 2  # the weights were rounded, the sums were not
    assert half.pipeline.vae.dtype == torch.float16
    assert half.fingerprint != full.fingerprint


def test_wrong_calls_are_refused(tiny: Tiny) -> None:
    inpainter = load_inpainter("repaint", tiny("sd"), steps=4)
    with pytest.raises(InputError, match="multiples of 8"):
        painted(inpainter, square()[:, :60], middle()[:, :60], "x", seed=0, strength=1.0)
    with pytest.raises(InputError, match="mask must be bool"):
        painted(inpainter, square(), middle().astype(np.uint8), "x", seed=0, strength=1.0)
    for strength in (0.0, 1.5, float("nan")):
        with pytest.raises(InputError, match="strength"):
            painted(inpainter, square(), middle(), "x", seed=0, strength=strength)


def test_at_least_one_step_is_made(tiny: Tiny) -> None:
    inpainter = load_inpainter("repaint", tiny("sd"), steps=49)
    taken = []
    forward = inpainter.pipeline.unet.forward

    def count(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        taken.append(1)
        return forward(*arguments, **named)

    inpainter.pipeline.unet.forward = count
    painted(inpainter, square(), middle(), "x", seed=0, strength=0.001)
    assert len(taken) == 1


def test_too_little_memory_is_one_line_that_no_next_image_hides(tiny: Tiny) -> None:
    import torch

    inpainter = load_inpainter("repaint", tiny("sd"), steps=1)

    def full(*_: Any, **__: Any) -> None:  # noqa: ANN401
        raise torch.OutOfMemoryError("CUDA out of memory")

    inpainter.pipeline.unet.forward = full
    with pytest.raises(AsapError, match="choose a smaller size") as caught:
        painted(inpainter, square(), middle(), "x", seed=0, strength=1.0)
    assert not isinstance(caught.value, InputError)


def test_settings_are_checked_together(tiny: Tiny) -> None:
    with pytest.raises(UnknownNameError, match="guided, repaint, skeleton"):
        load_inpainter("draw", tiny("sd"))
    with pytest.raises(ConfigError, match=r"dtype.*steps.*guidance.*size"):
        load_inpainter("repaint", tiny("sd"), dtype="int8", steps=0, guidance=-1, size=0)
    with pytest.raises(InputError, match="multiple of 8"):
        load_inpainter("repaint", tiny("sd"), size=60)
    with pytest.raises(InputError, match=r"device must be auto, cpu.*got 'abacus'"):
        load_inpainter("repaint", tiny("sd"), device="abacus")


def test_a_missing_model_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"model_index\.json"):
        load_inpainter("repaint", str(tmp_path))
    with pytest.raises(StoreError, match="no model 'nobody/nothing'"):
        load_inpainter("repaint", "nobody/nothing")


def test_a_model_of_another_class_is_refused_with_the_known_ones(tiny: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(tiny("sd"), folder)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": "WanPipeline"}))
    with pytest.raises(InputError, match=r"'WanPipeline'; known: .*FluxFillPipeline.*ZImagePipeline"):
        load_inpainter("repaint", str(folder))


def test_a_broken_folder_is_a_store_error(tiny: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(tiny("sd"), folder)
    shutil.rmtree(folder / "unet")
    with pytest.raises(StoreError, match="cannot read the pipeline"):
        load_inpainter("repaint", str(folder))


def test_the_table_names_classes_of_the_installed_diffusers() -> None:
    import diffusers

    for family in FAMILIES.values():
        assert hasattr(diffusers, family.pipeline)
        assert not family.controlnet or hasattr(diffusers, family.controlnet)
        assert set(family.kinds) <= set(KINDS)


def test_missing_and_needless_controlnets_are_told_apart() -> None:
    with pytest.raises(InputError, match="takes a ControlNet of class ControlNetModel; name one"):
        find_family("skeleton", "StableDiffusionPipeline", controlled=False)
    with pytest.raises(InputError, match="takes no ControlNet; leave it out"):
        find_family("repaint", "StableDiffusionPipeline", controlled=True)
    with pytest.raises(InputError, match=r"cannot skeleton .*'QwenImagePipeline'; known: Flux"):
        find_family("skeleton", "QwenImagePipeline", controlled=True)
