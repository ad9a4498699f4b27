"""Cumulative share by position and by rank: by hand, as a property, and over simulated shops."""

import numpy as np
import pandas as pd
import pytest

from workbench.errors import ParameterError
from workbench.slot.concentration import COLUMNS, _bounds, check_benchmark, check_top_n, slot_concentration, top_share

BUCKETS = 256


def draws(replicates=500, buckets=BUCKETS):
    return np.random.default_rng(1).multinomial(buckets, np.full(buckets, 1 / buckets), replicates)


def slots_of(*rows):
    table = pd.DataFrame(list(rows), columns=["slot_id", "page", "position"])
    return table.assign(slot_name="Name " + table["slot_id"], slot_kind="")


SLOTS = slots_of(("a", "home", 1), ("b", "home", 2), ("c", "cart", 1), ("d", "home", None), ("e", None, 3))
SUMS = pd.DataFrame([[10.0, 20, 30, 0, 5, 5], [10, 0, 10, 10, 0, 0]], index=[0, 1], columns=list("abcdex"))


def by(table, page, order_by):
    return table[(table["page"] == page) & (table["order_by"] == order_by)].reset_index(drop=True)


def test_by_hand():
    found = slot_concentration(SUMS, SLOTS, None, top_n=2, confidence_level=0.95)
    assert list(found.columns) == COLUMNS
    # credits: a 20, b 20, c 40, d 10, e 5, x 5 (not among the slots); 100 in all
    everything = by(found, "(all)", "position")
    # position 1: cart before home; then 2, 3; without position: home's d, then x without a page
    assert everything["slot_id"].tolist() == ["c", "a", "b", "e", "d", "x"]
    assert everything["place"].tolist() == [1, 2, 3, 4, 5, 6]
    assert everything["share"].tolist() == pytest.approx([0.4, 0.2, 0.2, 0.05, 0.1, 0.05])
    assert everything["cumulative_share"].tolist() == pytest.approx([0.4, 0.6, 0.8, 0.85, 0.95, 1.0])
    assert everything["is_top"].tolist() == [True, True, False, False, False, False]
    assert everything["benchmark_lower"].eq(0.6).all()
    assert everything["benchmark_upper"].eq(0.7).all()
    ranked = by(found, "(all)", "rank")
    assert ranked["slot_id"].tolist() == ["c", "a", "b", "d", "e", "x"]  # ties: position, page, slot_id
    assert ranked["cumulative_share"].tolist() == pytest.approx([0.4, 0.6, 0.8, 0.9, 0.95, 1.0])
    assert ranked["benchmark_lower"].isna().all()
    # home alone: a 20, b 20, d 10 of 50
    home = by(found, "home", "position")
    assert home["share"].tolist() == pytest.approx([0.4, 0.4, 0.2])
    assert home["cumulative_share"].iloc[-1] == 1.0
    assert set(found["page"]) == {"(all)", "home", "cart"}
    assert found[["ci_lower", "ci_upper"]].isna().all().all()


def test_the_row_of_the_first_positions():
    found = slot_concentration(SUMS, SLOTS, None, top_n=2, confidence_level=0.95)
    row, is_informative = top_share(found, 2)
    assert (row["slot_id"], row["cumulative_share"], is_informative) == ("a", pytest.approx(0.6), True)
    # four slots have a position: the first 30 are all of them, which says nothing
    row, is_informative = top_share(found, 30)
    assert (row["place"], row["cumulative_share"], is_informative) == (4, pytest.approx(0.85), False)
    assert top_share(found, 4).is_informative is False
    assert top_share(found, 3).is_informative is True


def test_no_positions_at_all():
    found = slot_concentration(SUMS, SLOTS.assign(position=None), None, confidence_level=0.95)
    assert not by(found, "(all)", "position")["is_top"].any()
    assert by(found, "(all)", "rank")["is_top"].all()
    assert top_share(found, 30) == (None, False)


def test_nothing_to_share():
    for sums in (SUMS * 0, SUMS[[]], SUMS.iloc[:0]):
        assert slot_concentration(sums, SLOTS, None, confidence_level=0.95).empty
    empty = slot_concentration(SUMS[[]], SLOTS.iloc[:0], draws(5, 2), confidence_level=0.95)
    assert list(empty.columns) == COLUMNS
    assert top_share(empty, 30) == (None, False)


def test_several_slots_at_one_position_and_slots_without_credit():
    slots = slots_of(("b", "home", 1), ("a", "home", 1), ("c", "home", 1), ("z", "home", 2))
    sums = pd.DataFrame({"a": [1.0], "b": [2.0], "c": [1.0]})
    home = by(slot_concentration(sums, slots, None, confidence_level=0.95), "home", "position")
    assert home["slot_id"].tolist() == ["a", "b", "c", "z"]
    assert home["cumulative_share"].tolist() == [0.25, 0.75, 1.0, 1.0]


def simulated(rng, users=2_000):
    slots = slots_of(*((f"s{n:02d}", "home", n + 1) for n in range(20)))
    chance = 1 / np.arange(1, 21)
    sums = np.zeros((BUCKETS, 20))
    user = np.arange(users) % BUCKETS
    np.add.at(sums, (user, rng.choice(20, users, p=chance / chance.sum())), rng.lognormal(0, 0.8, users))
    return pd.DataFrame(sums, columns=slots["slot_id"]), slots


def test_shuffling_changes_nothing():
    sums, slots = simulated(np.random.default_rng(2))
    weights = draws()
    one = slot_concentration(sums, slots, weights, confidence_level=0.95)
    shuffled = sums[sums.columns[np.random.default_rng(4).permutation(20)]]
    other = slot_concentration(shuffled, slots.sample(frac=1, random_state=3), weights, confidence_level=0.95)
    pd.testing.assert_frame_equal(one, other)


def test_the_interval_against_a_loop_over_replicates():
    sums, slots = simulated(np.random.default_rng(6))
    weights = draws(100)
    row = top_share(slot_concentration(sums, slots, weights, top_n=5, confidence_level=0.95), 5).row
    values = sums.to_numpy()
    drawn = [(count @ values)[:5].sum() / (count @ values).sum() for count in weights]
    spread = np.std(np.log(np.array(drawn) / (1 - np.array(drawn))), ddof=1)
    middle = np.log(row["cumulative_share"] / (1 - row["cumulative_share"]))
    # the spread of logits to first order against that of the logits themselves; t on 255 degrees of freedom
    for bound, sign in ((row["ci_lower"], -1), (row["ci_upper"], 1)):
        assert np.log(bound / (1 - bound)) == pytest.approx(middle + sign * 1.969 * spread, abs=0.01)


def test_blocks_of_slots_change_nothing(monkeypatch):
    sums, slots = simulated(np.random.default_rng(6))
    whole = slot_concentration(sums, slots, draws(50), confidence_level=0.95)
    monkeypatch.setattr("workbench.slot.concentration._BLOCK", 3)
    pd.testing.assert_frame_equal(whole, slot_concentration(sums, slots, draws(50), confidence_level=0.95))


def test_the_interval_of_the_first_positions_covers():
    """2,000 shops of 1,000 buyers: between 93.4 and 96.6 % of the intervals of the first five hold the truth."""
    rng = np.random.default_rng(8)
    weights = draws(200).astype(float)
    chance = 1 / np.arange(1, 21)
    truth = (chance[:5] / chance.sum()).sum()
    covered = 0
    for _ in range(2_000):
        sums = np.zeros((BUCKETS, 20))
        slot = rng.choice(20, 1_000, p=chance / chance.sum())
        np.add.at(sums, (rng.integers(0, BUCKETS, 1_000), slot), rng.lognormal(0, 0.8, 1_000))
        lower, upper = _bounds(sums, weights, 0.95)
        covered += lower[4] <= truth <= upper[4]
    assert 0.934 <= covered / 2_000 <= 0.966


def test_the_whole_has_no_interval():
    sums, slots = simulated(np.random.default_rng(2))
    last = by(slot_concentration(sums, slots, draws(), confidence_level=0.95), "(all)", "position").iloc[-1]
    assert last["cumulative_share"] == 1.0
    assert np.isnan(last["ci_lower"])
    assert np.isnan(last["ci_upper"])


@pytest.mark.parametrize("given", [(0.7, 0.6), (0.0, 0.5), (0.6, 1.2), (0.6, 0.6), (float("nan"), 0.7)])
def test_a_band_that_is_none_is_refused(given):
    with pytest.raises(ParameterError, match=r"benchmark is .* 0 < lower < upper <= 1, such as 0\.6 to 0\.7"):
        check_benchmark(given)


@pytest.mark.parametrize("given", [0.6, (0.6,), ("low", "high"), (0.1, 0.2, 0.3)])
def test_a_band_of_another_shape_is_refused(given):
    with pytest.raises(ParameterError, match=r"two shares, such as \[0\.6, 0\.7\]"):
        check_benchmark(given)


@pytest.mark.parametrize("given", [0, -3, 2.5, True, "30"])
def test_top_n_is_a_whole_positive_number(given):
    with pytest.raises(ParameterError, match=r"whole positive number of positions, such as 30"):
        check_top_n(given)
    with pytest.raises(ParameterError):
        slot_concentration(SUMS, SLOTS, None, top_n=given, confidence_level=0.95)
    check_top_n(1)
    check_benchmark((0.6, 1))
