"""What the experiments say of the sample's coupons, a test of timing by hand, and sources that cannot say."""

import numpy as np
import pytest
from shops import at, frame, write_shop

from workbench import open_shop
from workbench.contract import TABLES
from workbench.coupon import charts, evaluate_coupons
from workbench.coupon.scorecard import coupon_tables
from workbench.experiment import read_experiments
from workbench.experiment.charts import verdict_picture
from workbench.experiment.costs import COST_LIMIT, cost_gap
from workbench.experiment.plan import ReadoutRules, find_experiments
from workbench.metrics.orders import cost_counts, paid_orders


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
    assert not any("shares changed" in note for note in analysis.notes)


def test_timing_where_shares_changed_compares_arms_within_weeks(tmp_path):
    """60 against 20 users in one week, 20 against 60 in the next; all get the coupon and order, half of the second pay again.

    Arms are alike within weeks: nothing changed, where all weeks in one would say 30/80 less 10/80.
    """
    assigned, orders, grants = [], [("last", "last", at("2026-06-30"), None, 1.0)], []
    for day, sizes in {"2026-03-02": (60, 20), "2026-03-09": (20, 60)}.items():
        for arm, size in zip(("control", "treatment"), sizes, strict=True):
            for number in range(size):
                user = f"{arm}{day}{number}"
                assigned.append(("e", user, arm, at(day)))
                grants.append((user, "a", user, at(day), None))
                orders.append((user, user, at("2026-03-12"), at("2026-03-12"), 100.0 + number % 5))
                if day == "2026-03-09" and number % 2:
                    orders.append((f"{user}+", user, at("2026-03-20"), at("2026-03-20 01:00"), 100.0))
    shop = open_shop(
        write_shop(
            tmp_path / "shop",
            orders=frame("order_id user_id submitted_at paid_at gross_amount", *orders),
            coupon_grants=frame("grant_id coupon_id user_id granted_at order_id", *grants),
            experiments=frame("experiment_id variant coupon_id", ("e", "control", "a"), ("e", "treatment", "a")),
            experiment_assignments=frame("experiment_id user_id variant assigned_at", *assigned),
        )
    )
    for lang, words in (("en", "e: the arms' shares changed over the weeks"), ("zh", "e：各组占比随周变化")):
        analysis = evaluate_coupons(shop, margin_rate=0.5, outcome_days=[30], repurchase_days=[30], lang=lang)
        flow = analysis.tables["flow_experiment"].set_index("measure")
        assert flow.loc["repurchase_per_assigned", "estimate"] == pytest.approx(0, abs=1e-12)
        assert flow.loc["repurchase_per_assigned", "status"] == "open"
        assert flow.loc["repurchase_per_assigned", "mean_control"] == pytest.approx(1 / 4)  # both weeks weigh the same
        assert flow.loc["reached_checkout", ["p_value", "status"]].tolist() == [1.0, "ok"]
        assert len(flow) == 7
        assert sum(note.startswith(words) for note in analysis.notes) == 1


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


def own_coupons(tmp_path, coupon_ids, name="own"):
    """60 users an arm. With coupon 5 (arm a) they buy for 150 rather than 100, with 6 (arm b) for no more; each is 10 off.

    Ten users of a also use coupon 6, on an order of 1 that costs it all.
    """
    orders, assigned, grants = [("last", "last", at("2026-06-30"), None, 1.0, 0.0)], [], []
    for arm, mean in {"control": 100.0, "a": 150.0, "b": 100.0}.items():
        for number in range(60):
            user = f"{arm}{number}"
            off = 0.0 if arm == "control" else 10.0
            assigned.append(("e", user, arm, at("2026-03-02")))
            orders.append((user, user, at("2026-03-05"), at("2026-03-05"), mean + number % 7, off))
            if off:
                grants.append((user, 5 if arm == "a" else 6, user, at("2026-03-02"), user))
            if arm == "a" and number < 10:
                orders.append((f"{user}+", user, at("2026-03-09"), at("2026-03-09"), 1.0, 1.0))
                grants.append((f"{user}+", 6, user, at("2026-03-08"), f"{user}+"))
    return open_shop(
        write_shop(
            tmp_path / name,
            orders=frame("order_id user_id submitted_at paid_at gross_amount coupon_discount_amount", *orders),
            coupons=frame("coupon_id name kind", (5, "Five", "full_reduction"), (6, "Six", "full_reduction")),
            coupon_grants=frame("grant_id coupon_id user_id granted_at order_id", *grants),
            experiments=frame(
                "experiment_id variant coupon_id", *(("e", arm, one) for arm, one in coupon_ids.items())
            ).astype({"coupon_id": "Int64"}),
            experiment_assignments=frame("experiment_id user_id variant assigned_at", *assigned),
        )
    )


def test_arms_with_coupons_of_their_own_decide_each_on_its_own(tmp_path):
    """At half the amount an order with 5 earns 75 - 10 against the control's 50, one with 6 only 50 - 10."""
    shop = own_coupons(tmp_path, {"control": None, "a": 5, "b": 6})
    asked = {"margin_rate": 0.5, "outcome_days": [30], "repurchase_days": [30]}
    tables = evaluate_coupons(shop, **asked).tables
    money = tables["coupon_money"].set_index("coupon_id")
    assert money["variant"].to_dict() == {"5": "a", "6": "b"}
    assert money["coupon_order_count"].to_dict() == {"5": 60, "6": 60}  # not the ten orders with 6 in the arm of 5
    assert money["incremental_profit"].to_dict() == pytest.approx({"5": 60 * 15 - 10 * 0.5, "6": -60 * 10})
    decisions = tables["coupon_decision"].set_index("coupon_id")
    assert decisions["decision"].to_dict() == {"5": "keep", "6": "stop"}
    assert decisions["variant"].to_dict() == {"5": "a", "6": "b"}
    # Holm over the two arms first, then Benjamini-Hochberg over the two coupons
    low, high = sorted(money["p_value"])
    holm = [2 * low, max(2 * low, high)]
    assert sorted(money["p_value_adjusted"]) == pytest.approx([min(2 * holm[0], holm[1]), holm[1]])
    only = evaluate_coupons(shop, coupon_ids=["5"], **asked)
    assert only.tables["coupon_money"]["coupon_id"].tolist() == ["5"]
    assert only.tables["coupon_decision"]["decision"].tolist() == ["keep"]
    assert charts.money_picture(only) is not None


@pytest.mark.parametrize(
    ("coupon_ids", "tested"),
    [
        ({"control": 6, "a": 5, "b": 6}, {"6": "b"}),  # 5 is held against 6: that says nothing of having none
        ({"control": None, "a": 5, "b": None}, {"5": "a"}),  # the arm without a coupon is no test of the other's
        ({"control": 5, "a": None, "b": None}, {}),  # only the control has it
    ],
)
def test_an_arm_tests_only_the_coupon_that_its_control_lacks(tmp_path, coupon_ids, tested):
    shop = own_coupons(tmp_path, coupon_ids)
    experiments = find_experiments(shop, None, ReadoutRules())
    assert {coupon: arm for one in experiments for arm, coupon in one.coupons.items()} == tested
    tables = evaluate_coupons(shop, margin_rate=0.5, outcome_days=[30], repurchase_days=[30]).tables
    assert dict(zip(tables["coupon_money"]["coupon_id"], tables["coupon_money"]["variant"], strict=True)) == tested
    reasons = tables["coupon_decision"].set_index("coupon_id")["reason"]
    assert set(reasons.index[reasons == "no_experiment"]) == {"5", "6"} - set(tested)


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


@pytest.mark.parametrize(
    ("lang", "words"), [("en", "profit_per_user cannot be measured"), ("zh", "无法计算 profit_per_user")]
)
def test_profit_alone_without_costs_leaves_the_scorecard(tmp_path, lang, words):
    """The control and 40 users with coupon 5, each with an order; orders have no cost, and no margin is given."""
    shop = arms_of(tmp_path, "e", coupon_ids={"control": None, "treatment": 5}, assigned=["control", "treatment"])
    analysis = evaluate_coupons(shop, outcomes=["profit_per_user"], outcome_days=[30], lang=lang)
    assert len(analysis.tables["coupon_scorecard"]) == 4  # two coupons, one kind, all
    assert analysis.tables["experiment_effect"].empty
    assert analysis.tables["coupon_money"].empty
    reasons = analysis.tables["coupon_decision"].set_index("coupon_id")["reason"]
    assert reasons.to_dict() == {"5": "no_profit", "6": "no_experiment"}
    assert sum(words in note and "margin_rate" in note for note in analysis.notes) == 1
    assert not any("No experiment tests" in note or "没有实验检验" in note for note in analysis.notes)
    told = next(one for one in analysis.findings if one.cell.key.get("coupon_id") == "5")
    assert told.name == "coupon_test"
    advice = {one.cell.key["coupon_id"]: one.text for one in analysis.headline.actions}
    assert ("margin_rate" in advice["5"], "margin_rate" in advice["6"]) == (True, False)


def costed(tmp_path, name, *, empty, users=120):
    """Two arms that order once, a coupon that surely pays, and ``empty`` paid orders without a cost."""
    # one order before the period and an unpaid one, which do not count
    orders = [
        ("old", "x", at("2026-01-05"), at("2026-01-05"), 1.0, 0.0, None),
        ("last", "x", at("2026-06-30"), None, 1.0, 0.0, None),
    ]
    assigned, grants = [], []
    for arm, mean in {"control": 100.0, "treatment": 150.0}.items():
        for number in range(users):
            user = f"{arm}{number}"
            off = 10.0 if arm == "treatment" else 0.0
            assigned.append(("e", user, arm, at("2026-03-02")))
            cost = None if arm == "treatment" and number < empty else 40.0 + number % 3
            orders.append((user, user, at("2026-03-05"), at("2026-03-05"), mean + number % 7, off, cost))
            if off:
                grants.append((user, "a", user, at("2026-03-02"), user))
    return open_shop(
        write_shop(
            tmp_path / name,
            orders=frame(
                "order_id user_id submitted_at paid_at gross_amount coupon_discount_amount cost_amount", *orders
            ),
            coupons=frame("coupon_id name kind", ("a", "A", "full_reduction")),
            coupon_grants=frame("grant_id coupon_id user_id granted_at order_id", *grants),
            experiments=frame("experiment_id variant coupon_id", ("e", "control", None), ("e", "treatment", "a")),
            experiment_assignments=frame("experiment_id user_id variant assigned_at", *assigned),
        )
    )


COSTED = {"start_date": "2026-03-01", "outcome_days": [30]}


def test_where_costs_are_missing_nothing_is_decided_by_profit(tmp_path):
    shop = costed(tmp_path, "many", empty=6)
    warned = [one for one in shop.warnings if one.rule == "no_cost"]
    assert [one.count for one in warned] == [7]  # the old one too: the check knows no period
    words = {
        "en": "6 of 240 paid orders (2.50%) have no cost_amount",
        "zh": "240 笔已支付订单中 6 笔（2.50%）没有 cost_amount",
    }
    for lang, told in words.items():
        analysis = evaluate_coupons(shop, lang=lang, **COSTED)
        readout = read_experiments(shop, lang=lang, **COSTED)
        for one in (analysis, readout):
            assert sum(told in note for note in one.notes) == 1
            assert any("margin_rate" in note for note in one.notes if told in note)
            assert one.flags  # the first screen says that there are warnings
    money = analysis.tables["coupon_money"].iloc[0]
    assert money["reason"] == "costs_missing"
    assert money[["incremental_profit", "incremental_roi", "break_even_incrementality"]].isna().all()
    assert money["borne_discount_amount"] == 1_200
    assert money["incremental_paid_amount"] == pytest.approx(120 * 40)
    decision = analysis.tables["coupon_decision"].iloc[0]
    assert (decision["decision"], decision["reason"]) == ("test", "costs_missing")
    assert "补齐订单成本" in analysis.headline.actions[0].text
    assert "没有成本" in readout.headline.verdict
    assert [one.text for one in readout.headline.actions] == ["补齐订单成本，或给出 margin_rate。"]
    verdict = readout.tables["experiment_verdict"].iloc[0]
    assert (verdict["verdict"], verdict["reason"]) == ("none", "costs_missing")
    drawn = verdict_picture(readout).to_dict()["datasets"].values()
    assert {row["arm"] for rows in drawn for row in rows} == {"e（无法判断）"}
    check = readout.tables["experiment_checks"].set_index("check").loc["orders_without_cost"]
    assert (check["statistic"], check["limit"], check["status"]) == (0.025, COST_LIMIT, "alarm")


def test_a_few_missing_costs_are_told_and_decide_nothing_away(tmp_path):
    shop = costed(tmp_path, "few", empty=2)
    analysis = evaluate_coupons(shop, **COSTED)
    assert sum("2 of 240 paid orders (0.83%)" in note and "margin_rate" not in note for note in analysis.notes) == 1
    assert analysis.tables["coupon_decision"]["decision"].tolist() == ["keep"]
    check = analysis.tables["experiment_checks"].set_index("check").loc["orders_without_cost"]
    assert check["status"] == "told"


def test_with_a_margin_costs_do_not_matter(tmp_path):
    analysis = evaluate_coupons(costed(tmp_path, "margin", empty=60), margin_rate=0.5, **COSTED)
    assert not any("cost_amount:" in note or "have no cost_amount" in note for note in analysis.notes)
    assert analysis.tables["coupon_decision"]["decision"].tolist() == ["keep"]


def test_the_face_value_of_a_percentage_up_to_one_is_its_share(sample):
    """The sample's c06 takes 10 % off: the contract, its face value, and what its orders paid agree."""
    coupon = sample.collect(sample.coupons.filter(sample.coupons.coupon_id == "c06")).iloc[0]
    assert (coupon["kind"], coupon["face_value"]) == ("percentage", 0.1)
    assert "up to 1 the share" in TABLES["coupons"].columns["face_value"].meaning
    used = coupon_tables(sample, sample.period(None, None, "UTC"), ["c06"]).used
    share = sample.collect(used.select(taken=used.discount / used.gross_amount, gross=used.gross_amount))
    assert len(share) > 100
    assert (share["taken"] - 0.1).abs().max() < 0.01 / share["gross"].min()  # to the cent


@pytest.mark.parametrize("way", ["", pytest.param("chdb://", marks=pytest.mark.engine), "csv"])
def test_empty_costs_are_counted_alike_everywhere(tmp_path, way):
    """Of four orders paid from March on one has no cost, one costs nothing, and one has no amount either."""
    rows = [
        (1, "u", at("2026-02-27"), at("2026-02-28"), 9.0, None),
        (2, "u", at("2026-03-01"), at("2026-03-01"), 9.0, None),
        (3, "u", at("2026-03-01"), at("2026-03-02"), 9.0, 0.0),
        (4, "u", at("2026-03-01"), at("2026-03-02"), 9.0, 4.0),
        (5, "u", at("2026-03-01"), at("2026-03-02"), None, None),
        (6, "u", at("2026-03-01"), None, 9.0, None),
    ]
    orders = frame("order_id user_id submitted_at paid_at gross_amount cost_amount", *rows)
    folder = write_shop(tmp_path / "shop", csv=way == "csv", orders=orders)
    shop = open_shop(folder if way == "csv" else f"{way}{folder}")
    assert [one.count for one in shop.warnings if one.rule == "no_cost"] == [2]
    start_ms = int(at("2026-03-01").timestamp() * 1_000)
    assert shop.collect(cost_counts(shop.orders, start_ms)).iloc[0].to_dict() == {"order_count": 3, "costless_count": 1}
    profits = shop.collect(paid_orders(shop.orders).order_by("order_id"))["profit_amount"]
    assert profits.tolist()[:4] == [9.0, 9.0, 9.0, 5.0]
    assert cost_gap(shop, shop.period("2026-03-01", None, "UTC"), ReadoutRules()).share == pytest.approx(1 / 3)
