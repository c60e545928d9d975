import pytest

from asap.align.monitors import ChosenDegradationMonitor, PredictionNormMonitor


def test_drift_is_the_mean_at_first_and_forgets_later() -> None:
    monitor = PredictionNormMonitor(window=4)
    for ratio in (1.1, 0.9, 1.3):
        monitor.update({"norm_ratio": ratio})
    assert monitor.drift == pytest.approx((0.1 + 0.1 + 0.3) / 3)
    monitor.update({"norm_ratio": None})
    assert monitor.steps == 3
    for _ in range(60):
        monitor.update({"norm_ratio": 1.5})
    assert monitor.drift == pytest.approx(0.5, abs=1e-6)


def test_the_bound_counts_after_a_whole_window() -> None:
    monitor = PredictionNormMonitor(window=3)
    for _ in range(2):
        monitor.update({"norm_ratio": 2.0})
    assert not monitor.exceeds(0.5)
    monitor.update({"norm_ratio": 2.0})
    assert monitor.exceeds(0.5)
    assert not monitor.exceeds(1.5)
    assert not monitor.exceeds(None)


def row(delta: float, rise: float) -> dict[str, float | None]:
    return {"delta": delta, "winner_rise": rise, "reference_winner": 0.1}


def test_degradation_is_told_from_progress() -> None:
    """Delta and the chosen side's error grow together: noticed once. Delta grows while that error falls: never."""
    monitor = ChosenDegradationMonitor(window=5)
    assert sum(monitor.update(row(0.001 * step, 0.001 * step)) for step in range(40)) == 1
    assert monitor.degrading
    calm = ChosenDegradationMonitor(window=5)
    assert not any(calm.update(row(0.001 * step, -0.001 * step)) for step in range(40))
    shrinking = ChosenDegradationMonitor(window=5)
    assert not any(shrinking.update(row(-0.001 * step, 0.001 * step)) for step in range(40))
