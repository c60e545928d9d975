import numpy as np
import pytest
from scipy import linalg

from asap.benchmark.frechet import FEATURES, FrechetDistance, cosine_features, frechet, frechet_difference
from asap.core.errors import InputError


def pictures(n: int, seed: int, shift: float = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    draw = np.random.default_rng(seed)
    base = draw.uniform(40, 200, size=(n, 1, 1, 3)) + shift + draw.normal(0, 8, size=(n, 64, 64, 3))
    return np.clip(base, 0, 255).astype(np.uint8)


def test_agrees_with_scipy_matrix_root() -> None:
    draw = np.random.default_rng(0)
    first, second = draw.normal(size=(200, 5)), draw.normal(size=(150, 5)) @ draw.normal(size=(5, 5)) + 1
    cov1, cov2 = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = np.real(linalg.sqrtm(cov1 @ cov2))
    gap = first.mean(0) - second.mean(0)
    expected = gap @ gap + np.trace(cov1 + cov2 - 2 * root)
    assert frechet(first, second) == pytest.approx(expected, rel=1e-9)


def test_one_dimension_by_hand() -> None:
    # Means 0 and 3, standard deviations sqrt(2) and 2 sqrt(2): 9 + (2 sqrt 2 - sqrt 2)^2 = 11.
    assert frechet(np.array([[-1.0], [1.0]]), np.array([[1.0], [5.0]])) == pytest.approx(11)


def test_features_have_the_promised_width_and_see_blur_and_colour() -> None:
    images = pictures(30, 0)
    features = cosine_features(images)
    assert features.shape == (30, FEATURES)
    blurred = images.reshape(30, 16, 4, 16, 4, 3).mean(axis=(2, 4), keepdims=True)
    blurred = np.broadcast_to(blurred, (30, 16, 4, 16, 4, 3)).reshape(images.shape).astype(np.uint8)
    near = frechet(features, cosine_features(pictures(30, 1)))
    assert frechet(features, cosine_features(blurred)) > 2 * near
    assert frechet(features, cosine_features(pictures(30, 1, shift=60))) > 2 * near


def test_features_refuse_odd_sizes() -> None:
    with pytest.raises(InputError, match="multiple of 32"):
        cosine_features(np.zeros((2, 50, 50, 3), np.uint8))


def test_difference_of_a_model_with_itself_is_zero_and_a_worse_one_is_told() -> None:
    clean, same, worse = pictures(60, 0), pictures(60, 1), pictures(60, 1, shift=50)
    names = [str(i // 2) for i in range(60)]
    base, model = FrechetDistance([clean]), FrechetDistance([clean[:30], clean[30:]])
    base.update(same, names)
    model.update(worse, names)
    draw = np.random.default_rng(0)
    assert frechet_difference(base, base, draw, resamples=20).value == 0
    found = frechet_difference(model, base, draw, resamples=50)
    assert found.low is not None
    assert found.low > 0
