"""Resampling of buckets: hand cases, an independent second way, coverage by simulation, speed and memory."""

import tracemalloc
import warnings

import numpy as np
import pytest
from scipy import stats

from workbench.errors import ParameterError
from workbench.stats.intervals import zero_share_upper
from workbench.stats.resampling import (
    bucket_weights,
    effective_by_bucket,
    rank_intervals,
    share_intervals,
    simultaneous_differences,
)

BUCKETS = 256
LEVEL = {"confidence_level": 0.95}
WEIGHTS = bucket_weights(BUCKETS, 500, seed=1)
FEWER = WEIGHTS[:200]


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def simulated(rng, shares, buyers, *, sigma=0.0, heavy=False):
    """Sums by bucket of one shop and its effective buyers; the expected share of each item is ``shares``.

    Heavy: Pareto-tailed numbers of orders, half of them in the buyer's own favourite item.
    """
    orders = np.minimum(1 + np.floor(rng.pareto(1.8, buyers)), 200).astype(int) if heavy else np.ones(buyers, int)
    buyer = np.repeat(np.arange(buyers), orders)
    edges = np.cumsum(shares)[:-1]
    item = np.searchsorted(edges, rng.random(len(buyer)), side="right")
    if heavy:
        favourite = np.searchsorted(edges, rng.random(buyers), side="right")
        item = np.where(rng.random(len(buyer)) < 0.5, favourite[buyer], item)
    value = rng.lognormal(0, sigma, len(buyer)) if sigma else np.ones(len(buyer))
    bucket = rng.integers(0, BUCKETS, buyers)[buyer]
    sums = np.bincount(bucket * len(shares) + item, value, minlength=BUCKETS * len(shares))
    by_buyer = np.bincount(buyer, value)
    return sums.reshape(BUCKETS, len(shares)), by_buyer.sum() ** 2 / (by_buyer**2).sum()


def allowed(shops):
    """The share of so many shops in which a right 95 % interval may hold (99.9 % binomial; 2,000: 93.4-96.6 %)."""
    return stats.binom.ppf([0.0005, 0.9995], shops, 0.95) / shops


def listed(ranks):
    return ranks.rank.tolist(), ranks.lower.tolist(), ranks.upper.tolist()


def pairs_of(items):
    return np.column_stack(np.triu_indices(items, 1))


# --- weights and effective buyers ---------------------------------------------------------------------------------


def test_weights_draw_as_many_buckets_as_there_are():
    weights = bucket_weights(16, 4_000, seed=3)
    assert weights.shape == (4_000, 16)
    assert weights.dtype == np.float64
    assert (weights.sum(axis=1) == 16).all()
    # multinomial: mean 1, variance 15/16; the standard error of the mean of 64,000 draws is 0.004
    assert weights.var() == pytest.approx(15 / 16, abs=0.03)
    assert (weights == bucket_weights(16, 4_000, seed=3)).all()
    assert (weights != bucket_weights(16, 4_000, seed=4)).any()


def test_effective_buyers_by_hand():
    # Two buckets, sums 3 and 1: S² = 16, squares 10, Q = (10 - 8) / (1/2) = 4, effective 16/4 = 4.
    # All in one bucket: Q = (25 - 12.5) / (1/2) = 25, one buyer. Nothing: 0. Perfectly even: no number.
    found = effective_by_bucket([[3.0, 5.0, 0.0, 2.0], [1.0, 0.0, 0.0, 2.0]])
    assert found == pytest.approx([4.0, 1.0, 0.0, np.nan], nan_ok=True)
    assert np.isnan(effective_by_bucket([[1.0]])[0])


@pytest.mark.parametrize("buyers", [50, 5_000])
def test_effective_buyers_are_unbiased_and_good_to_a_tenth(buyers):
    """Q, the estimated sum of squares, has the mean of the true one and a relative error of √(2/255) or less."""
    rng = np.random.default_rng(4)
    value = rng.lognormal(0, 0.7, buyers)
    bucket = rng.integers(0, BUCKETS, (400, buyers)) + BUCKETS * np.arange(400)[:, None]
    sums = np.bincount(bucket.ravel(), np.tile(value, 400), minlength=BUCKETS * 400).reshape(400, BUCKETS).T
    squares = value.sum() ** 2 / effective_by_bucket(sums) / (value**2).sum()
    assert squares.mean() == pytest.approx(1, abs=4 * 0.089 / 20)
    assert 0.03 < squares.std() < 0.089 * 1.15


# --- shares -------------------------------------------------------------------------------------------------------


def test_two_buckets_by_hand():
    # Shares 4/8 and 4/8. Of the draws of two buckets, (2, 0) and (0, 2) have one bucket only, hence no spread inside
    # and no standard error: half the replicates are worth nothing, so there is no interval.
    sums = np.array([[3.0, 1.0], [1.0, 3.0]])
    weights = np.array([[2.0, 0.0], [1.0, 1.0], [1.0, 1.0], [0.0, 2.0]])
    found = share_intervals(sums, sums.sum(axis=1), weights, **LEVEL, effective_total=100)
    assert found.estimate.tolist() == [0.5, 0.5]
    assert found.effective == pytest.approx([4.0, 4.0])
    assert found.reason.tolist() == ["few_own_buyers"] * 2
    assert np.isnan(found.lower).all()


def test_interval_equals_a_bootstrap_written_plainly():
    rng = np.random.default_rng(8)
    sums, effective = simulated(rng, [0.7, 0.3], 1_000, sigma=1.0)
    totals = sums.sum(axis=1)
    found = share_intervals(sums, totals, WEIGHTS, **LEVEL, effective_total=effective)

    def share_and_error(weight):
        share = (weight * sums[:, 1]).sum() / (weight * totals).sum()
        residual = sums[:, 1] - share * totals
        error = np.sqrt((weight * residual**2).sum()) / (weight * totals).sum()
        return np.log(share / (1 - share)), error / (share * (1 - share))

    middle, error = share_and_error(np.ones(BUCKETS))
    statistics = sorted(abs((share_and_error(weight)[0] - middle) / share_and_error(weight)[1]) for weight in WEIGHTS)
    critical = statistics[int(np.ceil(0.95 * 499))]
    expected = [1 / (1 + np.exp(-(middle + side * critical * error))) for side in (-1, 1)]
    assert [found.lower[1], found.upper[1]] == pytest.approx(expected, rel=1e-4)  # four-byte products inside


@pytest.mark.parametrize(
    ("buyers", "sigma", "heavy", "shares"),
    [
        (400, 0.0, False, [0.70, 0.20, 0.10]),
        (1_000, 1.0, False, [0.70, 0.20, 0.10]),
        (1_500, 0.0, True, [0.70, 0.20, 0.10]),
        (4_000, 0.0, False, [0.785, 0.20, 0.015]),
        (8_000, 1.0, False, [0.78, 0.20, 0.02]),
    ],
)
def test_coverage_of_shares(buyers, sigma, heavy, shares):
    """Conversions and money, few users and heavy buyers, large and small shares, where an interval is given."""
    shops = 1_000
    lowest, highest = allowed(shops)
    rng = np.random.default_rng(21)
    given = np.zeros(len(shares))
    held = np.zeros(len(shares))
    for _ in range(shops):
        sums, effective = simulated(rng, shares, buyers, sigma=sigma, heavy=heavy)
        found = share_intervals(sums, sums.sum(axis=1), FEWER, **LEVEL, effective_total=effective)
        has = np.equal(found.reason, None)
        given += has
        held += has & (found.lower <= shares) & (shares <= found.upper)
    assert (given / shops > 0.6).all(), "the study says nothing about intervals that are not given"
    assert (held / given >= lowest).all(), held / given
    assert (held / given <= highest).all(), held / given


def test_small_shares_of_few_buyers_are_refused():
    """1 % of 1,000 buyers is ten buyers: hardly ever an interval, and the reason says why."""
    rng = np.random.default_rng(5)
    reasons = []
    for _ in range(50):
        sums, effective = simulated(rng, [0.59, 0.4, 0.01], 1_000, sigma=1.0)
        found = share_intervals(sums, sums.sum(axis=1), FEWER, **LEVEL, effective_total=effective)
        reasons.append(found.reason[2])
        assert found.reason[1] is None
        assert np.isnan([found.lower[2], found.upper[2]]).all() or found.reason[2] == "no_credit_upper_bound"
    assert set(reasons) <= {"few_own_buyers", "no_credit_upper_bound"}


def test_many_small_buyers_do_not_replace_the_large_ones_an_item_has_not_met_yet():
    """60 buyers of 1 beside 1,000 of 100: evidence enough of its own, but 0.06 % of 1,060 buyers is not even one."""
    sums, _ = simulated(np.random.default_rng(5), [0.5, 0.5], 1_000)
    small = np.bincount(np.random.default_rng(6).integers(0, BUCKETS, 60), minlength=BUCKETS)
    sums = np.column_stack([100 * sums, small])
    found = share_intervals(sums, sums.sum(axis=1), WEIGHTS, **LEVEL, effective_total=1_001)
    assert found.effective[2] > 40
    assert found.reason.tolist() == [None, None, "few_own_buyers"]


def test_a_slot_that_has_nearly_all_is_refused_for_the_few_others():
    sums, effective = simulated(np.random.default_rng(5), [0.99, 0.01], 1_000)
    found = share_intervals(sums, sums.sum(axis=1), WEIGHTS, **LEVEL, effective_total=effective)
    assert found.reason.tolist() == ["few_other_buyers", "few_own_buyers"]


def test_no_credit_and_all_credit_have_one_exact_bound():
    sums = np.column_stack([np.random.default_rng(2).poisson(3.0, BUCKETS), np.zeros(BUCKETS)])
    found = share_intervals(sums, sums.sum(axis=1), WEIGHTS, **LEVEL, effective_total=400)
    bound = zero_share_upper(400).item()
    assert found.reason.tolist() == ["all_credit_lower_bound", "no_credit_upper_bound"]
    assert found.lower == pytest.approx([1 - bound, 0.0])
    assert found.upper == pytest.approx([1.0, bound])
    assert found.effective[1] == 0


def test_one_buyer_who_carries_94_per_cent():
    """No intervals, no differences, and every rank is possible."""
    sums, _ = simulated(np.random.default_rng(3), [0.5, 0.3, 0.2], 600)
    sums[7, 2] += 9_400
    totals = sums.sum(axis=1)
    shares = share_intervals(sums, totals, WEIGHTS, **LEVEL, effective_total=1.13)
    assert set(shares.reason) == {"few_effective_buyers"}
    assert np.isnan(shares.lower).all()
    assert np.isnan(shares.upper).all()
    assert shares.effective[2] == pytest.approx(1, abs=0.1)
    differences = simultaneous_differences(sums, totals, pairs_of(3), WEIGHTS, **LEVEL)
    assert set(differences.reason) == {"few_effective_buyers"}
    assert not differences.is_different.any()
    ranks = rank_intervals(sums, totals, WEIGHTS, **LEVEL)
    assert listed(ranks) == ([2, 3, 1], [1, 1, 1], [3, 3, 3])
    assert not ranks.is_sure.any()


def test_a_shop_without_anything_has_no_numbers():
    nothing = np.zeros((BUCKETS, 3))
    found = share_intervals(nothing, nothing[:, 0], WEIGHTS, **LEVEL, effective_total=0)
    assert np.isnan(found.estimate).all()
    assert set(found.reason) == {"few_effective_buyers"}
    assert np.isnan(simultaneous_differences(nothing, nothing[:, 0], pairs_of(3), WEIGHTS, **LEVEL).estimate).all()
    assert listed(rank_intervals(nothing, nothing[:, 0], WEIGHTS, **LEVEL)) == ([1, 2, 3], [1, 1, 1], [3, 3, 3])


def test_a_share_that_does_not_vary_has_no_interval():
    sums = np.random.default_rng(1).poisson(5.0, BUCKETS)[:, None] * np.array([0.25, 0.75])
    found = share_intervals(sums, sums.sum(axis=1), WEIGHTS, **LEVEL, effective_total=1_000)
    assert found.reason.tolist() == ["no_variation"] * 2
    assert np.isnan(found.upper).all()


def test_a_share_outside_zero_to_one_has_no_interval():
    """Refunds can make the sum of an item negative."""
    sums = np.random.default_rng(1).poisson(5.0, (BUCKETS, 2)) * np.array([-0.2, 1.0])
    found = share_intervals(sums, sums.sum(axis=1), WEIGHTS, **LEVEL, effective_total=1_000)
    assert found.reason.tolist() == ["outside_zero_to_one"] * 2


# --- differences --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("buyers", "sigma", "heavy"), [(400, 0.0, False), (1_500, 1.0, False), (1_500, 0.0, True)])
def test_all_differences_hold_at_once(buyers, sigma, heavy):
    rng = np.random.default_rng(31)
    shares = np.array([0.35, 0.2, 0.15, 0.12, 0.1, 0.08])
    pairs = pairs_of(6)
    truth = shares[pairs[:, 0]] - shares[pairs[:, 1]]
    together, single, shops = 0, 0.0, 300
    for _ in range(shops):
        sums, effective = simulated(rng, shares, buyers, sigma=sigma, heavy=heavy)
        found = simultaneous_differences(sums, sums.sum(axis=1), pairs, FEWER, **LEVEL, effective_total=effective)
        given = np.equal(found.reason, None)
        assert given.mean() > 0.3
        held = (found.lower <= truth) & (truth <= found.upper)
        together += held[given].all()
        single += held[given].mean()
    lowest, highest = allowed(shops)
    assert lowest <= together / shops <= highest + 0.01  # a touch wide where tails are heavy
    assert single / shops > 0.98, "intervals for one pair at a time would be this narrow"


def test_equal_items_are_hardly_ever_different():
    """A right 5 % promise over all pairs names some pair in at most 21 of 200 shops (99.9 % binomial bound)."""
    rng = np.random.default_rng(12)
    named = 0
    for _ in range(200):
        sums, _ = simulated(rng, np.full(10, 0.1), 800)
        found = simultaneous_differences(sums, sums.sum(axis=1), pairs_of(10), FEWER, **LEVEL)
        ranks = rank_intervals(sums, sums.sum(axis=1), FEWER, **LEVEL)
        named += found.is_different.any()
        assert found.is_different.any() or ((ranks.lower == 1) & (ranks.upper == 10)).mean() >= 0.5
    assert named <= 21


def test_differences_keep_their_sign_and_their_blocks():
    """More pairs than a block holds: the same bounds whatever the order of pairs, mirrored when a pair is turned."""
    sums, effective = simulated(np.random.default_rng(6), np.full(30, 1 / 30), 9_000, sigma=0.5)
    pairs = pairs_of(30)
    totals = sums.sum(axis=1)
    found = simultaneous_differences(sums, totals, pairs, WEIGHTS, **LEVEL, effective_total=effective)
    turned = simultaneous_differences(sums, totals, pairs[::-1, ::-1], WEIGHTS, **LEVEL, effective_total=effective)
    assert turned.estimate[::-1] == pytest.approx(-found.estimate)
    assert turned.lower[::-1] == pytest.approx(-found.upper, rel=1e-4, abs=1e-8)
    share = sums.sum(axis=0) / sums.sum()
    assert found.estimate == pytest.approx(share[pairs[:, 0]] - share[pairs[:, 1]])
    assert (found.is_different == ((found.lower > 0) | (found.upper < 0))).all()


def test_pairs_without_buyers_are_refused_and_do_not_widen_the_others():
    sums, effective = simulated(np.random.default_rng(6), [0.6, 0.4, 0.0], 900)
    sums = np.column_stack([sums, sums[:, 2]])
    sums[3, 3] = 1.0  # one small buyer
    totals = sums.sum(axis=1)
    found = simultaneous_differences(
        sums, totals, [[0, 1], [2, 3], [0, 0]], WEIGHTS, **LEVEL, effective_total=effective
    )
    assert found.reason.tolist() == [None, "few_own_buyers", "no_variation"]
    alone = simultaneous_differences(sums, totals, [[0, 1]], WEIGHTS, **LEVEL, effective_total=effective)
    assert found.lower[0] == pytest.approx(alone.lower[0], rel=1e-5)
    empty = simultaneous_differences(sums, totals, np.zeros((0, 2)), WEIGHTS, **LEVEL)
    assert empty.estimate.shape == (0,)


def test_memory_of_many_pairs_is_bounded():
    rng = np.random.default_rng(2)
    sums = rng.gamma(5.0, 1.0, (BUCKETS, 100))
    pairs = rng.permuted(np.tile(np.arange(100), (4_000, 1)), axis=1)[:, :2]
    weights = bucket_weights(BUCKETS, 1_000, seed=1)
    tracemalloc.start()
    found = simultaneous_differences(sums, sums.sum(axis=1), pairs, weights, **LEVEL, effective_total=9_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.equal(found.reason, None).all()
    assert peak < 40e6  # all at once would be 4,000 pairs × 1,000 replicates × 4 bytes = 16 MB for each of ten arrays


# --- ranks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("buyers", "sigma", "heavy"), [(400, 0.0, False), (1_500, 1.0, False), (1_500, 0.0, True)])
def test_rank_intervals_hold_the_true_rank(buyers, sigma, heavy):
    rng = np.random.default_rng(13)
    shares = np.array([0.3, 0.2, 0.14, 0.12, 0.1, 0.08, 0.06])
    shops, held, width = 300, np.zeros(7), 0.0
    for _ in range(shops):
        sums, _ = simulated(rng, shares, buyers, sigma=sigma, heavy=heavy)
        found = rank_intervals(sums, sums.sum(axis=1), FEWER, **LEVEL)
        assert sorted(found.rank) == list(range(1, 8))
        assert (found.lower <= found.rank).all()
        assert (found.rank <= found.upper).all()
        held += (found.lower <= np.arange(1, 8)) & (np.arange(1, 8) <= found.upper)
        width += (found.upper - found.lower + 1).mean() / shops
    assert (held / shops >= allowed(shops)[0]).all()
    assert width < 6.5, "intervals over all ranks would pass too"


def test_equal_slots_may_have_any_rank():
    rng = np.random.default_rng(14)
    shops, whole = 600, np.zeros(6)
    for _ in range(shops):
        sums, _ = simulated(rng, np.full(6, 1 / 6), 500)
        found = rank_intervals(sums, sums.sum(axis=1), FEWER, **LEVEL)
        whole += (found.lower == 1) & (found.upper == 6)
    lowest, highest = allowed(shops)
    assert (whole / shops >= lowest).all()
    assert (whole / shops).mean() <= highest + 0.01  # both critical values of a pair must be passed


def test_ranks_of_a_clear_order_and_ties():
    sums = np.random.default_rng(3).poisson([40.0, 10.0, 2.0, 0.0, 0.0], (BUCKETS, 5)).astype(float)
    ranks = rank_intervals(sums, sums.sum(axis=1), WEIGHTS, **LEVEL)
    assert listed(ranks) == ([1, 2, 3, 4, 5], [1, 2, 3, 4, 4], [1, 2, 3, 5, 5])
    assert (ranks.is_sure == ~np.eye(5, dtype=bool) & ~np.outer([0, 0, 0, 1, 1], [0, 0, 0, 1, 1]).astype(bool)).all()


def test_places_count_the_pairs_told_apart_and_nothing_else():
    """Unequal tails give items critical values of their own; what one item says of a pair the other says too."""
    rng = np.random.default_rng(17)
    told = 0
    for _ in range(60):
        items = rng.integers(2, 9)
        shares = rng.dirichlet(np.full(items, rng.choice([1.0, 20.0])))
        sums, _ = simulated(rng, shares, rng.integers(100, 3_000), sigma=rng.choice([0.0, 1.0]))
        found = rank_intervals(sums, sums.sum(axis=1), FEWER, **LEVEL)
        is_larger = found.rank[:, None] > found.rank  # of the item in the column
        assert (found.is_sure == found.is_sure.T).all()
        assert (found.lower == 1 + (found.is_sure & is_larger).sum(axis=1)).all()
        assert (found.upper == items - (found.is_sure & ~is_larger).sum(axis=1)).all()
        told += found.is_sure.any() and found.is_sure.sum() != items * (items - 1)
    assert told > 20, "all or nothing is told apart: the shops say nothing"


def test_ranks_equal_intervals_written_plainly():
    """Every pair of every item by a loop: the item's critical value, and both items' verdicts joined by and."""
    sums, effective = simulated(np.random.default_rng(23), [0.4, 0.3, 0.155, 0.145], 1_500, sigma=1.0)
    totals = sums.sum(axis=1)
    weights = bucket_weights(BUCKETS, 800, seed=4)
    found = rank_intervals(sums, totals, weights, **LEVEL, effective_total=effective)

    def statistic(one, other, weight, around):
        mean = (weight * totals).sum()
        difference = (weight * (sums[:, one] - sums[:, other])).sum() / mean
        residual = sums[:, one] - sums[:, other] - difference * totals
        return abs(difference - around) / (np.sqrt((weight * residual**2).sum()) / mean)

    share = sums.sum(axis=0) / totals.sum()
    others = {one: [other for other in range(4) if other != one] for one in range(4)}
    critical = {
        one: sorted(
            max(statistic(one, other, weight, share[one] - share[other]) for other in others[one])
            for weight in weights[:500]  # the first 500 at 95 %
        )[int(np.ceil(0.95 * 499))]
        for one in others
    }
    for one in others:
        for other in others[one]:
            size = statistic(one, other, np.ones(BUCKETS), 0.0)
            assert found.is_sure[one, other] == (size > max(critical[one], critical[other]))
    assert found.is_sure.any()
    assert not found.is_sure[2, 3]


def test_ranks_use_more_replicates_where_the_level_asks_for_more():
    sums, effective = simulated(np.random.default_rng(2), np.linspace(0.14, 0.06, 10), 3_000)
    weights = bucket_weights(BUCKETS, 3_000, seed=1)
    broken = weights.copy()
    broken[500:] = 1.0  # replicates that say: no difference ever moves
    for level, is_same in ((0.95, True), (0.99, False)):
        asked = {"confidence_level": level, "effective_total": effective}
        one, other = (rank_intervals(sums, sums.sum(axis=1), some, **asked) for some in (weights, broken))
        assert (one.is_sure == other.is_sure).all() == is_same


# --- all ----------------------------------------------------------------------------------------------------------


def test_order_of_columns_and_units_change_nothing_and_a_seed_fixes_all():
    rng = np.random.default_rng(9)
    sums, effective = simulated(rng, np.array([4, 3, 2, 2, 1, 1, 0]) / 13, 2_000, sigma=1.0)
    order = rng.permutation(7)
    totals = sums.sum(axis=1)
    found = share_intervals(sums, totals, WEIGHTS, **LEVEL, effective_total=effective)
    ranks = rank_intervals(sums, totals, WEIGHTS, **LEVEL)
    for other, scale in ((order, 1.0), (order, 1e6), (np.arange(7), 1.0)):
        again = share_intervals(sums[:, other] * scale, totals * scale, WEIGHTS, **LEVEL, effective_total=effective)
        assert again.lower == pytest.approx(found.lower[other], rel=1e-5)
        assert again.upper == pytest.approx(found.upper[other], rel=1e-5)
        assert (again.reason == found.reason[other]).all()
        places = rank_intervals(sums[:, other] * scale, totals * scale, WEIGHTS, **LEVEL)
        for name in ("rank", "lower", "upper"):
            assert (getattr(places, name) == getattr(ranks, name)[other]).all()
        assert (places.is_sure == ranks.is_sure[np.ix_(other, other)]).all()
    same = share_intervals(sums, totals, bucket_weights(BUCKETS, 500, seed=1), **LEVEL, effective_total=effective)
    assert (same.lower[:4] == found.lower[:4]).all()


def test_empty_buckets_and_few_replicates_do_no_harm():
    """Twelve of 16 buckets hold nobody; a draw may hit only those."""
    sums = np.zeros((16, 2))
    sums[:4] = [[100, 50], [90, 60], [120, 45], [80, 70]]
    weights = np.vstack([bucket_weights(16, 5, seed=1), 16.0 * np.eye(16)[-1]])
    asked = LEVEL | {"effective_total": 500}
    found = share_intervals(sums, sums.sum(axis=1), weights, **asked)
    assert np.allclose(found.estimate.sum(), 1)
    apart = simultaneous_differences(sums, sums.sum(axis=1), [[0, 1]], weights, **asked)
    assert apart.estimate.item() == pytest.approx(found.estimate[0] - found.estimate[1])
    ranks = rank_intervals(sums, sums.sum(axis=1), weights, **asked)
    assert ranks.rank.tolist() == [1, 2]
    assert ((ranks.lower <= ranks.rank) & (ranks.rank <= ranks.upper)).all()


def test_a_hundred_thousand_items_stay_in_bounded_memory():
    rng = np.random.default_rng(1)
    sums = np.zeros((BUCKETS, 100_000))
    sums[:, :1_000] = rng.gamma(2.0, 1.0, (BUCKETS, 1_000))
    sums[rng.integers(0, BUCKETS, 50_000), np.arange(50_000, 100_000)] = 0.01
    totals = sums.sum(axis=1)
    tracemalloc.start()
    found = share_intervals(sums, totals, WEIGHTS, **LEVEL, effective_total=1e5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.equal(found.reason[:1_000], None).all()
    assert set(found.reason[1_000:50_000]) == {"no_credit_upper_bound"}
    assert set(found.reason[50_000:]) == {"few_own_buyers"}
    assert peak < 150e6


def test_bad_input_is_named():
    sums = np.ones((4, 2))
    weights = bucket_weights(4, 10, seed=1)
    with pytest.raises(ParameterError, match="strictly between 0 and 1"):
        share_intervals(sums, sums[:, 0], weights, confidence_level=95, effective_total=100)
    with pytest.raises(ValueError, match=r"sums \(4, 2\), totals \(3,\)"):
        rank_intervals(sums, np.ones(3), weights, **LEVEL)
    with pytest.raises(ValueError, match="at least one replicate"):
        simultaneous_differences(sums, sums[:, 0], [[0, 1]], weights[:0], **LEVEL)
