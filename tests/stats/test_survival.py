"""The curve of those who come back, against statsmodels and against plain shares."""

import numpy as np
import pytest
from scipy import special, stats
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from workbench.errors import ParameterError
from workbench.stats.survival import (
    ReturnCurve,
    log_rank,
    return_curve,
    return_curve_by_bucket,
    return_quantiles,
    returns_after_silence,
    silence_until,
)


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


# --- several gaps of one user, silences, quantiles ----------------------------------------------------------------


def clustered(rng, users=300, buckets=64, longest=60):
    """Counts by bucket: slow users give 1 to 3 gaps, quick ones 1 to 6; each is watched for 20 to 60 days."""
    is_quick = rng.random(users) < 0.5
    gaps = np.where(is_quick, rng.integers(1, 7, users), rng.integers(1, 4, users))
    user = np.repeat(np.arange(users), gaps)
    times = rng.geometric(np.where(is_quick[user], QUICK, SLOW)) - 1
    followed = rng.integers(20, longest + 1, len(user))
    back = times < followed
    counts = np.zeros((2, buckets, longest + 1))
    np.add.at(counts, ((~back).astype(int), user % buckets, np.where(back, times, followed)), 1)
    return counts[0], counts[1]


QUICK, SLOW = 0.1, 0.01
QUICK_GAPS, SLOW_GAPS = 3.5, 2.0
LIMIT = 0.35


def silent(days):
    """Share of all gaps in ``clustered`` that are longer."""
    both = QUICK_GAPS * (1 - QUICK) ** days + SLOW_GAPS * (1 - SLOW) ** days
    return both / (QUICK_GAPS + SLOW_GAPS)


def test_buckets_leave_the_curve_as_it_is():
    returned, left = clustered(np.random.default_rng(1))
    found = return_curve_by_bucket(returned, left)
    plain = return_curve(returned.sum(axis=0), left.sum(axis=0))
    assert found.share == pytest.approx(plain.share, abs=1e-12)
    assert found.at_risk.tolist() == plain.at_risk.tolist()
    # quick and slow users differ, so that gaps of one user are alike: Greenwood's interval is too short
    middle = slice(5, 50)
    assert ((found.upper - found.lower) / (plain.upper - plain.lower))[middle].mean() > 1.05


def test_what_a_bucket_moves_is_the_derivative_of_the_curve():
    """Weigh one bucket a little more, and the plain curve moves by its influence."""
    returned, left = clustered(np.random.default_rng(2), users=60, buckets=16)
    found = return_curve_by_bucket(returned, left, confidence_level=0.9)
    step, survival = 1e-6, 1 - found.share
    moved = []
    for bucket in range(16):
        weight = np.ones((16, 1))
        weight[bucket] += step
        heavier = return_curve((weight * returned).sum(axis=0), (weight * left).sum(axis=0))
        moved.append((np.log(1 - heavier.share[: len(survival)]) - np.log(survival)) / step)
    error = np.sqrt((np.array(moved) ** 2).sum(axis=0) * 16 / 15)
    half = stats.t.ppf(0.95, 15) * error / np.abs(np.log(survival))
    assert found.lower == pytest.approx(1 - survival ** np.exp(-half), abs=1e-5)
    assert found.upper == pytest.approx(1 - survival ** np.exp(half), abs=1e-5)


def test_users_in_buckets_of_their_own_have_the_binomial_error():
    """All are watched to the end: the variance of S is S (1 - S) / n, times n / (n - 1)."""
    returned = np.zeros((40, 6))
    returned[np.arange(24), np.arange(24) % 5] = 1
    left = np.zeros((40, 6))
    left[np.arange(24, 40), 5] = 1
    found = return_curve_by_bucket(returned, left)
    survival = 1 - np.cumsum(returned.sum(axis=0))[:5] / 40
    half = stats.t.ppf(0.975, 39) * np.sqrt((1 - survival) / survival / 39) / np.abs(np.log(survival))
    assert found.share == pytest.approx(1 - survival)
    assert found.upper == pytest.approx(1 - survival ** np.exp(half))


@pytest.mark.parametrize("horizon", [1, 7, 20])
def test_returns_after_a_silence_equal_statsmodels_on_those_who_reached_it(horizon):
    rng = np.random.default_rng(7)
    times, followed = rng.geometric(0.04, 500) - 1, rng.integers(0, 50, 500)
    back = times < followed
    buckets = np.zeros((2, 500, 50))
    buckets[(~back).astype(int), np.arange(500), np.where(back, times, followed)] = 1
    found = returns_after_silence(buckets[0], buckets[1], horizon)
    assert len(found.share) == int((return_curve(buckets[0].sum(axis=0), buckets[1].sum(axis=0)).at_risk > 0).sum()) - (
        horizon - 1
    )
    for days in (0, 3, 15, len(found.share) - 1):
        reached = np.where(back, times, followed) >= days
        reached &= back | (followed > days)
        other = SurvfuncRight((np.where(back, times + 0.5, followed) - days)[reached], back[reached].astype(int))
        before = other.surv_prob[other.surv_times < horizon]
        assert found.share[days] == pytest.approx(1 - (before[-1] if before.size else 1), abs=1e-12)
        assert found.at_risk[days] == reached.sum()


def test_silences_and_quantiles_cover_the_truth_though_users_give_several_gaps():
    """2,000 shops of 300 users with gaps of their own kind: coverage 93.4 to 96.6 %, more for whole days."""
    rng = np.random.default_rng(21)
    horizon, day = 20, 10
    truth = 1 - silent(day + horizon) / silent(day)
    first = next(d for d in range(60) if 1 - silent(d + horizon) / silent(d) < LIMIT)
    within = (1 - silent(np.arange(1, 41))) / (1 - silent(40))
    median = 1 + int(np.argmax(within >= 0.5))
    hits, width = np.zeros(4), 0.0
    for _ in range(2_000):
        returned, left = clustered(rng)
        found = returns_after_silence(returned, left, horizon)
        curve = return_curve_by_bucket(returned, left)
        _, low, high = silence_until(found, LIMIT)
        days = return_quantiles(returned, left, [0.5], 40)
        hits += [
            found.lower[day] <= truth <= found.upper[day],
            curve.lower[39] <= 1 - silent(40) <= curve.upper[39],
            low <= first <= (np.inf if np.isnan(high) else high),
            days.lower[0] <= median <= days.upper[0],
        ]
        width += (days.upper[0] - days.lower[0]) / 2_000
    covered = hits / 2_000
    assert ((covered[:2] >= 0.934) & (covered[:2] <= 0.966)).all()
    assert (covered[2:] >= 0.934).all()
    assert (median, width < 4) == (8, True), (median, width)


def test_quantiles_of_those_who_return_are_plain_ones_when_all_are_watched():
    rng = np.random.default_rng(3)
    times = rng.geometric(0.08, 501) - 1
    counts = np.zeros((501, 101))
    counts[np.arange(501), np.minimum(times, 100)] = 1
    found = return_quantiles(counts, np.zeros_like(counts), [0.25, 0.5, 0.75], 30)
    inside = times[times < 30] + 1
    expected = [np.quantile(inside, share, method="inverted_cdf") for share in (0.25, 0.5, 0.75)]
    assert found.day.tolist() == expected
    assert (found.lower <= found.day).all()
    assert (found.day <= found.upper).all()


def test_quantiles_by_hand():
    """Ten users: 4 come on day 0, 3 of the 5 left watched on day 2, S = 0.6 then 0.24; of the 0.76 that come 0.4 on day 0."""
    returned, left = np.zeros((10, 4)), np.zeros((10, 4))
    returned[:4, 0], left[4, 1], returned[5:8, 2], left[8:, 3] = 1, 1, 1, 1
    found = return_quantiles(returned, left, [0.5, 0.52, 0.54], 3)
    assert return_curve_by_bucket(returned, left).share.tolist() == pytest.approx([0.4, 0.4, 0.76])
    assert found.day.tolist() == [1, 1, 3]


def test_no_quantiles_where_nobody_returns_and_no_bounds_with_one_bucket():
    none = return_quantiles([[0, 0], [0, 0]], [[0, 3], [0, 2]], [0.5], 5)
    assert np.isnan([none.day, none.lower, none.upper]).all()
    one = return_quantiles([[2, 3, 1, 0]], [[0, 0, 0, 4]], [0.5], 3)
    assert one.day.tolist() == [2]
    assert np.isnan([one.lower, one.upper]).all()
    assert np.isnan(return_curve_by_bucket([[2, 3, 1]], [[0, 0, 4]]).lower).all()
    assert len(returns_after_silence([[1, 0]], [[0, 1]], 2).share) == 0
    assert len(return_curve_by_bucket(np.zeros((4, 1)), np.zeros((4, 1))).share) == 0


def test_the_first_silent_days_below_a_share():
    share = np.array([0.5, 0.3, 0.15, 0.1])
    silence = ReturnCurve(share, share - 0.06, share + 0.06, share)
    assert silence_until(silence, 0.2) == (2, 2, 3)
    day, low, high = silence_until(silence, 0.12)
    assert (day, low) == (3, 2)
    assert np.isnan(high)
    assert np.isnan(silence_until(silence, 0.01)).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: return_curve_by_bucket([1], [0]), "one row per bucket"),
        (lambda: return_curve_by_bucket([[1, -1]], [[0, 0]]), "counts of 0 or more"),
        (lambda: return_curve_by_bucket([[1]], [[0]], confidence_level=1), "confidence_level"),
        (lambda: returns_after_silence([[1]], [[0]], 0), "horizon_days is 0"),
        (lambda: return_quantiles([[1]], [[0]], [0.5], 1.5), "horizon_days is 1.5"),
        (lambda: return_quantiles([[1]], [[0]], [1.0], 1), "shares are"),
        (lambda: silence_until(ReturnCurve(*[np.ones(1)] * 4), 20), "share is 20"),
    ],
)
def test_silences_and_quantiles_check_what_they_get(call, words):
    with pytest.raises(ParameterError, match=words):
        call()
