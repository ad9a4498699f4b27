"""Odd coupons by hand: unused, used once, refunded, paid with nothing; choosing coupons; diversity, depth, curve."""

import math

import numpy as np
import pandas as pd
import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.coupon import charts, evaluate_coupons
from workbench.errors import ParameterError

ORDERS = (
    "order_id user_id submitted_at paid_at gross_amount coupon_discount_amount other_discount_amount refund_amount "
    "cost_amount"
)
GRANTS = "grant_id coupon_id user_id granted_at expires_at order_id discount_amount"


def order(number, user, paid, gross, discount, refund=0.0, cost=0.0):
    return number, user, paid, paid, gross, discount, 0.0, refund, cost


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """unused: given only. once: one order. back: its two orders were refunded. free: two orders paid with nothing."""
    return open_shop(
        write_shop(
            tmp_path_factory.mktemp("made") / "odd",
            orders=frame(
                ORDERS,
                order(1, "u1", "2026-03-02", 100.0, 10.0),
                order(2, "u2", "2026-03-02", 100.0, 20.0, refund=80.0),
                order(3, "u3", "2026-03-03", 50.0, 10.0, refund=40.0),
                order(4, "u4", "2026-03-04", 30.0, 30.0),
                order(5, "u5", "2026-03-04", 20.0, 20.0),
                order(6, "u9", "2026-06-30", 20.0, 0.0),
            ),
            order_lines=frame(
                "order_id line_no product_id category quantity amount",
                (1, 1, "p", "food", 1, 75.0),
                (1, 2, "q", "toys", 1, 25.0),
                (2, 1, "p", "food", 1, 100.0),
                (3, 1, "p", "food", 1, 50.0),
                (4, 1, "p", "food", 1, 30.0),
                (5, 1, "r", "books", 1, 20.0),
                (6, 1, "s", "garden", 1, 20.0),
            ),
            coupon_grants=frame(
                GRANTS,
                (1, "once", "u1", "2026-03-01", "2026-03-09", 1, 10.0),
                (2, "back", "u2", "2026-03-01", "2026-03-09", 2, 20.0),
                (3, "back", "u3", "2026-03-01", "2026-03-09", 3, 10.0),
                (4, "free", "u4", "2026-03-01", "2026-03-09", 4, 30.0),
                (5, "free", "u5", "2026-03-01", "2026-03-09", 5, 20.0),
                (6, "free", "u6", "2026-03-01", "2026-03-09", None, None),
                (7, "free", "u6", "2026-06-01", "2026-12-01", None, None),
                (8, "unused", "u6", "2026-03-01", "2026-03-09", None, None),
            ).astype({"order_id": "Int64"}),
        )
    )


def test_odd_coupons_have_their_reason_and_their_note(odd):
    analysis = evaluate_coupons(odd)
    card = analysis.tables["coupon_scorecard"].set_index("coupon_id")
    assert card.loc[["unused", "once", "back", "free"], "coupon_reason"].tolist() == [
        "never_used",
        "used_once",
        "all_refunded",
        "nothing_paid",
    ]
    unused = card.loc["unused"]
    assert (unused["redemption_rate"], unused["order_count"]) == (0, 0)
    assert unused[["subsidy_rate", "average_order_value", "median_hours_to_use", "repurchase_rate_30"]].isna().all()
    assert (unused["expired_share"], card.loc["free", "expired_share"]) == (1, pytest.approx(1 / 3))
    # 30 off 150, of which 120 was paid back: 30 remain
    assert (card.loc["back", "subsidy_rate"], card.loc["back", "subsidy_rate_net"]) == (0.2, 1.0)
    assert card.loc["free", ["paid_amount", "average_order_value", "subsidy_rate"]].tolist() == [0, 0, 1]
    told = " ".join(analysis.notes)
    for words in (
        "never used on a paid order: unused",
        "single paid order, which says nothing about the coupon: once",
        "nothing was paid: free",
        "All that was paid was refunded: back",
    ):
        assert words in told
    assert charts.criteria_picture(analysis).to_dict()["title"]


def test_diversity_by_hand(odd):
    """Four categories are sold in all; ``once`` has three quarters food and one quarter toys."""
    card = evaluate_coupons(odd).tables["coupon_scorecard"].set_index("coupon_id")
    once = card.loc["once"]
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(4)
    assert once["category_entropy"] == pytest.approx(entropy)
    assert once[["category_count", "largest_category", "largest_category_share"]].tolist() == [2, "food", 0.75]
    assert (card.loc["back", "category_entropy"], card.loc["back", "category_count"]) == (0, 1)
    assert pd.isna(card.loc["unused", "largest_category"])


def test_chosen_coupons_stand_alone(odd):
    card = evaluate_coupons(odd, coupon_ids=["free", "once"]).tables["coupon_scorecard"]
    assert card["coupon_id"].tolist()[:2] == ["free", "once"]
    every = card[card["level"] == "all"].iloc[0]
    assert every[["granted_count", "order_count", "coupon_discount_amount"]].tolist() == [5, 3, 60.0]
    assert every["order_share"] == 3 / 6  # of all paid orders


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (["fre"], '"fre" is not a coupon of odd, did you mean "free"'),
        ([], "coupon_ids is empty"),
        (["free", "free"], "names one twice"),
        (["zzz"], "There are back, free, once, unused"),
    ],
)
def test_unknown_coupons_are_refused(odd, ids, words):
    with pytest.raises(ParameterError, match=words):
        evaluate_coupons(odd, coupon_ids=ids)


def test_the_name_of_a_coupon_leads_to_its_id(sample):
    with pytest.raises(ParameterError, match='did you mean "c05"'):
        evaluate_coupons(sample, coupon_ids=["Newcomer 新人券"])


def test_without_lines_events_or_costs_those_numbers_are_empty(odd, tmp_path):
    tables = {name: odd.collect(odd.tables[name])[list(odd.present[name])] for name in ("orders", "coupon_grants")}
    tables["orders"] = tables["orders"].drop(columns="cost_amount")
    analysis = evaluate_coupons(open_shop(write_shop(tmp_path / "few", **tables)))
    card = analysis.tables["coupon_scorecard"]
    assert card[["category_count", "category_entropy", "largest_category", "active_days"]].isna().all().all()
    assert set(card["is_diverse"]) == {"unknown"}
    depth = analysis.tables["coupon_depth"]
    assert depth["profit_per_order"].isna().all()
    assert set(depth["pays"]) == {"unknown"}


def depth_shop(folder, users=120):
    """Every user has one order 8 % off that earns 20 to 30, and one 40 % off that loses 5 to 15."""
    rng = np.random.default_rng(1)
    orders, grants = [], []
    for user in range(users):
        for part, (discount, low) in enumerate(((8.0, 20), (40.0, -15))):
            paid = f"2026-03-{1 + part:02d} 10:00"
            number, profit = 2 * user + part, float(rng.uniform(low, low + 10))
            orders.append(order(number, f"u{user}", paid, 100.0, discount, cost=100.0 - discount - profit))
            grants.append((number, "ab"[part], f"u{user}", "2026-02-27", "2026-04-01", number, discount))
    orders.append(order(9_999, "u0", "2026-05-30", 10.0, 0.0))
    coupons = frame("coupon_id name kind face_value min_spend", ("a", "", "k", 8.0, 100.0), ("b", "", "k", 40.0, 0.0))
    return open_shop(
        write_shop(folder, orders=frame(ORDERS, *orders), coupons=coupons, coupon_grants=frame(GRANTS, *grants))
    )


def test_where_depth_stops_paying(tmp_path):
    analysis = evaluate_coupons(depth_shop(tmp_path / "depth"))
    depth = analysis.tables["coupon_depth"].set_index(["dimension", "band"])
    assert depth["pays"].to_dict() == {
        ("discount_to_gross", "5-10%"): "yes",
        ("discount_to_gross", "30-50%"): "no",
        ("face_to_minimum", "5-10%"): "yes",
        ("face_to_minimum", "no_minimum"): "no",
    }
    deep = depth.loc[("discount_to_gross", "30-50%")]
    assert deep[["order_count", "gross_amount", "coupon_discount_amount", "subsidy_rate"]].tolist() == [
        120,
        12000,
        4800,
        0.4,
    ]
    assert -12 < deep["profit_ci_lower"] < deep["profit_per_order"] < deep["profit_ci_upper"] < -8
    # everybody's order 8 % off is followed by one on the next day
    assert depth.loc[("discount_to_gross", "5-10%"), "repurchase_rate_30"] == 1
    assert "from 30% off" in " ".join(charts.depth_picture(analysis).to_dict()["title"]["text"])


def test_the_curve_just_before_a_window_is_the_rate_of_buyers_watched_to_its_end(sample):
    """First uses of March are followed 90 days, up to 28 June: curve and rate say the same."""
    analysis = evaluate_coupons(sample, timezone="Asia/Shanghai", end_date="2026-03-31")
    card = analysis.tables["coupon_scorecard"]
    curve = analysis.tables["coupon_repurchase"].set_index(["level", "coupon_name", "day"])["repurchase_share"]
    compared = 0
    for row in card[card["level"] == "coupon"].to_dict("records"):
        for window in (30, 60, 90):
            key = ("coupon", row["coupon_name"], window)
            if key in curve.index:
                assert row[f"repurchase_rate_{window}_eligible_count"] == row["buyer_count"]
                assert curve[key] == pytest.approx(row[f"repurchase_rate_{window}"], abs=1e-12)
                compared += 1
    assert compared >= 18


def test_the_curve_rises_from_day_to_day(analysed):
    curves = analysed(evaluate_coupons).tables["coupon_repurchase"]
    for _, one in curves.groupby("coupon_id", dropna=False):
        assert one["day"].tolist() == list(range(1, len(one) + 1))
        assert one["repurchase_share"].is_monotonic_increasing
        assert one["at_risk_count"].is_monotonic_decreasing
        inside = one.dropna(subset="ci_lower")
        assert (inside["ci_lower"] <= inside["repurchase_share"]).all()
        assert (inside["repurchase_share"] <= inside["ci_upper"]).all()
