"""Pairs of shares against statsmodels, at their level, and in the face of bad input."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

from workbench.errors import ParameterError
from workbench.stats.proportions import pairwise_proportions


def test_equals_statsmodels():
    successes, trials = np.array([20, 45, 3, 200]), np.array([100, 150, 90, 640])
    found = pairwise_proportions(successes, trials)
    assert list(zip(found.first, found.other, strict=True)) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    for place, pair in enumerate(zip(found.first, found.other, strict=True)):
        pair = list(pair)
        statistic, p_value = proportions_ztest(successes[pair], trials[pair])
        assert found.statistic[place] == pytest.approx(statistic, abs=1e-12)
        assert found.p_value[place] == pytest.approx(p_value, abs=1e-12)
        one, other = pair
        bounds = confint_proportions_2indep(
            successes[one], trials[one], successes[other], trials[other], method="newcomb"
        )
        assert (found.difference.lower[place], found.difference.upper[place]) == pytest.approx(bounds, abs=1e-12)
    assert found.p_value_adjusted == pytest.approx(multipletests(found.p_value, method="fdr_bh")[1])


def test_nobody_or_everybody_in_both_is_no_test_and_an_empty_group_no_difference():
    found = pairwise_proportions([0, 0, 5, 0], [10, 20, 10, 0])
    assert np.isnan(found.statistic[0])
    assert found.difference.estimate[0] == 0
    assert found.p_value[1] < 0.05  # 0 of 10 against 5 of 10
    assert np.isnan(found.difference.estimate[2])
    assert np.isnan(found.p_value_adjusted[[0, 2, 4, 5]]).all()
    assert np.isfinite(found.p_value_adjusted[[1, 3]]).all()


def test_level_and_coverage():
    """2,000 replicates: 5 % rejections within 99.9 % binomial bounds, coverage between 93.4 % and 96.6 %."""
    rng = np.random.default_rng(1)
    trials, shares = np.array([800, 1_500, 800, 900]), np.array([0.2, 0.2, 0.05, 0.24])
    drawn = [pairwise_proportions(rng.binomial(trials, shares), trials) for _ in range(2_000)]
    rejected = np.mean([one.p_value[0] < 0.05 for one in drawn])  # the first two are alike
    assert 0.034 <= rejected <= 0.066
    truth = shares[drawn[0].first] - shares[drawn[0].other]
    held = np.mean([(one.difference.lower <= truth) & (truth <= one.difference.upper) for one in drawn], axis=0)
    assert (held >= 0.934).all()
    assert (held <= 0.966).all()


@pytest.mark.parametrize(
    ("successes", "trials"), [([5], [4]), ([-1, 2], [3, 3]), ([1, 2], [3]), ([[1, 2]], [[3, 3]]), ([np.nan], [3])]
)
def test_what_is_no_count_is_refused(successes, trials):
    with pytest.raises(ParameterError, match="0 <= successes <= trials"):
        pairwise_proportions(successes, trials)
