"""The curve over depth: by hand, against plain least squares, and over simulated shops."""

import numpy as np
import pytest
import statsmodels.api as sm

from workbench.errors import ParameterError
from workbench.stats import position_curve
from workbench.stats.position_curve import fit_position_curve

BUCKETS = 256
SIZES = np.array([30, 8, 10, 5, 5])
GROUP = np.repeat(np.arange(len(SIZES)), SIZES)
DEPTH = np.concatenate([np.arange(1.0, size + 1) for size in SIZES])
SIDE = np.ones(len(GROUP))


def draws(replicates=500, buckets=BUCKETS):
    return np.random.default_rng(1).multinomial(buckets, np.full(buckets, 1 / buckets), replicates)


WEIGHTS = draws()


def curve_of_a_shop(rng, *, geometric):
    """Expected orders of every place: each page has its own level and slope."""
    level = np.log(400) + rng.normal(0, 0.4, len(SIZES))
    slope = np.exp(rng.normal(0, 0.25, len(SIZES)))
    if geometric:
        return np.exp(level[GROUP] - (3 / np.maximum(SIZES, 10) * slope)[GROUP] * (DEPTH - 1))
    return np.exp(level[GROUP] - slope[GROUP] * np.log(DEPTH))


def bucket_sums(rng, expected, users=1_500):
    """Orders of unequal users, each with an amount of its own, summed by bucket."""
    orders = rng.poisson(expected)
    part = rng.gamma(1, 1, users)
    bucket = rng.choice(users, orders.sum(), p=part / part.sum()) % BUCKETS
    sums = np.zeros((BUCKETS, len(expected)))
    np.add.at(sums, (bucket, np.repeat(np.arange(len(expected)), orders)), rng.lognormal(0, 0.6, orders.sum()))
    return sums


def flagged(found):
    return (found.ratio > found.usual_upper) | (found.ratio < found.usual_lower)


def test_by_hand():
    # halves from place to place, 800 400 200 (100) 50 25; the fourth has three times its 100
    found = fit_position_curve(
        np.array([[800.0, 400, 200, 300, 50, 25]]), np.zeros(6, int), np.arange(1.0, 7), np.ones(6), None
    )
    assert found.power == 1.0
    assert found.expected == pytest.approx([800, 400, 200, 100, 50, 25], rel=1e-3)
    assert found.ratio == pytest.approx([1, 1, 1, 3, 1, 1], rel=1e-3)
    # 3600 / position: a power law; two pages at different levels
    both = np.concatenate([3600 / np.arange(1.0, 7), 360 / np.arange(1.0, 7) ** 2])
    found = fit_position_curve(both[None], np.repeat([0, 1], 6), np.tile(np.arange(1.0, 7), 2), np.ones(12), None)
    assert found.power == 0.0
    assert found.expected == pytest.approx(both, rel=1e-3)


def test_side_is_common_to_groups():
    # rows of three: the second of a row has half, the third a third of the first; rows halve
    depth, side = np.repeat(np.arange(1.0, 6), 3), np.tile([1.0, 2.0, 3.0], 5)
    values = 1000 * 0.5**depth / side
    values[7] *= 4
    found = fit_position_curve(values[None], np.zeros(15, int), depth, side, None)
    assert found.ratio == pytest.approx(np.where(np.arange(15) == 7, 4, 1), rel=1e-3)


@pytest.mark.parametrize("factor", [100.0, 0.01])
def test_one_extreme_place_leaves_its_neighbours_alone(factor):
    rng = np.random.default_rng(3)
    values = curve_of_a_shop(rng, geometric=False) * rng.lognormal(0, 0.1, len(GROUP))
    before = fit_position_curve(values[None], GROUP, DEPTH, SIDE, None)
    values[40] *= factor  # the third of a page of ten
    after = fit_position_curve(values[None], GROUP, DEPTH, SIDE, None)
    others = np.arange(len(GROUP)) != 40
    assert np.abs(np.log(after.ratio / before.ratio)[others]).max() < 0.15
    assert after.ratio[40] / before.ratio[40] == pytest.approx(factor, rel=0.1)


def test_equals_least_squares_without_the_place_and_loops_over_replicates():
    """The formulas for leaving out, for the scatter's part and for replicates against one plain fit each."""
    rng = np.random.default_rng(5)
    side = np.where(np.arange(len(GROUP)) < 30, np.tile([1.0, 2.0, 3.0], 20)[: len(GROUP)], 1.0)
    sums = bucket_sums(rng, curve_of_a_shop(rng, geometric=True) / side * rng.lognormal(0, 0.2, len(GROUP)))
    weights = draws(12)
    total = sums.sum(axis=0)
    chance = position_curve._chance(sums, total)
    where = position_curve._Where(GROUP, np.flatnonzero(np.diff(GROUP, prepend=-1)), DEPTH, np.log(side))
    fit = position_curve._fit(np.log(total), chance, where, 1.0)
    found = position_curve._compared(sums, np.log(total), chance, fit, weights, 0.95)
    member = (GROUP[:, None] == np.arange(5)).astype(float)
    design = np.column_stack([member, member * DEPTH[:, None], np.log(side)])
    row_weights = fit.basis.row_weights
    stay = 1 - fit.basis.leverage()
    error = position_curve._replicate_error(sums, np.log(found.ratio), stay, fit.basis, weights)
    for one in (0, 4, 17, 29, 33, 47, 50, 57):
        left = np.arange(len(GROUP)) != one

        def expected(values, left=left, one=one):
            plain = sm.WLS(np.log(values)[left], design[left], weights=row_weights[left]).fit()
            return plain.predict(design[[one]])[0]

        assert np.log(found.expected[one]) == pytest.approx(expected(total), abs=1e-8)
        ratios = [np.log((drawn @ sums)[one]) - expected(drawn @ sums) for drawn in weights]
        assert error[one] == pytest.approx(np.std(ratios, ddof=1), rel=1e-6)
        # the prediction is linear in the logs: its coefficients by one unit change each
        plain = np.linalg.pinv(design[left] * np.sqrt(row_weights[left])[:, None]) * np.sqrt(row_weights[left])
        coefficients = design[one] @ plain
        assert fit.basis.brought()[one] / stay[one] ** 2 == pytest.approx((coefficients**2).sum(), rel=1e-6)


@pytest.mark.slow
def test_shops_on_their_curve_are_left_alone():
    """A right 95 % promise flags in at most 21 of 200 shops (99.9 % binomial bound)."""
    rng = np.random.default_rng(7)
    count = 0
    for number in range(200):
        expected = curve_of_a_shop(rng, geometric=number % 2 == 0) * rng.lognormal(0, 0.2, len(GROUP))
        count += flagged(fit_position_curve(bucket_sums(rng, expected), GROUP, DEPTH, SIDE, WEIGHTS)).any()
    assert count <= 21


def test_a_planted_place_is_found_in_most_shops():
    rng = np.random.default_rng(9)
    found = others = 0
    for number in range(60):
        expected = curve_of_a_shop(rng, geometric=number % 2 == 0) * rng.lognormal(0, 0.12, len(GROUP))
        planted = rng.choice(np.flatnonzero((expected > 40) & (DEPTH > 2)))
        expected[planted] *= 2.5
        named = flagged(fit_position_curve(bucket_sums(rng, expected), GROUP, DEPTH, SIDE, WEIGHTS))
        found += named[planted]
        named[planted] = False
        others += named.any()
    assert found >= 40
    assert others <= 9  # 99.9 % bound of 60 at 5 %


def test_the_interval_of_a_ratio_covers():
    """2,040 intervals, 17 places of 120 shops that lie on their curve: the ratio is 1."""
    rng = np.random.default_rng(11)
    covered = []
    for _ in range(120):
        expected = curve_of_a_shop(rng, geometric=False)
        found = fit_position_curve(bucket_sums(rng, expected, 6_000), GROUP, DEPTH, SIDE, WEIGHTS)
        covered.append(((found.lower <= 1) & (found.upper >= 1))[2:53:3])
    covered = np.array(covered)
    assert covered.size == 2_040
    assert 0.934 <= covered.mean() <= 0.966


def test_what_the_others_do_not_tell_is_left_open():
    ones = np.ones(4)
    # all at one depth but the last: nothing else fixes the slope that the last needs
    found = fit_position_curve(np.array([[8.0, 4, 6, 1]]), np.zeros(4, int), np.array([1.0, 1, 1, 9]), ones, None)
    assert np.isnan(found.expected).tolist() == [False, False, False, True]
    # two places with value are no curve
    found = fit_position_curve(np.array([[8.0, 4, 0, 0]]), np.zeros(4, int), np.arange(1.0, 5), ones, None)
    assert np.isnan(found.expected).all()
    # nothing at all
    found = fit_position_curve(np.zeros((3, 4)), np.zeros(4, int), np.arange(1.0, 5), ones, draws(5, 3))
    assert np.isnan(found.ratio).all()
    assert np.isnan(found.power)
    empty = fit_position_curve(np.zeros((3, 0)), np.zeros(0, int), np.zeros(0), np.zeros(0), None)
    assert len(empty.ratio) == 0


def test_one_depth_for_all_compares_with_the_level():
    # no slope: the geometric mean of the other three; robust weights stay near one
    values = np.array([[100.0, 110, 90, 100]])
    found = fit_position_curve(values, np.zeros(4, int), np.ones(4), np.ones(4), None)
    assert found.expected[0] == pytest.approx((110 * 90 * 100) ** (1 / 3), rel=0.01)


def test_a_level_outside_0_and_1_is_refused():
    with pytest.raises(ParameterError, match=r"confidence_level is 95; .* such as 0\.95"):
        fit_position_curve(np.ones((2, 3)), np.zeros(3, int), np.arange(1.0, 4), np.ones(3), None, confidence_level=95)
