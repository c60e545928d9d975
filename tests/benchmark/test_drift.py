import numpy as np
import pytest

from asap.benchmark.drift import attribute_hits, attribute_rate, outside_change, outside_change_of
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
    assert outside_change_of(model, base, upper, none) == pytest.approx(0.2)
    assert outside_change_of(model, base, none, upper) == pytest.approx(0.2)
    assert outside_change_of(model, base, none, none) == pytest.approx(0.6)
    assert outside_change_of(model, base, np.ones((2, 2), np.float32), none) is None
    with pytest.raises(InputError):
        outside_change_of(model, base[:8], none, none)


def test_pictures_full_of_people_are_left_out_of_the_mean() -> None:
    found = outside_change([0.1, None, 0.3], ["a", "b", "c"], np.random.default_rng(0))
    assert found.value == pytest.approx(0.2)
    assert found.n == 2
