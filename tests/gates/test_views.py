"""The edge band and the residuals: each sees its own trace, is blind to the rest, and changes sign with the sides."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from asap.core.records import BoolArray, ByteArray
from asap.gates import edge_band, residuals
from asap.gates.edge_band import edge_band_features
from asap.gates.residuals import _grid, planes, residual_features, surroundings, unchanged

SIDE = 96


def texture(seed: int = 0) -> ByteArray:
    noise = np.random.default_rng(seed).normal(size=(SIDE, SIDE, 3))
    coarse = ndimage.gaussian_filter(noise, (8, 8, 0))
    image: ByteArray = np.clip(128 + 20 * coarse / coarse.std() + 5 * noise, 0, 255).astype(np.uint8)
    return image


def square() -> BoolArray:
    inside = np.zeros((SIDE, SIDE), dtype=bool)
    inside[24:72, 24:72] = True
    return inside


def rim_gap(chosen: ByteArray, rejected: ByteArray) -> dict[str, float]:
    one, two = edge_band_features(planes(chosen), planes(rejected), square())
    return dict(zip(edge_band.NAMES, (float(value) for value in two - one), strict=True))


def residual_gap(chosen: ByteArray, rejected: ByteArray) -> dict[str, float]:
    one, two = residual_features(planes(chosen), planes(rejected), square(), ~square())
    return dict(zip(residuals.NAMES, (float(value) for value in two - one), strict=True))


class TestRim:
    def test_a_step_by_hand(self) -> None:
        """A flat image, one side 6 levels lighter inside: a step of 6 in brightness inwards at every place."""
        flat, stepped = np.full((SIDE, SIDE, 3), 100, np.uint8), np.full((SIDE, SIDE, 3), 100, np.uint8)
        stepped[square()] = 106
        found = rim_gap(flat, stepped)
        assert found["step in brightness"] == pytest.approx(6, abs=1e-3)
        assert found["signed step in brightness"] == pytest.approx(6, abs=1e-3)
        assert found["step in red"] == pytest.approx(0, abs=1e-3)
        assert [found[f"steps above {height}"] for height in (1, 2, 4, 8)] == [1, 1, 1, 0]
        assert found["places without a step"] == -1

    def test_a_darker_inside_has_the_other_sign(self) -> None:
        flat, stepped = np.full((SIDE, SIDE, 3), 100, np.uint8), np.full((SIDE, SIDE, 3), 100, np.uint8)
        stepped[square()] = 94
        found = rim_gap(flat, stepped)
        assert found["signed step in brightness"] == pytest.approx(-6, abs=1e-3)
        assert found["step in brightness"] == pytest.approx(6, abs=1e-3)

    def test_an_edge_of_the_anatomy_along_the_rim_does_not_count(self) -> None:
        other = texture()
        other[square()] = 255 - other[square()]
        other[36:60, 36:60] = 0
        far = np.abs(texture().astype(int) - other)[square()].mean()
        assert far > 16
        flat, black = np.full((SIDE, SIDE, 3), 100, np.uint8), np.full((SIDE, SIDE, 3), 100, np.uint8)
        black[square()] = 0
        assert set(rim_gap(flat, black).values()) == {0.0}

    def test_a_faint_outline_across_the_rim_is_anatomy(self) -> None:
        """One side has a bar of six grey levels more that crosses the rim: what it adds there is no seam."""
        one, two = texture(), texture()
        two[44:52, 20:60] += 6
        two[~square()] = one[~square()]
        assert max(map(abs, rim_gap(one, two).values())) < 1e-3

    def test_a_tint_is_noticed_beside_an_outline(self) -> None:
        one, two = texture(), texture()
        two[44:52, 20:60] += 6
        two += 2
        two[~square()] = one[~square()]
        assert rim_gap(one, two)["signed step in brightness"] == pytest.approx(2, abs=0.05)

    def test_exchanged_sides(self) -> None:
        one, two = texture(), texture()
        two[square()] = np.clip(two[square()].astype(int) + 3, 0, 255)
        there, back = rim_gap(one, two), rim_gap(two, one)
        assert all(there[name] == pytest.approx(-back[name]) for name in edge_band.NAMES)
        assert any(there.values())


class TestResiduals:
    def test_equal_sides_have_no_gap(self) -> None:
        assert set(residual_gap(texture(), texture()).values()) == {0.0}

    def test_a_blurred_side_has_less(self) -> None:
        blurred = ndimage.gaussian_filter(texture(), (0.7, 0.7, 0))
        found = residual_gap(texture(), blurred)
        assert found["inside, smooth: residual of brightness"] < -0.3
        assert found["outside, smooth: residual of brightness"] < -0.3
        assert found["inside, smooth: coarse over fine"] > 0.1
        assert found["inside: empty waves of 8x8 blocks"] > 0.05

    def test_added_noise_has_more(self) -> None:
        noise = np.random.default_rng(1).normal(0, 4, (SIDE, SIDE, 3))
        noisy = np.clip(np.rint(texture() + noise), 0, 255).astype(np.uint8)
        found = residual_gap(texture(), noisy)
        assert found["inside, smooth: residual of brightness"] > 0.1
        assert found["inside, smooth: residual of red"] > 0.1

    def test_a_jpeg_side_shows_its_grid_and_its_empty_waves(self) -> None:
        buffer = io.BytesIO()
        Image.fromarray(texture()).save(buffer, format="JPEG", quality=60)
        found = residual_gap(texture(), np.asarray(Image.open(buffer)))
        assert found["outside: empty waves of 8x8 blocks"] > 0.2
        assert found["inside: empty waves of 8x8 blocks"] > 0.2

    def test_the_grid_is_counted_from_the_images_corner(self) -> None:
        """Steps at columns 8, 16, ... of the whole image, in a window that begins at column 3."""
        stripes = np.full((SIDE, SIDE), 100, dtype=np.float32)
        stripes[:, (np.arange(SIDE) + 3) // 8 % 2 == 1] += 3
        whole = np.ones((SIDE, SIDE), dtype=bool)
        on, off = (_grid(stripes, whole, corner) for corner in ((0, 3), (0, 0)))
        assert on == pytest.approx(np.log(3 * 12 / (12 + 11) + 0.1) - np.log(0.1), abs=0.05)
        assert off < 0

    def test_too_few_pixels_say_nothing(self) -> None:
        one, two = planes(texture()), planes(texture(1))
        nobody = np.zeros((SIDE, SIDE), dtype=bool)
        first, second = residual_features(one, two, nobody, nobody)
        assert not first.any()
        assert not second.any()

    def test_the_surroundings_of_an_outline_differ(self) -> None:
        """From column 48 on one side is 12 levels lighter: the filter reaches 2 pixels, the surroundings 2 more."""
        flat, edged = np.full((SIDE, SIDE, 3), 100, np.uint8), np.full((SIDE, SIDE, 3), 100, np.uint8)
        edged[:, 48:] = 112
        gap = surroundings(planes(flat), planes(edged))
        assert gap[:, :44].max() == pytest.approx(0, abs=1e-3)
        assert gap[:, 44].min() == pytest.approx(12 / 5, abs=1e-3)

    def test_the_tightest_limit_that_leaves_enough_is_taken(self) -> None:
        area = np.ones((10, 10), dtype=bool)
        gap = np.full((10, 10), 9.0, dtype=np.float32)
        gap[:3] = 0.4
        assert unchanged(gap, area).sum() == 30
        gap[4:7] = 0.0
        assert unchanged(gap, area).sum() == 30
        assert unchanged(gap, area)[4:7].all()
        assert not unchanged(np.full((10, 10), 9.0, dtype=np.float32), area).any()
