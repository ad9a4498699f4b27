"""The whole analysis: what its first screen says with an alarm, without one, and where nothing can be judged."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from shops import frame, write_shop
from user_shops import segments_of_weeks

from workbench import open_shop
from workbench.errors import ParameterError, TableError
from workbench.report.words import columns_shown
from workbench.user import segment_users
from workbench.user.audience import make_audiences
from workbench.user.audience_files import write_audiences
from workbench.user.audience_rules import read_audience_rules

WEEKS = {"window_days": 14, "period_days": 7, "timezone": "Asia/Shanghai"}


def test_the_wave_of_leavers_is_the_verdict_of_its_time(analysed):
    found = analysed(segments_of_weeks, end_date="2026-05-11")
    assert "2026-05-04 to 2026-05-10" in found.headline.verdict
    groups = found.tables["quadrants"].drop_duplicates("quadrant").set_index("quadrant")["name"]
    assert f"in “{groups['high_low']}”" in found.headline.verdict
    (called,) = [one for one in found.headline.actions if groups["high_low"] in one.text]
    assert called.name == "call_leavers"
    assert called.amount is None  # who pays nothing puts no money at risk


def test_an_old_alarm_is_told_as_past(analysed):
    found = analysed(segments_of_weeks)
    alerts = found.tables["migration_alerts"]
    rang = alerts[alerts["is_alarm"].astype(bool)]
    assert len(rang)
    told = f"{rang['period_index'].nunique()} earlier periods rang, the last from {rang['start_date'].max()}"
    assert told in found.headline.verdict
    assert not [one for one in found.headline.actions if one.name == "call_leavers"]
    assert [one.name for one in found.findings[:3]] == ["alarm"] * 3


def test_one_period_is_said_to_be_one(analysed):
    found = analysed(segment_users, end_date="2026-06-10")
    assert "no alarm is possible yet: 1 of 8 periods needed." in found.headline.verdict
    assert found.headline.table["Change, 28\xa0d"].tolist() == ["–"] * 4
    assert found.tables["migration_alerts"].empty


def test_days_that_nobody_set_and_no_data_suggest_are_told_as_days(analysed):
    told = {one.name: one.text for one in analysed(segments_of_weeks).findings}
    assert "were silent for 30 to 89 days" in told["lifecycle_dormant"]


@pytest.fixture(scope="module")
def clicks(tmp_path_factory):
    """Forty users who look on some days of March, and no orders."""
    rows = [
        (f"u{user}", f"2026-03-{day:02d} 08:00", "view_item")
        for user in range(40)
        for day in range(1, 29)
        if (user * 7 + day * 3) % 11 < 1 + user % 5
    ]
    return write_shop(tmp_path_factory.mktemp("clicks") / "shop", events=frame("user_id event_at event", *rows))


def test_a_shop_without_orders_has_groups_and_says_what_is_missing(clicks):
    shop = open_shop(clicks)
    asked = {"window_days": 14, "period_days": 7, "y_metric": "days_since_last_visit", "min_users": 5}
    found = segment_users(shop, **asked)
    assert found.tables["quadrants"]["user_count"].sum() > 0
    assert found.tables["next_purchase"].empty
    assert "no alarm is possible yet: 3 of 8 periods needed." in found.headline.verdict


def test_groups_too_small_to_judge_are_said_to_be_so(clicks):
    asked = {"window_days": 7, "period_days": 3, "y_metric": "days_since_last_visit", "min_users": 100}
    found = segment_users(open_shop(clicks), **asked)
    assert "no alarm is possible: no group had 100 users (min_users)" in found.headline.verdict


def test_the_defaults_on_short_data_say_what_would_ring(analysed):
    """118 days hold two windows of 90 days, and 15 of 14."""
    found = analysed(segment_users)
    assert found.headline.verdict.endswith("2 of 8 periods needed.")
    hint = "An alarm needs 8 periods; here are 2. window_days=14, period_days=7 would do."
    assert hint in found.notes
    weekly = analysed(segments_of_weeks)
    assert "needed" not in weekly.headline.verdict
    assert not [one for one in weekly.notes if "would do" in one]


def test_the_hint_to_split_by_value_does_what_it_says(tmp_path):
    shop, weeks = visits_and_orders(1, 28, tmp_path / "shop"), {"window_days": 7, "period_days": 7}
    found = segment_users(shop, **weeks)
    last = found.tables["quadrants"].head(4)
    buyers = last[last["quadrant"].isin(["high_high", "low_high"])]
    mean = buyers["paid_amount"].sum() / buyers["user_count"].sum()
    assert (found.tables["quadrants"]["y_threshold"] == 0).all()
    hint = re.search(r"threshold=\[(\d+), (\d+)\] or", "".join(found.notes))
    assert abs(float(hint[2]) - mean) <= 0.5
    assert any("or include_users_without_orders=false" in one for one in found.notes)
    assert any("The line of paid amount is 0: high is whoever has any" in one for one in found.notes)
    split = segment_users(shop, **weeks, threshold=[float(hint[1]), float(hint[2])])
    assert "threshold" not in split.headline.verdict + "".join(split.notes)
    assert (split.tables["quadrants"].head(4)["paid_amount"] > 0).all()
    buying = segment_users(shop, **weeks, include_users_without_orders=False)
    assert buying.tables["quadrants"]["y_threshold"].min() > 0
    assert "threshold" not in buying.headline.verdict


def test_groups_of_a_line_at_0_are_named_for_who_bought(analysed):
    for lang, expected in (
        ("en", ["Frequent buyers", "Frequent, did not buy", "Rare buyers", "Rare, did not buy"]),
        ("zh", ["高频已购", "高频未购", "低频已购", "低频未购"]),
    ):
        found = analysed(segments_of_weeks, lang)
        assert found.tables["quadrants"]["name"].head(4).tolist() == expected
        assert expected[0] in found.headline.verdict
        assert set(found.tables["migration"]["from_name"]) >= set(expected)
    (advice,) = [one.text for one in analysed(segments_of_weeks).findings if one.name == "group_low_low"]
    assert "They came seldom and paid nothing" in advice
    by_value = analysed(segments_of_weeks, threshold=[3, 100])
    assert by_value.tables["quadrants"]["name"].iloc[0] == "Frequent and valuable"


def test_a_manager_sees_the_columns_that_matter_and_the_file_has_all(analysed):
    table = analysed(segments_of_weeks).tables["quadrants"]
    shown = columns_shown(table, "quadrants")
    assert shown[:5] == ["name", "end_date", "user_count", "user_count_change", "user_share"]
    assert {"paid_amount", "amount_share", "paid_amount_per_user", "stopped_share"} <= set(shown)
    assert not {"period_index", "quadrant", "x_threshold", "y_threshold", "x_metric", "y_metric"} & set(shown)
    assert {"period_index", "quadrant", "start_date", "x_threshold", "y_metric"} <= set(table.columns)
    moves = analysed(segments_of_weeks).tables["migration"]
    assert columns_shown(moves, "migration")[:4] == ["from_name", "to_name", "user_count", "row_share"]
    assert {"from_group", "to_group", "start_date"} <= set(moves.columns)
    for newest_first in (table, moves):
        assert newest_first["period_index"].is_monotonic_decreasing
        assert newest_first["period_index"].nunique() > 2


def test_overdue_buyers_are_those_of_the_table(analysed):
    found = analysed(segments_of_weeks)
    (action,) = [one for one in found.headline.actions if one.name == "contact_overdue"]
    table = found.tables["next_purchase"].set_index("buyer_group")
    assert f"{table['overdue_count']['(all)']:,.0f} former buyers" in action.text
    assert found.tables["contacts"]["overdue_count"].sum() / 2 <= table["overdue_count"]["(all)"]  # once by (all)


def purchases_of(folder):
    """Days of purchases by user from the file of orders: one a local day of Shanghai, the first of it."""
    orders = pd.read_parquet(folder / "orders.parquet").dropna(subset="paid_at").sort_values("paid_at")
    day = orders["paid_at"].dt.tz_convert("Asia/Shanghai").dt.date
    return orders, orders.assign(day=day).drop_duplicates(["user_id", "day"])


def test_what_those_due_and_overdue_are_worth_is_recounted_from_the_files(analysed, sample_folder):
    """Kaplan-Meier by number of purchases, the days since each buyer's own last one, an average order: all in pandas."""
    found = analysed(segments_of_weeks)
    orders, bought = purchases_of(sample_folder)
    end = pd.Timestamp(found.period.data_end_ms, unit="ms", tz="UTC")
    number = bought.groupby("user_id").cumcount().add(1).clip(upper=3)
    after = bought.groupby("user_id")["paid_at"].shift(-1)
    spells = pd.DataFrame(
        {
            "number": number,
            "is_last": after.isna(),
            "days": (after.fillna(end) - bought["paid_at"]) // pd.Timedelta(days=1),
            "user_id": bought["user_id"],
        }
    )
    # back on the day on which the data end is not known to be back by its end
    watched = (end - bought["paid_at"]) // pd.Timedelta(days=1)
    spells["is_back"] = ~spells["is_last"] & (spells["days"] < watched)
    returns = {"contact": {}, "overdue": {}}
    table = found.tables["next_purchase"].set_index("buyer_group")
    for group, own in spells.groupby("number"):
        row = table.loc[["once", "twice", "more"][group - 1]]
        assert pd.isna(row["reason"])  # judged by its own days
        horizon, survival = int(row["horizon_days"]), [1.0]
        for day in range(horizon):
            at_risk = (own["is_back"] & (own["days"] >= day)) | (~own["is_back"] & (own["days"] > day))
            survival.append(survival[-1] * (1 - (own["is_back"] & (own["days"] == day)).sum() / at_risk.sum()))
        last = own[own["is_last"]].set_index("user_id")["days"]
        span = {
            "contact": (row["contact_from_day"], row["contact_until_day"]),
            "overdue": (row["contact_until_day"], horizon),
        }
        for phase, (start, until) in span.items():
            chosen = last[(last >= start) & (last < until)]
            assert len(chosen) == row[f"{phase}_count"]
            returns[phase] |= {user: 1 - survival[horizon] / survival[day] for user, day in chosen.items()}
    paid = orders["gross_amount"] - orders["coupon_discount_amount"] - orders["other_discount_amount"]
    order = paid.sum() / len(orders)
    worth = {one.name: one.amount for one in found.headline.actions}
    assert worth["contact_overdue"] == pytest.approx(sum(returns["overdue"].values()) * order, rel=1e-9)
    assert table.loc["(all)", "contact_expected_returns"] == pytest.approx(sum(returns["contact"].values()), rel=1e-9)
    whole = found.tables["contacts"].query("buyer_group == '(all)'").set_index("quadrant")
    due = whole.loc[["high_high", "low_high"], "contact_expected_returns"].sum()
    assert worth["contact_due"] == pytest.approx(due * order, rel=1e-9)


def test_a_report_that_begins_after_the_data_or_ends_before_them_says_so(sample):
    with pytest.raises(ParameterError) as told:
        segment_users(sample, start_date="2027-01-01", **WEEKS)
    assert str(told.value) == (
        "start_date 2027-01-01: the report begins after the data end; they reach from 2026-03-01 to 2026-06-28. Allowed: up to "
        "2026-06-22, so that one period of 7 days lies in the report."
    )
    segment_users(sample, start_date="2026-06-22", **WEEKS)  # what is allowed is
    with pytest.raises(ParameterError, match=r"is longer than the report: 6 days.*start_date up to 2026-06-22"):
        segment_users(sample, start_date="2026-06-23", **WEEKS)
    with pytest.raises(
        ParameterError, match="end_date 2026-02-01: the report ends before the data begin; they reach from"
    ):
        segment_users(sample, end_date="2026-02-01", **WEEKS)


def test_users_who_differ_by_chance_are_said_not_to_differ(analysed):
    """Neither category nor coupons of the sample depend on the user: no buyer may be marked."""
    found = analysed(segments_of_weeks)
    told = {one.name: one.text for one in found.findings}
    tags = found.tables["tags"]
    buyers = tags[(tags["tag"] == "category") & (tags["value"] == "(none)")]["user_count"].item()
    assert told["tag_category"].startswith(f"Among {buyers:,} buyers of the window nobody prefers a category")
    assert "nobody leans on coupons" in told["tag_coupon_sensitivity"]


def test_rules_of_another_window_are_refused(sample, tmp_path):
    rules = tmp_path / "rules.yml"
    rules.write_text("window_days: 28\naudiences: {all_of_them: {where: {visit_days: '>= 2'}}}\n", encoding="utf-8")
    with pytest.raises(ParameterError, match="window_days is 28 in the file and 14 in the run"):
        segment_users(sample, audience_rules=str(rules), **WEEKS)


def test_two_numbers_are_the_values_of_both_lines(analysed, sample):
    groups = analysed(segments_of_weeks, threshold=[3, 100]).tables["quadrants"]
    assert set(groups["x_threshold"]) == {3.0}
    assert set(groups["y_threshold"]) == {100.0}
    with pytest.raises(ParameterError, match="one value for x and one for y"):
        segment_users(sample, threshold=[3])


def test_who_is_due_is_counted_at_the_end_of_the_report(analysed):
    contacts = analysed(segments_of_weeks, end_date="2026-05-11").tables["contacts"]
    valuable = contacts[(contacts["quadrant"] == "high_high") & (contacts["buyer_group"] == "(all)")].iloc[0]
    # all of them bought in the fourteen days before: none can have lapsed
    assert valuable["lapsed_count"] == 0
    assert valuable["overdue_count"] < 0.1 * valuable["user_count"]
    assert pd.notna(valuable["contact_count"])


# -- an audience file comes back -----------------------------------------------------------------------------


def visits_and_orders(seed, days, folder, users=400):
    """Users 1 to ``users``, who come and buy at random on so many days; the first 28 are the same however many follow."""
    rng = np.random.default_rng(seed)
    rows = []
    for day in range(days):
        seen = rng.choice(np.arange(1, users + 1), 60, replace=False)
        at = pd.Timestamp("2026-03-01 09:00", tz="UTC") + pd.Timedelta(days=day)
        rows.append(
            pd.DataFrame({"user_id": seen, "event_at": at, "event": "add_to_cart", "buys": rng.random(60) < 0.3})
        )
    table = pd.concat(rows, ignore_index=True)
    bought = table[table["buys"]].reset_index(drop=True)
    orders = pd.DataFrame(
        {
            "order_id": bought.index,
            "user_id": bought["user_id"],
            "submitted_at": bought["event_at"],
            "paid_at": bought["event_at"],
            "gross_amount": 20.0 + bought["user_id"] % 50,
            "cost_amount": 10.0,
        }
    )
    write_shop(folder, events=table.drop(columns="buys"), orders=orders)
    return open_shop(folder)


ASKED = {"window_days": 14, "period_days": 7}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """An audience of all, written from the 28 days of a shop."""
    shop = visits_and_orders(1, 28, tmp_path_factory.mktemp("then") / "shop")
    rules = "window_days: 14\nperiod_days: 7\naudiences:\n  all_of_them:\n    start_date: 2026-03-29\n"
    text = rules + "    control: {share: 0.3}\n    where: {visit_days: '>= 2'}\n"
    path = tmp_path_factory.mktemp("files") / "all.csv"
    write_audiences(shop, make_audiences(shop, read_audience_rules(text)), path)
    return path


def test_a_file_comes_back_with_newer_data_of_the_same_shop(written, tmp_path):
    later = visits_and_orders(1, 60, tmp_path / "shop")
    found = segment_users(later, audience_file=str(written), **ASKED)
    (row,) = found.tables["audience_action"].to_dict("records")
    assert row["followed_days"] == 32
    told = [one for one in found.headline.actions if one.name == f"audience_{row['action']}"]
    assert len(told) == 1
    assert "all_of_them" in told[0].text


def test_a_file_of_a_namesake_with_the_same_ids_is_refused(written, tmp_path):
    """Ids from 1 on are in every shop: who was chosen for coming in those days was not there in the other."""
    other = visits_and_orders(2, 60, tmp_path / "shop")
    with pytest.raises(TableError, match=r"users did nothing in shop from 2026-03-15 to 2026-03-28.*of that name"):
        segment_users(other, audience_file=str(written), **ASKED)


def test_a_shop_that_moved_is_told_so_in_the_manifest(written, tmp_path):
    moved = visits_and_orders(1, 60, tmp_path / "warehouse")
    with pytest.raises(TableError, match=r'write "shop": "warehouse" into all\.csv\.manifest\.json'):
        segment_users(moved, audience_file=str(written), **ASKED)
    copy = tmp_path / "all.csv"
    copy.write_bytes(written.read_bytes())
    told = json.loads((written.parent / "all.csv.manifest.json").read_text(encoding="utf-8")) | {"shop": "warehouse"}
    (tmp_path / "all.csv.manifest.json").write_text(json.dumps(told), encoding="utf-8")
    assert len(segment_users(moved, audience_file=str(copy), **ASKED).tables["audience_action"]) == 1
