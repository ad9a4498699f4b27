"""Cohorts by hand and against a pandas loop; months by the calendar; what users pay as far as they were watched."""

from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.channel.retention import cohort_counts
from workbench.metrics.cohorts import (
    activity_bits,
    daily_profit,
    early_sums,
    first_day,
    followed_days,
    month_number,
    whole_cohorts,
)
from workbench.metrics.orders import paid_orders
from workbench.metrics.population import population_users
from workbench.metrics.retention import WholePeriods
from workbench.period import make_period

SHANGHAI = "Asia/Shanghai"


def cohorts_of(shop, unit, timezone="UTC", **dates):
    period = shop.period(dates.get("start_date"), dates.get("end_date"), timezone)
    paid = paid_orders(shop.orders)
    acquired = population_users(shop.tables, "new", period)
    bits = activity_bits(shop.tables, period)
    return cohort_counts(shop, acquired, bits, paid, period, unit), period


def test_months_are_those_of_the_calendar():
    every = [date(1969, 12, 1) + timedelta(days=number) for number in range(0, 60_000, 3)]
    days = pd.DataFrame({"day": [(one - date(1970, 1, 1)).days for one in every]})
    table = ibis.memtable(days)
    found = ibis.duckdb.connect().to_pandas(table.mutate(month=month_number(table.day)))
    assert found["month"].tolist() == [(one.year - 1970) * 12 + one.month - 1 for one in every]
    assert all(
        first_day(number, "month") == one.replace(day=1) for number, one in zip(found["month"], every, strict=True)
    )


def test_only_whole_months_of_period_and_data():
    end_ms = int(pd.Timestamp("2026-05-31 12:00", tz="UTC").value // 10**6)
    period = make_period("2026-02-02", "2026-05-01", "UTC", data_start_ms=0, data_last_ms=end_ms)
    # February has begun before the period; April is its last whole month; May is whole in the data, which end on the 31st
    assert whole_cohorts(period, "month") == WholePeriods(first=674, end=676, data_end=677)


@pytest.fixture(scope="module")
def three_weeks(tmp_path_factory):
    """Weeks from Monday 2, 9 and 16 March 2026 are whole; the data end on Sunday 22 March.

    a1 (ads, 3 March): pays 10 then; looks in the third week       a2 (ads, 8 March 23:00 UTC): pays 5 and 7 in week two
    b1 (none, 10 March): nothing more                                a3 (ads, 1 March, before the first whole week)
    """
    return open_shop(
        write_shop(
            tmp_path_factory.mktemp("cohorts") / "shop",
            users=frame(
                "user_id first_seen_at channel",
                ("a1", "2026-03-03 08:00", "ads"),
                ("a2", "2026-03-08 23:00", "ads"),
                ("a3", "2026-03-01 08:00", "ads"),
                ("b1", "2026-03-10 08:00", None),
            ),
            orders=frame(
                "order_id user_id submitted_at paid_at gross_amount cost_amount",
                (1, "a1", "2026-03-03 08:00", "2026-03-03 09:00", 10.0, 4.0),
                (2, "a2", "2026-03-10 08:00", "2026-03-10 08:00", 5.0, 1.0),
                (3, "a2", "2026-03-12 08:00", "2026-03-12 08:00", 7.0, 9.0),
                (4, "b1", "2026-03-22 08:00", None, 9.0, 1.0),
            ),
            events=frame(
                "user_id event_at event",
                ("a1", "2026-03-03 08:00", "view_item"),
                ("a1", "2026-03-17 08:00", "view_item"),
                ("a2", "2026-03-08 23:00", "view_item"),
                ("a3", "2026-03-01 08:00", "view_item"),
                ("a3", "2026-03-18 08:00", "view_item"),
                ("b1", "2026-03-22 20:00", "view_item"),
            ),
        )
    )


def test_weekly_cohorts_by_hand(three_weeks):
    counts, _ = cohorts_of(three_weeks, "week")
    rows = counts.sort_values(["channel", "cohort", "period_index"]).to_numpy().tolist()
    # cohort 2931 is the week from 2 March: a1 and a2; 2932 that from 9 March: b1, who comes again in the week after
    assert rows == [
        ["(unknown)", 2932, 0, 1, 0, 0, 0.0, 0],
        ["(unknown)", 2932, 1, 1, 0, 0, 0.0, 1],
        ["ads", 2931, 0, 2, 1, 1, 10.0, 0],
        ["ads", 2931, 1, 1, 1, 2, 12.0, 1],
        ["ads", 2931, 2, 1, 0, 0, 0.0, 1],
    ]
    assert first_day(2931, "week") == date(2026, 3, 2)


def test_the_week_is_the_shops(three_weeks):
    """8 March 23:00 UTC is Monday 9 March in Shanghai: a2 joins the next cohort."""
    counts, _ = cohorts_of(three_weeks, "week", SHANGHAI)
    started = counts[counts["period_index"] == 0].set_index(["channel", "cohort"])["active_count"].to_dict()
    assert started == {("ads", 2931): 1, ("ads", 2932): 1, ("(unknown)", 2932): 1}


def test_paid_and_earned_by_hand(three_weeks):
    period = three_weeks.period(None, None, "UTC")
    paid = paid_orders(three_weeks.orders)
    acquired = population_users(three_weeks.tables, "new", period)
    sums = three_weeks.collect(early_sums(acquired, paid, period, [2, 14])).groupby("channel").sum()
    # 2 days have elapsed for all; paid in them: a1 10, a2 5 (10 March 08:00 is 33 hours after). 14 days (to 23 March):
    # a1, a3 and a2 (8 March 23:00 + 14 days = 22 March 23:00): 10, 0 and 12
    ads = sums.loc["ads"]
    assert ads[["eligible_2", "paid_2", "squares_2"]].tolist() == [3, 15.0, 125.0]
    assert ads[["eligible_14", "paid_14", "squares_14"]].tolist() == [3, 22.0, 244.0]
    assert sums.loc["(unknown)", ["eligible_2", "eligible_14"]].tolist() == [1, 0]
    daily = three_weeks.collect(daily_profit(acquired, paid, period)).sort_values("day")
    assert daily.to_numpy().tolist() == [["ads", 0, 6.0, 1], ["ads", 1, 4.0, 1], ["ads", 3, -2.0, 1]]
    watched = three_weeks.collect(followed_days(acquired, period)).sort_values(["channel", "followed_days"])
    assert watched.to_numpy().tolist() == [["(unknown)", 12, 1], ["ads", 14, 1], ["ads", 19, 1], ["ads", 21, 1]]


def random_tables(seed, users=120, days=100):
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2026-01-10", tz="UTC")
    ids = [f"u{number}" for number in range(users)]

    def moments(size):
        return start + pd.to_timedelta(rng.integers(0, days * 24, size), unit="h")

    people = pd.DataFrame(
        {"user_id": ids, "first_seen_at": moments(users), "channel": rng.choice(["a", "b", "c"], users)}
    )
    people.loc[rng.random(users) < 0.1, "channel"] = None
    events = pd.DataFrame({"user_id": rng.choice([*ids, "x1"], 900), "event_at": moments(900), "event": "view_item"})
    orders = pd.DataFrame(
        {"order_id": range(300), "user_id": rng.choice(ids, 300), "submitted_at": moments(300), "gross_amount": 1.0}
    )
    orders["gross_amount"] = rng.integers(100, 9_999, 300) / 100
    orders["paid_at"] = orders["submitted_at"].where(rng.random(300) < 0.8)
    return {"users": people, "events": events, "orders": orders}


def by_loop(tables, unit, timezone, end):
    """Cohorts row by row with pandas' own calendar."""

    def of(moment):
        local = moment.tz_convert(timezone)
        day = local.normalize().tz_localize(None)
        return day.to_period("M") if unit == "month" else (day - pd.Timedelta(days=day.weekday()))

    def later(one, other):
        return (other - one).n if unit == "month" else (other - one).days // 7

    first_whole = of(min(tables["events"]["event_at"].min(), tables["orders"]["submitted_at"].min()))
    rows = {}
    for user in tables["users"].to_dict("records"):
        cohort = of(user["first_seen_at"])
        if later(first_whole, cohort) < 1 or later(cohort, of(end)) < 1:
            continue
        channel = "(unknown)" if pd.isna(user["channel"]) else user["channel"]
        own = tables["orders"][tables["orders"]["user_id"] == user["user_id"]]
        paid = own.dropna(subset="paid_at")
        seen = tables["events"].loc[tables["events"]["user_id"] == user["user_id"], "event_at"]
        active = {later(cohort, of(one)) for one in [*seen, *own["submitted_at"], *paid["paid_at"]]} | {0}
        active = {one for one in active if 0 <= one < later(cohort, of(end))}
        for index in active:
            row = rows.setdefault((channel, str(cohort)[:10], index), [0, 0, 0, 0.0, 0])
            inside = paid[np.array([later(cohort, of(one)) == index for one in paid["paid_at"]], dtype=bool)]
            row[0] += 1
            row[1] += len(inside) > 0
            row[2] += len(inside)
            row[3] += inside["gross_amount"].sum()
            row[4] += index == max(active)
    return rows


def engine_rows(shop, unit, timezone):
    counts, period = cohorts_of(shop, unit, timezone)
    rows = {}
    for row in counts.to_numpy().tolist():
        name = str(first_day(row[1], unit))
        rows[row[0], name[:7] if unit == "month" else name, row[2]] = row[3:]
    return rows, period


@pytest.mark.parametrize(("unit", "days"), [("week", 100), ("month", 100), ("week", 7 * 140)])
def test_equals_a_loop(tmp_path, unit, days):
    tables = random_tables(3, days=days)
    shop = open_shop(write_shop(tmp_path / "shop", **tables))
    rows, period = engine_rows(shop, unit, SHANGHAI)
    expected = by_loop(tables, unit, SHANGHAI, pd.Timestamp(period.data_end_ms, unit="ms", tz="UTC"))
    assert len(expected) > 10
    assert rows.keys() == expected.keys()
    for key, found in rows.items():
        assert found == pytest.approx(expected[key]), key


@pytest.mark.engine
@pytest.mark.parametrize("unit", ["week", "month"])
def test_the_same_on_clickhouse(tmp_path, unit):
    pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    folder = write_shop(tmp_path / "shop", **random_tables(4))
    found = [engine_rows(open_shop(source), unit, SHANGHAI)[0] for source in (folder, f"chdb://{folder}")]
    assert found[0].keys() == found[1].keys()
    for key, row in found[0].items():
        assert row == pytest.approx(found[1][key], abs=1e-9), key
