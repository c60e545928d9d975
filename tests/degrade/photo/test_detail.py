"""Fine detail: what is measured, and that a painted image gets its sources' strength back."""

import numpy as np
import pytest
from scipy import ndimage

from asap.core.errors import InputError
from asap.core.records import FloatArray
from asap.degrade.photo.compositor import Compositor, Layer
from asap.degrade.photo.detail import match_strength, similarity, strength
from asap.degrade.photo.sampling import pixels


def grain(seed: int = 0, sigma: float = 4.0, side: int = 96) -> FloatArray:
    noise = np.random.default_rng(seed).normal(0, sigma, (side, side, 3))
    smooth: FloatArray = 120 + ndimage.gaussian_filter(noise, (0.6, 0.6, 0)).astype(np.float32)
    return smooth


def test_twice_the_grain_is_twice_the_strength_and_a_straight_edge_is_none() -> None:
    fine, coarse = strength(grain() * 2 - 120), strength(grain())
    np.testing.assert_allclose(fine, 2 * coarse, rtol=1e-3)
    edge = np.full((40, 40, 3), 50, dtype=np.float32)
    edge[:, 20:] = 200
    np.testing.assert_allclose(strength(edge), 0, atol=1e-3)


@pytest.mark.parametrize("factor", [0.75, 1.4])
def test_weak_and_strong_detail_is_brought_to_what_is_wanted(factor: float) -> None:
    wanted = strength(grain(1))
    changed = ((grain() - 120) * factor + 120).astype(np.float32)
    found = strength(match_strength(changed, wanted, np.ones((96, 96), dtype=np.float32)))
    before = strength(changed)
    for k in range(3):
        assert found[..., k].mean() == pytest.approx(wanted[..., k].mean(), rel=0.1)
        assert abs(before[..., k].mean() / wanted[..., k].mean() - 1) > 0.2


def test_nothing_happens_where_nothing_was_painted_and_the_mean_stays() -> None:
    share = np.zeros((96, 96), dtype=np.float32)
    share[:, 48:] = 1
    found = match_strength(grain(), 1.5 * strength(grain()), share)
    assert np.array_equal(found[:, :48], grain()[:, :48])
    np.testing.assert_allclose(
        ndimage.gaussian_filter(found, (3, 3, 0)), ndimage.gaussian_filter(grain(), (3, 3, 0)), atol=0.3
    )


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.4])
def test_a_stretched_layer_is_as_fine_as_the_photograph(scale: float) -> None:
    """A square read at ``scale`` pixels a pixel: its grain has the strength of the other side's within a tenth."""
    image, where = grain(), np.zeros((96, 96), dtype=bool)
    where[20:76, 20:76] = True
    source = (48 + scale * (pixels(where) - 48)).astype(np.float32)
    easel = Compositor(image, image, (slice(0, 96), slice(0, 96)), where, 5)
    easel.paint(Layer(where=where, source=source, share=np.ones(len(source), dtype=np.float32), image=image))
    chosen, rejected = (strength(side.astype(np.float32))[30:66, 30:66, 0].mean() for side in easel.sides())
    assert rejected == pytest.approx(chosen, rel=0.1)


def test_places_that_show_the_same_are_told_by_their_low_frequencies() -> None:
    other = grain(0, 2.0) + np.where(np.arange(96)[None, :, None] < 48, 2, 20).astype(np.float32)
    same = similarity(grain(1, 2.0), other)[:, :, 0]
    assert same[:, :44].min() == 1
    assert same[:, 52:].max() == 0


def test_what_lies_beyond_the_image_is_refused_or_left_out() -> None:
    nowhere = np.zeros((40, 40), dtype=bool)
    with pytest.raises(InputError, match="the edited area lies outside"):
        Compositor(grain(side=40), grain(side=40), (slice(0, 40), slice(0, 40)), nowhere, 0)
    some = nowhere.copy()
    some[10:20, 10:20] = True
    easel = Compositor(grain(side=40), grain(side=40), (slice(0, 40), slice(0, 40)), some, 0)
    before = easel.rejected.copy()
    nothing = np.zeros((0, 2), dtype=np.float32)
    easel.paint(Layer(where=nowhere, source=nothing, share=np.zeros(0, dtype=np.float32)))
    assert np.array_equal(easel.rejected, before)
