import math

import numpy as np
import pytest
from scipy import stats

from asap.benchmark import intervals
from asap.benchmark.correction import Measured, correct, rogan_gladen
from asap.benchmark.intervals import Estimate, bootstrap_sums, ratio, wilson
from asap.benchmark.metrics import ErrorRate, Outcome, PairedDifference, Strength, mcnemar, strength
from asap.core.errors import InputError


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def outcomes(table: dict[str, list[bool | None]]) -> list[Outcome]:
    return [
        Outcome(prompt=name, seed=seed, fails=fails) for name, row in table.items() for seed, fails in enumerate(row)
    ]


@pytest.mark.parametrize(("count", "n"), [(0, 10), (3, 10), (10, 10), (47, 192)])
def test_wilson_agrees_with_scipy(count: int, n: int) -> None:
    expected = stats.binomtest(count, n).proportion_ci(method="wilson")
    found = wilson(count, n)
    assert found.low == pytest.approx(expected.low, abs=1e-12)
    assert found.high == pytest.approx(expected.high, abs=1e-12)


def test_wilson_of_nothing_is_no_number() -> None:
    assert wilson(0, 0) == Estimate.none()


def test_wilson_refuses_more_than_all() -> None:
    with pytest.raises(InputError, match="4 of 3"):
        wilson(4, 3)


def test_bootstrap_draws_whole_clusters() -> None:
    # Two clusters worth 0 and 10: a resample of two clusters can only sum to 0, 10 or 20.
    sums = bootstrap_sums([[0, 0, 4, 6]], ["a", "a", "b", "b"], rng(), resamples=400)
    assert set(np.unique(sums)) == {0.0, 10.0, 20.0}


def test_error_rate_counts_unscored_apart() -> None:
    metric = ErrorRate()
    metric.update(outcomes({"a": [True, False], "b": [None, True], "c": [False, False]}))
    rate = metric.compute(rng())
    assert (rate.count, rate.estimate.n, rate.unscored) == (2, 5, 1)
    assert rate.estimate.value == pytest.approx(0.4)
    assert rate.wilson.low is not None
    assert rate.to_json()["n"] == 5


def test_error_rate_of_agreeing_images_still_has_an_interval() -> None:
    metric = ErrorRate()
    metric.update(outcomes({"a": [False] * 4, "b": [False] * 4}))
    rate = metric.compute(rng())
    assert rate.estimate.low == 0
    assert rate.estimate.high is not None
    assert rate.estimate.high > 0.3


def test_error_rate_without_scores_has_no_number() -> None:
    metric = ErrorRate()
    metric.update(outcomes({"a": [None]}))
    rate = metric.compute(rng())
    assert rate.estimate.value is None
    assert rate.unscored == 1


@pytest.mark.parametrize("spread_of_prompts", [0.0, 0.35])
def test_clustered_interval_covers(spread_of_prompts: float) -> None:
    draw, hits, trials = rng(5), 0, 150
    for _ in range(trials):
        chance = np.clip(0.4 + spread_of_prompts * draw.choice([-1, 1], size=60), 0, 1)
        fails = draw.random((60, 3)) < chance[:, None]
        clusters = [str(prompt) for prompt in range(60) for _ in range(3)]
        found = ratio(fails.ravel(), np.ones(180), clusters, draw, resamples=400)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0.4 <= found.high
    assert 0.89 <= hits / trials <= 0.99


def test_independent_interval_would_not_cover_clustered_images() -> None:
    draw, hits, trials = rng(6), 0, 150
    for _ in range(trials):
        chance = 0.4 + 0.35 * draw.choice([-1, 1], size=20)
        count = int((draw.random((20, 10)) < chance[:, None]).sum())
        found = wilson(count, 200)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0.4 <= found.high
    assert hits / trials < 0.8


def test_rogan_gladen_by_hand() -> None:
    # 100 images, 30 bad; se 0.8, sp 0.9: 24 + 7 = 31 fail, and 0.31 must give 0.3 back.
    assert rogan_gladen(0.31, 0.8, 0.9) == pytest.approx(0.3)
    assert rogan_gladen(0.05, 0.8, 0.9) == 0.0
    assert rogan_gladen(0.95, 0.8, 0.9) == 1.0


def test_rogan_gladen_refuses_a_coin() -> None:
    with pytest.raises(InputError, match="no more than 1"):
        rogan_gladen(0.3, 0.5, 0.5)


def test_correction_covers_and_is_wider_for_a_poorly_known_judge() -> None:
    draw, hits, trials = rng(7), 0, 100
    for _ in range(trials):
        bad = draw.random(200) < 0.3
        fails = np.where(bad, draw.random(200) < 0.85, draw.random(200) < 0.1)
        se = Measured(right=int((draw.random(150) < 0.85).sum()), n=150)
        sp = Measured(right=int((draw.random(150) < 0.9).sum()), n=150)
        rows = [Outcome(prompt=str(i), seed=0, fails=bool(value)) for i, value in enumerate(fails)]
        found = correct(rows, se, sp)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0.3 <= found.high
    assert hits / trials >= 0.9


def test_correction_widens_with_fewer_calibration_images() -> None:
    rows = outcomes({str(i): [i % 5 < 2] for i in range(200)})
    widths = []
    for n in (20, 2000):
        found = correct(rows, Measured(right=int(0.9 * n), n=n), Measured(right=int(0.9 * n), n=n))
        assert found.ci is not None
        widths.append(found.ci[1] - found.ci[0])
        assert found.value == pytest.approx(0.375)
    assert widths[0] > 1.3 * widths[1]


def test_a_judge_known_from_three_images_leaves_everything_open() -> None:
    found = correct(outcomes({"a": [True, False]}), Measured(right=2, n=2), Measured(right=2, n=3))
    assert found.ci == (0.0, 1.0)


def test_strength_by_hand() -> None:
    metric = Strength()
    metric.update(
        outcomes({"a": [False, True], "b": [False, None], "c": [False, False]}),
        outcomes({"a": [True, False], "b": [True, True], "c": [False, False]}),
    )
    found = metric.compute(rng())
    assert (found.win, found.tie, found.lose) == (2, 2, 1)
    assert found.estimate.value == pytest.approx(4 / 3)


def test_strength_says_when_it_is_undefined() -> None:
    metric = Strength()
    metric.update(outcomes({"a": [False]}), outcomes({"a": [True]}))
    found = metric.compute(rng())
    assert found.estimate.value is None
    assert "undefined" in found.note
    assert found.win == 1


def test_paired_difference_by_hand() -> None:
    metric = PairedDifference()
    metric.update(
        outcomes({"a": [False, True], "b": [False, False]}), outcomes({"a": [True, True], "b": [True, False]})
    )
    found = metric.compare(rng())
    assert found.difference.value == pytest.approx(-0.5)
    assert found.relative.value == pytest.approx(2 / 3)
    assert (found.only_model, found.only_base) == (0, 2)
    assert found.p_value == pytest.approx(0.5)


def test_paired_difference_of_a_model_with_itself_is_exactly_zero() -> None:
    rows = outcomes({str(i): [i % 3 == 0, i % 2 == 0] for i in range(30)})
    metric = PairedDifference()
    metric.update(rows, rows)
    assert metric.compare(rng()).difference.ci == (0.0, 0.0)


def test_pairs_need_common_keys() -> None:
    metric = Strength()
    metric.update(outcomes({"a": [True]}), outcomes({"b": [True]}))
    with pytest.raises(InputError, match="share no prompt"):
        metric.compute(rng())


def test_a_key_judged_twice_is_refused() -> None:
    metric = Strength()
    metric.update(outcomes({"a": [True]}) * 2, outcomes({"a": [True]}))
    with pytest.raises(InputError, match="judged twice"):
        metric.compute(rng())


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 6), (12, 3), (40, 41)])
def test_mcnemar_agrees_with_scipy(first: int, second: int) -> None:
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected)
    assert not math.isnan(mcnemar(first, second))


def test_more_than_five_percent_errors_leave_no_rate() -> None:
    rows = [Outcome(prompt=str(i), seed=0, fails=i % 2 == 0) for i in range(94)]
    failed = [Outcome(prompt=str(i), seed=1, fails=None, error=True) for i in range(6)]
    metric = ErrorRate()
    metric.update(rows + failed[:4])
    kept = metric.compute(rng())
    assert (kept.errors, kept.unscored, kept.note) == (4, 4, "")
    assert kept.estimate.value == pytest.approx(0.5)
    metric.update(failed[4:])
    refused = metric.compute(rng())
    assert (refused.estimate.value, refused.wilson.value, refused.errors) == (None, None, 6)
    assert "6 of 100" in refused.note
    assert metric.by_prompt(rng()).mean.value is None
    with pytest.raises(InputError, match="6 of 100"):
        correct(rows + failed, Measured(right=9, n=10), Measured(right=9, n=10))


def test_rates_by_prompt_by_hand() -> None:
    metric = ErrorRate()
    metric.update(outcomes({"a": [True, True], "b": [True, False, False, False], "c": [False], "d": [None]}))
    found = metric.by_prompt(rng())
    assert found.mean.value == pytest.approx((1 + 0.25 + 0) / 3)
    assert found.ever.value == pytest.approx(2 / 3)
    assert found.always.value == pytest.approx(1 / 3)


def test_win_rate_leaves_ties_out() -> None:
    votes = [1, 1, 1, -1, 0, 0]
    found = strength(votes, list("abcdef"), rng())
    assert found.win_rate.value == pytest.approx(0.75)
    assert found.win_rate.n == 4
    assert found.estimate.value == pytest.approx(5 / 3)
    assert strength([0, 0], ["a", "b"], rng()).win_rate.value is None


@pytest.mark.parametrize(("worse", "better"), [(15, 30), (20, 24), (0, 0)])
def test_the_bootstrap_and_mcnemar_by_prompt_tell_the_same(worse: int, better: int) -> None:
    changes = [(True, False)] * worse + [(False, True)] * better + [(True, True)] * 40 + [(False, False)] * 40
    metric = PairedDifference()
    metric.update(
        outcomes({str(place): [model] for place, (model, _) in enumerate(changes)}),
        outcomes({str(place): [base] for place, (_, base) in enumerate(changes)}),
    )
    found = metric.compare(rng())
    # 2000 resamples: four standard errors of p = 0.5 are 0.045; the two tests themselves differ by less
    assert found.p_bootstrap == pytest.approx(found.p_clustered, abs=0.05)
    assert found.p_bootstrap >= 1 / 2001


def test_resamples_do_not_depend_on_the_size_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    clusters = [f"p{index % 40}" for index in range(120)]
    columns = np.random.default_rng(3).integers(0, 2, (2, 120))
    whole = bootstrap_sums(columns, clusters, rng(), resamples=100)
    monkeypatch.setattr(intervals, "BLOCK", 40 * 7)
    assert (bootstrap_sums(columns, clusters, rng(), resamples=100) == whole).all()


def test_mcnemar_of_many_images_is_the_sum_of_binomials() -> None:
    tail = sum(math.comb(5000, k) for k in range(2431))
    assert mcnemar(2430, 2570) == pytest.approx(2 * tail / 2**5000, rel=1e-9)
    assert mcnemar(10**6, 10**6) == 1
