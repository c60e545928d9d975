"""Several pairs painted side by side: one call for several images, and each image as if it were alone."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from asap.core.errors import AsapError, BrokenImageError, InputError
from asap.core.photos import EditedPhoto
from asap.core.records import ByteArray
from asap.degrade.diffusion import PaintRequest, inpaint_pair, paint_all
from asap.degrade.diffusion.load import load_inpainter
from tests.degrade.diffusion.conftest import FakeInpainter, hand_region, painted, pair_of
from tests.degrade.diffusion.tiny import SIZE

Tiny = Callable[..., str]
MODELS = [
    ("repaint", "sd", ""),
    ("repaint", "sdxl", ""),
    ("repaint", "sd3", ""),
    ("repaint", "flux", ""),
    ("repaint", "flux-fill", ""),
    ("repaint", "flux2-klein", ""),
    ("repaint", "qwen", ""),
    ("repaint", "z-image", ""),
    ("repaint", "qwen", "qwen-controlnet"),
    ("skeleton", "sd", "sd-controlnet"),
    ("skeleton", "sdxl", "sdxl-controlnet"),
    ("skeleton", "sdxl", "sdxl-union"),
    ("skeleton", "flux", "flux-controlnet"),
    ("skeleton", "flux", "flux-union"),
    ("skeleton", "z-image", "z-image-controlnet"),
]


def requests(maps: tuple[str, ...], count: int = 3) -> list[PaintRequest]:
    draw = np.random.default_rng(3)
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[16:40, 16:40] = True
    return [
        PaintRequest(
            image=draw.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8),
            mask=np.roll(mask, 4 * number, axis=1),
            prompt=f"a hand with {'six ' * number}fingers",
            seed=number,
            strength=1.0,
            control={name: draw.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8) for name in maps} or None,
            negative=f"blurred{' and grey' * number}",
        )
        for number in range(count)
    ]


ALONE = {"qwen-controlnet", "flux-union"}
"""Models whose pipelines take no batch."""


@pytest.mark.parametrize(("kind", "model", "network"), MODELS)
@pytest.mark.parametrize("negative", [True, False])
def test_an_image_does_not_depend_on_those_of_its_call(
    kind: str, model: str, network: str, tiny: Tiny, negative: bool
) -> None:
    painter = load_inpainter(kind, tiny(model), controlnet=tiny(network) if network else None, steps=2, size=SIZE)
    assert painter.at_most == (1 if network in ALONE else None)
    wanted = [replace(one, negative=one.negative * negative) for one in requests(painter.maps)]
    alone = [painted(painter, **vars(request)) for request in wanted]
    assert (alone[0] != alone[1]).any()
    if painter.at_most is None:
        for one, other in zip(painter.paint(wanted), alone, strict=True):
            assert not isinstance(one, BrokenImageError)
            assert np.abs(one.astype(int) - other).max() <= 2


def test_pairs_share_calls_and_are_as_if_alone(photo: ByteArray) -> None:
    """Five hands, one of them in a corner, where the window has another shape; with a ring each takes three images."""
    hands = [hand_region(corner=(20 * number, 40)) for number in range(5)]
    painter = FakeInpainter()
    paintings = [inpaint_pair(photo, hand, 3, draw(n), painter, seam="ring") for n, hand in enumerate(hands)]
    together = paint_all(paintings, painter, batch_size=4)
    assert max(painter.sizes) == 4
    assert sum(painter.sizes) == 15
    for number, (hand, pair) in enumerate(zip(hands, together, strict=True)):
        alone = pair_of(inpaint_pair, photo, hand, 3, draw(number), FakeInpainter(), seam="ring")
        assert isinstance(pair, EditedPhoto)
        assert np.array_equal(pair.chosen, alone.chosen)
        assert np.array_equal(pair.rejected, alone.rejected)


def test_a_call_has_images_of_one_kind_and_no_more_than_the_model_takes(photo: ByteArray) -> None:
    hand, narrow = hand_region(), photo[:, :48]
    painter = FakeInpainter(native_size=128)
    paintings = [
        inpaint_pair(photo, hand, 3, draw(), painter),
        inpaint_pair(narrow, hand_region((120, 48), (4, 40)), 3, draw(), painter),
        inpaint_pair(photo, hand, 1, draw(), painter),
        inpaint_pair(photo, hand, 3, draw(), painter),
    ]
    assert len(paint_all(paintings, painter, batch_size=8)) == 4
    assert painter.sizes == [2, 1, 1]
    single = FakeInpainter(at_most=1)
    paint_all([inpaint_pair(photo, hand, 3, draw(), single) for _ in range(3)], single, batch_size=8)
    assert single.sizes == [1, 1, 1]


def test_one_that_fails_leaves_the_others(photo: ByteArray, tiny: Tiny) -> None:
    """An unfit part, and an image with values that are not finite, give errors in their places."""
    hand, painter = hand_region(), load_inpainter("repaint", tiny("sd"), steps=1, size=SIZE)
    original = painter.pipeline

    def broken(**named: Any) -> Any:  # noqa: ANN401
        out = original(**named)
        out.images[-1, 0, 0, 0] = np.nan
        return out

    painter.pipeline = Wrapped(original, broken)
    empty = replace(hand, mask=np.zeros_like(hand.mask))
    paintings = [inpaint_pair(photo, region, 3, draw(), painter) for region in (hand, empty, hand)]
    first, second, third = paint_all(paintings, painter, batch_size=4)
    assert isinstance(first, EditedPhoto)
    assert isinstance(second, InputError)
    assert isinstance(third, BrokenImageError)
    assert "values that are not finite; try --dtype float32" in str(third)


def test_a_wrong_number_of_images_ends_the_build(tiny: Tiny) -> None:
    painter = load_inpainter("repaint", tiny("sd"), steps=1, size=SIZE)
    painter.pipeline = Wrapped(painter.pipeline, lambda **_: SimpleNamespace(images=np.zeros((1, SIZE, SIZE, 3))))
    with pytest.raises(AsapError, match="asked for 3 images and returned 1"):
        painter.paint(requests(()))


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class Wrapped:
    """A pipeline with another call."""

    def __init__(self, pipeline: Any, call: Callable[..., Any]) -> None:  # noqa: ANN401
        self.pipeline, self.call = pipeline, call

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self.pipeline, name)

    def __call__(self, **named: Any) -> Any:  # noqa: ANN401
        return self.call(**named)
