import numpy as np
import pytest
from scipy import stats

from asap.benchmark.ranking import auroc, midranks


def test_midranks_agree_with_scipy() -> None:
    values = np.random.default_rng(0).integers(0, 6, size=50)
    assert np.array_equal(midranks(values), stats.rankdata(values))


def test_auroc_agrees_with_mann_whitney() -> None:
    draw = np.random.default_rng(1)
    positive, negative = np.round(draw.normal(1, 1, 80), 1), np.round(draw.normal(0, 1, 120), 1)
    expected = stats.mannwhitneyu(positive, negative).statistic / (80 * 120)
    assert auroc(positive, negative).value == pytest.approx(expected, abs=1e-12)


def test_auroc_variance_agrees_with_the_quadratic_formula() -> None:
    draw = np.random.default_rng(2)
    positive, negative = draw.normal(1, 1, 30), draw.normal(0, 1, 40)
    wins = (positive[:, None] > negative[None]) + 0.5 * (positive[:, None] == negative[None])
    variance = wins.mean(1).var(ddof=1) / 30 + wins.mean(0).var(ddof=1) / 40
    found = auroc(positive, negative)
    assert found.value is not None
    assert found.low == pytest.approx(found.value - 1.959964 * np.sqrt(variance), abs=1e-6)


def test_interval_covers() -> None:
    truth = float(stats.norm.cdf(1 / np.sqrt(2)))
    draw, hits = np.random.default_rng(3), 0
    for _ in range(200):
        found = auroc(draw.normal(1, 1, 60), draw.normal(0, 1, 60))
        assert found.ci is not None
        hits += found.ci[0] <= truth <= found.ci[1]
    assert 0.9 <= hits / 200 <= 0.99


def test_perfect_separation_is_not_certain() -> None:
    found = auroc([2.0, 3.0], [0.0, 1.0])
    assert found.value == 1
    assert found.low is not None
    assert found.low < 0.7


def test_empty_side_gives_no_number() -> None:
    assert auroc([], [1.0]).value is None
