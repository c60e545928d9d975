"""Our statistics against other people's code."""

import krippendorff
import numpy as np
import pytest
from scipy import linalg, stats
from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar
from statsmodels.stats.proportion import proportion_confint

from asap.benchmark.agreement import krippendorff_alpha
from asap.benchmark.frechet import frechet
from asap.benchmark.intervals import wilson
from asap.benchmark.metrics import clustered_mcnemar, mcnemar
from asap.benchmark.ranking import auroc

EXACT = 1e-9


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("count", "n"), [(0, 7), (1, 9), (250, 500), (1999, 2000), (2000, 2000)])
def test_wilson(count: int, n: int) -> None:
    low, high = proportion_confint(count, n, alpha=0.05, method="wilson")
    found = wilson(count, n)
    assert found.low == pytest.approx(low, abs=EXACT)
    assert found.high == pytest.approx(high, abs=EXACT)


@pytest.mark.parametrize(("only_model", "only_base"), [(1, 6), (12, 3), (40, 41), (0, 30)])
def test_mcnemar(only_model: int, only_base: int) -> None:
    table = [[50, only_model], [only_base, 20]]
    assert mcnemar(only_model, only_base) == pytest.approx(their_mcnemar(table, exact=True).pvalue, abs=EXACT)


@pytest.mark.parametrize(("only_model", "only_base"), [(12, 13), (40, 61), (3, 30)])
def test_clustered_mcnemar_with_one_image_a_prompt(only_model: int, only_base: int) -> None:
    values = [1] * only_model + [-1] * only_base + [0] * 70
    expected = their_mcnemar([[50, only_model], [only_base, 20]], exact=False, correction=False).pvalue
    assert clustered_mcnemar(values, map(str, range(len(values)))) == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize("values", [[1], [1, 1, 1, -1], [1] * 10 + [-1] * 4])
def test_clustered_mcnemar_of_few_prompts_is_the_exact_test(values: list[int]) -> None:
    expected = stats.binomtest(values.count(1), len(values)).pvalue
    assert clustered_mcnemar(values, map(str, range(len(values)))) == pytest.approx(expected, abs=EXACT)


def test_auroc_is_mann_whitney() -> None:
    draw = rng(3)
    positive, negative = draw.integers(0, 9, 70) + 1, draw.integers(0, 9, 40)
    expected = stats.mannwhitneyu(positive, negative).statistic / (70 * 40)
    assert auroc(positive, negative).value == pytest.approx(expected, abs=EXACT)


def test_frechet_is_the_matrix_root() -> None:
    first, second = rng(1).normal(size=(60, 5)), rng(2).normal(0.3, 2, size=(50, 5))
    covariances = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(sum(covariances) - 2 * root)
    assert frechet(first, second) == pytest.approx(float(expected), abs=EXACT)


@pytest.mark.parametrize("seed", range(4))
def test_krippendorff(seed: int) -> None:
    draw = rng(seed)
    truth = draw.integers(0, 3, 40)
    raters = np.where(draw.random((4, 40)) < 0.6, truth, draw.integers(0, 3, (4, 40))).astype(float)
    raters[draw.random((4, 40)) < 0.3] = np.nan
    expected = krippendorff.alpha(reliability_data=raters, level_of_measurement="nominal")
    rows = [[None if np.isnan(value) else int(value) for value in unit] for unit in raters.T]
    found = krippendorff_alpha(rows, rng())
    assert found.value == pytest.approx(expected, abs=EXACT)
    assert found.ci is not None
    assert found.value is not None
    assert found.ci[0] < found.value < found.ci[1]


def test_krippendorff_by_hand() -> None:
    # ab, ba, aa: 4 of 6 ordered pairs differ; dealt at random (aaaabb) 16 of 30 do
    found = krippendorff_alpha([["a", "b"], ["b", "a"], ["a", "a"], ["a", None]], rng())
    assert found.value == pytest.approx(1 - (4 / 6) / (16 / 30))
    assert found.n == 3


@pytest.mark.parametrize("rows", [[], [[True, True]], [[True, True], [True, True]], [[True, None], [None, False]]])
def test_krippendorff_without_variety_is_no_number(rows: list[list[bool | None]]) -> None:
    assert krippendorff_alpha(rows, rng()).value is None
