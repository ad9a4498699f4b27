"""The curve of those who come back, against statsmodels and against plain shares."""

import numpy as np
import pytest
from scipy import special, stats
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from workbench.errors import ParameterError
from workbench.stats.survival import log_rank, return_curve


def counted(times, followed, days):
    """Returns and losses by day: a day counts if all of it was watched."""
    back = times < followed
    returned = np.bincount(times[back], minlength=days)[:days]
    left = np.bincount(followed[~back], minlength=days)[:days]
    return returned, left


def test_equals_statsmodels_where_some_leave_early():
    rng = np.random.default_rng(5)
    times, followed = rng.geometric(0.04, 400) - 1, rng.integers(0, 60, 400)
    found = return_curve(*counted(times, followed, 80), confidence_level=0.9)
    back = times < followed
    other = SurvfuncRight(np.where(back, times + 0.5, followed), back.astype(int))
    steps = (other.surv_times - 0.5).astype(int)
    assert len(steps) > 30
    assert found.share[steps] == pytest.approx(1 - other.surv_prob, abs=1e-12)
    assert found.at_risk[steps].tolist() == other.n_risk.tolist()
    # Greenwood on the log-log scale by hand, from statsmodels' standard errors
    use = (other.surv_prob > 0) & (other.surv_prob < 1)
    s, error = other.surv_prob[use], other.surv_prob_se[use]
    half = 1.6448536269514722 * error / (s * np.abs(np.log(s)))
    assert found.lower[steps[use]] == pytest.approx(1 - s ** np.exp(-half), abs=1e-9)
    assert found.upper[steps[use]] == pytest.approx(1 - s ** np.exp(half), abs=1e-9)


def test_all_watched_to_the_end_is_the_plain_share():
    returned = np.array([3, 0, 2, 5])
    found = return_curve(np.append(returned, 0), [0, 0, 0, 0, 10])
    assert found.share.tolist() == pytest.approx((np.cumsum(returned) / 20).tolist())
    assert len(found.share) == 4


def test_no_bounds_where_nobody_or_everybody_came_back():
    found = return_curve([0, 2, 2], [0, 0, 0])
    assert np.isnan(found.lower).tolist() == [True, False, True]
    assert found.share.tolist() == [0, 0.5, 1]


def test_the_interval_covers_the_truth():
    """2,000 shops of 150 buyers watched for 20 to 60 days; the truth at 30 days is 1 - 0.97^30."""
    rng = np.random.default_rng(11)
    truth, inside = 1 - 0.97**30, 0
    for _ in range(2_000):
        times, followed = rng.geometric(0.03, 150) - 1, rng.integers(20, 61, 150)
        found = return_curve(*counted(times, followed, 61))
        inside += found.lower[29] <= truth <= found.upper[29]
    assert 0.934 <= inside / 2_000 <= 0.966


@pytest.mark.parametrize(("returned", "left"), [([1, -1], [0, 0]), ([1], [0, 0]), ([[1]], [[0]])])
def test_counts_are_checked(returned, left):
    with pytest.raises(ParameterError, match="counts of 0 or more"):
        return_curve(returned, left)


def test_confidence_is_checked():
    with pytest.raises(ParameterError, match="confidence_level"):
        return_curve([1], [0], confidence_level=1)


# --- log-rank -----------------------------------------------------------------------------------------------------


def grouped(rng, speeds, users, days=60):
    """Counts of each group and, for statsmodels, times, whether users came back, and groups."""
    rows, long = [], []
    for group, (speed, count) in enumerate(zip(speeds, users)):
        times, followed = rng.geometric(speed, count) - 1, rng.integers(0, days, count)
        rows.append(counted(times, followed, days))
        back = times < followed
        long.append((np.where(back, times + 0.5, followed), back.astype(int), np.full(count, group)))
    returned, left = (np.array(one) for one in zip(*rows))
    return returned, left, [np.concatenate(one) for one in zip(*long)]


@pytest.mark.parametrize("speeds", [(0.04, 0.06), (0.05, 0.05, 0.05), (0.02, 0.05, 0.03, 0.1)])
@pytest.mark.parametrize("seed", range(3))
def test_log_rank_equals_statsmodels(speeds, seed):
    rng = np.random.default_rng(seed)
    returned, left, long = grouped(rng, speeds, rng.integers(20, 300, len(speeds)))
    found = log_rank(returned, left)
    statistic, p_value = survdiff(*long)
    assert found.statistic == pytest.approx(statistic, rel=1e-9)
    assert found.p_value == pytest.approx(p_value, rel=1e-9)
    assert 10**found.log10_p_value == pytest.approx(p_value, rel=1e-9)
    assert found.degrees == len(speeds) - 1
    assert found.observed.sum() == pytest.approx(found.expected.sum())


def test_log_rank_by_hand():
    """Day 0: 1 of 3 and 0 of 2 come back, one of the second leaves. Day 1: 1 of 2 and 1 of 1.

    Expected of the first: 1 × 3/5 + 2 × 2/3 = 29/15; observed 2. Variance 6/25 + 2 × (2/9) × (1/2) = 0.24 + 2/9.
    """
    found = log_rank([[1, 1, 0], [0, 1, 0]], [[0, 0, 1], [0, 1, 0]])
    assert found.expected[0] == pytest.approx(3 / 5 + 2 * 2 / 3)
    assert found.statistic == pytest.approx((2 - 29 / 15) ** 2 / (6 / 25 + 2 / 9))


def test_a_group_nobody_was_watched_in_is_no_degree_of_freedom():
    rng = np.random.default_rng(1)
    returned, left, _ = grouped(rng, (0.04, 0.06), (100, 100))
    nothing = np.zeros((1, returned.shape[1]))
    found = log_rank(np.vstack([returned, nothing]), np.vstack([left, nothing]))
    assert found.degrees == 1
    assert found.statistic == pytest.approx(log_rank(returned, left).statistic)
    assert np.isnan(log_rank([[1, 2], [0, 0]], [[0, 0], [0, 0]]).p_value)
    assert np.isnan(log_rank([[0, 0], [0, 0]], [[0, 5], [0, 5]]).p_value)


@pytest.mark.parametrize("groups", [2, 3, 5])
def test_a_tiny_p_value_keeps_its_logarithm(groups):
    """Tails of chi-square in closed form: 1 degree by the normal, 2 by exp(-x/2), 4 by exp(-x/2) (1 + x/2)."""
    returned = np.zeros((groups, 20))
    returned[0, :10], returned[1:, 10:] = 5_000, 5_000
    found = log_rank(returned, np.zeros_like(returned))
    x = found.statistic
    logarithm = {
        2: np.log(2) + special.log_ndtr(-np.sqrt(x)),
        3: -x / 2,
        5: -x / 2 + np.log1p(x / 2),
    }[groups]
    assert found.p_value == 0
    assert stats.chi2.logsf(x, groups - 1) == -np.inf  # why it is not used
    assert found.log10_p_value == pytest.approx(logarithm / np.log(10), rel=1e-12)
    assert found.log10_p_value < -1_000


def test_groups_that_are_alike_are_told_apart_as_often_as_allowed():
    """2,000 shops of three channels with different numbers and lengths of watching: 3.4 to 6.6 % at 5 %."""
    rng = np.random.default_rng(12)
    rejected = 0
    for _ in range(2_000):
        returned, left, _ = grouped(rng, (0.03, 0.03, 0.03), (60, 150, 300), days=40)
        rejected += log_rank(returned, left).p_value < 0.05
    assert 0.034 <= rejected / 2_000 <= 0.066


@pytest.mark.parametrize(("returned", "left"), [([[1, 2]], [[0, 0]]), ([1, 2], [0, 0]), ([[1], [-1]], [[0], [0]])])
def test_groups_are_checked(returned, left):
    with pytest.raises(ParameterError, match="one row for each of two or more groups"):
        log_rank(returned, left)
