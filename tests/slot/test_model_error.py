"""The error of models against the simulator's truth: by hand, on the sample, and empty where nobody knows the truth."""

import math

import numpy as np
import pandas as pd
import pytest
from shops import frame

from workbench import open_shop
from workbench.slot import attribute_slots
from workbench.slot.attribution import DEFAULT_MODELS
from workbench.slot.model_error import COLUMNS, model_error
from workbench.source.simulate.browsing import make_places
from workbench.source.simulate.buying import buy
from workbench.source.simulate.catalogue import make_advertisements, make_products
from workbench.source.simulate.lineage import led_by_slots
from workbench.source.simulate.measure import REFERENCE_BLOCK, reference_block
from workbench.source.simulate.truth import Truth

# Of 100 paid orders slot a truly brings 50, b 20, c 10, none 20; of the money 40, 30, 10, 20 %.
TRUTH = {
    "users": 100,
    "slots": {
        "topic_page": ["a"],
        "hidden_gems": ["b", "c"],
        "measured_users": 400,
        "measured": {
            "a": {"order_share": 0.5, "amount_share": 0.4, "order_share_std_error": 0.02},
            "b": {"order_share": 0.2, "amount_share": 0.3, "order_share_std_error": 0.01},
            "c": {"order_share": 0.1, "amount_share": 0.1, "order_share_std_error": 0.01},
            "none": {"order_share": 0.2, "amount_share": 0.2, "order_share_std_error": 0.01},
        },
    },
}


def credit(*rows, credit_to="slot_id"):
    table = frame("target model credited_id conversion_share amount_share", *rows)
    return table.assign(credit_to=credit_to, conversion_credit=100 * table["conversion_share"], amount_credit=np.nan)


LAST = [
    ("purchase", "last", "a", 0.40, 0.40),
    ("purchase", "last", "b", 0.35, 0.35),
    ("purchase", "last", "c", 0.05, 0.05),
    ("purchase", "last", "(direct)", 0.20, 0.20),
]


def test_by_hand():
    found = model_error(credit(*LAST), TRUTH)
    assert list(found.columns) == COLUMNS
    row = found.iloc[0]
    # a −0.10, b +0.15, c −0.05, direct 0: half of 0.30 lies wrong; in money b +0.05, c −0.05: half of 0.10
    assert row["misplaced_share"] == pytest.approx(0.15)
    assert row["misplaced_amount_share"] == pytest.approx(0.05)
    # both sides give slots 0.8, so every error grows by 1 / 0.8
    assert row["misplaced_share_among_slots"] == pytest.approx(0.15 / 0.8)
    assert (row["largest_error_slot_id"], row["largest_error"]) == ("b", pytest.approx(0.15))
    assert row["direct_error"] == pytest.approx(0, abs=1e-12)
    assert row["topic_error"] == pytest.approx(-0.10)
    assert row["hidden_gem_error"] == pytest.approx(0.15 - 0.05)
    assert row["rank_correlation"] == pytest.approx(1)
    # a quarter of the reference users: errors twice as large, 0.10 in all, over sqrt(2 pi)
    assert row["misplaced_share_by_chance"] == pytest.approx(0.10 / math.sqrt(2 * math.pi))


def test_a_model_that_tells_the_truth_is_not_wrong_and_comes_first():
    right = [("purchase", "linear", one, share, share) for one, share in zip("abc", (0.5, 0.2, 0.1), strict=True)]
    found = model_error(credit(*LAST, *right, ("purchase", "linear", "(direct)", 0.2, 0.2)), TRUTH)
    assert found["model"].tolist() == ["linear", "last"]
    assert found.loc[0, ["misplaced_share", "largest_error", "misplaced_share_among_slots"]].tolist() == pytest.approx(
        [0, 0, 0], abs=1e-12
    )


def test_a_slot_that_one_side_alone_knows_has_share_zero():
    # c gets no row and a new slot d 0.05 instead: a −0.10, b +0.15, c −0.10, d +0.05
    rows = [*LAST[:2], ("purchase", "last", "d", 0.05, 0.05), LAST[3]]
    assert model_error(credit(*rows), TRUTH).loc[0, "misplaced_share"] == pytest.approx(0.20)
    # all to one slot and nothing direct: a +0.5, all others −0.5 together
    one = model_error(credit(("purchase", "last", "a", 1.0, 1.0)), TRUTH).iloc[0]
    assert (one["misplaced_share"], one["direct_error"]) == (pytest.approx(0.5), pytest.approx(-0.2))
    # all direct: nothing lies among slots, so there is no share among them and no rank
    none = model_error(credit(("purchase", "last", "(direct)", 1.0, 1.0)), TRUTH).iloc[0]
    assert none["misplaced_share"] == pytest.approx(0.8)
    assert math.isnan(none["misplaced_share_among_slots"])
    assert math.isnan(none["rank_correlation"])


def test_the_worst_is_one():
    assert model_error(credit(("purchase", "last", "z", 1.0, 1.0)), TRUTH).loc[0, "misplaced_share"] == pytest.approx(1)


def test_what_cannot_be_compared_is_left_out():
    no_orders = [("purchase", "first", one, np.nan, np.nan) for one in ("a", "(direct)")]
    participation = [("purchase", "participation", "a", 0.9, 0.9), ("purchase", "participation", "b", 0.9, 0.9)]
    unmeasured = [("add_to_cart", "last", "a", 1.0, np.nan), ("share", "last", "a", 1.0, np.nan)]
    found = model_error(credit(*LAST, *no_orders, *participation, *unmeasured), TRUTH)
    assert found[["target", "model"]].to_numpy().tolist() == [["purchase", "last"]]


def test_orders_without_amounts_have_no_misplaced_amount():
    rows = [(*one[:4], np.nan) for one in LAST]
    row = model_error(credit(*rows), TRUTH).iloc[0]
    assert row["misplaced_share"] == pytest.approx(0.15)
    assert math.isnan(row["misplaced_amount_share"])


@pytest.mark.parametrize(
    ("table", "truth"),
    [
        (credit(*LAST), None),
        (credit(*LAST), {"users": 100, "slots": {"measured": None}}),
        (credit(*LAST), {"seed": 1, "slots": {}}),
        (credit(*LAST, credit_to="page"), TRUTH),
        (credit(*LAST).iloc[:0], TRUTH),
    ],
    ids=["real shop", "not measured", "older sample", "credit to pages", "no credit"],
)
def test_empty_where_nobody_knows(table, truth):
    found = model_error(table, truth)
    assert found.empty
    assert list(found.columns) == COLUMNS


def test_arguments_stay_as_they_were_and_row_order_does_not_matter():
    table = credit(*LAST)
    before = table.copy(deep=True)
    found = model_error(table, TRUTH)
    pd.testing.assert_frame_equal(table, before)
    pd.testing.assert_frame_equal(model_error(table.sample(frac=1, random_state=1), TRUTH), found)


# On the sample


@pytest.fixture(scope="module")
def sample_credit(analysed):
    return analysed(attribute_slots).tables["slot_credit"]


def test_on_the_sample_every_model_is_wrong_by_more_than_chance(sample, sample_credit):
    found = model_error(sample_credit, sample.truth)
    assert len(found) == 4 * len(DEFAULT_MODELS)
    numbers = found.drop(columns=["target", "model", "largest_error_slot_id", "misplaced_amount_share"])
    assert np.isfinite(numbers.to_numpy(dtype=float)).all()
    assert np.isfinite(found.loc[found["target"] == "purchase", "misplaced_amount_share"]).all()
    assert (found["misplaced_share"] > 5 * found["misplaced_share_by_chance"]).all()
    assert found["misplaced_share"].between(0, 1).all()
    assert (found.groupby("target")["misplaced_share"].apply(lambda one: one.is_monotonic_increasing)).all()


def test_on_the_sample_by_plain_loops(sample, sample_credit):
    measured = sample.truth["slots"]["measured"]
    found = model_error(sample_credit, sample.truth).set_index(["target", "model"])
    for model in ("first", "last", "linear"):
        mine = sample_credit[(sample_credit["target"] == "purchase") & (sample_credit["model"] == model)]
        shares = dict(zip(mine["credited_id"], mine["conversion_share"], strict=True))
        assert sum(shares.values()) == pytest.approx(1)
        errors = {one: shares[one] - measured[one]["order_share"] for one in measured if one != "none"}
        direct = shares["(direct)"] - measured["none"]["order_share"]
        row = found.loc[("purchase", model)]
        assert row["misplaced_share"] == pytest.approx((sum(map(abs, errors.values())) + abs(direct)) / 2)
        assert row["largest_error"] == max(errors.values(), key=abs) == errors[row["largest_error_slot_id"]]


def test_what_chance_does_to_shops_of_this_size(sample, sample_credit):
    """The true lineage of ten other shops lies as far from the expectation as stated, a tenth more or less."""
    truth, days = Truth.default(), sample.truth["days"]
    assert sample.truth["users"] == REFERENCE_BLOCK
    products, ads, places = make_products(), make_advertisements(truth), make_places(truth, days)
    expected = pd.DataFrame(sample.truth["slots"]["measured"]).T["order_share"]
    distances = []
    for number in range(500, 510):  # blocks that were not measured
        block, views = reference_block(number, days, truth, products, ads, places, None)
        orders = led_by_slots(block, views, buy(block, truth), truth)["order_share"].sum(axis=0)
        distances.append(np.abs(orders / orders.sum() - expected).sum() / 2)
    found = model_error(sample_credit, sample.truth)
    stated = found.loc[found["target"] == "purchase", "misplaced_share_by_chance"].iloc[0]
    assert np.mean(distances) == pytest.approx(stated, rel=0.1)


def test_a_shop_of_ones_own_has_no_error(tmp_path, sample_folder):
    own = tmp_path / "own"
    own.mkdir()
    for name in ("events", "orders"):
        (own / f"{name}.parquet").symlink_to(sample_folder / f"{name}.parquet")
    assert model_error(credit(*LAST), open_shop(own).truth).empty
