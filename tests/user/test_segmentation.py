"""The whole analysis: what its first screen says with an alarm, without one, and where nothing can be judged."""

import pandas as pd
import pytest
from shops import frame, write_shop
from user_shops import segments_of_weeks

from workbench import open_shop
from workbench.errors import ParameterError
from workbench.user import segment_users

WEEKS = {"window_days": 14, "period_days": 7, "timezone": "Asia/Shanghai"}


def test_the_wave_of_leavers_is_the_verdict_of_its_time(analysed):
    found = analysed(segments_of_weeks, end_date="2026-05-18")
    assert "2026-05-04 to 2026-05-10" in found.headline.verdict
    assert "Frequent but low-value" in found.headline.verdict
    assert found.headline.actions[0].name == "call_leavers"
    assert found.headline.actions[0].amount is None  # who pays nothing puts no money at risk


def test_an_old_alarm_is_told_as_past(analysed):
    found = analysed(segments_of_weeks)
    assert "2 earlier periods rang, the last from 2026-05-11" in found.headline.verdict
    assert not [one for one in found.headline.actions if one.name == "call_leavers"]
    assert [one.name for one in found.findings[:3]] == ["alarm"] * 3


def test_one_period_is_said_to_be_one(analysed):
    found = analysed(segment_users, end_date="2026-06-10")
    assert "one period only" in found.headline.verdict
    assert found.headline.table["Change"].tolist() == ["–"] * 4
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
    assert "too short a history" in found.headline.verdict


def test_groups_too_small_to_judge_are_said_to_be_so(clicks):
    asked = {"window_days": 7, "period_days": 3, "y_metric": "days_since_last_visit", "min_users": 100}
    found = segment_users(open_shop(clicks), **asked)
    assert "too small for alarms" in found.headline.verdict


def test_rules_of_another_window_are_refused(sample, tmp_path):
    rules = tmp_path / "rules.yml"
    rules.write_text("window_days: 28\naudiences: {all_of_them: {where: {visit_days: '>= 2'}}}\n", encoding="utf-8")
    with pytest.raises(ParameterError, match="window_days is 28 in the file and 14 in the run"):
        segment_users(sample, audience_rules=str(rules), **WEEKS)


def test_two_numbers_are_the_values_of_both_lines(analysed):
    groups = analysed(segments_of_weeks, threshold=[3, 100]).tables["quadrants"]
    assert set(groups["x_threshold"]) == {3.0}
    assert set(groups["y_threshold"]) == {100.0}
    with pytest.raises(ParameterError, match="one value for x and one for y"):
        segment_users(None, threshold=[3])


def test_who_is_due_is_counted_at_the_end_of_the_report(analysed):
    contacts = analysed(segments_of_weeks, end_date="2026-05-18").tables["contacts"]
    valuable = contacts[(contacts["quadrant"] == "high_high") & (contacts["buyer_group"] == "(all)")].iloc[0]
    # all of them bought in the fourteen days before: none can have lapsed
    assert valuable["lapsed_count"] == 0
    assert valuable["overdue_count"] < 0.1 * valuable["user_count"]
    assert pd.notna(valuable["contact_count"])
