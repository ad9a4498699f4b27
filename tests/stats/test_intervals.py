"""Intervals: published values, an independent second way, and coverage by simulation."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from workbench.errors import ParameterError
from workbench.stats.intervals import (
    effective_count,
    entropy_interval,
    ratio_by_bucket,
    wilson,
    zero_share_upper,
)

REPLICATES = 2_000
LOWEST, HIGHEST = 0.934, 0.966  # what 2,000 replicates of a right 95 % interval may show (99.9 % binomial)


@pytest.mark.parametrize(("successes", "trials"), [(0, 7), (7, 7), (3, 10), (46, 10_000)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_wilson_equals_statsmodels(successes, trials, level):
    mine = wilson(successes, trials, confidence_level=level)
    theirs = proportion_confint(successes, trials, alpha=1 - level, method="wilson")
    assert (mine.lower.item(), mine.upper.item()) == pytest.approx(theirs, abs=1e-12)


def test_no_trials_give_no_number():
    found = wilson([1, 0], [2, 0])
    assert np.isnan(found.estimate[1])
    assert np.isnan(found.lower[1])


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_confidence_level_is_checked(level):
    with pytest.raises(ParameterError, match="strictly between 0 and 1"):
        wilson(1, 2, confidence_level=level)


def simulated_users(rng, users, heavy):
    """Exposures and clicks of users whose own click rates differ, in 256 buckets; the true ratio beside them."""
    exposures = rng.poisson(10, users) + 1
    if heavy:
        exposures[: users // 100] *= 20
    rates = rng.beta(0.5, 4.5, users)
    clicks = rng.binomial(exposures, rates)
    buckets = rng.integers(0, 256, users)
    summed = [np.bincount(buckets, one, minlength=256)[:, None] for one in (clicks, exposures)]
    return summed, 0.1


@pytest.mark.parametrize(("users", "heavy"), [(400, False), (5_000, False), (5_000, True)])
def test_ratio_by_bucket_covers_where_rows_are_not_independent(users, heavy):
    rng = np.random.default_rng(7)
    hits = naive = 0
    for _ in range(REPLICATES):
        (clicks, exposures), truth = simulated_users(rng, users, heavy)
        found = ratio_by_bucket(clicks, exposures)
        hits += bool(found.lower[0] <= truth <= found.upper[0])
        rowwise = wilson(clicks.sum(), exposures.sum())
        naive += bool(rowwise.lower <= truth <= rowwise.upper)
    assert LOWEST <= hits / REPLICATES <= HIGHEST
    assert naive / REPLICATES < 0.85, "the test cannot tell a right interval from one over rows"


def test_ratio_by_bucket_of_amounts_may_be_negative():
    found = ratio_by_bucket([[-5.0], [3.0], [-4.0]], [[1.0], [1.0], [1.0]], is_share=False)
    # mean -2, delete-one ratios -0.5, -4.5, -1: jackknife error equals the error of the mean, 2.5166
    assert found.estimate[0] == pytest.approx(-2.0)
    assert found.upper[0] - found.estimate[0] == pytest.approx(4.302653 * 2.516611, rel=1e-5)


def test_ratio_by_bucket_says_nothing_where_it_cannot():
    one_bucket = ratio_by_bucket([[1.0], [0.0]], [[4.0], [0.0]])
    assert np.isnan(one_bucket.lower[0])
    all_from_one = ratio_by_bucket([[2.0], [0.0], [0.0]], [[4.0], [4.0], [4.0]])
    assert all_from_one.estimate[0] == pytest.approx(2 / 12)
    assert np.isnan(all_from_one.lower[0])


def test_upper_bound_of_zero_is_the_exact_binomial_one():
    assert zero_share_upper([100, 0]) == pytest.approx(
        [proportion_confint(0, 100, method="beta")[1], np.nan], nan_ok=True
    )


def test_effective_count():
    assert effective_count(10, 10) == 10  # ten buyers of 1 each
    assert effective_count(0, 0) == 0


@pytest.mark.parametrize(
    "weights", [np.ones(20), np.r_[0.5, np.full(7, 0.5 / 7)], 1 / np.arange(1, 9)], ids=["alike", "one half", "zipf"]
)
@pytest.mark.parametrize("draws", [100, 300, 1_000])
def test_interval_of_an_entropy_covers_the_truth(weights, draws):
    """Where all categories are drawn alike the variance's first term is 0: the interval may cover more, never less."""
    p = weights / weights.sum()
    found = np.random.default_rng(draws).multinomial(draws, p, size=2_000) / draws
    logs = np.log(np.where(found > 0, found, 1.0))
    lower, upper = entropy_interval(
        -(found * logs).sum(axis=1), (found * logs**2).sum(axis=1), (found > 0).sum(axis=1), np.full(2_000, draws)
    )
    truth = -(p * np.log(p)).sum()
    covered = ((lower <= truth) & (truth <= upper)).mean()
    assert covered > 0.934
    assert covered < 0.966 or np.ptp(p) == 0


def test_interval_of_an_entropy_by_hand():
    """Two categories half and half, 200 draws: spread 0, so only the second term counts."""
    lower, upper = entropy_interval([np.log(2)], [np.log(2) ** 2], [2], [200])
    unseen = 1 / 400
    half = 1.959963984540054 * np.sqrt(unseen / 200)
    assert upper[0] == pytest.approx(np.log(2) + unseen + half)
    assert lower[0] == pytest.approx(np.log(2) + unseen - half)
    assert np.isnan(entropy_interval([0.5], [0.3], [2], [99])).all()
