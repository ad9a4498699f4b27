"""Who comes back, against loops over days and weeks of the standard library, and whole weeks by hand."""

import datetime as dt
from collections import Counter
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.metrics.retention import retention_counts, touch_counts, whole_periods
from workbench.period import make_period

LONGEST = {"day": 14, "week": 8}


def random_shop(folder, seed, users=40):
    """Some 80 days over a change of clocks, often at midnight; users with many clicks on the same day."""
    rng = np.random.default_rng(seed)
    first = pd.Timestamp("2026-02-03 04:00", tz="UTC")
    rows = []
    for user in range(users):
        for _ in range(rng.integers(1, 40)):
            instant = first + pd.Timedelta(hours=int(rng.integers(0, 80 * 24)))
            name = rng.choice(["select_promotion", "view_promotion", "page_view"])
            slot = None if name == "page_view" or rng.random() < 0.05 else f"s{rng.integers(0, 3)}"
            rows += [(f"u{user}", instant, name, slot)] * int(rng.integers(1, 3))
    return open_shop(write_shop(folder, events=frame("user_id event_at event slot_id", *rows)))


def first_day(day, unit):
    """The day itself, or the Monday of its week."""
    return day - dt.timedelta(days=day.weekday()) if unit == "week" else day


def by_loop(shop, start_date, end_date, timezone, unit, touch):
    """Each user, slot and day (week) looked at by itself, in calendar dates."""
    events = shop.collect(shop.events)
    zone = ZoneInfo(timezone)
    days = [dt.datetime.fromtimestamp(ms / 1000, dt.UTC).astimezone(zone).date() for ms in events["event_ms"]]
    data_first, data_last = min(days), max(days)
    report_first = max(data_first, dt.date.fromisoformat(start_date) if start_date else data_first)
    report_last = min(data_last, dt.date.fromisoformat(end_date) - dt.timedelta(days=1) if end_date else data_last)
    length = dt.timedelta(days=7 if unit == "week" else 1)
    events = events.assign(start=[first_day(day, unit) for day in days])
    chosen = events[(events["event"] == touch) & events["slot_id"].notna()]
    uses = set(zip(chosen["user_id"], chosen["slot_id"], chosen["start"], strict=True))
    visits = set(zip(events["user_id"], events["start"], strict=True))
    counts = {}
    for user, slot, start in uses:
        if start < report_first or start + length - dt.timedelta(days=1) > report_last:
            continue
        mine = counts.setdefault(slot, Counter())
        mine["start_count"] += 1
        for k in range(1, LONGEST[unit] + 1):
            later = start + k * length
            if later + length - dt.timedelta(days=1) <= data_last:
                mine[f"followed_{k}"] += 1
                mine[f"retained_{k}"] += (user, slot, later) in uses
                mine[f"site_retained_{k}"] += (user, later) in visits
    return counts


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return random_shop(tmp_path_factory.mktemp("shops") / "shop", 3)


@pytest.mark.parametrize("timezone", ["UTC", "America/New_York", "Asia/Shanghai"])
@pytest.mark.parametrize(("start_date", "end_date"), [(None, None), ("2026-02-15", "2026-03-30")])
def test_the_join_equals_the_loop(shop, timezone, start_date, end_date):
    period = shop.period(start_date, end_date, timezone)
    for touch in ("select_promotion", "view_promotion"):
        found = shop.collect(retention_counts(shop.events, period, LONGEST, touch=touch))
        sums = found.drop(columns="user_bucket").groupby(["unit", "slot_id"]).sum()
        for unit in ("day", "week"):
            expected = by_loop(shop, start_date, end_date, timezone, unit, touch)
            assert set(sums.loc[unit].index) == set(expected) == {"s0", "s1", "s2"}
            assert sum(one["retained_1"] for one in expected.values()) > 0
            for slot, counts in expected.items():
                assert {name: n for name, n in sums.loc[(unit, slot)].items() if n} == {
                    name: n for name, n in counts.items() if n
                }


def test_whole_weeks_of_a_period():
    """2026-03-02 is a Monday. Report from Sunday 03-01 to Wednesday 03-18, data from 02-20 to Sunday 03-22."""
    shop_start, shop_last = (
        int(pd.Timestamp(day, tz="UTC").value // 10**6) for day in ("2026-02-20", "2026-03-22 05:00")
    )
    period = make_period("2026-03-01", "2026-03-19", "UTC", data_start_ms=shop_start, data_last_ms=shop_last)
    whole = whole_periods(period, "week")
    monday = lambda number: dt.date(1970, 1, 1) + dt.timedelta(days=7 * number - 3)  # noqa: E731
    assert monday(whole.first) == dt.date(2026, 3, 2)
    assert monday(whole.end) == dt.date(2026, 3, 16)  # the week from 03-16 ends after the report
    assert monday(whole.data_end) == dt.date(2026, 3, 23)  # the week to 03-22 is whole in the data


def test_slots_can_be_chosen_and_counted(shop):
    period = shop.period(None, None, "UTC")
    every = shop.collect(retention_counts(shop.events, period, LONGEST))
    one = shop.collect(retention_counts(shop.events, period, LONGEST, slot_ids=["s1"]))
    keys = ["unit", "slot_id", "user_bucket"]
    expected = every[every["slot_id"] == "s1"].sort_values(keys).reset_index(drop=True)
    pd.testing.assert_frame_equal(one.sort_values(keys).reset_index(drop=True)[expected.columns], expected)
    events = shop.collect(shop.events)
    clicks = events[events["event"] == "select_promotion"]["slot_id"].value_counts().to_dict()
    found = shop.collect(touch_counts(shop.events, period)).set_index("slot_id")["touch_count"]
    assert found.to_dict() == clicks
