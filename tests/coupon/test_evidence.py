"""What the experiments say of the sample's coupons, a test of timing by hand, and sources that cannot say."""

import numpy as np
import pytest
from shops import at, frame, write_shop

from workbench import open_shop
from workbench.coupon import charts, evaluate_coupons


@pytest.fixture
def tables(analysed):
    return analysed(evaluate_coupons).tables


def test_planted_effects_lie_inside_the_intervals(tables, truth):
    money = tables["coupon_money"].set_index("coupon_id")
    assert money.index.tolist() == ["c03", "c01"]  # the experiment on timing says nothing of whether c08 pays
    planted = truth["coupons"]
    new = next(one for one in planted if one["coupon_id"] == "c03") if isinstance(planted, list) else planted["c03"]
    share = next(value for name, value in flat(new) if name == "incremental_orders_per_coupon_order")
    c03 = money.loc["c03"]
    assert 1 - c03["cannibalisation_ci_upper"] < share < 1 - c03["cannibalisation_ci_lower"]
    assert c03["incremental_order_count_ci_lower"] > 0
    assert c03["naive_roi"] > 5 * c03["incremental_roi"]


def flat(nested):
    for name, value in nested.items():
        if isinstance(value, dict):
            yield from flat(value)
        else:
            yield name, value


def test_every_coupon_has_a_decision_and_none_without_an_experiment_is_kept(tables):
    decisions = tables["coupon_decision"].set_index("coupon_id")
    card = tables["coupon_scorecard"]
    assert set(decisions.index) == set(card.loc[card["level"] == "coupon", "coupon_id"])
    assert decisions["coupon_discount_amount"].is_monotonic_decreasing
    assert decisions.loc["c03", "evidence"] == "randomized"
    assert decisions.loc["c03", "reason"] in ("profit_up", "sells_profit_open")
    assert decisions.loc["c08", "reason"] == "about_when"
    untested = decisions[decisions["reason"] == "no_experiment"]
    assert set(untested.index) == {"c02", "c04", "c05", "c06", "c07"}
    assert set(untested["decision"]) == {"test"}
    assert (untested["units_needed"] > 0).all()
    assert (untested["days_needed"] > 30).all()


def test_the_timing_of_the_sample(tables, truth):
    flow = tables["flow_experiment"].set_index("measure")
    assert set(flow["experiment_id"]) == {"coupon_timing"}
    effect = truth["experiments"]["coupon_timing"]["measured_30_days"]["profit_per_user"]["effect"]
    row = flow.loc["profit_per_user"]
    assert row["outcome_days"] == 30
    assert row["ci_lower"] < effect < row["ci_upper"]
    assert flow["role"].to_dict() == {
        "profit_per_user": "decides",
        "repurchase_per_assigned": "decides",
        "pay_rate": "guardrail",
        "pay_hours": "guardrail",
        "reached_checkout": "check",
        "used_per_assigned": "description",
        "repurchase_among_users": "description",
    }
    funnel = tables["flow_funnel"]
    for _, arm in funnel.groupby("variant"):
        assert arm["step"].tolist() == ["assigned", "submitted", "paid", "paid_again"]
        assert arm["overall_rate"].is_monotonic_decreasing
        assert np.allclose(arm["overall_rate"], arm["user_count"] / arm["user_count"].iloc[0])


@pytest.fixture
def timed(tmp_path):
    """40 users in each arm, coupon to all. Before payment (control): all submit, 30 pay, 12 again. After: 36 pay, 12 again."""
    assigned, orders, grants = [], [], []

    def order(user, day, paid, amount=100.0):
        orders.append((len(orders), user, at(day), at(paid) if paid else None, amount))

    for arm, paying in (("control", 30), ("treatment", 36)):
        for number in range(40):
            user = f"{arm[0]}{number}"
            assigned.append(("e", user, arm, at("2026-03-02")))
            grants.append((len(grants), "a", user, at("2026-03-02"), None))
            order(user, "2026-03-02 10:00", "2026-03-02 11:00" if number < paying else None)
            if number < 12:
                order(user, "2026-03-10 10:00", "2026-03-10 10:30", 50.0 + number)
    order("last", "2026-06-30", None)
    return open_shop(
        write_shop(
            tmp_path / "shop",
            orders=frame("order_id user_id submitted_at paid_at gross_amount", *orders),
            coupons=frame("coupon_id name kind", ("a", "A", "full_reduction")),
            coupon_grants=frame("grant_id coupon_id user_id granted_at order_id", *grants),
            experiments=frame(
                "experiment_id variant expected_share coupon_id",
                ("e", "control", 0.5, "a"),
                ("e", "treatment", 0.5, "a"),
            ),
            experiment_assignments=frame("experiment_id user_id variant assigned_at", *assigned),
        )
    )


def test_timing_by_hand(timed):
    analysis = evaluate_coupons(timed, margin_rate=0.5, outcome_days=[30])
    flow = analysis.tables["flow_experiment"].set_index("measure")
    assert flow.loc["pay_rate", ["mean_treatment", "mean_control"]].tolist() == [0.9, 0.75]
    assert flow.loc["pay_rate", "status"] == "holds"
    assert flow.loc["repurchase_per_assigned", ["estimate", "status"]].tolist() == [0.0, "open"]
    assert flow.loc["reached_checkout", "status"] == "ok"
    assert flow.loc["pay_hours", "mean_treatment"] == 1.0
    funnel = analysis.tables["flow_funnel"].set_index(["variant", "step"])["user_count"]
    assert funnel["control"].to_dict() == {"assigned": 40, "submitted": 40, "paid": 30, "paid_again": 12}
    # six more orders of 100 at half the amount
    assert flow.loc["profit_per_user", "estimate"] == pytest.approx(6 * 50 / 40)
    assert analysis.tables["coupon_money"].empty
    assert analysis.tables["coupon_decision"]["reason"].tolist() == ["about_when"]
    assert charts.flow_picture(analysis) is not None
    assert charts.money_picture(analysis) is None


def test_without_experiments_there_are_plans_and_no_money(tmp_path):
    rows = [(i, f"u{i}", at("2026-03-05"), at("2026-03-05"), 100.0 + i % 7, 10.0) for i in range(80)]
    rows.append((99, "last", at("2026-06-30"), None, 1.0, 0.0))
    shop = open_shop(
        write_shop(
            tmp_path / "shop",
            orders=frame("order_id user_id submitted_at paid_at gross_amount coupon_discount_amount", *rows),
            coupon_grants=frame(
                "grant_id coupon_id user_id granted_at order_id",
                *((i, "a", f"u{i}", at("2026-03-04"), i if i < 80 else None) for i in range(160)),
            ),
        )
    )
    analysis = evaluate_coupons(shop, margin_rate=0.3, outcome_days=[30], repurchase_days=[30])
    assert analysis.tables["coupon_money"].empty
    assert analysis.tables["experiment_effect"].empty
    row = analysis.tables["coupon_decision"].iloc[0]
    assert (row["decision"], row["reason"]) == ("test", "no_experiment")
    assert row["units_needed"] > 0
    assert any("No experiment tests one of these coupons" in note for note in analysis.notes)
    for picture in (charts.flow_picture, charts.money_picture):
        assert picture(analysis) is None
    off = evaluate_coupons(shop, outcome_days=[30])
    assert off.tables["coupon_decision"]["units_needed"].isna().all()
    assert any("carry no cost and no margin_rate" in note for note in off.notes)


def arms_of(tmp_path, name, *, coupon_ids, assigned):
    """40 users with an order each in the arms that ``assigned`` names; ``coupon_ids`` by arm."""
    orders, assignments = [("last", "last", at("2026-06-30"), None, 1.0)], []
    for arm in assigned:
        for number in range(40):
            assignments.append(("e", f"{arm}{number}", arm, at("2026-03-02")))
            orders.append((f"{arm}{number}", f"{arm}{number}", at("2026-03-05"), at("2026-03-05"), 100.0 + number))
    return open_shop(
        write_shop(
            tmp_path / name,
            orders=frame("order_id user_id submitted_at paid_at gross_amount", *orders),
            coupons=frame("coupon_id name kind", (5, "Five", "full_reduction"), (6, "Six", "full_reduction")),
            coupon_grants=frame("grant_id coupon_id user_id granted_at order_id", (1, 5, "x", at("2026-03-03"), None)),
            experiments=frame(
                "experiment_id variant coupon_id", *(("e", arm, one) for arm, one in coupon_ids.items())
            ).astype({"coupon_id": "Int64"}),
            experiment_assignments=frame("experiment_id user_id variant assigned_at", *assignments),
        )
    )


def test_whole_numbers_beside_a_null_still_name_their_coupon(tmp_path):
    shop = arms_of(tmp_path, "a", coupon_ids={"control": None, "treatment": 5}, assigned=["control", "treatment"])
    tables = evaluate_coupons(shop, margin_rate=0.5, outcome_days=[30]).tables
    assert tables["coupon_money"]["coupon_id"].tolist() == ["5"]


def test_arms_that_test_different_coupons_decide_on_neither(tmp_path):
    arms = {"control": None, "a": 5, "b": 6}
    shop = arms_of(tmp_path, "b", coupon_ids=arms, assigned=["control", "a", "b"])
    tables = evaluate_coupons(shop, margin_rate=0.5, outcome_days=[30]).tables
    assert tables["coupon_money"].empty
    assert set(tables["coupon_decision"]["reason"]) == {"no_experiment"}


def test_an_experiment_with_one_arm_is_named_and_no_reason_to_stop_the_report(tmp_path):
    shop = arms_of(tmp_path, "c", coupon_ids={"control": 5, "treatment": 5}, assigned=["treatment"])
    analysis = evaluate_coupons(shop, margin_rate=0.5, outcome_days=[30])
    reasons = analysis.tables["coupon_decision"].set_index("coupon_id")["reason"]
    assert reasons["5"] == "experiment_unread"
    assert any("Not read" in note and note.endswith("e.") for note in analysis.notes)


def test_other_peoples_experiments_do_not_stop_the_report(tmp_path):
    """A landing page tested with arms A and B: no control, no coupon, nothing to read here."""
    shop = arms_of(tmp_path, "d", coupon_ids={"A": None, "B": None}, assigned=["A", "B"])
    analysis = evaluate_coupons(shop, margin_rate=0.5, outcome_days=[30])
    assert set(analysis.tables["coupon_decision"]["reason"]) == {"no_experiment"}
