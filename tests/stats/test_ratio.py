"""Fieller's set: its equation, coverage where the delta method fails, sets that are no interval."""

import math

import numpy as np
import pytest
from scipy import stats

from workbench.stats.ratio import fieller

REPLICATES = 2_000
LOWEST, HIGHEST = 0.934, 0.966  # what 2,000 replicates of a right 95 % interval may show (99.9 % binomial)


@pytest.mark.parametrize("covariance", [-0.3, 0.0, 0.4])
@pytest.mark.parametrize("degrees", [7.5, math.inf])
def test_at_its_bounds_the_difference_is_just_distinguishable(covariance, degrees):
    found = fieller(3.0, 4.0, 1.0, 0.5, covariance, degrees=degrees, confidence_level=0.9)
    quantile = stats.norm.ppf(0.95) if math.isinf(degrees) else stats.t.ppf(0.95, degrees)
    for bound in (found.lower, found.upper):
        error = math.sqrt(1.0 - 2 * bound * covariance + bound**2 * 0.5)
        assert abs(3.0 - bound * 4.0) / error == pytest.approx(quantile, rel=1e-9)
    assert found.lower < found.estimate == 0.75 < found.upper


def test_it_covers_and_what_is_no_interval_holds_everything():
    rng = np.random.default_rng(1)
    top, bottom = rng.normal(10, 1, REPLICATES), rng.normal(5, 1, REPLICATES)
    sets = [fieller(a, b, 1.0, 1.0, 0.0) for a, b in zip(top, bottom)]
    assert LOWEST <= np.mean([one.lower <= 2 <= one.upper for one in sets]) <= HIGHEST
    unbounded = [one for one in (fieller(6.0, b, 1.0, 1.0, 0.0) for b in rng.normal(3, 1, 100)) if one.reason]
    assert unbounded
    assert all(math.isinf(one.lower) and math.isinf(one.upper) for one in unbounded)


def test_no_interval_where_the_denominator_may_be_zero_or_is_not_there():
    found = fieller(5.0, 1.0, 1.0, 1.0, 0.0)
    assert (found.estimate, found.lower, found.upper) == (5.0, -math.inf, math.inf)
    assert found.reason == "denominator_may_be_zero"
    assert math.isnan(fieller(5.0, 0.0, 1.0, 0.0, 0.0).estimate)
    missing = fieller(math.nan, 1.0, 1.0, 1.0, 0.0)
    assert missing.reason == "no_numbers"
    assert math.isnan(missing.lower)
