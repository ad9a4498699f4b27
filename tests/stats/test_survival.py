"""The curve of those who come back, against statsmodels and against plain shares."""

import numpy as np
import pytest
from statsmodels.duration.survfunc import SurvfuncRight

from workbench.errors import ParameterError
from workbench.stats.survival import return_curve


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
