"""Money from experiments: the worked check, returns and break-even points by hand, and what broken experiments say."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from shops import at, frame, write_shop

from workbench import open_shop
from workbench.coupon import evaluate_coupons
from workbench.coupon.decision import decision_rows
from workbench.coupon.holdout import plan
from workbench.coupon.money import CouponSales, money_rows, over_coupons
from workbench.experiment.plan import make_rules
from workbench.experiment.readout import read_out
from workbench.metrics.orders import borne_coupon_discount

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
    return worked_shop(tmp_path)


def worked_shop(tmp_path, other=0.0, platform=0.0):
    """1,000 users in each arm; control pays 120,000; treatment 138,000 after 18,000 of discount (definitions, 3.5).

    Every control user orders once for 120, every treated one once for 156 with 18 off, so that the arms have no spread but
    for two users who shift one unit between them. ``other``: taken off treated orders beside the coupon;
    ``platform``: what the platform pays of both.
    """
    assigned, orders, grants = [], [], []
    for arm, gross, discount in (("control", 120.0, 0.0), ("treatment", 156.0, 18.0)):
        for number in range(USERS):
            user = f"{arm[0]}{number}"
            shift = {0: 1.0, 1: -1.0}.get(number, 0.0)
            assigned.append(("e", user, arm, at("2026-03-02")))
            order = len(orders)
            beside = (other, platform) if discount else (0.0, 0.0)
            orders.append((order, user, at("2026-03-05"), at("2026-03-05"), gross + shift, discount, *beside))
            if discount:
                grants.append((len(grants), "a", user, at("2026-03-02"), order, discount))
    orders.append((len(orders), "last", at("2026-04-30"), None, 1.0, 0.0, 0.0, 0.0))
    return open_shop(
        write_shop(
            tmp_path / "shop",
            orders=frame(
                "order_id user_id submitted_at paid_at gross_amount coupon_discount_amount other_discount_amount "
                "platform_discount_amount",
                *orders,
            ),
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
    money = money_of(worked, {"a": CouponSales(1_000, 138_000, 18_000, 18_000, profit)})
    assert money["naive_roi"] == pytest.approx(7.67, abs=0.005)
    assert money["incremental_paid_amount"] / money["borne_discount_amount"] == pytest.approx(1.0)
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


def test_what_the_platform_pays_is_no_cost_of_the_shop(tmp_path):
    """18 by coupon and 6 otherwise, of which the platform pays 8, a third of each: the coupon costs the shop 12.

    A treated order of 156 earns 156 - 24 + 8 - 109.2 = 30.8 at 30 % margin, one of the control 36: 5.2 less.
    """
    shop = worked_shop(tmp_path, other=6.0, platform=8.0)
    money = evaluate_coupons(shop, margin_rate=0.3, outcome_days=[30], repurchase_days=[30]).tables["coupon_money"]
    money = money.iloc[0]
    assert money["borne_discount_amount"] == pytest.approx(12_000)
    assert money["incremental_profit"] == pytest.approx(-5_200)
    assert money["incremental_roi"] == pytest.approx(-5.2 / 12)
    assert money["break_even_incrementality"] == pytest.approx(12 / (30.8 + 12))
    # 5.2 are saved by 7.8 less of face value, of which the platform would have paid 2.6
    assert money["break_even_face_value"] == pytest.approx(18 - 7.8)
    assert money["naive_roi"] == pytest.approx(132 / 18)  # what back-offices print knows no platform


def test_a_coupon_that_the_platform_pays_whole_costs_the_shop_nothing(tmp_path):
    money = evaluate_coupons(worked_shop(tmp_path, platform=18.0), margin_rate=0.3, outcome_days=[30])
    money = money.tables["coupon_money"].iloc[0]
    assert money["borne_discount_amount"] == 0
    assert money[["incremental_roi", "break_even_face_value"]].isna().all()
    assert money["break_even_incrementality"] == 0
    # 156 - 109.2 = 46.8 against 36
    assert money["incremental_profit"] == pytest.approx(10_800)


@pytest.mark.parametrize("way", ["", pytest.param("chdb://", marks=pytest.mark.engine)])
def test_who_bears_a_discount(tmp_path, way):
    rows = [  # coupon, other, platform, borne of the coupon
        (18.0, 6.0, 8.0, 12.0),
        (18.0, 0.0, 0.0, 18.0),
        (0.0, 6.0, 3.0, 0.0),
        (0.0, 0.0, 0.0, 0.0),
        (10.0, 0.0, 10.0, 0.0),
        (10.0, 5.0, 40.0, 0.0),  # more than was taken off: warned of, and no gain
        (0.0, 0.0, 5.0, 0.0),
    ]
    orders = frame(
        "order_id user_id submitted_at paid_at gross_amount coupon_discount_amount other_discount_amount "
        "platform_discount_amount",
        *((place, "u", at("2026-03-01"), at("2026-03-01"), 100.0, *row[:3]) for place, row in enumerate(rows)),
    )
    shop = open_shop(f"{way}{write_shop(tmp_path / 'shop', orders=orders)}")
    found = shop.orders.select("order_id", borne=borne_coupon_discount(shop.orders)).order_by("order_id")
    assert shop.collect(found)["borne"].tolist() == pytest.approx([row[-1] for row in rows])


def centred(rng, size, spread):
    """Noise that changes no mean."""
    noise = spread * rng.normal(size=size)
    return noise - noise.mean()


def test_where_shares_changed_weeks_are_compared_within_themselves(tmp_path):
    """First week 100 against 100 users, then 175 against 25.

    First week: control 100 gross, treatment 140 less 20; at half the amount both earn 50. Second week: 20, and 60 less
    10; 10 and 20. Gained 175 x 10 for 100 x 20 + 175 x 10 of discount. All weeks in one would make a loss of it.
    """
    rng = np.random.default_rng(5)
    cells = [
        ("2026-03-02", "control", 100, 100.0, 0.0),
        ("2026-03-02", "treatment", 100, 140.0, 20.0),
        ("2026-03-09", "control", 25, 20.0, 0.0),
        ("2026-03-09", "treatment", 175, 60.0, 10.0),
    ]
    assigned, orders, grants, drawn = [], [("last", "last", at("2026-05-30"), None, 1.0, 0.0)], [], []
    for day, arm, size, gross, off in cells:
        amounts = gross + centred(rng, size, 4.0)
        offs = off + centred(rng, size, 1.5 if off else 0.0)
        drawn.append((amounts / 2 - offs, offs))
        for number, (amount, discount) in enumerate(zip(amounts, offs, strict=True)):
            name = f"{arm}{day}{number}"
            assigned.append(("e", name, arm, at(day)))
            orders.append((name, name, at("2026-03-12"), at("2026-03-12"), amount, discount))
            if discount:
                grants.append((name, "a", name, at(day), name, discount))
    shop = open_shop(
        write_shop(
            tmp_path / "shop",
            orders=frame("order_id user_id submitted_at paid_at gross_amount coupon_discount_amount", *orders),
            coupon_grants=frame("grant_id coupon_id user_id granted_at order_id discount_amount", *grants),
            experiments=frame("experiment_id variant coupon_id", ("e", "control", None), ("e", "treatment", "a")),
            experiment_assignments=frame("experiment_id user_id variant assigned_at", *assigned),
        )
    )
    money = money_of(shop, {}, margin_rate=0.5)
    assert money["borne_discount_amount"] == pytest.approx(3_750)
    assert money["incremental_roi"] == pytest.approx(1_750 / 3_750)
    # the same by drawing users again within each week and arm
    ratios = []
    for _ in range(4_000):
        gains, costs = 0.0, 0.0
        for control, treatment in ((0, 1), (2, 3)):
            means = []
            for profit, discount in (drawn[control], drawn[treatment]):
                again = rng.integers(0, len(profit), len(profit))
                means.append((profit[again].mean(), discount[again].mean()))
            size = len(drawn[treatment][0])
            gains += size * (means[1][0] - means[0][0])
            costs += size * (means[1][1] - means[0][1])
        ratios.append(gains / costs)
    lower, upper = np.quantile(ratios, [0.025, 0.975])
    half = (upper - lower) / 2
    assert money["incremental_roi_ci_lower"] == pytest.approx(lower, abs=0.1 * half)
    assert money["incremental_roi_ci_upper"] == pytest.approx(upper, abs=0.1 * half)


def test_profits_are_adjusted_over_arms_and_then_over_coupons():
    """Against scipy and a loop; and an interval leaves 0 out exactly where the adjusted p-value is small."""
    rng = np.random.default_rng(7)
    seen = set()
    for _ in range(300):
        experiments = rng.choice(["e", "f", "g"], size=rng.integers(1, 6))
        z = rng.normal(0, 2.5, size=experiments.size)
        p = 2 * stats.norm.sf(abs(z))
        table = pd.DataFrame({"experiment_id": experiments, "p_value": p, "std_error": 2.0, "degrees": np.inf})
        found = over_coupons(table.assign(incremental_profit=2 * z), 0.95, "holm")
        holm = np.empty_like(p)
        for one in set(experiments):
            mine = np.flatnonzero(experiments == one)
            largest = 0.0
            for place, row in enumerate(sorted(mine, key=p.item)):
                largest = max(largest, (mine.size - place) * p[row])
                holm[row] = min(largest, 1.0)
        expected = stats.false_discovery_control(holm)
        assert found["p_value_adjusted"].to_numpy() == pytest.approx(expected, rel=1e-9)
        lower, upper = found["incremental_profit_ci_lower"], found["incremental_profit_ci_upper"]
        outside = ((lower > 0) | (upper < 0)).to_numpy()
        assert outside.tolist() == (expected < 0.05).tolist()
        seen.add((bool(outside.any()), bool(outside.all())))
    assert seen == {(False, False), (True, False), (True, True)}


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
        ({"reason": "costs_missing"}, "test", "costs_missing"),
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
