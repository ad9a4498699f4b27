"""Differences of two arms: published cases, scipy and statsmodels, the delta method by hand, coverage, no numbers."""

import json
import os
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from workbench.errors import ParameterError
from workbench.stats.experiment import (
    mean_difference,
    non_inferiority,
    ratio_difference,
    stratified_difference,
)
from workbench.stats.sums import merge_small_cells, sums_of

ROOT = Path(__file__).resolve().parents[2]
EXACT = 1e-9
REPLICATES = 2_000
LOWEST, HIGHEST = 0.934, 0.966  # what 2,000 replicates of a right 95 % interval may show (99.9 % binomial)


@pytest.fixture(scope="module")
def lalonde():
    """Job training by lot, earnings of 1978 (LaLonde), with the figures another program found."""
    home = Path(os.environ.get("WORKBENCH_CASES", ROOT.parent / "shared" / "cases"))
    if not (home / "lalonde_nsw_dw.csv").is_file():
        pytest.skip("lalonde_nsw_dw.csv is not here: WORKBENCH_CASES names the folder that holds it")
    expected = json.loads((home / "lalonde_expected.json").read_text(encoding="utf-8"))
    return pd.read_csv(home / "lalonde_nsw_dw.csv"), expected["computed_with_statsmodels_0.15.0"]


def ordinary_least_squares(y, columns):
    """Coefficients with plain errors, from the normal equations."""
    design = np.column_stack([np.ones(len(y)), *columns]).astype(float)
    inverse = np.linalg.inv(design.T @ design)
    beta = inverse @ design.T @ y
    rest = y - design @ beta
    return beta, np.sqrt(np.diag(inverse) * (rest @ rest) / (len(y) - design.shape[1]))


def arms_of(y, treated, cell=None, cells=None, x=None):
    treated = np.asarray(treated, dtype=bool)
    return [
        sums_of(y[one], None if x is None else x[one], None if cell is None else cell[one], cells)
        for one in (treated, ~treated)
    ]


# Published and worked cases


def test_lalonde_difference_has_the_published_value_and_welch_error(lalonde):
    table, expected = lalonde
    found = mean_difference(*arms_of(table["re78"].to_numpy(), table["treat"] == 1))
    assert round(found.estimate, 2) == 1794.34
    assert round(found.std_error, 2) == 671.00
    assert found.estimate == pytest.approx(expected["experimental_diff_in_means"], abs=1e-3)  # cents
    assert found.std_error == pytest.approx(expected["se_hc2"], abs=1e-3)
    assert (found.n_treatment, found.n_control) == (185, 260)


def test_lalonde_regression_of_the_tests_has_the_published_values(lalonde):
    """The pooled error and the adjusted effect: not ours, but the second way that other tests lean on."""
    table, _ = lalonde
    beta, errors = ordinary_least_squares(table["re78"].to_numpy(), [table["treat"]])
    assert (round(beta[1], 2), round(errors[1], 2)) == (1794.34, 632.85)
    age = table["age"].astype(float)
    columns = [
        table["treat"],
        age,
        age**2,
        *(table[one] for one in ("educ", "black", "hisp", "nodegree", "re74", "re75")),
    ]
    beta, errors = ordinary_least_squares(table["re78"].to_numpy(), columns)
    assert (round(beta[1], 2), round(errors[1], 2)) == (1672.20, 638.40)


def buyers(count, users):
    return sums_of(np.repeat([1.0, 0.0], [count, users - count]))


def test_more_buyers_can_still_lose_money():
    """721 of 42,364 who were sent a message bought and 319 of 42,170 who were not; 10 a sale, 0.15 a message.

    Scaled, the control would have had 319 x 42,364 / 42,170 = 320.4676 buyers: 400.5324 more sales bring 4,005.32 and
    42,364 messages cost 6,354.60. Unscaled, 402 more sales bring 4,020.
    """
    found = mean_difference(buyers(721, 42_364), buyers(319, 42_170))
    more, lower, upper = (found.n_treatment * one for one in (found.estimate, found.ci_lower, found.ci_upper))
    assert round(42_364 * 0.15 - more * 10, 2) == 2349.28
    assert round(42_364 * 0.15 - (721 - 319) * 10, 2) == 2334.60
    assert found.p_value < 1e-30
    assert lower > 0
    assert upper * 10 < 42_364 * 0.15


def test_profit_after_discounts_counts_the_discount_once():
    """1,000 users each: paid 138,000 after 18,000 discount against 120,000; 30 % margin before the discount.

    Naive return 138,000 / 18,000 = 7.67. Gross 156,000 leaves 46,800 before and 28,800 after the discount, control
    36,000: -7,200 over 18,000 is -0.40.
    """
    profit = (138_000 + 18_000) * 0.3 - 18_000
    rng = np.random.default_rng(2)
    arms = []
    for total in (profit, 120_000 * 0.3):
        y = rng.gamma(0.2, 100, 1_000)
        arms.append(sums_of(y * total / y.sum()))
    found = mean_difference(*arms)
    change, lower, upper = (found.n_treatment * one for one in (found.estimate, found.ci_lower, found.ci_upper))
    assert round(138_000 / 18_000, 2) == 7.67
    assert change / 18_000 == pytest.approx(-0.40, abs=1e-9)
    assert lower < change < upper


# A second way


@pytest.mark.parametrize("seed", range(8))
def test_means_equal_scipys_welch(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(3, 400, 2)
    # many zeros, ties, skew, and an offset that may bring the control mean close to zero
    y, z = (rng.poisson(0.4, n) * rng.choice([10.0, 19.9, 250.0], n) - seed for n in sizes)
    y[0], z[0] = 40.0, 10.0
    level = rng.uniform(0.5, 0.999)
    found = mean_difference(sums_of(y), sums_of(z), confidence_level=level)
    theirs = stats.ttest_ind(y, z, equal_var=False)
    interval = theirs.confidence_interval(level)
    assert found.p_value == pytest.approx(theirs.pvalue, abs=EXACT)
    assert found.degrees == pytest.approx(theirs.df, rel=EXACT)
    assert (found.ci_lower, found.ci_upper) == pytest.approx((interval.low, interval.high), abs=1e-7, rel=EXACT)
    assert found.estimate / found.std_error == pytest.approx(theirs.statistic, rel=EXACT)


def test_a_control_mean_of_almost_zero_overflows_nothing():
    rng = np.random.default_rng(3)
    y, z = rng.normal(0, 1, 200), rng.normal(0, 1, 200)
    z += 1e-9 - z.mean()
    found = mean_difference(sums_of(y), sums_of(z))
    theirs = stats.ttest_ind(y, z, equal_var=False)
    assert found.p_value == pytest.approx(theirs.pvalue, abs=EXACT)
    assert found.reason is None


def test_relative_change_is_growthbooks_formula():
    """var = s2_C m_T^2 / (m_C^4 n_C) + s2_T / (m_C^2 n_T), Welch-Satterthwaite degrees of the difference."""
    rng = np.random.default_rng(4)
    y, z = rng.gamma(2, 5, 300), rng.gamma(2, 4, 500)
    found = mean_difference(sums_of(y), sums_of(z))
    variance = z.var(ddof=1) * y.mean() ** 2 / (z.mean() ** 4 * 500) + y.var(ddof=1) / (z.mean() ** 2 * 300)
    half = stats.t.ppf(0.975, stats.ttest_ind(y, z, equal_var=False).df) * variance**0.5
    relative = y.mean() / z.mean() - 1
    assert found.relative_estimate == pytest.approx(relative, abs=EXACT)
    assert found.relative_ci_lower == pytest.approx(relative - half, abs=EXACT)
    assert found.relative_ci_upper == pytest.approx(relative + half, abs=EXACT)


@pytest.mark.parametrize("seed", range(4))
def test_ratios_equal_the_delta_method_unit_by_unit(seed):
    """The variance of a ratio is that of (y - r x) / mean x over units; the definition's three terms are the same."""
    rng = np.random.default_rng(seed)
    arms = []
    for n in (250, 150):
        paid = rng.poisson(1.2, n) * rng.choice([9.9, 30.0], n)
        arms.append((paid * rng.binomial(1, 0.1, n), paid))
    found = ratio_difference(*(sums_of(top, bottom) for top, bottom in arms))
    parts = []
    for top, bottom in arms:
        ratio = top.sum() / bottom.sum()
        spread = np.var((top - ratio * bottom) / bottom.mean(), ddof=1) / len(top)
        table = np.cov(top, bottom) / len(top)
        m, d = top.mean(), bottom.mean()
        three = table[0, 0] / d**2 + table[1, 1] * m**2 / d**4 - 2 * table[0, 1] * m / d**3
        assert spread == pytest.approx(three, rel=1e-9)
        parts.append((ratio, spread, len(top) - 1))
    (r, v, k), (s, w, j) = parts
    degrees = (v + w) ** 2 / (v**2 / k + w**2 / j)
    assert found.estimate == pytest.approx(r - s, abs=EXACT)
    assert found.std_error == pytest.approx((v + w) ** 0.5, abs=EXACT)
    assert found.degrees == pytest.approx(degrees, rel=EXACT)
    assert found.ci_upper == pytest.approx(r - s + stats.t.ppf(0.975, degrees) * (v + w) ** 0.5, abs=EXACT)
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(r - s) / (v + w) ** 0.5, degrees), abs=EXACT)
    assert (found.mean_treatment, found.mean_control) == pytest.approx((r, s), abs=EXACT)


def test_ratio_of_one_cell_is_the_same_with_an_empty_cell_beside_it():
    rng = np.random.default_rng(5)
    data = [(rng.poisson(1, n).astype(float), rng.poisson(3, n) + 1.0) for n in (60, 80)]
    one = ratio_difference(*(sums_of(*arm) for arm in data))
    two = ratio_difference(*(sums_of(*arm, np.zeros(len(arm[0]), int), 2) for arm in data))
    assert astuple(two)[:-1] == pytest.approx(astuple(one)[:-1], rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_cells_equal_the_interacted_regression_with_hc2_errors(seed):
    """y on treatment, centred cells and their interactions: statsmodels, one cell or several."""
    rng = np.random.default_rng(seed)
    n, cells = 300, seed + 1
    cell = rng.integers(0, cells, n)
    treated = rng.random(n) < 0.3 + 0.4 * cell / cells
    y = rng.poisson(0.5 + cell, n) * 12.5 + treated
    found = stratified_difference(*arms_of(y, treated, cell, cells))
    dummies = [(cell == one) - (cell == one).mean() for one in range(1, cells)]
    design = np.column_stack([np.ones(n), treated, *dummies, *(one * treated for one in dummies)])
    theirs = sm.OLS(y, design).fit(cov_type="HC2")
    assert found.estimate == pytest.approx(theirs.params[1], abs=EXACT)
    assert found.std_error == pytest.approx(theirs.bse[1], abs=EXACT)
    assert found.mean_control == pytest.approx(theirs.params[0], abs=EXACT)
    if cells == 1:
        plain = mean_difference(*arms_of(y, treated))
        assert astuple(found)[:-1] == pytest.approx(astuple(plain)[:-1], rel=1e-9)


def test_relative_change_of_an_adjusted_difference_stands_on_the_unadjusted_mean():
    rng = np.random.default_rng(6)
    cell = rng.integers(0, 3, 900)
    treated = rng.random(900) < 0.5
    y = rng.gamma(1 + 4 * cell, 2) + treated
    arms = arms_of(y, treated, cell, 3)
    plain = mean_difference(*arms).mean_control
    found = stratified_difference(*arms, unadjusted_control_mean=plain)
    assert plain == pytest.approx(y[~treated].mean())
    assert found.relative_estimate == pytest.approx(found.estimate / plain, abs=EXACT)
    assert found.mean_control != pytest.approx(plain, abs=1e-4)


# Coverage


def covers(found, truth):
    return found.ci_lower <= truth <= found.ci_upper


def relative_covers(found, truth):
    return found.relative_ci_lower <= truth <= found.relative_ci_upper


def test_welch_covers_unequal_arms():
    rng = np.random.default_rng(7)
    y, z = rng.normal(1.2, 2, (REPLICATES, 60)), rng.normal(1, 0.5, (REPLICATES, 25))
    hits = [covers(mean_difference(sums_of(a), sums_of(b)), 0.2) for a, b in zip(y, z)]
    assert LOWEST <= np.mean(hits) <= HIGHEST


def test_welch_covers_skewed_profits():
    """One user in eight buys, profits are log-normal and one order in ten loses money; also the relative change."""
    rng = np.random.default_rng(8)
    mean = 30 * np.exp(0.6**2 / 2) * 0.9 - 5 * 0.1

    def profits(n, rate):
        sign = rng.random((REPLICATES, n)) < 0.1
        return (rng.random((REPLICATES, n)) < rate) * np.where(
            sign, -5.0, rng.lognormal(np.log(30), 0.6, (REPLICATES, n))
        )

    arms = zip(profits(1_200, 0.15), profits(800, 0.125))
    found = [mean_difference(sums_of(y), sums_of(z)) for y, z in arms]
    assert LOWEST <= np.mean([covers(one, 0.025 * mean) for one in found]) <= HIGHEST
    assert LOWEST <= np.mean([relative_covers(one, 0.2) for one in found]) <= HIGHEST


def test_strata_cover_and_are_more_precise():
    rng = np.random.default_rng(9)
    level, shares = np.array([0.0, 10.0, 40.0]), [0.6, 0.3, 0.1]
    hits, shorter = [], []
    for _ in range(REPLICATES):
        cell = rng.choice(3, 600, p=shares)
        treated = rng.random(600) < 0.5
        y = level[cell] + rng.exponential(5, 600) + 2 * treated
        arms = arms_of(y, treated, cell, 3)
        group = merge_small_cells(arms[0].count, arms[1].count)
        found = stratified_difference(*(one.grouped(group) for one in arms))
        hits.append(covers(found, 2.0))
        if len(shorter) < 50:
            shorter.append(found.std_error / mean_difference(*arms).std_error)
    assert LOWEST <= np.mean(hits) <= HIGHEST
    assert np.mean(shorter) < 0.6


def test_weeks_cover_where_the_share_of_the_treatment_changed_and_the_plain_difference_does_not():
    rng = np.random.default_rng(10)
    hits, plain = [], []
    for _ in range(REPLICATES):
        week = rng.integers(0, 4, 500)
        treated = rng.random(500) < np.array([0.1, 0.3, 0.5, 0.7])[week]
        y = rng.gamma(1, 3 + 2 * week)
        arms = arms_of(y, treated, week, 4)
        hits.append(covers(stratified_difference(*arms), 0.0))
        if len(plain) < 300:
            plain.append(covers(mean_difference(*arms), 0.0))
    assert LOWEST <= np.mean(hits) <= HIGHEST
    assert np.mean(plain) < 0.5, "the test cannot tell a right estimate from one that mixes weeks"


def test_aa_shops_alarm_as_rarely_as_they_should():
    """Two-sided 5 %; half the users have no orders at all and count as 0, not as missing."""
    rng = np.random.default_rng(11)
    alarms = missing = 0
    for _ in range(200):
        y = np.where(rng.random(2_000) < 0.5, 0.0, rng.gamma(0.5, 40, 2_000))
        treated = rng.random(2_000) < 0.5
        alarms += mean_difference(*arms_of(y, treated)).p_value < 0.05
        seen = sums_of(y[treated & (y > 0)]), sums_of(y[~treated & (y > 0)])
        error = sum(one.variance_y / whole for one, whole in zip(seen, (treated.sum(), (~treated).sum()))) ** 0.5
        missing += abs((seen[0].mean_y - seen[1].mean_y) / error).item() > 1.96
    assert alarms <= 21
    assert missing > 21, "the test cannot tell zeros from nulls that leave the mean but stay in n"


def test_clusters_hold_their_level_by_inviter_and_not_by_member():
    """An inviter's invitees share the arm and a propensity: n is inviters."""
    rng = np.random.default_rng(12)
    by_inviter = by_member = 0
    for _ in range(200):
        size = 1 + rng.geometric(0.3, 400)
        treated = rng.random(400) < 0.5
        orders = rng.poisson(rng.gamma(0.5, 2, 400)[:, None], (400, size.max())) * (
            np.arange(size.max()) < size[:, None]
        )
        by_inviter += mean_difference(*arms_of(orders.sum(axis=1).astype(float), treated)).p_value < 0.05
        member = np.arange(size.max()) < size[:, None]
        arms = [sums_of(orders[one][member[one]]) for one in (treated, ~treated)]
        by_member += mean_difference(*arms).p_value < 0.05
    assert by_inviter <= 21
    assert by_member > 21, "the test cannot tell clusters from members"


# Where the data cannot answer


@pytest.mark.parametrize(
    ("treatment", "control", "reason", "estimate"),
    [
        ([], [1.0, 2.0], "no_units", np.nan),
        ([1.0, 2.0], [], "no_units", np.nan),
        ([3.0], [1.0, 2.0], "one_unit", 1.5),
        ([0.0, 0.0], [0.0, 0.0, 0.0], "no_variation", 0.0),
        ([2.0, 2.0], [1.0, 1.0], "no_variation", 1.0),
    ],
)
def test_no_interval_without_a_ground_for_it(treatment, control, reason, estimate):
    for method in (mean_difference, stratified_difference):
        found = method(sums_of(treatment), sums_of(control))
        assert found.reason == reason
        assert np.isnan([found.std_error, found.ci_lower, found.ci_upper, found.p_value, found.relative_estimate]).all()
        assert (found.n_treatment, found.n_control) == (len(treatment), len(control))
    assert mean_difference(sums_of(treatment), sums_of(control)).estimate == pytest.approx(estimate, nan_ok=True)


@pytest.mark.parametrize(
    ("control", "reason"), [([-1.0, 1.0], "control_mean_zero"), ([-1.0, -2.0], "control_mean_negative")]
)
def test_no_relative_change_of_a_base_that_is_not_positive(control, reason):
    found = mean_difference(sums_of([1.0, 3.0, 2.0]), sums_of(control))
    assert found.reason == reason
    assert np.isfinite([found.estimate, found.ci_lower, found.ci_upper, found.p_value]).all()
    assert np.isnan([found.relative_estimate, found.relative_ci_lower, found.relative_ci_upper]).all()


def test_a_cell_without_two_units_in_each_arm_gives_a_reason():
    treatment, control = sums_of([1, 2, 3], cell=[0, 0, 1]), sums_of([1, 2, 3, 4], cell=[0, 0, 1, 1])
    assert stratified_difference(treatment, control).reason == "small_cell"
    assert np.isnan(stratified_difference(treatment, control).estimate)
    assert ratio_difference(treatment, control).reason == "small_cell"
    merged = merge_small_cells(treatment.count, control.count)
    assert stratified_difference(treatment.grouped(merged), control.grouped(merged)).reason is None
    with pytest.raises(ParameterError, match="both list the same cells"):
        stratified_difference(treatment, sums_of([1, 2]))


def test_a_ratio_over_nothing_gives_a_reason():
    assert ratio_difference(sums_of([1, 2], [0, 0]), sums_of([1, 2], [3, 4])).reason == "no_denominator"
    split = [sums_of([1, 2, 1, 2], bottom, [0, 0, 1, 1]) for bottom in ([0] * 4, [1, 2, 3, 4])]
    assert ratio_difference(*split).reason == "no_denominator"
    assert ratio_difference(sums_of([1, 2], [1, 2]), sums_of([1, 2], [2, 4])).reason == "no_variation"


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_confidence_level_is_checked(level):
    with pytest.raises(ParameterError, match="strictly between 0 and 1"):
        mean_difference(sums_of([1, 2]), sums_of([1, 2]), confidence_level=level)


# Guardrails


def test_a_guardrail_holds_is_violated_or_stays_open():
    rng = np.random.default_rng(13)
    base = rng.normal(10, 1, 2_000)
    same = mean_difference(sums_of(base + rng.normal(0, 0.1, 2_000)), sums_of(base))
    worse = mean_difference(sums_of(base - 1), sums_of(base))
    assert non_inferiority(same, 0.5) == "holds"
    assert non_inferiority(same, 0.0) == "open"
    assert non_inferiority(worse, 0.5) == "violated"
    assert non_inferiority(worse, 0.5, higher_is_better=False) == "holds"
    assert non_inferiority(mean_difference(sums_of(base), sums_of(base - 1)), 0.5, higher_is_better=False) == "violated"
    assert non_inferiority(worse, 0.05, is_relative=True) == "violated"  # -10 % against 5 %
    assert non_inferiority(worse, 0.20, is_relative=True) == "holds"
    assert non_inferiority(mean_difference(sums_of([1]), sums_of([1, 2])), 0.5) == "open"
    with pytest.raises(ParameterError, match=r"margin is -0\.1"):
        non_inferiority(same, -0.1)
