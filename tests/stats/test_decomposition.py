"""Parts of a change: the worked check, limits of zeros against small numbers, sums, symmetry, mix of segments."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from workbench.errors import ParameterError
from workbench.stats.decomposition import change_by_segment, factors_of, lmdi, shapley

BEFORE, AFTER = [10_000, 0.05, 200], [12_000, 0.04, 220]
SPLITS = pytest.mark.parametrize("split", [lmdi, shapley])
SETTINGS = settings(max_examples=120, deadline=None, derandomize=True)

factor = st.one_of(st.just(0.0), st.floats(1e-4, 1e4))
factors = st.integers(1, 5).flatmap(lambda count: st.tuples(*[st.tuples(*[factor] * count)] * 2))
count = st.integers(0, 400)


@st.composite
def segments(draw):
    """Visitors, buyers, orders and amount before and after; new, gone, silent and never seen segments among them."""
    sides = []
    size = draw(st.integers(1, 5))
    for _ in range(2):
        rows = []
        for _ in range(size):
            visitors = draw(count)
            buyers = draw(st.integers(0, visitors))
            orders = buyers + draw(st.integers(0, 30)) if buyers else 0
            amount = orders * draw(st.sampled_from([0.0, 0.01, 13.57, 999.99]))
            rows.append((visitors, buyers, orders, amount))
        sides.append(np.array(rows, dtype=float))
    return sides


# --- factors ------------------------------------------------------------------------------------------------------


def test_the_worked_check():
    """100,000 → 105,600. L = 5,600 / ln 1.056 = 102,775.1; times ln 1.2, ln 0.8, ln 1.1."""
    found = lmdi(BEFORE, AFTER)
    assert found == pytest.approx([18_738.02, -22_933.48, 9_795.46], abs=0.005)
    assert found.sum() == pytest.approx(5_600, rel=1e-12)
    other = shapley(BEFORE, AFTER)
    assert other == pytest.approx([18_866.67, -23_133.33, 9_866.67], abs=0.005)
    assert other.sum() == pytest.approx(5_600, rel=1e-12)


def test_shapley_equals_walking_all_orders():
    rng = np.random.default_rng(1)
    old, new = rng.uniform(0, 3, (2, 4))
    expected = np.zeros(4)
    for order in permutations(range(4)):
        at = old.copy()
        for one in order:
            start = at.prod()
            at[one] = new[one]
            expected[one] += (at.prod() - start) / 24
    assert shapley(old, new) == pytest.approx(expected, rel=1e-12)


@SPLITS
@SETTINGS
@given(factors)
def test_parts_sum_to_the_change_and_turn_with_time(split, sides):
    old, new = (np.array(side) for side in sides)
    found = split(old, new)
    assert found.sum() == pytest.approx(new.prod() - old.prod(), rel=1e-9, abs=1e-9 * abs(found).max())
    assert split(new, old) == pytest.approx(-found, rel=1e-9, abs=1e-9 * abs(found).max())
    assert split(old[::-1], new[::-1]) == pytest.approx(found[::-1], rel=1e-9, abs=1e-9 * abs(found).max())
    assert found[old == new] == pytest.approx(np.zeros((old == new).sum()), abs=1e-12 * abs(found).max())


@SPLITS
def test_rows_are_split_one_by_one(split):
    rng = np.random.default_rng(2)
    old, new = rng.choice([0.0, 0.5, 1.0, 2.0, np.nan], (2, 7, 6, 3))
    found = split(old, new)
    assert found.shape == (7, 6, 3)
    assert found == pytest.approx(np.array([[split(*pair) for pair in zip(*rows)] for rows in zip(old, new)]))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([0, 2], [3, 5], [15, 0]),  # a new product: all by the factor that was 0
        ([3, 2], [0, 5], [-6, 0]),
        ([0, 0, 2], [3, 4, 5], [30, 30, 0]),  # two were 0: equal parts of 60
        ([3, 4, 5], [0, 0, 2], [-30, -30, 0]),
        ([0, 2], [3, 0], [0, 0]),  # 0 on both sides, though both factors moved
        ([0, 2], [0, 5], [0, 0]),
        ([0, 0], [0, 0], [0, 0]),
        ([0, np.nan], [3, 5], [15, 0]),  # no visitors, so no conversion
        ([4, 5], [0, np.nan], [-20, 0]),
        ([np.nan, 0], [np.nan, 7], [0, 7]),
    ],
)
def test_zeros_by_their_limits(old, new, expected):
    assert lmdi(old, new).tolist() == expected


@pytest.mark.parametrize(
    ("old", "new"),
    [([0, 2], [3, 5]), ([0, 0, 2], [3, 4, 5]), ([3, 4, 5], [0, 0, 2]), ([0, 2], [3, 0]), ([0, 2], [0, 5])],
)
def test_limits_are_what_small_numbers_go_to(old, new):
    """With d for zero the error falls as 1 / ln d: at 1e-300 below 2 % of the change."""
    small = [
        np.where(np.array(side) == 0, 1e-300 ** (1 / len(side)), np.array(side, dtype=float)) for side in (old, new)
    ]
    value = [side.prod() for side in small]
    logs = np.log(small[1]) - np.log(small[0])
    same = np.isclose(logs.sum(), 0)
    plain = (value[1] if same else (value[1] - value[0]) / logs.sum()) * logs
    assert lmdi(old, new) == pytest.approx(plain, abs=0.02 * max(np.prod(old), np.prod(new), 1e-6))


def test_close_values_lose_nothing():
    """ΔV of 1e-9 relative: dividing differences by differences of logarithms would lose seven digits."""
    found = lmdi([1e6, 1.0], [1e6, 1.0 + 1e-9])
    assert found[1] == pytest.approx(1e6 * ((1.0 + 1e-9) - 1.0), rel=1e-9)
    assert lmdi([7.0, 3.0], [7.0, 3.0]).tolist() == [0, 0]
    # one factor half as large again, the other two thirds: V moves by 1e-12, L is still 6
    assert lmdi([2.0, 3.0], [3.0, 2.0 + 2e-12]) == pytest.approx([6 * np.log(1.5), -6 * np.log(1.5)], rel=1e-9)


@SPLITS
def test_what_cannot_be_split_is_refused(split):
    with pytest.raises(ParameterError, match=r"shapes \(2,\) and \(3,\) differ"):
        split([1, 2], [1, 2, 3])
    with pytest.raises(ParameterError, match="negative or infinite"):
        split([1, -2], [1, 2])
    with pytest.raises(ParameterError, match="negative or infinite"):
        split([1, 2], [1, np.inf])


def test_too_many_factors_for_all_orders():
    with pytest.raises(ParameterError, match="13 factors; at most 12"):
        shapley(np.ones(13), np.ones(13))


def test_factors_multiply_to_the_last_level():
    levels = np.array([[100, 20, 25, 500.0], [10, 0, 0, 0], [8, 2, 3, 0]])
    found = factors_of(levels)
    assert found[0].tolist() == [100, 0.2, 1.25, 20]
    assert found[0].prod() == pytest.approx(500)
    assert found[1][:2].tolist() == [10, 0]
    assert np.isnan(found[1][2:]).all()
    assert found[2].tolist() == [8, 0.25, 1.5, 0]


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ([[5, 1, 2.0], [0, 0, 7.0]], r"at \(1, 1\) a level is 0 and the next one 7"),
        ([5, -1], "negative or missing"),
        ([5, np.nan], "negative or missing"),
        ([], "none given"),
    ],
)
def test_levels_are_checked(levels, said):
    with pytest.raises(ParameterError, match=said):
        factors_of(levels)


# --- segments -----------------------------------------------------------------------------------------------------


def test_two_segments_by_hand():
    """Visitors 100 → 200 and 100 → 100, per visitor 10 → 10 and 2 → 4.

    R 1,200 → 2,400, V 200 → 300, r 6 → 8. L(2400, 1200) = 1200 / ln 2 = 1731.234; traffic × ln 1.5 = 701.955.
    K = (1200 - 701.955) / 2 = 249.0225. Shares 1/2 → 2/3 and 1/2 → 1/3; mean r 7.
    Mix: K (10 - 7) / 6 = K/2 and K (3 - 7)(-1/6) = 2K/3. Within: 0 and K × 5/12 × 2 = 5K/6; in all 2K.
    """
    found = change_by_segment([[100, 1_000], [100, 200]], [[200, 2_000], [100, 400]])
    k = 249.02250
    assert found.change == 1_200
    assert found.factors == pytest.approx([701.9550, 2 * k], abs=1e-3)
    assert found.mix == pytest.approx([k / 2, 2 * k / 3], abs=1e-3)
    assert found.within[:, 0] == pytest.approx([0, 5 * k / 6], abs=1e-3)


@SETTINGS
@given(segments())
def test_segments_sum_to_the_change_and_turn_with_time(sides):
    old, new = sides
    found = change_by_segment(old, new)
    change = new[:, -1].sum() - old[:, -1].sum()
    size = max(abs(part).max() for part in (found.factors, found.mix, found.within))
    assert found.change == pytest.approx(change, abs=1e-9)
    assert found.factors.sum() == pytest.approx(change, rel=1e-9, abs=1e-9 * size)
    assert found.mix.sum() + found.within.sum() == pytest.approx(found.factors[1:].sum(), rel=1e-9, abs=1e-9 * size)
    back = change_by_segment(new, old)
    assert back.factors == pytest.approx(-found.factors, rel=1e-9, abs=1e-9 * size)
    assert back.mix == pytest.approx(-found.mix, rel=1e-9, abs=1e-9 * size)
    assert back.within == pytest.approx(-found.within, rel=1e-9, abs=1e-9 * size)
    order = np.random.default_rng(0).permutation(len(old))
    mixed = change_by_segment(old[order], new[order])
    assert mixed.mix == pytest.approx(found.mix[order], rel=1e-9, abs=1e-9 * size)
    assert mixed.within == pytest.approx(found.within[order], rel=1e-9, abs=1e-9 * size)


@SETTINGS
@given(segments())
def test_sums_hold_to_the_cent_for_large_shops(sides):
    old, new = sides[0] * 2**20, sides[1] * 2**20
    found = change_by_segment(old, new)
    parts = [found.factors[0], *found.mix, *found.within.ravel()]
    assert round(sum(parts) - (new[:, -1].sum() - old[:, -1].sum()), 2) == 0


@SETTINGS
@given(st.lists(st.tuples(count, count), min_size=1, max_size=5), st.tuples(*[st.floats(0.01, 50)] * 6))
def test_equal_rates_in_all_segments_give_no_mix(visitors, rates):
    old, new = (
        np.cumprod(np.column_stack([side, *[np.full(len(side), rate) for rate in some]]), axis=1)
        for side, some in ((np.array(visitors)[:, 0], rates[:3]), (np.array(visitors)[:, 1], rates[3:]))
    )
    found = change_by_segment(old, new)
    size = max(old[:, -1].sum(), new[:, -1].sum())
    assume((old[:, 0] * new[:, 0]).any())  # a segment on both sides
    assert found.mix == pytest.approx(np.zeros(len(old)), abs=1e-9 * size)
    assert found.within.sum(axis=0) == pytest.approx(found.factors[1:], rel=1e-9, abs=1e-9 * size)


def test_the_plain_index_over_segments_finds_a_mix_where_there_is_none():
    """Why the mix is not taken from an LMDI with shares as a factor: 5 per visitor everywhere, 50,000 → 55,000."""
    old, new = np.array([5_000, 5_000.0]), np.array([9_900, 1_100.0])
    naive = sum(lmdi([old.sum(), was / old.sum(), 5], [new.sum(), now / new.sum(), 5])[1] for was, now in zip(old, new))
    assert abs(naive) > 300
    found = change_by_segment(np.column_stack([old, 5 * old]), np.column_stack([new, 5 * new]))
    assert found.factors == pytest.approx([5_000, 0], abs=1e-6)
    assert found.mix == pytest.approx([0, 0], abs=1e-6)


def test_the_same_behaviour_is_all_traffic_and_mix():
    """Per visitor 10 and 2 on both sides: nothing within, and the factors of the whole still move."""
    levels = np.array([[1.0, 0.1, 0.1, 10], [1.0, 0.05, 0.05, 2]])
    found = change_by_segment(levels * [[500], [500]], levels * [[900], [300]])
    assert found.within == pytest.approx(np.zeros((2, 3)), abs=1e-9)
    assert found.factors[1] > 100
    assert found.mix.sum() == pytest.approx(found.factors[1:].sum())


def test_a_new_segment_is_all_mix_and_so_is_one_that_is_gone():
    """Per visitor 10 → 12 in the one that stays; the new one brings half of the visitors, at 30.

    r 10 → 21: within 2, mix (30 - 12) / 2 = 9. R 1,000 → 4,200, so K = L(4200, 1000) / L(21, 10).
    """
    old, new = np.array([[100, 1_000], [0, 0]]), np.array([[100, 1_200], [100, 3_000.0]])
    k = (3_200 / np.log(4.2)) / (11 / np.log(2.1))
    for found, sign in ((change_by_segment(old, new), 1), (change_by_segment(new, old), -1)):
        assert sign * found.within[:, 0] == pytest.approx([2 * k, 0])
        assert sign * found.mix == pytest.approx([0, 9 * k])
        assert found.factors.sum() == pytest.approx(sign * 3_200)


def test_other_segments_altogether_are_all_mix():
    found = change_by_segment([[100, 1_000], [0, 0]], [[0, 0], [100, 3_000.0]])
    assert not found.within.any()
    assert found.mix == pytest.approx([1_000, 1_000])


@pytest.mark.parametrize("turn", [False, True])
def test_without_visitors_on_one_side_all_is_traffic(turn):
    sides = [np.zeros((2, 4)), np.array([[10, 2, 2, 40.0], [5, 1, 1, 20]])]
    found = change_by_segment(*(sides[::-1] if turn else sides))
    assert found.factors.tolist() == [-60 if turn else 60, 0, 0, 0]
    assert not found.mix.any()
    assert not found.within.any()


def test_a_shop_that_starts_to_sell_owes_it_to_conversion():
    found = change_by_segment([[100, 0, 0, 0], [50, 0, 0, 0.0]], [[100, 0, 0, 0], [50, 5, 6, 90.0]])
    assert found.factors == pytest.approx([0, 90, 0, 0], abs=1e-9)
    assert found.within[1] == pytest.approx([90, 0, 0], abs=1e-9)
    assert found.mix == pytest.approx([0, 0], abs=1e-9)
    silent = change_by_segment([[100, 0.0], [50, 0]], [[10, 0.0], [90, 0]])
    assert not silent.factors.any()
    assert not silent.mix.any()


def test_categories_are_quantity_price_and_mix():
    """One price rises from 10 to 11 for half of what is sold: 100 × 1/2 × 1 = 50 is price, nothing else."""
    found = change_by_segment([[50, 500.0], [50, 250.0]], [[50, 550.0], [50, 250.0]])
    assert found.factors == pytest.approx([0, 50])
    assert found.within[:, 0] == pytest.approx([50, 0])
    assert found.mix == pytest.approx([0, 0])


@pytest.mark.parametrize("sides", [([1, 2], [1, 2]), ([[1.0]], [[1.0]]), ([[1, 2]], [[1, 2], [3, 4]])])
def test_shapes_of_segments_are_checked(sides):
    with pytest.raises(ParameterError, match=r"wanted is \(segments, levels\) twice"):
        change_by_segment(*sides)
