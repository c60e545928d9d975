import numpy as np
import pytest

from asap.benchmark.drift import PixelDrift, attribute_hits, attribute_rate, outside_change
from asap.benchmark.frechet import cosine_features, frechet
from asap.core.errors import InputError


def test_hits_by_hand() -> None:
    wanted = [{"skin": "dark"}, {"skin": "dark"}, {"skin": ""}, {}]
    seen = [{"skin": "dark"}, {"skin": "pale"}, {"skin": "dark"}, {"skin": "dark"}]
    hits = attribute_hits(wanted, seen, "skin")
    assert hits[:2].tolist() == [1, 0]
    assert np.isnan(hits[2:]).all()
    rate = attribute_rate(hits, ["a", "b", "c", "d"], np.random.default_rng(0))
    assert (rate.value, rate.n) == (0.5, 2)
    with pytest.raises(InputError):
        attribute_hits(wanted, seen[:1], "skin")


def test_rate_of_all_right_is_not_certain_but_no_change_is() -> None:
    rng = np.random.default_rng(0)
    low = attribute_rate(np.ones(10), list("abcdefghij"), rng).low
    assert low is not None
    assert low < 0.8
    assert attribute_rate(np.zeros(10), list("abcdefghij"), rng, shares=False).ci == (0.0, 0.0)


def test_change_is_measured_outside_both_people() -> None:
    base = np.zeros((16, 16, 3), np.uint8)
    model = base.copy()
    model[:8], model[8:] = 255, 51
    upper, none = np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32)
    upper[0] = 1
    assert outside_change(model, base, upper, none) == pytest.approx(0.2)
    assert outside_change(model, base, none, upper) == pytest.approx(0.2)
    assert outside_change(model, base, none, none) == pytest.approx(0.6)
    assert outside_change(model, base, np.ones((2, 2), np.float32), none) is None
    with pytest.raises(InputError):
        outside_change(model, base[:8], none, none)


def test_images_full_of_people_are_left_out_of_the_mean() -> None:
    drift, black = PixelDrift(), np.zeros((16, 16, 3), np.uint8)
    nobody, everywhere, unknown = (
        np.zeros((2, 2), np.float32),
        np.ones((2, 2), np.float32),
        np.zeros((0, 0), np.float32),
    )
    for prompt, level, person in (("a", 51, nobody), ("b", 255, everywhere), ("c", 153, nobody), ("d", 0, unknown)):
        drift.update(prompt, black + np.uint8(level), black, person, person)
    found = drift.compute(0)
    assert drift.outside == [pytest.approx(0.2), None, pytest.approx(0.6), None]
    assert (found["outside_change"]["value"], found["outside_change"]["n"]) == (pytest.approx(0.4), 2)
    assert (found["whole_change"]["value"], found["whole_change"]["n"]) == (pytest.approx((0.2 + 1 + 0.6) / 4), 4)
    assert "frechet" not in found


def test_distances_to_a_reference_are_those_of_all_images_together() -> None:
    draw = np.random.default_rng(3)
    images = draw.integers(0, 255, (3, 12, 32, 32, 3), dtype=np.uint8)
    drift, nobody = PixelDrift(images[0], resamples=10), np.zeros((2, 2), np.float32)
    for number, (model, base) in enumerate(zip(images[1], images[2], strict=True)):
        drift.update(str(number), model, base, nobody, nobody)
    found = drift.compute(0)
    reference, model, base = map(cosine_features, images)
    assert found["frechet"] == pytest.approx(frechet(model, reference))
    assert found["frechet_base"] == pytest.approx(frechet(base, reference))
    assert found["frechet_change"]["value"] == pytest.approx(frechet(model, reference) - frechet(base, reference))
