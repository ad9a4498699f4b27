"""Goods bought together: hand case, a jackknife written plainly, coverage and false pairs by simulation."""

import warnings
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from workbench.errors import ParameterError
from workbench.stats.baskets import bought_together
from workbench.stats.intervals import ratio_by_bucket
from workbench.stats.multiplicity import benjamini_hochberg

LOWEST, HIGHEST = 0.934, 0.966  # what 2,000 replicates of a right 95 % interval may show (99.9 % binomial)


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def shop(rng, users, base, *, taste=0.0, joint=0.0, buckets=256):
    """Sums of a shop: users with 1 to 20 orders, each with its own tastes; with ``joint`` good 1 follows 0."""
    base = np.array(base)
    orders = np.minimum(1 + np.floor(rng.pareto(2.0, users)), 20).astype(int)
    who = np.repeat(np.arange(users), orders)
    likes = base * rng.gamma(1 / taste, taste, (users, base.size)) if taste else np.tile(base, (users, 1))
    bought = rng.random((len(who), base.size)) < likes[who]
    bought[:, 1] |= bought[:, 0] & (rng.random(len(who)) < joint)
    bucket = rng.integers(0, buckets, users)[who]
    pairs = np.array(list(combinations(range(base.size), 2)))

    def by_bucket(rows):
        return np.stack([np.bincount(bucket, row, buckets) for row in rows.T], axis=1)

    return (
        by_bucket(bought[:, pairs[:, 0]] & bought[:, pairs[:, 1]]),
        by_bucket(bought),
        np.bincount(bucket, minlength=buckets),
        pairs,
    )


def test_bread_and_butter_by_hand():
    """200 orders: 80 with bread, 40 with butter, 32 with both. 32 × 200 / (80 × 40) = 2."""
    found = bought_together(np.c_[[8, 9, 7, 8]], np.c_[[20, 22, 18, 20], [10, 11, 9, 10]], [50, 50, 50, 50], [[0, 1]])
    assert found.pair_count.tolist() == [32]
    assert found.support.estimate.tolist() == [0.16]
    assert found.confidence.estimate.tolist() == [0.4]
    assert found.reverse_confidence.estimate.tolist() == [0.8]
    assert found.lift.estimate == pytest.approx([2])


def test_bounds_equal_a_jackknife_written_plainly():
    rng = np.random.default_rng(1)
    both, items, orders, pairs = shop(rng, 3_000, [0.3, 0.2, 0.15], taste=0.5, joint=0.2)
    found = bought_together(both, items, orders, pairs, confidence_level=0.9)
    for place, (one, other) in enumerate(pairs):
        deleted = []
        for bucket in range(256):
            rest = np.arange(256) != bucket
            deleted.append(
                np.sqrt(
                    both[rest, place].sum() * orders[rest].sum() / items[rest, one].sum() / items[rest, other].sum()
                )
            )
        middle = np.sqrt(both[:, place].sum() * orders.sum() / items[:, one].sum() / items[:, other].sum())
        error = np.sqrt(255 * np.var(deleted))
        half = stats.t.ppf(0.95, 255) * error
        assert found.lift.lower[place] == pytest.approx((middle - half) ** 2)
        assert found.lift.upper[place] == pytest.approx((middle + half) ** 2)
        assert found.p_value[place] == pytest.approx(2 * stats.t.sf(abs(middle - 1) / error, 255), rel=1e-6)
        for interval, bottom in ((found.confidence, one), (found.reverse_confidence, other)):
            plain = ratio_by_bucket(both[:, [place]], items[:, [bottom]], confidence_level=0.9)
            assert [interval.lower[place], interval.upper[place]] == pytest.approx([plain.lower[0], plain.upper[0]])
    assert found.p_value_adjusted == pytest.approx(benjamini_hochberg(found.p_value))


def test_the_bounds_leave_out_1_exactly_where_the_p_value_is_small():
    rng = np.random.default_rng(2)
    found = bought_together(*shop(rng, 2_000, [0.3, 0.3, 0.2, 0.2, 0.1, 0.1], joint=0.1))
    assert ((found.lift.lower > 1) | (found.lift.upper < 1)).tolist() == (found.p_value < 0.05).tolist()
    assert found.p_value[0] < 1e-6


def test_one_buyer_who_buys_the_same_every_week_is_not_evidence():
    orders, items, both = np.full(256, 40.0), np.full((256, 2), 1.0), np.zeros((256, 1))
    orders[7], items[7], both[7] = 340, 300, 300
    found = bought_together(both, items, orders, [[0, 1]])
    assert found.effective[0] == pytest.approx(1, abs=0.02)
    assert found.reason.tolist() == ["few_buyers"]
    assert np.isnan([found.lift.lower[0], found.lift.upper[0], found.p_value[0], found.p_value_adjusted[0]]).all()
    assert found.lift.estimate[0] > 10


def test_pairs_that_chance_hardly_puts_together_need_buyers_of_their_own():
    buckets = np.arange(256)
    orders, items = np.full(256, 20.0), np.zeros((256, 3))
    items[:, 0], items[buckets < 60, 1], items[buckets < 60, 2] = 1, 1, 1  # by chance 60 × 256 / 5120 = 3
    both = np.zeros((256, 2))
    both[buckets < 12, 0] = 1
    both[buckets < 45, 1] = 1
    found = bought_together(both, items, orders, [[0, 1], [0, 2]])
    assert found.reason.tolist() == ["few_buyers", None]


def test_the_lower_bound_of_goods_hardly_ever_together_is_0():
    items, both = np.ones((256, 2)), np.zeros((256, 1))
    both[0] = 1
    found = bought_together(both, items, np.full(256, 10.0), [[0, 1]])  # by chance 25.6
    assert found.reason.tolist() == [None]
    assert found.lift.lower.tolist() == [0]
    assert 0 < found.lift.estimate[0] < found.lift.upper[0] < 1


def test_goods_never_together_or_never_sold():
    both, items = np.zeros((256, 2)), np.ones((256, 3))
    items[:, 2] = 0
    found = bought_together(both, items, np.full(256, 5.0), [[0, 1], [0, 2]])
    assert found.lift.estimate[0] == 0
    assert np.isnan(found.lift.estimate[1])
    assert found.reason.tolist() == ["no_variation", "few_buyers"]
    assert np.isnan(found.p_value).all()


def test_no_pairs_at_all():
    found = bought_together(np.zeros((4, 0)), np.ones((4, 2)), np.ones(4), np.zeros((0, 2)))
    assert found.lift.estimate.size == found.p_value_adjusted.size == 0


@pytest.mark.parametrize(
    ("both", "items", "orders", "pairs", "said"),
    [
        ([[1]], [[1, 1]], [1, 1], [[0, 1]], "do not fit"),
        ([[1]], [[1, 1]], [1], [[0]], "do not fit"),
        ([[1]], [[1, 1]], [1], [[0, 2]], "outside 0 to 1"),
        ([[1]], [[1, 1]], [1], [[1, 1]], "a good with itself"),
        ([[-1]], [[1, 1]], [1], [[0, 1]], "negative or missing"),
        ([[2]], [[1, 2]], [3], [[0, 1]], "more orders with a pair than with one of its goods"),
        ([[1]], [[1, 4]], [3], [[0, 1]], "or with a good than in all"),
    ],
)
def test_counts_that_cannot_be_are_refused(both, items, orders, pairs, said):
    with pytest.raises(ParameterError, match=said):
        bought_together(both, items, orders, pairs)


@pytest.mark.parametrize(
    ("base", "taste", "joint", "buckets"),
    [
        ([0.3, 0.15, 0.07], 0.0, 0.0, 256),
        ([0.3, 0.15, 0.07], 0.5, 0.0, 256),
        ([0.1, 0.1, 0.07], 0.0, 0.3, 256),
        ([0.3, 0.15, 0.07], 0.5, 0.0, 64),
    ],
)
def test_the_bounds_hold_the_lift(base, taste, joint, buckets):
    """2,000 shops of 1,500 users; pairs that chance brings to 16-110 orders. With 0 → 1 the lift is known."""
    rng = np.random.default_rng(4)
    second = base[1] + (1 - base[1]) * base[0] * joint
    truth = np.array([(base[1] + (1 - base[1]) * joint) / second, 1, 1])
    held, given = np.zeros(3), np.zeros(3)
    for _ in range(2_000):
        found = bought_together(*shop(rng, 1_500, base, taste=taste, joint=joint, buckets=buckets))
        has = np.array([one is None for one in found.reason])
        given += has
        with np.errstate(invalid="ignore"):
            held += has & (found.lift.lower <= truth) & (truth <= found.lift.upper)
    often = given / 2_000 > 0.9
    assert often[0]
    assert often.sum() >= 2
    assert (held[often] / given[often] >= LOWEST).all(), held / given
    assert (held[often] / given[often] <= HIGHEST).all(), held / given


def test_false_pairs_are_held_to_their_share():
    """45 pairs of ten goods, one real: of the pairs called at 5 % the expected share of false ones is 5 % at most."""
    rng = np.random.default_rng(5)
    false, real = [], []
    for _ in range(400):
        found = bought_together(*shop(rng, 1_500, np.linspace(0.1, 0.3, 10), taste=0.5, joint=0.2))
        called = found.p_value_adjusted < 0.05
        real.append(called[0])
        false.append(called[1:].sum() / max(called.sum(), 1))
    assert np.mean(real) > 0.9
    assert np.mean(false) - 3.09 * np.std(false) / np.sqrt(len(false)) <= 0.05
