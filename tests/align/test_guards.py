import pytest

from asap.align.guards import DriftWatch


def test_drift_is_the_mean_at_first_and_forgets_later() -> None:
    watch = DriftWatch(window=4)
    for ratio in (1.1, 0.9, 1.3):
        watch.update({"norm_ratio": ratio})
    assert watch.drift == pytest.approx((0.1 + 0.1 + 0.3) / 3)
    watch.update({"norm_ratio": None})
    assert watch.steps == 3
    for _ in range(60):
        watch.update({"norm_ratio": 1.5})
    assert watch.drift == pytest.approx(0.5, abs=1e-6)


def test_the_bound_counts_after_a_whole_window() -> None:
    watch = DriftWatch(window=3)
    for _ in range(2):
        watch.update({"norm_ratio": 2.0})
    assert not watch.exceeds(0.5)
    watch.update({"norm_ratio": 2.0})
    assert watch.exceeds(0.5)
    assert not watch.exceeds(1.5)
    assert not watch.exceeds(None)
