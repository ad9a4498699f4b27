"""Money from experiments: the worked check, returns and break-even points by hand, and what broken experiments say."""

import numpy as np
import pandas as pd
import pytest
from shops import at, frame, write_shop

from workbench import open_shop
from workbench.coupon.decision import decision_rows
from workbench.coupon.holdout import plan
from workbench.coupon.money import CouponSales, money_rows
from workbench.experiment.plan import make_rules
from workbench.experiment.readout import read_out

USERS = 1_000
BASE = {
    "control_variant": "control",
    "outcomes": ["orders_per_user", "paid_amount_per_user", "profit_per_user"],
    "outcome_days": [30],
    "pre_period_days": 28,
    "expected_shares": None,
    "multiple_testing": "holm",
    "confidence_level": 0.95,
}


@pytest.fixture
def worked(tmp_path):
    """1,000 users in each arm; control pays 120,000; treatment 138,000 after 18,000 of discount (definitions, 3.5).

    Every control user orders once for 120, every treated one once for 156 with 18 off, so that the arms have no spread but
    for two users who shift one unit between them.
    """
    assigned, orders, grants = [], [], []
    for arm, gross, discount in (("control", 120.0, 0.0), ("treatment", 156.0, 18.0)):
        for number in range(USERS):
            user = f"{arm[0]}{number}"
            shift = {0: 1.0, 1: -1.0}.get(number, 0.0)
            assigned.append(("e", user, arm, at("2026-03-02")))
            order = len(orders)
            orders.append((order, user, at("2026-03-05"), at("2026-03-05"), gross + shift, discount))
            if discount:
                grants.append((len(grants), "a", user, at("2026-03-02"), order, discount))
    orders.append((len(orders), "last", at("2026-04-30"), None, 1.0, 0.0))
    return open_shop(
        write_shop(
            tmp_path / "shop",
            orders=frame("order_id user_id submitted_at paid_at gross_amount coupon_discount_amount", *orders),
            coupons=frame("coupon_id name kind", ("a", "A", "full_reduction")),
            coupon_grants=frame("grant_id coupon_id user_id granted_at order_id discount_amount", *grants),
            experiments=frame(
                "experiment_id variant expected_share coupon_id",
                ("e", "control", 0.5, "a"),
                ("e", "treatment", 0.5, "a"),
            ),
            experiment_assignments=frame("experiment_id user_id variant assigned_at", *assigned),
        )
    )


def money_of(shop, sales, **more):
    rules = make_rules(**(BASE | {"margin_rate": 0.3} | more))
    return money_rows(read_out(shop, shop.period(None, None, "UTC"), None, rules), sales, 0.95).iloc[0]


def test_the_worked_check(worked):
    """Naive ROI 7.67, incremental revenue of the discount 1.0, incremental ROI -0.40 at 30 % margin."""
    profit = 156_000 * 0.3 - 18_000
    money = money_of(worked, {"a": CouponSales(1_000, 138_000, 18_000, profit)})
    assert money["naive_roi"] == pytest.approx(7.67, abs=0.005)
    assert money["incremental_paid_amount"] / money["discount_amount"] == pytest.approx(1.0)
    assert money["incremental_roi"] == pytest.approx(-0.40)
    assert money["incremental_roi_ci_lower"] < -0.40 < money["incremental_roi_ci_upper"]
    assert money["incremental_profit"] == pytest.approx(-7_200)
    assert money["incremental_order_count"] == pytest.approx(0)
    assert money["coupon_order_count"] == 1_000
    assert money["cannibalisation_rate"] == pytest.approx(1)
    # 18,000 of discount out of 46,800 of margin before it: 38.5 % of the orders would have to be new.
    assert money["break_even_incrementality"] == pytest.approx(18_000 / 46_800)
    # 18 an order, less the 7.20 an order that it loses
    assert money["break_even_face_value"] == pytest.approx(18 - 7.2)


def test_without_costs_there_is_no_profit_but_orders(worked):
    money = money_of(worked, {}, margin_rate=None)
    assert money["reason"] == "no_costs"
    assert np.isnan(money["incremental_profit"])
    assert money["incremental_paid_amount"] == pytest.approx(18_000)


def test_an_experiment_with_wrong_sizes_gives_no_money(worked):
    money = money_of(worked, {}, expected_shares=["control=0.1", "treatment=0.9"])
    assert money["reason"] == "experiment_not_valid"
    assert money[["incremental_profit", "incremental_order_count", "incremental_roi"]].isna().all()


CARD = pd.DataFrame(
    {
        "level": ["coupon", "coupon", "all"],
        "coupon_id": ["a", "b", None],
        "coupon_name": ["A", "B", None],
        "subsidy_rate": [0.1, 0.3, 0.2],
        "redemption_rate": 0.5,
        "repurchase_rate_30": 0.2,
        "coupon_discount_amount": [10.0, 50.0, 60.0],
    }
)
MONEY = {
    "coupon_id": "a",
    "experiment_id": "e",
    "variant": "treatment",
    "treated_count": 900,
    "control_count": 100,
    "incremental_profit": 10.0,
    "incremental_profit_ci_lower": 5.0,
    "incremental_profit_ci_upper": 15.0,
    "incremental_order_count_ci_lower": 1.0,
    "break_even_face_value": 3.0,
    "reason": None,
}
NO_PLANS = pd.DataFrame(columns=["coupon_id", "units_needed", "days_needed", "holdout_share"])


def decide(plans=NO_PLANS, limit=0.2, about_when=(), **changed):
    rows = decision_rows(CARD, pd.DataFrame([MONEY | changed]), plans, 30, limit, about_when)
    assert rows["coupon_id"].tolist() == ["b", "a"]  # the most discount first
    return rows.set_index("coupon_id")


@pytest.mark.parametrize(
    ("changed", "decision", "reason"),
    [
        ({}, "keep", "profit_up"),
        ({"limit": 0.05}, "keep", "profit_up_subsidy_high"),
        ({"incremental_profit_ci_lower": -1.0}, "test", "sells_profit_open"),
        ({"incremental_profit_ci_lower": -1.0, "incremental_order_count_ci_lower": -1.0}, "test", "not_settled"),
        ({"incremental_profit_ci_lower": -9.0, "incremental_profit_ci_upper": -1.0}, "change", "lower_face_value"),
        (
            {
                "incremental_profit_ci_lower": -9.0,
                "incremental_profit_ci_upper": -1.0,
                "incremental_order_count_ci_lower": -1.0,
            },
            "stop",
            "profit_down",
        ),
        (
            {"incremental_profit_ci_lower": -9.0, "incremental_profit_ci_upper": -1.0, "break_even_face_value": 0.0},
            "stop",
            "profit_down",
        ),
        ({"incremental_profit_ci_lower": np.nan}, "test", "no_profit"),
        ({"reason": "experiment_not_valid"}, "test", "experiment_not_valid"),
    ],
)
def test_rules_of_the_decision(changed, decision, reason):
    row = decide(**changed).loc["a"]
    assert (row["decision"], row["reason"], row["evidence"]) == (decision, reason, "randomized")


def test_without_an_experiment_there_is_only_a_test():
    plans = pd.DataFrame([{"coupon_id": "b", "units_needed": 800, "days_needed": 44, "holdout_share": 0.2}])
    row = decide(plans).loc["b"]
    assert (row["decision"], row["reason"], row["evidence"]) == ("test", "no_experiment", "descriptive")
    assert row[["units_needed", "days_needed", "holdout_share"]].tolist() == [800, 44, 0.2]
    assert np.isnan(row["incremental_profit"])
    assert decide(about_when=["b"]).loc["b", "reason"] == "about_when"


def test_what_is_not_settled_needs_four_times_as_many_users():
    row = decide(incremental_profit_ci_lower=-1.0).loc["a"]
    assert row[["units_needed", "holdout_share"]].tolist() == [4_000, 0.1]


def test_the_plan_by_hand():
    """Standard deviation 10, effect 1: (1.96 + 0.8416)² · 100 · (1/0.9 + 1/0.1) = 8,721 users at 10 %."""
    found = plan(1.0, 100.0, units_per_day=400, days=30)
    assert found == {"units_needed": 8_721, "days_needed": 22 + 30, "holdout_share": 0.1}
    # 100 a day: 10 % would take 88 days, 30 % still 38; half and half ends after 32, and is the last that is tried
    assert plan(1.0, 100.0, units_per_day=100, days=30)["holdout_share"] == 0.5
    assert plan(0.0, 100.0, units_per_day=100, days=30) == {}
    assert plan(1.0, 0.0, units_per_day=100, days=30) == {}


def test_a_clear_experiment_goes_before_a_larger_guess():
    """One experiment surely loses much, a tiny one has the larger estimate but knows nothing."""
    sure = MONEY | {
        "incremental_profit": -90.0,
        "incremental_profit_ci_lower": -99.0,
        "incremental_profit_ci_upper": -80.0,
    }
    tiny = MONEY | {"experiment_id": "f", "treated_count": 20, "incremental_profit_ci_lower": -99.0}
    rows = decision_rows(CARD, pd.DataFrame([tiny, sure]), NO_PLANS, 30, 0.2).set_index("coupon_id")
    assert rows.loc["a", ["decision", "experiment_id"]].tolist() == ["change", "e"]
    both = decision_rows(CARD, pd.DataFrame([MONEY | {"experiment_id": "f"}, sure]), NO_PLANS, 30, 0.2)
    assert both.set_index("coupon_id").loc["a", "reason"] == "conflicting"
