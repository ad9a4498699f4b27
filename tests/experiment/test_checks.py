"""Can it be believed: sizes, balance before, what could be seen, guardrails, and what is told of inviters."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from shops import frame, write_shop

from workbench import open_shop
from workbench.experiment import read_experiments
from workbench.experiment.checks import GUARDRAILS
from workbench.experiment.findings import experiment_findings

START = "2026-03-10 12:00"
PRIMARY = ["orders_per_user"]


def assigned(size=40):
    return [(f"{arm}{number}", arm, pd.Timestamp(START)) for arm in ("control", "treatment") for number in range(size)]


def sale(user, gross, paid="2026-03-12", **more):
    return user, paid, {"gross_amount": float(gross), **more}


def row_of(analysis, check):
    rows = analysis.tables["experiment_checks"].query("check == @check")
    assert len(rows) == 1
    return rows.iloc[0]


def test_on_the_sample_nothing_alarms(analysed):
    checks = analysed(read_experiments).tables["experiment_checks"]
    assert not checks["status"].isin(["alarm", "changed", "excluded", "violated"]).any()
    sizes = checks[checks["check"] == "sample_ratio"]
    assert sizes["status"].tolist() == ["ok"] * 3
    assert set(checks["experiment_id"]) == {"holdout_c03", "coupon_timing", "invitation_reward"}
    assert not checks.duplicated(["experiment_id", "variant", "check"]).any()


def test_verdicts_on_the_sample(analysed):
    """All three raise profit in truth: none may be called worse, and none is out of order."""
    verdicts = analysed(read_experiments).tables["experiment_verdict"].set_index("experiment_id")
    assert verdicts["verdict"].isin(["better", "open"]).all()
    assert (verdicts["estimate"] > 0).all()
    excludes = (verdicts["ci_lower"] > 0).map({True: "better", False: "open"})
    assert verdicts["verdict"].tolist() == excludes.tolist()


def test_what_was_different_before_is_an_alarm(shop_of, read):
    rng = np.random.default_rng(2)
    orders = [sale(f"treatment{one}", 20 + rng.gamma(2, 5), "2026-03-05") for one in range(40)]
    orders += [sale(f"control{one}", 20 + rng.gamma(2, 5), "2026-03-05") for one in range(0, 40, 4)]
    before = {arm: np.zeros(40) for arm in ("treatment", "control")}
    for user, _paid, amounts in orders:
        arm = user.rstrip("0123456789")
        before[arm][int(user[len(arm) :])] = amounts["gross_amount"]
    # 29 days before assignment lies outside the 28 days, and so does what was never paid
    orders += [sale(f"control{one}", 500, "2026-02-09") for one in range(40)]
    analysis = read(shop_of(assigned(), orders))
    row = row_of(analysis, "balance_paid_amount")
    test = stats.ttest_ind(before["treatment"], before["control"], equal_var=False)
    assert (row["statistic"], row["p_value"]) == pytest.approx((test.statistic, test.pvalue), rel=1e-9)
    assert row["limit"] == 0.001 / 5  # five outcomes, one arm
    assert row["status"] == "alarm"
    texts = [one.text for one in analysis.findings if one.name == "unbalanced_before"]
    assert any(text.startswith("e: paid amount per user differed already before assignment") for text in texts)
    assert len(set(texts)) == len(texts)


def test_smallest_detectable_effect_is_of_the_primary_outcome(shop_of, read):
    rng = np.random.default_rng(3)
    orders = [sale(f"{arm}{one}", 10 + rng.gamma(2, 5)) for arm in ("control", "treatment") for one in range(40)]
    analysis = read(shop_of(assigned(), orders))
    effects = analysis.tables["experiment_effect"]
    primary = effects[effects["is_primary"].astype(bool)].iloc[0]
    assert (primary["outcome"], primary["adjustment"]) == ("profit_per_user", "cuped")
    factor = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert row_of(analysis, "smallest_detectable_effect")["statistic"] == pytest.approx(factor * primary["std_error"])


def ratio_by_hand(y, x, arms):
    """Ratios of sums, their difference and its delta-method error, from the rows of users."""
    found = []
    for arm in ("treatment", "control"):
        top, bottom = (one[arms == arm] for one in (y, x))
        ratio = top.sum() / bottom.sum()
        rest = (top - ratio * bottom) / bottom.mean()
        found.append((ratio, rest.var(ddof=1) / len(rest)))
    return found


@pytest.mark.parametrize(
    ("rate", "status"), [(0.0, "holds"), (0.02, "open"), (0.4, "violated")], ids=["none", "some", "many"]
)
def test_refunds_are_a_guardrail(shop_of, read, rate, status):
    """Of 200 orders an arm, the treatment has this rate more of whole refunds."""
    rng, orders = np.random.default_rng(5), []
    for arm, share in (("control", 0.05), ("treatment", 0.05 + rate if rate else 0.0)):
        for one in range(200):
            amount = 50 + rng.gamma(2, 5)
            orders.append(sale(f"{arm}{one}", amount, refund_amount=amount * (one < share * 200)))
    analysis = read(shop_of(assigned(200), orders), outcomes=PRIMARY)
    row = row_of(analysis, "guardrail_refund_rate")
    assert (row["status"], row["limit"]) == (status, GUARDRAILS["refund_rate"].margin)
    y, x = (np.array([amounts[name] for *_rest, amounts in orders]) for name in ("refund_amount", "gross_amount"))
    (one, of_one), (other, of_other) = ratio_by_hand(y, x, np.array([user.rstrip("0123456789") for user, *_ in orders]))
    assert row["statistic"] == pytest.approx(one - other, rel=1e-9)
    error = np.sqrt(of_one + of_other)
    assert (row["ci_upper"] - row["ci_lower"]) / 2 / error == pytest.approx(1.97, abs=0.02)
    assert ("guardrail_violated" in [one.name for one in analysis.findings]) == (status == "violated")


def test_a_smaller_average_order_is_a_guardrail_in_per_cent(shop_of, read):
    rng = np.random.default_rng(6)
    mean = {"control": 100, "treatment": 70}
    orders = [sale(f"{arm}{one}", mean[arm] + rng.normal()) for arm in mean for one in range(40)]
    analysis = read(shop_of(assigned(), orders))
    row = row_of(analysis, "guardrail_average_order_value")
    assert (row["status"], row["limit"]) == ("violated", 0.05)
    assert -0.31 < row["ci_lower"] < row["statistic"] < row["ci_upper"] < -0.29
    assert "the average order fell" in next(one.text for one in analysis.findings if one.name == "guardrail_violated")


def test_without_orders_guardrails_cannot_be_tested(shop_of, read):
    analysis = read(shop_of(assigned(), [sale("other", 5)]), outcomes=PRIMARY)
    for name in GUARDRAILS:
        assert row_of(analysis, f"guardrail_{name}")["status"] == "not_testable"
    assert row_of(analysis, "allocation_by_week")["status"] == "not_testable"  # a single week
    assert row_of(analysis, "smallest_detectable_effect")["status"] == "not_testable"


# -- inviters ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def invited(tmp_path_factory):
    """i0 (treatment) brings i1, who has an arm of his own, control, and buys; c0 (control) brings nobody new."""
    start = "2026-03-10"
    users = [("i0", "2026-01-01", None), ("i1", "2026-03-11", "i0"), ("i2", "2026-03-12", "i1")]
    users += [("c0", "2026-01-01", None), ("c1", "2026-02-01", "c0"), ("c2", "2026-01-01", None)]
    users += [("t2", "2026-01-01", None)]
    arms = {"i0": "treatment", "i1": "control", "c0": "control", "c2": "control", "t2": "treatment"}
    orders = [
        ("i1", "2026-03-13", 40.0),
        ("i2", "2026-03-14", 60.0),
        ("c1", "2026-03-13", 99.0),
        ("c0", "2026-03-13", 20.0),
    ]
    orders += [("c2", "2026-02-01", 5.0), ("c2", "2026-04-29", 5.0), ("t2", "2026-03-12", 30.0)]
    rows = [(number, user, paid, paid, amount, 0.0) for number, (user, paid, amount) in enumerate(orders)]
    folder = write_shop(
        tmp_path_factory.mktemp("invited") / "shop",
        users=frame("user_id first_seen_at inviter_id", *users),
        orders=frame("order_id user_id submitted_at paid_at gross_amount cost_amount", *rows),
        coupons=frame("coupon_id name kind", ("k", "Bring a friend", "invitation")),
        experiments=frame(
            "experiment_id variant expected_share coupon_id", ("e", "control", 0.5, "k"), ("e", "treatment", 0.5, "k")
        ),
        experiment_assignments=frame(
            "experiment_id user_id variant assigned_at",
            *(("e", user, arm, "2026-03-11" if user == "i1" else start) for user, arm in arms.items()),
        ),
    )
    return read_experiments(open_shop(folder), outcome_days=[7])


def test_inviters_are_the_units_and_answer_for_whom_they_bring(invited):
    """i1 and i2 count for i0; c1 came before the assignment and counts for nobody; i1 is no control."""
    effects = invited.tables["experiment_effect"].query("adjustment == 'none'").set_index("outcome")
    assert effects.loc["orders_per_user", ["n_treatment", "n_control"]].tolist() == [2, 2]
    assert effects.loc["paid_amount_per_user", ["mean_treatment", "mean_control"]].tolist() == [130 / 2, 20 / 2]
    assert effects.loc["buyer_rate", ["mean_treatment", "mean_control"]].tolist() == [1.0, 0.5]


def test_invitees_with_another_arm_are_told(invited):
    row = row_of(invited, "crossed_invitees")
    assert (row["statistic"], row["status"]) == (1.0, "told")
    told = next(one.text for one in invited.findings if one.name == "crossed_invitees")
    assert told == (
        "e: 100.00% of invitees with an arm of their own have another one than their inviter; they count for the inviter."
    )
    assert any("the unit is the inviter" in note for note in invited.notes)


def test_a_finding_keeps_quiet_where_nothing_is_wrong(invited):
    checks = invited.tables["experiment_checks"]
    fine = dict(invited.tables) | {"experiment_checks": checks[checks["status"].isin(["ok", "holds"])]}
    names = [one.name for one in experiment_findings(fine, "en")]
    assert len(names) == 1
    assert names[0].startswith("experiment_")
