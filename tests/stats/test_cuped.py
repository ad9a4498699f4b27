"""Adjustment by the time before: statsmodels with HC2, GrowthBook's theta by hand, coverage, level with new users."""

import json
import os
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from tea_tasting.aggr import Aggregates
from tea_tasting.metrics.mean import Mean

from workbench.stats.cuped import cuped_difference, cuped_squares, fit_cuped
from workbench.stats.experiment import mean_difference
from workbench.stats.sums import sums_of

ROOT = Path(__file__).resolve().parents[2]
EXACT = 1e-9
REPLICATES = 2_000
LOWEST, HIGHEST = 0.934, 0.966  # what 2,000 replicates of a right 95 % interval may show (99.9 % binomial)


def fitted(y, x, treated, is_new, **options):
    """Both passes over one cell: the lines, the squares, the effect."""
    old, new = ([sums_of(y[part & one], x[part & one]) for one in (treated, ~treated)] for part in (~is_new, is_new))
    fits = fit_cuped(*old, *new)
    squares = [cuped_squares(x[arm & ~is_new], y[arm & ~is_new], fit) for arm, fit in zip((treated, ~treated), fits)]
    return fits, squares, cuped_difference([fits], squares[:1], squares[1:], **options)


def effect(y, x, treated, is_new=None, **options):
    return fitted(y, x, treated, np.zeros(len(y), bool) if is_new is None else is_new, **options)[2]


def interacted_regression(y, x, treated, is_new=None):
    """statsmodels: y on treatment, centred x and new, both interactions; HC2."""
    columns = [x - x.mean()] + ([] if is_new is None else [is_new - is_new.mean()])
    design = np.column_stack([np.ones(len(y)), treated, *columns, *(one * treated for one in columns)])
    return sm.OLS(y, design).fit(cov_type="HC2")


def shop(rng, users, new_share=0.3, lift=0.0, treated_share=0.5):
    """Users of very different appetite; those new have no history and buy less. Many zeros and ties."""
    appetite = rng.gamma(0.7, 1.0, users)
    is_new = rng.random(users) < new_share
    appetite[is_new] *= 0.4
    x = np.where(is_new, 0, rng.poisson(2 * appetite)) * 10.0
    y = rng.poisson(2 * appetite) * 10.0
    treated = rng.random(users) < treated_share
    return y + lift * treated, x, treated, is_new


# Two other programs


@pytest.mark.parametrize("seed", range(8))
def test_equals_statsmodels_hc2_with_new_users(seed):
    rng = np.random.default_rng(seed)
    y, x, treated, is_new = shop(rng, int(rng.integers(40, 600)), treated_share=0.3)
    found, theirs = effect(y, x, treated, is_new), interacted_regression(y, x, treated, is_new)
    assert found.estimate == pytest.approx(theirs.params[1], abs=EXACT)
    assert found.std_error == pytest.approx(theirs.bse[1], abs=EXACT)
    assert found.mean_control == pytest.approx(theirs.params[0], abs=EXACT)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("new_control", [0, 1])
def test_equals_statsmodels_hc2_where_hardly_anybody_is_new(seed, new_control):
    """No new users, or some in one arm only: they stand on the line with x = 0."""
    rng = np.random.default_rng(seed)
    y, x, treated, is_new = shop(rng, 300, new_share=0)
    is_new[np.flatnonzero(~treated)[:new_control]] = True
    is_new[np.flatnonzero(treated)[: 5 * new_control]] = True
    x[is_new] = 0
    found, theirs = effect(y, x, treated, is_new), interacted_regression(y, x, treated)
    assert found.estimate == pytest.approx(theirs.params[1], abs=EXACT)
    assert found.std_error == pytest.approx(theirs.bse[1], abs=EXACT)


def test_whatever_the_sums_of_new_users_say_their_history_is_zero():
    rng = np.random.default_rng(14)
    y, x, treated, is_new = shop(rng, 200, new_share=0)
    is_new[np.flatnonzero(treated)[:4]] = True  # none in the control: they stand on the line
    olds = [sums_of(y[arm & ~is_new], x[arm & ~is_new]) for arm in (treated, ~treated)]
    ways = [
        (olds, [sums_of(y[arm & is_new], history[arm & is_new]) for arm in (treated, ~treated)])
        for history in (0 * x, x)
    ]
    first, second = (fit_cuped(*old, *new) for old, new in ways)
    assert x[is_new].any()
    assert first == second


def test_weeks_equal_statsmodels_week_by_week():
    rng = np.random.default_rng(3)
    week = rng.integers(0, 3, 900)
    parts, fits, squares = [], [], []
    for one in range(3):
        y, x, treated, is_new = shop(rng, int((week == one).sum()), treated_share=0.2 + 0.2 * one)
        theirs = interacted_regression(y, x, treated, is_new)
        parts.append((len(y) / 900, theirs.params[1], theirs.bse[1], y[~treated].mean()))
        pair, square, _ = fitted(y, x, treated, is_new)
        fits.append(pair)
        squares.append(square)
    found = cuped_difference(fits, *np.transpose(squares))
    base = sum(share * plain for share, _, _, plain in parts)
    assert found.estimate == pytest.approx(sum(share * value for share, value, _, _ in parts), abs=EXACT)
    assert found.std_error == pytest.approx(sum((share * error) ** 2 for share, _, error, _ in parts) ** 0.5, abs=EXACT)
    assert found.relative_estimate == pytest.approx(found.estimate / base, abs=EXACT)
    assert found.n_treatment + found.n_control == 900


def test_lalonde_adjusted_by_earlier_earnings_equals_statsmodels():
    home = Path(os.environ.get("WORKBENCH_CASES", ROOT.parent / "shared" / "cases"))
    if not (home / "lalonde_nsw_dw.csv").is_file():
        pytest.skip("lalonde_nsw_dw.csv is not here: WORKBENCH_CASES names the folder that holds it")
    table = pd.read_csv(home / "lalonde_nsw_dw.csv").astype({"re75": float, "re78": float})
    y, x, treated = table["re78"].to_numpy(), table["re75"].to_numpy(), (table["treat"] == 1).to_numpy()
    # who had no earnings in both earlier years stands for those without a history
    is_new = ((table["re74"] == 0) & (table["re75"] == 0)).to_numpy()
    found, theirs = effect(y, x, treated, is_new), interacted_regression(y, x, treated, is_new)
    assert (found.estimate, found.std_error) == pytest.approx((theirs.params[1], theirs.bse[1]), rel=EXACT)
    published = json.loads((home / "lalonde_expected.json").read_text(encoding="utf-8"))
    adjusted = published["computed_with_statsmodels_0.15.0"]["experimental_reg_adjusted_DW99_spec"]
    assert abs(found.estimate - adjusted) < found.std_error / 2


def theta_form(y, x, treated):
    """GrowthBook's formulas by hand: theta pooled over the arms, V = (s2_Y + theta^2 s2_X - 2 theta s_YX) / n."""
    tables = [np.cov(y[one], x[one]) for one in (treated, ~treated)]
    counts = [treated.sum(), (~treated).sum()]
    theta = np.cov(y, x)[0, 1] / np.var(x, ddof=1)
    means = [y[one].mean() - theta * x[one].mean() for one in (treated, ~treated)]
    variances = [
        (table[0, 0] + theta**2 * table[1, 1] - 2 * theta * table[0, 1]) / n for table, n in zip(tables, counts)
    ]
    return theta, means[0] - means[1], sum(variances) ** 0.5


def test_theta_form_by_hand_is_tea_tastings_and_close_to_ours():
    rng = np.random.default_rng(4)
    y, x, treated, _ = shop(rng, 20_000, new_share=0, lift=1.0)
    _, estimate, error = theta_form(y, x, treated)
    arms = [
        Aggregates(
            int(one.sum()),
            {"y": y[one].mean(), "x": x[one].mean()},
            {"y": y[one].var(ddof=1), "x": x[one].var(ddof=1)},
            {("x", "y"): np.cov(x[one], y[one])[0, 1]},
        )
        for one in (~treated, treated)
    ]
    theirs = Mean("y", "x").analyze_aggregates(*arms)
    assert theirs.effect_size == pytest.approx(estimate, abs=EXACT)
    assert theirs.effect_size / theirs.statistic == pytest.approx(error, abs=EXACT)
    # a slope for each arm and HC2 instead of one slope: the same up to parts of order 1 / n
    found = effect(y, x, treated)
    assert found.estimate == pytest.approx(estimate, abs=0.02 * error)
    assert found.std_error == pytest.approx(error, rel=0.005)
    assert found.std_error < 0.85 * mean_difference(sums_of(y[treated]), sums_of(y[~treated])).std_error


def test_by_hand():
    """Treatment x 0 1 2, y 1 2 6; control x 0 2 4, y 0 1 5. Pooled mean of x 1.5.

    Slopes 2.5 and 1.25; means 3 at x 1 and 2 at x 2. Values 3 + 2.5 x 0.5 = 4.25 and 2 - 1.25 x 0.5 = 1.375:
    difference 2.875. Treatment: residuals 0.5 -1 0.5, leverages 5/6 1/3 5/6, weights 1/3 + 0.25 (-1 0 1):
    (1/12)^2 0.25/(1/6) + (1/3)^2 1/(2/3) + (7/12)^2 0.25/(1/6) = 0.0104167 + 0.1666667 + 0.5104167 = 0.6875.
    Control: the same residuals and leverages, weights 1/3 - 0.0625 (-2 0 2):
    0.3151042 + 0.1666667 + 0.0651042 = 0.546875. Each line leaves one degree of freedom:
    (0.6875 + 0.546875)^2 / (0.6875^2 + 0.546875^2) = 1.97438.
    """
    y, x = np.array([1.0, 2, 6, 0, 1, 5]), np.array([0.0, 1, 2, 0, 2, 4])
    fits, squares, found = fitted(y, x, np.arange(6) < 3, np.zeros(6, bool))
    assert (fits[0].slope, fits[1].slope, fits[0].shift) == (2.5, 1.25, 0.5)
    assert (found.mean_treatment, found.mean_control, found.estimate) == (4.25, 1.375, 2.875)
    assert squares == pytest.approx([0.6875, 0.546875])
    assert found.std_error == pytest.approx((0.6875 + 0.546875) ** 0.5)
    assert found.degrees == pytest.approx(1.97438, abs=1e-5)
    assert found.relative_estimate == pytest.approx(2.875 / 2)  # of the plain control mean, 2
    on_another = effect(y, x, np.arange(6) < 3, unadjusted_control_mean=5.0)
    assert on_another.relative_estimate == pytest.approx(2.875 / 5)


# Coverage and level


def simulated(seed, replicates, **kind):
    rng = np.random.default_rng(seed)
    return [shop(rng, **kind) for _ in range(replicates)]


def test_covers_an_effect_also_relative_and_is_shorter_than_the_plain_interval():
    hits, relative, shorter = [], [], []
    control_mean = (0.7 * 0.7 + 0.3 * 0.7 * 0.4) * 20
    for y, x, treated, is_new in simulated(5, REPLICATES, users=800, lift=1.5, treated_share=0.35):
        found = effect(y, x, treated, is_new)
        hits.append(found.ci_lower <= 1.5 <= found.ci_upper)
        relative.append(found.relative_ci_lower <= 1.5 / control_mean <= found.relative_ci_upper)
        if len(shorter) < 50:
            plain = mean_difference(sums_of(y[treated]), sums_of(y[~treated]))
            shorter.append(found.std_error / plain.std_error)
    assert LOWEST <= np.mean(hits) <= HIGHEST
    assert LOWEST <= np.mean(relative) <= HIGHEST
    assert np.mean(shorter) < 0.9


def test_relative_interval_covers_a_large_effect_that_history_explains_well():
    """Here the variance of the unadjusted base matters: it is many times that of the adjusted control value."""
    rng = np.random.default_rng(6)
    hits = []
    for _ in range(REPLICATES):
        x = rng.normal(50, 20, 200)
        treated = rng.random(200) < 0.5
        y = (x + rng.normal(0, 3, 200)) * np.where(treated, 1.8, 1.0)
        found = effect(y, x, treated)
        hits.append(found.relative_ci_lower <= 0.8 <= found.relative_ci_upper)
    assert LOWEST <= np.mean(hits) <= HIGHEST


def covers_weeks(rng):
    fits, squares = [], []
    for one, size in enumerate(rng.multinomial(600, [1 / 3] * 3)):
        y, x, treated, is_new = shop(rng, size, treated_share=0.2 + 0.25 * one)
        pair, square, _ = fitted(y + 8 * one, x, treated, is_new)
        fits.append(pair)
        squares.append(square)
    found = cuped_difference(fits, *np.transpose(squares))
    return found.ci_lower <= 0 <= found.ci_upper


def test_weeks_with_changed_shares_cover():
    rng = np.random.default_rng(7)
    assert LOWEST <= np.mean([covers_weeks(rng) for _ in range(REPLICATES)]) <= HIGHEST


def alarms(shops, method=effect):
    return sum(method(*one).p_value < 0.05 for one in shops)


def test_aa_level_where_half_the_users_have_no_pre_period():
    assert alarms(simulated(8, 200, users=1_000, new_share=0.5)) <= 21


def test_aa_level_where_no_history_is_not_known_to_be_missing():
    """The same users, none of them marked as new: x = 0 alone is right too, only less precise."""
    shops = [(y, x, treated) for y, x, treated, _ in simulated(9, 200, users=1_000, new_share=0.5)]
    assert alarms(shops) <= 21


def light_users(rng):
    """Every light user is a new buyer without a pre-period: who has a history is who buys much."""
    appetite = rng.gamma(0.7, 1.0, 1_000)
    is_new = appetite < np.median(appetite)
    x = np.where(is_new, 0, rng.poisson(4 * appetite)).astype(float)
    return rng.poisson(4 * appetite).astype(float), x, rng.random(1_000) < 0.5, is_new


def nulls_left_out(y, x, treated, is_new):
    """The fault: nulls leave the mean of x but stay in n."""
    arms = [
        Aggregates(
            int(one.sum()),
            {"y": y[one].mean(), "x": x[one & ~is_new].mean()},
            {"y": y[one].var(ddof=1), "x": x[one & ~is_new].var(ddof=1)},
            {("x", "y"): np.cov(x[one & ~is_new], y[one & ~is_new])[0, 1]},
        )
        for one in (~treated, treated)
    ]
    found = Mean("y", "x").analyze_aggregates(*arms)
    return replace(effect(y, x, treated, is_new), p_value=found.pvalue)


def test_aa_level_where_light_users_have_no_pre_period():
    rng = np.random.default_rng(10)
    shops = [light_users(rng) for _ in range(200)]
    assert alarms(shops) <= 21
    assert alarms(shops, nulls_left_out) > 21, "the test cannot tell strata from nulls that leave the mean only"


def test_aa_level_of_a_small_shop_where_few_have_a_history():
    """Cells turn from adjusted to plain by counts alone; the test stays a test."""
    assert alarms(simulated(11, 200, users=40, new_share=0.8)) <= 21


# Where there is nothing to adjust by


def plain_of(y, treated):
    return mean_difference(sums_of(y[treated]), sums_of(y[~treated]))


@pytest.mark.parametrize("case", ["no history varies", "everybody is new", "two old users", "one user has all"])
def test_not_adjusted_is_the_plain_difference(case):
    rng = np.random.default_rng(12)
    y, x, treated, is_new = shop(rng, 60, new_share=0)
    if case == "no history varies":
        x[:] = 0
    elif case == "everybody is new":
        is_new[:] = True
    elif case == "two old users":
        is_new[:] = True
        is_new[np.flatnonzero(treated)[:2]] = is_new[np.flatnonzero(~treated)[:20]] = False
    else:
        x[treated] = 0
        x[np.flatnonzero(treated)[0]] = 90
    fits, _, found = fitted(y, x, treated, is_new)
    assert [one.slope for one in fits] == [0, 0]
    assert astuple(found)[:-1] == pytest.approx(astuple(plain_of(y, treated))[:-1], rel=1e-9)
    missing = cuped_difference([fits], [np.nan], [np.nan])
    assert astuple(missing) == astuple(found), "the second pass is not read where the slope is 0"


def test_one_unit_that_decides_the_slope_leaves_no_number():
    x = np.array([1.0, 1, 1, 1, 5, 1, 2, 3, 4, 5])  # in the treatment all but one have the same history
    y = np.arange(10.0)
    found = effect(y, x, np.arange(10) < 5)
    assert found.reason == "one_unit_decides"
    assert np.isnan(found.estimate)
    assert (found.n_treatment, found.n_control) == (5, 5)


@pytest.mark.parametrize(
    ("users", "reason"), [((0, 5), "no_units"), ((1, 5), "one_unit"), ((5, 0), "no_units"), ((0, 0), "no_units")]
)
def test_arms_without_users_leave_no_number(users, reason):
    y = np.arange(float(sum(users)))
    treated = np.arange(sum(users)) < users[0]
    found = effect(y, y.copy(), treated)
    assert found.reason == reason
    assert np.isnan([found.estimate, found.ci_lower, found.p_value]).all()
    assert (found.n_treatment, found.n_control) == users


def test_no_cells_and_no_variation_leave_no_number():
    assert cuped_difference([], [], []).reason == "no_units"
    nothing = np.zeros(20)
    assert effect(nothing, np.arange(20.0), np.arange(20) % 2 == 0).reason == "no_variation"


def test_a_week_with_one_user_in_an_arm_has_a_reason():
    rng = np.random.default_rng(13)
    y, x, treated, is_new = shop(rng, 100)
    good = fitted(y, x, treated, is_new)
    bad = fitted(y[:5], x[:5], np.array([True, False, False, False, False]), is_new[:5])
    squares = np.transpose([good[1], bad[1]])
    assert cuped_difference([good[0], bad[0]], *squares).reason == "small_cell"
