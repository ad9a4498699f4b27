"""Many comparisons: statsmodels, intervals that say what the p-values say, what they cover together."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from workbench.errors import ParameterError
from workbench.stats.multiplicity import adjusted_intervals, adjusted_p_values, benjamini_hochberg, holm


@pytest.mark.parametrize(("mine", "theirs"), [(holm, "holm"), (benjamini_hochberg, "fdr_bh")])
@pytest.mark.parametrize("seed", range(5))
def test_adjusted_equal_statsmodels_and_pass_over_missing(mine, theirs, seed):
    rng = np.random.default_rng(seed)
    p = rng.beta(0.3, 2, 12)
    p[[1, 7]] = p[2]  # ties
    expected = multipletests(p, method=theirs)[1]
    assert mine(p) == pytest.approx(expected, abs=1e-12)
    assert mine(np.insert(p, 4, np.nan)) == pytest.approx(np.insert(expected, 4, np.nan), abs=1e-12, nan_ok=True)


def test_nothing_to_adjust():
    assert holm([]).size == 0
    assert np.isnan(benjamini_hochberg([np.nan, np.nan])).all()
    assert adjusted_p_values([0.04, 0.03], "none").tolist() == [0.04, 0.03]


@pytest.mark.parametrize("method", ["holm", "benjamini_hochberg", "none"])
def test_an_interval_leaves_out_zero_exactly_where_its_adjusted_p_value_is_small(method):
    rng = np.random.default_rng(1)
    seen = set()
    for _ in range(300):
        count = int(rng.integers(1, 7))
        estimate, error, degrees = rng.normal(0, 2.5, count), rng.uniform(0.5, 1.5, count), rng.uniform(4, 90, count)
        p = 2 * stats.t.sf(abs(estimate / error), degrees)
        lower, upper = adjusted_intervals(estimate, error, p, method, degrees=degrees, confidence_level=0.9)
        rejected = adjusted_p_values(p, method) < 0.1
        assert ((lower > 0) | (upper < 0)).tolist() == rejected.tolist()
        assert ((lower + upper) / 2) == pytest.approx(estimate)
        seen |= set(rejected.tolist())
    assert seen == {True, False}


def test_levels_by_hand():
    """Two of three rejected by Holm at 5 %: levels 5/3 %, 5/2 %, 5 %. By Benjamini-Hochberg all have 5 x 2/3 %."""
    z, p = np.array([0.5, 4.0, 2.5]), np.array([0.617, 0.0000633, 0.0124])
    lower, upper = adjusted_intervals(z, np.ones(3), p, "holm")
    levels = np.array([0.05, 0.05 / 3, 0.05 / 2])
    assert upper - z == pytest.approx(stats.norm.isf(levels / 2))
    assert z - lower == pytest.approx(stats.norm.isf(levels / 2))
    lower, upper = adjusted_intervals(z, np.ones(3), p, "benjamini_hochberg")
    assert upper - z == pytest.approx(np.full(3, stats.norm.isf(0.05 / 3)))
    lower, upper = adjusted_intervals([1.0, np.nan], [1.0, np.nan], [0.3, np.nan], "holm")
    assert upper[0] - 1 == pytest.approx(stats.norm.isf(0.025))
    assert np.isnan([lower[1], upper[1]]).all()


def test_holm_holds_the_family_and_its_intervals_cover_together_where_nothing_happens():
    """Three arms against one control: correlated by one half. 2,000 replicates of 5 %: at most 6.6 % (99.9 %)."""
    rng = np.random.default_rng(2)
    alarms = misses = unadjusted = 0
    for _ in range(2_000):
        z = (rng.normal(0, 1, 3) + rng.normal()) / 2**0.5
        p = 2 * stats.norm.sf(abs(z))
        lower, upper = adjusted_intervals(z, np.ones(3), p, "holm")
        alarms += (holm(p) < 0.05).any()
        misses += ((lower > 0) | (upper < 0)).any()
        unadjusted += (p < 0.05).any()
    assert alarms / 2_000 <= 0.066
    assert misses == alarms
    assert unadjusted / 2_000 > 0.066


def test_benjamini_hochberg_holds_the_share_of_false_ones_and_the_coverage_of_the_selected():
    """Twenty coupons, five with an effect. The false share and the missed share of selected intervals: 5 % at most."""
    rng = np.random.default_rng(3)
    truth = np.repeat([3.0, 0.0], [5, 15])
    false, missed, plain = [], [], []
    for _ in range(2_000):
        z = truth + rng.normal(0, 1, 20)
        p = 2 * stats.norm.sf(abs(z))
        chosen = benjamini_hochberg(p) < 0.05
        lower, upper = adjusted_intervals(z, np.ones(20), p, "benjamini_hochberg")
        false.append((chosen & (truth == 0)).sum() / max(chosen.sum(), 1))
        missed.append((chosen & ((lower > truth) | (upper < truth))).sum() / max(chosen.sum(), 1))
        plain.append((chosen & (abs(z - truth) > 1.96)).sum() / max(chosen.sum(), 1))
    assert np.mean(false) <= 0.05
    assert np.mean(missed) <= 0.05
    assert np.mean(plain) > 0.05


def test_what_is_no_probability_or_no_method_is_refused():
    with pytest.raises(ParameterError, match="outside 0 to 1"):
        holm([1.2])
    with pytest.raises(ParameterError, match='method is "bonferroni"; allowed are "holm"'):
        adjusted_p_values([0.1], "bonferroni")
    with pytest.raises(ParameterError, match="strictly between 0 and 1"):
        adjusted_intervals([1], [1], [0.1], "holm", confidence_level=1)
