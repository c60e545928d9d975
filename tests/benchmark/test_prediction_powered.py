"""Prediction-powered inference: hand-worked values, an independent implementation, clusters, and coverage."""

import numpy as np
import pytest
from scipy import optimize, special, stats

from asap.benchmark.intervals import wilson
from asap.benchmark.prediction_powered import _logistic, combine, ppi_mean, recalibrate
from asap.core.errors import InputError

Vector = np.ndarray[tuple[int], np.dtype[np.float64]]
Z = stats.norm.ppf(0.975)


def images(rng: np.random.Generator, prompts: int, seeds: int, rate: float = 0.4) -> tuple[Vector, Vector, list[str]]:
    """Truth, scores of a fair judge and prompt names; prompts differ in their own rate."""
    own = np.clip(rate + rng.normal(0, 0.2, prompts), 0.02, 0.98)
    truth = (rng.random((prompts, seeds)) < own[:, None]).astype(np.float64).ravel()
    scores = np.clip(0.3 + 0.35 * truth + rng.normal(0, 0.2, truth.size), 0, 1)
    return truth, scores, np.repeat(np.arange(prompts), seeds).astype(str).tolist()


def rate_some(truth: Vector, prompts: list[str], rated: int, rng: np.random.Generator) -> Vector:
    """The truth of ``rated`` prompts drawn at random, NaN elsewhere."""
    names = np.unique(prompts)
    chosen = rng.permutation(names)[:rated]
    return np.where(np.isin(prompts, chosen), truth, np.nan)


def test_a_mean_worked_by_hand() -> None:
    """Ratings 1, 0, 1, 1 with scores 1, 0, 1, 0 and other scores 1, 0, 0, 0; lambda 1/2.

    The residuals y - f/2 are 1/2, 0, 1/2, 1 with mean 1/2; the others have mean 1/4; theta = 1/2 + 1/8.
    Var = (1/8) / 4 + (1/4) (3/16) / 4 = 11/256.
    """
    point, error, power = ppi_mean([1, 0, 1, 1], [1, 0, 1, 0], [1, 0, 0, 0], power=0.5)
    assert (point, power) == (0.625, 0.5)
    assert error == pytest.approx(np.sqrt(11 / 256), abs=1e-15)


def test_lambda_worked_by_hand() -> None:
    """Cov(y, f) = 1/8 over the rated; f is 1, 0, 1, 0, 1, 0, 0, 0: variance 15/56; n = N; (1/8) / (2 * 15/56)."""
    *_, power = ppi_mean([1, 0, 1, 1], [1, 0, 1, 0], [1, 0, 0, 0])
    assert power == pytest.approx((1 / 8) / (2 * 15 / 56))


@pytest.mark.parametrize("power", [None, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("strength", [0.0, 0.2, 0.8])
def test_it_agrees_with_an_independent_implementation(power: float | None, strength: float) -> None:
    peer = pytest.importorskip("ppi_py")
    rng = np.random.default_rng(5)
    y = (rng.random(60) < 0.4).astype(np.float64)
    f, others = y * strength + rng.random(60) * (1 - strength), rng.random(300)
    point, error, _ = ppi_mean(y, f, others, power=power)
    wanted = peer.ppi_mean_pointestimate(y, f, others, lam=power)
    low, high = peer.ppi_mean_ci(y, f, others, alpha=0.05, lam=power)
    assert point == pytest.approx(float(np.ravel(wanted)[0]), abs=1e-9)
    assert (point - Z * error, point + Z * error) == pytest.approx((low[0], high[0]), abs=1e-9)


def test_with_one_image_per_prompt_the_clustered_estimate_is_the_papers() -> None:
    rng = np.random.default_rng(1)
    truth, scores, prompts = images(rng, 200, 1)
    ratings = rate_some(truth, prompts, 60, rng)
    rated = ~np.isnan(ratings)
    found = combine(ratings, scores, prompts)
    point, _, power = ppi_mean(ratings[rated], scores[rated], scores[~rated])
    assert (found.combined.value, found.power) == pytest.approx((point, power), abs=1e-12)


def test_a_prompt_counts_once_however_often_it_is_drawn() -> None:
    """Eight equal copies of every image carry no more than one."""
    rng = np.random.default_rng(2)
    truth, scores, prompts = images(rng, 80, 1)
    ratings = rate_some(truth, prompts, 40, rng)
    once = combine(ratings, scores, prompts)
    copies = combine(np.repeat(ratings, 8), np.repeat(scores, 8), np.repeat(prompts, 8).tolist())
    assert copies.combined.ci == pytest.approx(once.combined.ci, rel=1e-9)


def test_a_useless_judge_is_not_trusted_and_a_perfect_one_is() -> None:
    rng = np.random.default_rng(3)
    truth, _, prompts = images(rng, 400, 1)
    ratings = rate_some(truth, prompts, 100, rng)
    useless, perfect = combine(ratings, rng.random(400), prompts), combine(ratings, truth, prompts)
    assert useless.power < 0.25
    assert perfect.headline == "combined"
    assert perfect.combined.value == pytest.approx(truth.mean(), abs=2e-3)
    assert perfect.combined.ci is not None
    assert perfect.rated.ci is not None
    assert np.ptp(perfect.combined.ci) < 0.6 * np.ptp(perfect.rated.ci)


def test_a_judge_that_errs_by_a_constant_does_not_move_the_rate() -> None:
    rng = np.random.default_rng(4)
    truth, scores, prompts = images(rng, 300, 1)
    ratings = rate_some(truth, prompts, 80, rng)
    plain, shifted = combine(ratings, scores, prompts), combine(ratings, scores + 0.3, prompts)
    assert shifted.combined.value == pytest.approx(plain.combined.value, abs=1e-12)
    assert shifted.judged.value != plain.judged.value


def test_without_ratings_there_is_no_headline_number() -> None:
    found = combine(np.full(50, np.nan), np.linspace(0, 1, 50), [str(k) for k in range(50)])
    assert (found.headline, found.best.value, found.n_rated) == ("rated", None, 0)


def test_ratings_of_few_prompts_give_no_interval() -> None:
    rng = np.random.default_rng(6)
    truth, scores, prompts = images(rng, 50, 4)
    found = combine(rate_some(truth, prompts, 9, rng), scores, prompts)
    assert found.best.value is not None
    assert found.best.ci is None


def test_the_ratings_that_halve_the_interval_halve_it() -> None:
    rng = np.random.default_rng(7)
    truth, scores, prompts = images(rng, 2000, 1)
    ratings = rate_some(truth, prompts, 60, rng)
    before = combine(ratings, scores, prompts)
    assert before.ratings_to_halve is not None
    unrated = np.flatnonzero(np.isnan(ratings))
    more = rng.permutation(unrated)[: before.ratings_to_halve]
    ratings[more] = truth[more]
    after = combine(ratings, scores, prompts)
    assert before.best.ci is not None
    assert after.best.ci is not None
    assert np.ptp(after.best.ci) / np.ptp(before.best.ci) == pytest.approx(0.5, abs=0.08)


def test_raters_who_all_agree_leave_the_rate_uncertain() -> None:
    """Of 20 prompts all are wrong: Wilson's interval of 20 in 20. No pair of 20 differs: its limit of 0 in 20."""
    names, none = [str(k) for k in range(20)], np.zeros(20)
    low, high = combine(none + 1, none + 0.5, names).best.ci or (0.0, 0.0)
    assert (low, high) == pytest.approx((wilson(20, 20).low, 1.0))
    bound = wilson(0, 20).high
    assert combine(none, none, names, span=(-1.0, 1.0)).best.ci == pytest.approx((-(bound or 0.0), bound))


def test_recalibration_is_the_ridge_logistic_regression() -> None:
    """Against a general minimizer on the same loss, with and without separation."""
    rng = np.random.default_rng(10)
    for y, x in (
        ((rng.random(80) < 0.3).astype(np.float64), rng.normal(2, 3, 80)),
        (np.repeat([0.0, 1.0], 20), np.repeat([-6.9, 6.9], 20)),
        (np.ones(12), np.linspace(-1, 1, 12)),
    ):
        z = (x - x.mean()) / x.std()

        def loss(w: Vector, y: Vector = y, z: Vector = z) -> float:
            logits = w[0] + w[1] * z
            return float((np.logaddexp(0, logits) - y * logits).sum() + 0.5 * (0.01 * w[0] ** 2 + w[1] ** 2))

        intercept, slope = _logistic(x, y)
        wanted = optimize.minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}).x
        assert (intercept + slope * x.mean(), slope * x.std()) == pytest.approx(tuple(wanted), abs=1e-5)


def test_calibrated_scores_leave_a_low_rate_unbiased() -> None:
    """With lambda estimated from 40 ratings the mean of 400 studies lies 0.01 below the rate of 0.13."""
    rng, found = np.random.default_rng(11), []
    expected = float(special.expit(special.logit(0.1) + rng.normal(size=400_000)).mean())
    for _ in range(400):
        own = special.expit(special.logit(0.1) + rng.normal(size=120))
        truth, prompts = (rng.random(120) < own).astype(np.float64), np.arange(120).astype(str).tolist()
        ratings = rate_some(truth, prompts, 40, rng)
        scores = recalibrate(ratings, truth, prompts, rng)
        both = combine(ratings, scores, prompts), combine(ratings, scores, prompts, calibrated=True)
        found.append([one.combined.value for one in both])
        assert both[1].power == pytest.approx(80 / 120)
    estimated, known = np.mean(np.array(found, dtype=np.float64), axis=0) - expected
    assert estimated < -0.005
    assert abs(known) < 0.005


@pytest.mark.parametrize("calibrated", [False, True])
def test_the_ratings_that_halve_the_interval_halve_it_with_recalibrated_scores(calibrated: bool) -> None:
    rng = np.random.default_rng(12)
    truth, scores, prompts = images(rng, 3000, 1)
    ratings = rate_some(truth, prompts, 100, rng)
    before = combine(ratings, recalibrate(ratings, scores, prompts, rng), prompts, calibrated=calibrated)
    assert before.ratings_to_halve is not None
    assert before.headline == "combined"
    more = rng.permutation(np.flatnonzero(np.isnan(ratings)))[: before.ratings_to_halve]
    ratings[more] = truth[more]
    after = combine(ratings, recalibrate(ratings, scores, prompts, rng), prompts, calibrated=calibrated)
    assert after.best.ci is not None
    assert before.best.ci is not None
    assert np.ptp(after.best.ci) / np.ptp(before.best.ci) == pytest.approx(0.5, abs=0.1)


def test_faults_are_named() -> None:
    with pytest.raises(InputError, match="a score that is a number"):
        combine([1.0, 0.0], [0.5, np.nan], ["a", "b"])
    with pytest.raises(InputError, match="two ratings"):
        ppi_mean([1.0], [0.5], [0.2])


def test_recalibration_never_sees_the_prompt_that_it_scores() -> None:
    """Turning the ratings of one prompt leaves the recalibrated scores of that prompt unchanged."""
    rng = np.random.default_rng(8)
    truth, scores, prompts = images(rng, 60, 2)
    ratings = rate_some(truth, prompts, 30, rng)
    one = np.array(prompts) == np.array(prompts)[~np.isnan(ratings)][0]
    turned = np.where(one, 1 - ratings, ratings)
    first, second = (recalibrate(some, scores, prompts, np.random.default_rng(0)) for some in (ratings, turned))
    assert np.array_equal(first[one], second[one])
    assert not np.array_equal(first[~one], second[~one])


@pytest.mark.parametrize("judge", ["useless", "fair", "perfect"])
@pytest.mark.parametrize("rate", [0.15, 0.5])
def test_intervals_hold_the_truth_as_often_as_they_say(judge: str, rate: float) -> None:
    """400 studies of 120 prompts, 50 rated; ``benchmarks/judges/combined_coverage.py`` has all cells with 1,000."""
    rng, held, runs = np.random.default_rng(9), 0, 400
    expected = float(np.clip(rate + rng.normal(0, 0.2, 400_000), 0.02, 0.98).mean())
    for _ in range(runs):
        truth, scores, prompts = images(rng, 120, 1, rate)
        shown = {"useless": rng.random(len(truth)), "fair": scores, "perfect": truth}[judge]
        found = combine(rate_some(truth, prompts, 50, rng), shown, prompts).best.ci
        assert found is not None
        held += found[0] <= expected <= found[1]
    assert 0.92 <= held / runs <= 0.985
