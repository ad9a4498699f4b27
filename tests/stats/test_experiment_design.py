"""Sample ratio, power, daily peeking: published values, statsmodels, alarms over many draws, what is refused."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportions_ztest

from workbench.errors import ParameterError
from workbench.stats.experiment_design import (
    SAMPLE_RATIO_ALARM,
    sample_ratio,
    sequential_interval,
    sequential_multiplier,
    smallest_detectable_effect,
    two_proportions,
    units_needed,
)

DRAWS = 20_000


def test_pooled_z_has_the_published_value():
    found = two_proportions(721, 42_364, 319, 42_170)
    assert round(found.statistic, 2) == 12.47
    theirs = proportions_ztest([721, 319], [42_364, 42_170])
    assert (found.statistic, found.p_value) == pytest.approx(theirs, rel=1e-9)


def test_pooled_z_of_nothing_is_no_number():
    for counts in ((0, 0, 1, 2), (0, 10, 0, 10), (10, 10, 10, 10)):
        assert np.isnan(two_proportions(*counts)).all()
    with pytest.raises(ParameterError, match="11 successes of 10 users"):
        two_proportions(11, 10, 1, 10)


def test_sample_ratio_has_the_published_value_and_gives_no_alarm():
    statistic, p_value = sample_ratio([5_000, 5_200], [0.5, 0.5])
    assert (round(statistic, 4), round(p_value, 4)) == (3.9216, 0.0477)
    assert p_value >= SAMPLE_RATIO_ALARM
    assert sample_ratio([5_000, 5_400], [0.5, 0.5]).p_value < SAMPLE_RATIO_ALARM


def test_sample_ratio_equals_scipys_with_three_arms_and_shares_of_any_scale():
    counts = np.array([310, 930, 1_790])
    theirs = stats.chisquare(counts, counts.sum() * np.array([0.1, 0.3, 0.6]))
    assert sample_ratio(counts, [1, 3, 6]) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-9)


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.1, 0.3, 0.6]])
def test_sample_ratio_alarms_once_in_a_thousand_draws(shares):
    rng = np.random.default_rng(1)
    alarms = sum(
        sample_ratio(one, shares).p_value < SAMPLE_RATIO_ALARM for one in rng.multinomial(10_000, shares, DRAWS)
    )
    low, high = stats.binom.ppf([0.0005, 0.9995], DRAWS, SAMPLE_RATIO_ALARM)
    assert low <= alarms <= high


def test_sample_ratio_says_nothing_where_it_cannot_and_refuses_what_is_wrong():
    assert np.isnan(sample_ratio([0, 0], [0.5, 0.5])).all()
    assert np.isnan(sample_ratio([10], [1.0])).all()
    assert sample_ratio([100, 0], [0.5, 0.5]).p_value < SAMPLE_RATIO_ALARM
    with pytest.raises(ParameterError, match="2 arms have 3 expected shares"):
        sample_ratio([1, 2], [0.2, 0.3, 0.5])
    with pytest.raises(ParameterError, match="each is above 0"):
        sample_ratio([1, 2], [1.0, 0.0])
    with pytest.raises(ParameterError, match="each is 0 or more"):
        sample_ratio([-1, 2], [0.5, 0.5])


def test_smallest_detectable_effect_is_found_with_its_power():
    error = 0.37
    effect = smallest_detectable_effect(error, power=0.8, confidence_level=0.95)
    found = stats.norm.sf(1.959964 - effect / error) + stats.norm.cdf(-1.959964 - effect / error)
    assert found == pytest.approx(0.8, abs=1e-4)
    assert np.isnan(smallest_detectable_effect(np.nan))


@pytest.mark.parametrize(("share", "power", "level"), [(0.5, 0.8, 0.95), (0.1, 0.9, 0.99)])
def test_units_needed_equal_statsmodels(share, power, level):
    mine = units_needed(0.2, 4.0, share_treatment=share, power=power, confidence_level=level)
    control = NormalIndPower().solve_power(0.1, None, 1 - level, power, ratio=share / (1 - share))
    assert mine == pytest.approx(control / (1 - share), abs=2)


def test_planning_refuses_what_is_wrong():
    for options, match in (
        ({"effect": 0.0}, "not 0"),
        ({"variance": 0.0}, "above 0"),
        ({"share_treatment": 1.0}, "share_treatment is 1.0"),
        ({"power": 80}, "power is 80"),
        ({"confidence_level": 95}, "confidence_level is 95"),
    ):
        with pytest.raises(ParameterError, match=match):
            units_needed(**{"effect": 0.1, "variance": 1.0} | options)


def test_sequential_multiplier_has_the_published_value_and_is_least_near_the_plan():
    assert round(sequential_multiplier(5_000, 5_000).item(), 3) == 3.035
    assert round(sequential_multiplier(80, 80).item(), 3) == 3.035
    around = sequential_multiplier(np.array([100, 2_000, 5_000, 20_000, 500_000]), 5_000)
    assert around.argmin() == 2
    assert (around > 1.96).all()
    # GrowthBook's formula as it is written: half = SE sqrt(N) sqrt(2 (N r^2 + 1) / (N^2 r^2) ln(sqrt(N r^2 + 1) / a))
    n, plan, alpha = 3_000, 5_000, 0.1
    rho = np.sqrt((-2 * np.log(alpha) + np.log(-2 * np.log(alpha) + 1)) / plan)
    half = 0.7 * np.sqrt(n) * np.sqrt(2 * (n * rho**2 + 1) / (n**2 * rho**2) * np.log(np.sqrt(n * rho**2 + 1) / alpha))
    lower, upper = sequential_interval(2.0, 0.7, n, plan, confidence_level=0.9)
    assert (2.0 - lower, upper - 2.0) == pytest.approx((half, half), rel=1e-12)


def test_sequential_interval_without_units_is_none():
    assert np.isnan(sequential_interval(np.nan, np.nan, 0, 100)).all()
    assert np.isnan(sequential_interval(1.0, 1.0, 10, 0)).all()
    with pytest.raises(ParameterError, match="planned_n is -1"):
        sequential_multiplier(5, -1)


def skewed(rng, shape):
    return (rng.random(shape) < 0.1) * rng.lognormal(3, 0.8, shape)


@pytest.mark.parametrize("draw", [lambda rng, shape: rng.normal(0, 1, shape), skewed], ids=["normal", "skewed"])
@pytest.mark.parametrize("plan", [0.2, 1.0, 5.0])
def test_daily_peeking_errs_in_at_most_one_of_twenty_experiments(draw, plan):
    """40 users a day and arm, 56 looks, no effect; planned for a fifth of them, for all, for five times as many."""
    rng = np.random.default_rng(2)
    days, users, experiments = 56, 40, 1_000
    n = users * np.arange(1, days + 1)
    means, variances = [], []
    for _ in range(2):
        y = draw(rng, (experiments, days, users))
        total, squares = (one.sum(axis=2).cumsum(axis=1) for one in (y, y**2))
        means.append(total / n)
        variances.append((squares - total**2 / n) / (n - 1) / n)
    difference, error = means[0] - means[1], np.sqrt(variances[0] + variances[1])
    lower, upper = sequential_interval(difference, error, 2 * n, plan * 2 * n[-1])
    assert ((lower > 0) | (upper < 0)).any(axis=1).mean() <= 0.05
    assert (abs(difference) > 1.96 * error).any(axis=1).mean() > 0.2, "the test cannot tell peeking from one look"
