"""The read-out by hand on tiny shops, and in the face of bad input."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, chi2, t
from shops import frame, write_shop
from statsmodels.stats.multitest import multipletests

from workbench import open_shop
from workbench.errors import ParameterError, TableError
from workbench.experiment import read_experiments
from workbench.experiment.plan import OUTCOMES

START = "2026-03-10 12:00"


def arms_of(sizes, start=START):
    """Assignments of users named by their arm: control0, control1, ..."""
    return [(f"{arm}{number}", arm, pd.Timestamp(start)) for arm, size in sizes.items() for number in range(size)]


def sale(user, gross, paid="2026-03-12", **more):
    return user, paid, {"gross_amount": float(gross), **more}


@pytest.fixture(scope="module")
def hand(shop_of):
    """Four treated, four controls; the window is 7 days from noon of 10 March."""
    return shop_of(
        arms_of({"control": 4, "treatment": 4}),
        [
            sale("treatment0", 100, START),  # exactly at assignment: counts
            sale("treatment1", 50, "2026-03-17 11:59:59.999"),  # the last millisecond: counts
            sale("treatment1", 999, "2026-03-17 12:00"),  # exactly seven days later: does not
            ("treatment2", None, {"gross_amount": 70.0}),  # never paid
            sale(
                "treatment3",
                80,
                coupon_discount_amount=10.0,
                refund_amount=30.0,
                platform_discount_amount=4.0,
                cost_amount=20.0,
                shipping_cost_amount=3.0,
                platform_fee_amount=2.0,
            ),
            sale("treatment3", 20),
            sale("control0", 30, cost_amount=10.0),
            sale("control1", 500, "2026-03-10 11:59:59.999"),  # a millisecond before: the past
        ],
        users=[(f"{arm}{number}", "2026-01-01") for arm in ("control", "treatment") for number in range(4)],
    )


def test_by_hand(hand, read, pick):
    table = pick(read(hand).tables["experiment_effect"], adjustment="none").set_index("outcome")
    means = table[["mean_treatment", "mean_control"]]
    assert means.loc["buyer_rate"].tolist() == [3 / 4, 1 / 4]
    assert means.loc["orders_per_user"].tolist() == [4 / 4, 1 / 4]
    assert means.loc["paid_amount_per_user"].tolist() == [(100 + 50 + 70 + 20) / 4, 30 / 4]
    assert means.loc["net_amount_per_user"].tolist() == [(100 + 50 + 40 + 20) / 4, 30 / 4]
    # 80 - 10 - 30 + 4 of the platform - 20 - 3 - 2 = 19
    assert means.loc["profit_per_user"].tolist() == [(100 + 50 + 19 + 20) / 4, 20 / 4]
    assert (table["n_treatment"] == 4).all()
    assert (table["n_control"] == 4).all()
    assert table.loc["orders_per_user", "relative_estimate"] == pytest.approx(3.0)
    # orders 1, 1, 0, 2 against 1, 0, 0, 0: variances 2/3 and 1/4, each of four
    assert table.loc["orders_per_user", "std_error"] == pytest.approx(math.sqrt(2 / 3 / 4 + 1 / 4 / 4))


def test_a_margin_stands_in_for_costs(hand, read, pick):
    table = pick(read(hand, margin_rate=0.5).tables["experiment_effect"], adjustment="none", outcome="profit_per_user")
    # half of the gross amounts is cost: 50 + 25 + (40 + 4 - 40 - 3 - 2) + 10 and 15
    assert table[["mean_treatment", "mean_control"]].iloc[0].tolist() == [(50 + 25 - 1 + 10) / 4, 15 / 4]


def test_units_count_once_their_window_has_elapsed(shop_of, read, pick):
    """Data end with 29 April: a window of 7 days from 22 April, 24:00 is over, one from a second later is not."""
    late = [
        ("late", "treatment", pd.Timestamp("2026-04-23 00:00:01")),
        ("just", "treatment", pd.Timestamp("2026-04-23")),
    ]
    orders = [sale(user, 10) for user in ("treatment0", "control0")]
    orders += [sale(user, 10, "2026-04-24") for user in ("late", "just")]
    shop = shop_of([*arms_of({"control": 5, "treatment": 5}), *late], orders)
    tables = read(shop, outcome_days=[1, 7, 60]).tables
    table = pick(tables["experiment_effect"], adjustment="none", outcome="orders_per_user").set_index("outcome_days")
    assert table["n_treatment"].to_dict() == {1: 7, 7: 6, 60: 0}
    assert table.loc[7, "mean_treatment"] == 2 / 6
    assert table.loc[60, "reason"] == "no_units"
    assert math.isnan(table.loc[60, "estimate"])
    verdict = tables["experiment_verdict"].iloc[0]
    assert verdict["outcome_days"] == 7
    assert pick(tables["experiment_checks"], check="followed")["statistic"].item() == pytest.approx(11 / 12)


def test_users_in_two_arms_are_left_out_and_counted(shop_of, read, pick):
    assigned = arms_of({"control": 100, "treatment": 100})
    crossed = [("both", "control", pd.Timestamp(START)), ("both", "treatment", pd.Timestamp("2026-03-20"))]
    orders = [sale("both", 10_000), sale("control0", 10), sale("treatment0", 20)]
    analysis = read(shop_of([*assigned, *crossed], orders))
    row = pick(analysis.tables["experiment_checks"], check="users_in_two_arms").iloc[0]
    assert (row["statistic"], row["status"]) == (pytest.approx(1 / 201), "excluded")
    assert analysis.tables["experiment_verdict"].loc[0, ["verdict", "n_treatment", "n_control"]].tolist() == [
        "open",
        100,
        100,
    ]
    paid = pick(analysis.tables["experiment_effect"], outcome="paid_amount_per_user", adjustment="none")
    assert paid["mean_treatment"].item() == 20 / 100
    assert "0.50%" in next(one.text for one in analysis.findings if one.name == "users_in_two_arms")


def test_many_users_in_two_arms_break_the_experiment(shop_of, read, pick):
    assigned = arms_of({"control": 40, "treatment": 40})
    crossed = [(f"both{one}", arm, pd.Timestamp(START)) for one in range(4) for arm in ("control", "treatment")]
    orders = [sale(f"treatment{one}", 10 + one) for one in range(40)]
    analysis = read(shop_of([*assigned, *crossed], orders))
    assert pick(analysis.tables["experiment_checks"], check="users_in_two_arms")["status"].item() == "alarm"
    assert analysis.tables["experiment_verdict"]["verdict"].tolist() == ["broken"]


def lopsided(shop_of, planned):
    """60 against 120 users; each of the treatment buys, nobody else."""
    orders = [sale(f"treatment{one}", 10 + one % 7) for one in range(120)]
    return shop_of(arms_of({"control": 60, "treatment": 120}), orders, planned=planned)


def test_a_wrong_sample_ratio_stops_the_verdict(shop_of, read, pick):
    analysis = read(lopsided(shop_of, {"control": 0.5, "treatment": 0.5}))
    row = pick(analysis.tables["experiment_checks"], check="sample_ratio").iloc[0]
    assert row["statistic"] == pytest.approx(30**2 / 90 * 2)
    assert row["status"] == "alarm"
    assert analysis.tables["experiment_verdict"]["verdict"].tolist() == ["broken"]
    names = [one.name for one in analysis.findings]
    assert {"experiment_broken", "sample_ratio_alarm"} <= set(names)
    assert not {"experiment_better", "experiment_worse", "experiment_open"} & set(names)
    action = analysis.headline.actions[0]
    assert (action.name, action.amount) == ("experiment_broken", None)
    assert "better" not in analysis.headline.verdict


@pytest.mark.parametrize(
    ("planned", "shares", "status"),
    [
        ({"control": 1 / 3, "treatment": 2 / 3}, None, "ok"),
        ({"control": 0.5, "treatment": 0.5}, ["control=0.3333333", "treatment = 0.6666667"], "ok"),
        (None, ["control=0.5", "treatment=0.5"], "alarm"),
        (None, None, "not_testable"),
        ({"control": 0.5, "treatment": None}, None, "not_testable"),
    ],
)
def test_planned_shares(shop_of, read, pick, planned, shares, status):
    analysis = read(lopsided(shop_of, planned), expected_shares=shares, outcomes=["paid_amount_per_user"])
    assert pick(analysis.tables["experiment_checks"], check="sample_ratio")["status"].item() == status
    assert analysis.tables["experiment_verdict"]["verdict"].item() == ("broken" if status == "alarm" else "better")


# -- three arms -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def three(shop_of):
    """Control and three treatments of 40: nothing, a little, much."""
    rng = np.random.default_rng(8)
    more = {"control": 0, "a": 0, "b": 3.5, "c": 9}
    orders = [sale(f"{arm}{one}", 20 + add + 6 * rng.normal()) for arm, add in more.items() for one in range(40)]
    return shop_of(arms_of(dict.fromkeys(more, 40)), orders)


@pytest.mark.parametrize(("method", "theirs"), [("holm", "holm"), ("benjamini_hochberg", "fdr_bh"), ("none", None)])
def test_several_arms_are_adjusted_together(three, read, pick, method, theirs):
    tables = read(three, multiple_testing=method, outcomes=["profit_per_user"]).tables
    for kind in ("none", "cuped", "post_stratified"):
        rows = pick(tables["experiment_effect"], outcome="profit_per_user", adjustment=kind).set_index("variant")
        p_values = rows["p_value"].to_numpy()
        expected = multipletests(p_values, method=theirs)[1] if theirs else p_values
        assert rows["p_value_adjusted"].to_numpy() == pytest.approx(expected, rel=1e-12)
        # an adjusted interval excludes 0 exactly where the adjusted p is below 5 %
        outside = (rows["adjusted_ci_lower"] > 0) | (rows["adjusted_ci_upper"] < 0)
        assert (outside == (rows["p_value_adjusted"] < 0.05)).all()
        assert (rows["adjusted_ci_lower"] <= rows["ci_lower"] + 1e-12).all()
    verdict = tables["experiment_verdict"].set_index("variant")
    assert verdict["verdict"].loc[["a", "c"]].tolist() == ["open", "better"]
    deciding = pick(tables["experiment_effect"], outcome="profit_per_user", adjustment="cuped")
    assert verdict["ci_lower"].tolist() == deciding["adjusted_ci_lower"].tolist()


def test_holm_widens_by_the_step(three, read, pick):
    """Of three arms the first in order has level 0.05 / 3: its half-width is that quantile over the plain one."""
    rows = pick(read(three, outcomes=["profit_per_user"]).tables["experiment_effect"], adjustment="none")
    first = rows.loc[rows["p_value"].idxmin()]
    assert (first["n_control"], first["n_treatment"]) == (40, 40)
    half = first["ci_upper"] - first["estimate"]
    wide = first["adjusted_ci_upper"] - first["estimate"]
    low, high = (t.ppf(1 - 0.05 / 6, df) / t.ppf(0.975, df) for df in (78, 39))  # degrees lie between
    assert low - 1e-9 <= wide / half <= high + 1e-9


def test_an_arm_without_units_is_not_judged(shop_of, read, pick):
    orders = [sale(f"{arm}{one}", 10 + one) for arm in ("control", "treatment") for one in range(30)]
    shop = shop_of(
        arms_of({"control": 30, "treatment": 30}),
        orders,
        planned={"control": None, "treatment": None, "unused": None},
    )
    analysis = read(shop)
    verdict = analysis.tables["experiment_verdict"].set_index("variant")
    assert verdict.loc["unused", ["verdict", "reason", "n_treatment"]].tolist() == ["none", "no_units", 0]
    assert verdict.loc["treatment", "verdict"] == "open"
    assert verdict.loc["unused", ["estimate", "ci_lower", "ci_upper", "p_value_adjusted"]].isna().all()
    told = next(one for one in analysis.findings if one.name == "experiment_not_answerable")
    assert "no users whose window has elapsed" in told.text
    # the other arm's p-value has nothing beside it to be adjusted for
    row = pick(analysis.tables["experiment_effect"], variant="treatment", is_primary=True).iloc[0]
    assert row["p_value_adjusted"] == row["p_value"]


def test_a_planned_arm_without_units_is_an_alarm(shop_of, read, pick):
    shop = shop_of(
        arms_of({"control": 30, "treatment": 30}), [], planned={"control": 0.4, "treatment": 0.4, "unused": 0.2}
    )
    assert pick(read(shop).tables["experiment_checks"], check="sample_ratio")["status"].item() == "alarm"


# -- what is missing --------------------------------------------------------------------------------------------


def test_a_shop_without_users_or_history(shop_of, read, pick):
    """Without a past every adjustment is the plain difference, and balance cannot be tested."""
    rng = np.random.default_rng(1)
    orders = [sale(f"{arm}{one}", 10 + rng.gamma(2)) for arm in ("control", "treatment") for one in range(0, 30, 2)]
    analysis = read(shop_of(arms_of({"control": 30, "treatment": 30}), orders))
    for _, rows in analysis.tables["experiment_effect"].groupby("outcome"):
        for column in ("estimate", "std_error", "ci_lower", "p_value", "relative_ci_upper"):
            assert rows[column].tolist() == pytest.approx([rows[column].iloc[0]] * 3, rel=1e-9)
    checks = analysis.tables["experiment_checks"]
    assert set(checks.loc[checks["check"].str.startswith("balance_"), "status"]) == {"not_testable"}
    assert any("No users table" in note for note in analysis.notes)


def test_without_costs_profit_is_off_and_said_so(shop_of, read):
    orders = [sale(f"{arm}{one}", 10 + one) for arm in ("control", "treatment") for one in range(30)]
    shop = shop_of(arms_of({"control": 30, "treatment": 30}), orders, lacks=["cost_amount"])
    analysis = read(shop)
    effects = analysis.tables["experiment_effect"]
    assert set(effects["outcome"]) == set(OUTCOMES) - {"profit_per_user"}
    assert set(effects.loc[effects["is_primary"].astype(bool), "outcome"]) == {"buyer_rate"}
    note = next(one for one in analysis.notes if "profit_per_user" in one)
    assert "cost_amount or margin_rate" in note
    assert set(analysis.tables["experiment_curve"]["outcome"]) == {"orders_per_user"}
    with_margin = read(shop, margin_rate=0.3).tables["experiment_effect"]
    assert set(with_margin["outcome"]) == set(OUTCOMES)


def test_without_money_orders_are_counted(shop_of, read):
    nothing = {"gross_amount": None}
    orders = [(f"{arm}{one}", "2026-03-12", nothing) for arm in ("control", "treatment") for one in range(0, 30, 3)]
    shop = shop_of(arms_of({"control": 30, "treatment": 30}), orders)
    assert not shop.has_money
    analysis = read(shop, margin_rate=0.3)
    assert set(analysis.tables["experiment_effect"]["outcome"]) == {"buyer_rate", "orders_per_user"}
    assert not [one for one in analysis.tables["experiment_checks"]["check"] if one.startswith("guardrail_")]
    with pytest.raises(TableError, match=r"profit_per_user.*cannot be measured.*cost_amount or margin_rate"):
        read(shop, outcomes=["profit_per_user"])


def test_nobody_bought(shop_of, read):
    analysis = read(shop_of(arms_of({"control": 30, "treatment": 30}), [sale("other", 5)]))
    verdict = analysis.tables["experiment_verdict"].iloc[0]
    assert (verdict["verdict"], verdict["reason"]) == ("none", "no_variation")
    assert "nobody bought" in analysis.findings[0].text
    assert analysis.headline.actions == ()


def test_a_period_without_assignments_is_empty_not_wrong(shop_of, read):
    shop = shop_of(arms_of({"control": 3, "treatment": 3}), [sale("control0", 5)])
    analysis = read(shop, start_date="2026-04-01", end_date="2026-04-10")
    assert "No user was assigned to an experiment from 2026-04-01 to 2026-04-09" in analysis.headline.verdict
    assert all(table.empty for table in analysis.tables.values())
    assert analysis.findings == ()


def test_all_users_in_one_arm(shop_of, read):
    shop = shop_of(
        [*arms_of({"treatment": 5}), ("control0", "control", pd.Timestamp("2026-04-20"))], [sale("treatment0", 5)]
    )
    with pytest.raises(TableError, match=r'e cannot be read: .*one arm only.* "control".*longer period'):
        read(shop, end_date="2026-04-01")


def test_one_experiment_that_cannot_be_read_leaves_the_others(shop_of, read):
    alone = [("f", f"u{one}", "treatment", pd.Timestamp(START)) for one in range(5)]
    shop = shop_of([*arms_of({"control": 30, "treatment": 30}), *alone], [sale("control0", 5)])
    analysis = read(shop)
    assert analysis.tables["experiment_verdict"]["experiment_id"].tolist() == ["e"]
    assert any("Not read" in note and "f" in note for note in analysis.notes)


# -- arguments --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """An experiment of two users."""
    return open_shop(
        write_shop(
            tmp_path_factory.mktemp("plain") / "shop",
            orders=frame("order_id user_id submitted_at paid_at gross_amount", (1, "a", START, START, 5.0)),
            experiment_assignments=frame(
                "experiment_id user_id variant assigned_at",
                ("e", "a", "control", START),
                ("e", "b", "treatment", START),
            ),
        )
    )


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"control_variant": "contrl"}, r'control_variant.*"contrl", did you mean "control"\?.*control, treatment'),
        ({"experiment_ids": ["f"]}, r'experiment_ids: "f" is not known.*Allowed: e'),
        ({"experiment_ids": "e"}, r'experiment_ids is the text "e"'),
        ({"experiment_ids": []}, "experiment_ids is empty"),
        ({"margin_rate": -0.1}, r"margin_rate is -0\.1.*from 0 to 1"),
        ({"margin_rate": 1.5}, r"margin_rate is 1\.5"),
        ({"expected_shares": ["control:0.5"]}, r'"control:0\.5" is not an arm with its share'),
        ({"expected_shares": ["control=half", "treatment=0.5"]}, r'"control=half" is not'),
        ({"expected_shares": ["control=0.5", "control=0.5"]}, "each arm once"),
        ({"expected_shares": ["control=0.5", "treatment=0.4"]}, r"sum to 0\.9"),
        ({"expected_shares": "control=0.5"}, "give a list"),
        ({"expected_shares": ["control=0.5", "tretment=0.5"]}, r'"tretment".*did you mean "treatment"'),
        ({"outcomes": ["profit"]}, r'outcomes: "profit" is not known.*profit_per_user'),
        ({"outcomes": "profit_per_user"}, "outcomes is the text"),
        ({"outcome_days": []}, "outcome_days is empty"),
        ({"outcome_days": [7, 7]}, "twice"),
        ({"outcome_days": [0]}, "whole positive number of days"),
        ({"pre_period_days": -1}, "pre_period_days"),
        ({"multiple_testing": "bonferroni"}, r'multiple_testing: "bonferroni".*holm'),
        ({"confidence_level": 95}, "confidence_level is 95"),
    ],
)
def test_arguments_are_checked(plain, read, asked, message):
    with pytest.raises(ParameterError, match=message):
        read(plain, **asked)


def test_the_tables_that_are_needed(tmp_path, plain):
    orders = plain.collect(plain.orders)[["order_id", "user_id", "submitted_at", "paid_at", "gross_amount"]]
    shop = open_shop(write_shop(tmp_path / "bare", orders=orders))
    with pytest.raises(TableError, match='"experiment_assignments" is missing'):
        read_experiments(shop)


def test_ids_that_are_numbers(shop_of, read):
    assigned = [(7, user, arm, when) for user, arm, when in arms_of({"control": 30, "treatment": 30})]
    shop = shop_of(assigned, [sale("control0", 5)])
    assert read(shop, experiment_ids=["7"]).tables["experiment_verdict"]["experiment_id"].tolist() == ["7"]


# -- the level --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_without_an_effect_few_experiments_alarm(shop_of, read):
    """30 experiments without effect; half of the users are new, and light users have no past (rivals.md, fault 1).

    At most as many alarms as a right 5 % test gives in all but one of a thousand runs, for each adjustment.
    """
    rng = np.random.default_rng(11)
    assigned, orders, users = [], [], []
    start = pd.Timestamp("2026-03-10")
    for experiment in range(30):
        for number in range(240):
            user, is_new, is_heavy = f"{experiment}-{number}", number % 2 == 0, rng.random() < 0.5
            assigned.append((f"e{experiment:02d}", user, str(rng.choice(["control", "treatment"])), start))
            users.append((user, start if is_new else start - pd.Timedelta(days=50)))
            rate = 2.0 if is_heavy else 0.4
            days = [*rng.uniform(0, 7, rng.poisson(rate))]
            if is_heavy and not is_new:
                days += [*-rng.uniform(0.1, 27, rng.poisson(3 * rate))]
            orders += [(user, str(start + pd.Timedelta(days=one)), {}) for one in days]
    shop = shop_of(assigned, orders, users=users)
    effects = read(shop, outcomes=["orders_per_user"]).tables["experiment_effect"]
    kinds = effects.assign(alarm=effects["p_value"] < 0.05, square=(effects["estimate"] / effects["std_error"]) ** 2)
    kinds = kinds.groupby("adjustment")
    assert kinds.size().tolist() == [30] * 3
    assert kinds["alarm"].sum().max() <= binom.ppf(0.999, 30, 0.05)
    # sharper, and to both sides: the errors are as large as the estimates scatter
    assert kinds["square"].sum().between(*chi2.ppf([0.0005, 0.9995], 30)).all()
    # and the adjustments do adjust: their errors are smaller
    errors = effects.groupby("adjustment")["std_error"].mean()
    assert errors["cuped"] < 0.97 * errors["none"]
    assert errors["post_stratified"] < 0.97 * errors["none"]
