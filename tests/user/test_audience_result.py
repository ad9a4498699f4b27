"""An audience beside its control: by hand, and with effects planted in made-up shops."""

import ibis
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from shops import frame, write_shop

from workbench import open_shop
from workbench.errors import EstimationError, ParameterError, TableError
from workbench.user.audience_files import AudienceFile
from workbench.user.audience_result import audience_result
from workbench.user.audience_rules import read_audience_rules

START = pd.Timestamp("2026-05-01", tz="UTC")


def file_of(shop, rows, share=0.5, start="2026-05-01", names=None):
    """A file as ``read_audience`` gives it, of rows (user_id, audience, arm)."""
    table = pd.DataFrame(rows, columns=["user_id", "audience", "arm"]).assign(segment="s")
    lazy = ibis.memtable(table)
    if (
        shop.engine.kind == "clickhouse"
    ):  # there is no door for tables of this process; a file of the test's own does it
        path = shop.folder / "rows.csv"
        table.to_csv(path, index=False)
        lazy = shop.engine.file_rows(path, list(table.columns))
    told = {"control_share": share, "start_date": start}
    manifest = {
        "file": "a.csv",
        "timezone": "UTC",
        "window_last_date": "2026-04-30",
        "audiences": dict.fromkeys(names or dict.fromkeys(one[1] for one in rows), told),
    }
    return AudienceFile(manifest, lazy, len(rows), 0, False)


def by_hand_tables():
    """Eight users, four in each arm, 1 May the start; the data end on 20 May, so 14 days have elapsed and 30 have not.

    Audience: a1 clicks on the 1st and buys for 100 on the 2nd (14 days: 100), a2 returns on the 6th, a3 buys for 60 on the 9th, a4 never.
    Control: c1 returns on the 3rd, c2 buys for 20 on the 10th, c3 clicked before the start, c4 submits an order that is not paid.
    """
    users = ["a1", "a2", "a3", "a4", "c1", "c2", "c3", "c4"]
    return {
        "users": frame("user_id first_seen_at", *[(user, "2026-01-01") for user in users]),
        "events": frame(
            "user_id event_at event",
            ("a1", "2026-05-01 00:00", "select_promotion"),
            ("a2", "2026-05-06 10:00", "page_view"),
            ("c1", "2026-05-03 10:00", "page_view"),
            ("c3", "2026-04-30 23:59", "select_promotion"),
            ("c3", "2026-05-20 10:00", "page_view"),
        ),
        "orders": frame(
            "order_id user_id submitted_at paid_at gross_amount cost_amount",
            (1, "a1", "2026-05-02", "2026-05-02", 100.0, 40.0),
            (2, "a3", "2026-05-09", "2026-05-09", 60.0, 20.0),
            (3, "c2", "2026-05-10", "2026-05-10", 20.0, 10.0),
            (4, "c4", "2026-05-05", None, 90.0, 10.0),
        ),
    }


BY_HAND = [
    (user, "back", "audience" if user[0] == "a" else "control")
    for user in ("a1", "a2", "a3", "a4", "c1", "c2", "c3", "c4")
]


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    return open_shop(write_shop(tmp_path_factory.mktemp("result") / "shop", **by_hand_tables()))


def row(result, outcome, days):
    table = result.table
    return table[(table["outcome"] == outcome) & (table["outcome_days"] == days)].iloc[0]


def test_by_hand(by_hand):
    found = audience_result(by_hand, file_of(by_hand, BY_HAND), outcome_days=[7, 14, 30])
    expected = {
        ("returned_rate", 7): (2 / 4, 2 / 4),
        ("returned_rate", 14): (3 / 4, 3 / 4),
        ("clicked_rate", 7): (1 / 4, 0),
        ("buyer_rate", 7): (1 / 4, 0),
        ("buyer_rate", 14): (2 / 4, 1 / 4),
        ("orders_per_user", 14): (2 / 4, 1 / 4),
        ("paid_amount_per_user", 7): (25, 0),
        ("paid_amount_per_user", 14): (40, 5),
        ("profit_per_user", 14): (25, 2.5),
    }
    for (outcome, days), (audience, control) in expected.items():
        one = row(found, outcome, days)
        assert (one["mean_treatment"], one["mean_control"]) == (audience, control), (outcome, days)
        assert one["estimate"] == pytest.approx(audience - control)
        assert (one["n_treatment"], one["n_control"]) == (4, 4)
    # 30 days have not elapsed for anyone
    for outcome in ("returned_rate", "clicked_rate", "buyer_rate", "profit_per_user"):
        one = row(found, outcome, 30)
        assert one["n_treatment"] == 0
        assert np.isnan(one["estimate"])
        assert one["reason"] == "no_units"
    primary = found.table[found.table["is_primary"].astype(bool)]
    assert primary[["outcome", "outcome_days"]].to_numpy().tolist() == [["profit_per_user", 14]]


def test_the_interval_is_welchs(by_hand):
    found = audience_result(by_hand, file_of(by_hand, BY_HAND), outcome_days=[14])
    # profits of 14 days; nobody has orders before, so nothing is adjusted
    expected = stats.ttest_ind([60, 0, 40, 0], [0, 10, 0, 0], equal_var=False)
    one = row(found, "profit_per_user", 14)
    assert one["p_value"] == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (one["ci_lower"], one["ci_upper"]) == pytest.approx((interval.low, interval.high))
    shares = stats.ttest_ind([1, 0, 0, 0], [0, 0, 0, 0], equal_var=False)
    clicked = row(found, "clicked_rate", 14)
    assert clicked["p_value"] == pytest.approx(shares.pvalue)


def test_what_follows_from_few_users(by_hand):
    action = audience_result(by_hand, file_of(by_hand, BY_HAND), outcome_days=[14]).actions.iloc[0]
    assert (action["audience"], action["action"], action["outcome"], action["outcome_days"]) == (
        "back", "go_on", "profit_per_user", 14,
    )  # fmt: skip
    # the difference of 22.5 per user is worth 90 for four users
    assert action["total_estimate"] == pytest.approx(90)
    # Welch: 900 / 4 + 25 / 4 squared error; two equal arms; (1.96 + 0.84)^2 * 2 * variance / effect^2 in each
    error = np.var([60, 0, 40, 0], ddof=1) / 4 + np.var([0, 10, 0, 0], ddof=1) / 4
    variance = error / (1 / 4 + 1 / 4)
    assert action["units_needed"] == np.ceil(7.848879734349088 * variance * 4 / 22.5**2)
    assert action["followed_days"] == 20
    assert (action["planned_control_share"], action["control_share"]) == (0.5, 0.5)


def test_a_difference_for_which_the_shop_has_too_few_users_says_so(by_hand):
    file = file_of(by_hand, BY_HAND)
    needed = audience_result(by_hand, file, outcome_days=[14]).actions.iloc[0]["units_needed"]
    for population, expected in ((needed, (needed, None)), (needed - 1, (None, "difference_too_small"))):
        one = AudienceFile(file.manifest | {"population_count": population}, file.rows, 8, 0, False)
        told = audience_result(by_hand, one, outcome_days=[14]).actions.iloc[0]
        found = tuple(None if pd.isna(told[name]) else told[name] for name in ("units_needed", "reason"))
        assert (told["action"], found) == ("go_on", expected)


def test_before_anything_can_be_seen(by_hand):
    with pytest.raises(EstimationError, match="addressed from 2026-06-01 on, and the data of shop end on 2026-05-20"):
        audience_result(by_hand, file_of(by_hand, BY_HAND, start="2026-06-01"))
    with pytest.raises(EstimationError, match="lies in the window by which users were chosen"):
        audience_result(by_hand, file_of(by_hand, BY_HAND), start_date="2026-04-20")
    with pytest.raises(ParameterError, match="start_date"):
        audience_result(by_hand, file_of(by_hand, BY_HAND), start_date="soon")
    with pytest.raises(ParameterError, match="outcome_days"):
        audience_result(by_hand, file_of(by_hand, BY_HAND), outcome_days=[0])
    # started, but no window has elapsed
    waiting = audience_result(by_hand, file_of(by_hand, BY_HAND, start="2026-05-18"), outcome_days=[7])
    assert waiting.actions["action"].tolist() == ["wait"]
    assert waiting.actions["followed_days"].tolist() == [3]


def test_an_arm_without_users(by_hand):
    only = [one for one in BY_HAND if one[2] == "audience"]
    with pytest.raises(TableError, match="no user of back stands in the arm control"):
        audience_result(by_hand, file_of(by_hand, only))


def test_a_later_start_counts_from_there(by_hand):
    """From the 6th on a1's order is the past, by which the outcome is adjusted."""
    found = audience_result(by_hand, file_of(by_hand, BY_HAND), outcome_days=[7], start_date="2026-05-06")
    assert row(found, "returned_rate", 7)["mean_treatment"] == 2 / 4  # a2 and a3
    assert row(found, "buyer_rate", 7)["n_treatment"] == 4
    assert found.actions["start_date"].tolist() == ["2026-05-06"]


def test_a_shop_without_costs_goes_by_buyers(tmp_path):
    tables = by_hand_tables()
    tables["orders"] = tables["orders"].drop(columns="cost_amount")
    shop = open_shop(write_shop(tmp_path / "shop", **tables))
    found = audience_result(shop, file_of(shop, BY_HAND), outcome_days=[14])
    assert "profit_per_user" not in set(found.table["outcome"])
    assert found.actions["outcome"].tolist() == ["buyer_rate"]
    with_margin = audience_result(shop, file_of(shop, BY_HAND), outcome_days=[14], margin_rate=0.5)
    assert row(with_margin, "profit_per_user", 14)["estimate"] == pytest.approx(20 - 2.5)


def random_result_shop(rng, audiences, users, lift, share, with_past=True):
    """Many audiences in one shop; whoever is in the audience arm buys ``lift`` orders more on average, of 10 with profit 4."""
    rows, orders = [], []
    for number in range(audiences):
        arms = rng.random(users) < share
        keen = rng.gamma(0.5, size=users)
        for place in range(users):
            user = f"g{number:03d}u{place:05d}"
            rows.append((user, f"audience {number:03d}", "control" if arms[place] else "audience"))
            before = rng.poisson(keen[place]) if with_past else 0
            after = rng.poisson(keen[place] + (0 if arms[place] else lift))
            orders += [(user, START - pd.Timedelta(hours=rng.integers(1, 27 * 24))) for _one in range(before)]
            orders += [(user, START + pd.Timedelta(hours=rng.integers(0, 14 * 24))) for _one in range(after)]
    table = pd.DataFrame(orders, columns=["user_id", "submitted_at"])
    table["order_id"], table["paid_at"] = np.arange(len(table)), table["submitted_at"]
    table["gross_amount"], table["cost_amount"] = 10.0, 6.0
    people = pd.DataFrame({"user_id": [one[0] for one in rows], "first_seen_at": START - pd.Timedelta(days=200)})
    end = pd.DataFrame({"user_id": ["last"], "event_at": [START + pd.Timedelta(days=20)], "event": ["page_view"]})
    return {"users": people, "orders": table, "events": end}, rows


def test_a_planted_effect_is_rolled_out_and_a_harm_stopped(tmp_path):
    rng = np.random.default_rng(31)
    for number, (lift, action) in enumerate([(0.5, "roll_out"), (-0.25, "stop")]):
        tables, rows = random_result_shop(rng, 1, 2_000, max(lift, 0), 0.2)
        if lift < 0:  # the audience loses half of its later orders
            arms = {one[0]: one[2] for one in rows}
            later = (tables["orders"]["submitted_at"] >= START) & (tables["orders"]["user_id"].map(arms) == "audience")
            tables["orders"] = tables["orders"][~later | (rng.random(len(later)) < 0.5)]
        shop = open_shop(write_shop(tmp_path / f"shop{number}", **tables))
        found = audience_result(shop, file_of(shop, rows, share=0.2), outcome_days=[14])
        told = found.actions.iloc[0]
        assert told["action"] == action
        assert told["ci_lower"] < lift * 4 < told["ci_upper"]
        assert np.isnan(told["units_needed"])


def test_arms_of_another_size_than_drawn_are_not_believed(tmp_path):
    tables, rows = random_result_shop(np.random.default_rng(33), 1, 1_000, 0.5, 0.5)
    shop = open_shop(write_shop(tmp_path / "shop", **tables))
    told = audience_result(shop, file_of(shop, rows, share=0.4), outcome_days=[14]).actions.iloc[0]
    assert told["action"] == "distrust"
    assert told["sample_ratio_p_value"] < 0.001


def test_a_user_in_both_arms_is_left_out(by_hand):
    rows = [*BY_HAND, ("a1", "back", "control")]
    found = audience_result(by_hand, file_of(by_hand, rows), outcome_days=[14])
    assert row(found, "buyer_rate", 14)["n_treatment"] == 3
    crossed = found.checks[found.checks["check"] == "users_in_two_arms"].iloc[0]
    assert (crossed["statistic"], crossed["status"]) == (1 / 8, "alarm")
    assert found.actions["action"].tolist() == ["distrust"]


@pytest.mark.engine
def test_the_same_on_clickhouse(tmp_path):
    pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    tables, rows = random_result_shop(np.random.default_rng(34), 1, 400, 0.3, 0.3)
    folder = write_shop(tmp_path / "shop", **tables)
    found = []
    for source in (folder, f"chdb://{folder}"):
        shop = open_shop(source)
        found.append(audience_result(shop, file_of(shop, rows, share=0.3), outcome_days=[7, 14]))
    for name in ("table", "actions", "checks"):
        pd.testing.assert_frame_equal(
            getattr(found[0], name), getattr(found[1], name), atol=1e-9, rtol=0, check_dtype=False
        )


@pytest.mark.slow
def test_intervals_cover_the_planted_effect(tmp_path):
    """60 audiences of 400 users: both bounds of 99.9 % of what a true 95 % interval does."""
    lift, audiences = 0.2, 60
    tables, rows = random_result_shop(np.random.default_rng(35), audiences, 400, lift, 0.25)
    shop = open_shop(write_shop(tmp_path / "shop", **tables))
    found = audience_result(shop, file_of(shop, rows, share=0.25), outcome_days=[14])
    for outcome, truth in (
        ("orders_per_user", lift),
        ("profit_per_user", 4 * lift),
        ("paid_amount_per_user", 10 * lift),
    ):
        mine = found.table[found.table["outcome"] == outcome]
        assert len(mine) == audiences
        covered = ((mine["ci_lower"] <= truth) & (truth <= mine["ci_upper"])).sum()
        low, high = stats.binom.ppf([0.0005, 0.9995], audiences, 0.95)
        assert low <= covered <= high
        error = mine["estimate"].std() / np.sqrt(audiences)
        assert abs(mine["estimate"].mean() - truth) < 3.3 * error


def test_rules_tell_the_start():
    rules = read_audience_rules("audiences: {a: {where: {orders: 1}, start_date: 2026-05-01}}")
    assert rules.audiences[0].start_date == "2026-05-01"
