"""Counts of contents by slot, week and bucket of users; whom a content is shown to."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from shops import at, frame, write_shop

from workbench import open_shop
from workbench.metrics.contents import content_audience, content_cells, content_slots, content_users

DAY = pd.Timedelta(days=1)


@pytest.fixture
def small(tmp_path):
    """Users a and b; contents k1 and k2. Sunday 2026-03-08 ends at 16:00 UTC in Shanghai."""
    events = frame(
        "user_id event_at event slot_id content_id",
        ("a", "2026-03-08T15:59:59Z", "view_promotion", "s1", "k1"),  # Sunday evening
        ("a", "2026-03-08T16:00:00Z", "view_promotion", "s1", "k1"),  # Monday, the next week
        ("a", "2026-03-08T16:00:01Z", "select_promotion", "s1", "k1"),
        ("b", "2026-03-09T02:00:00Z", "view_promotion", "s1", "k2"),  # the same Monday, the same slot
        ("b", "2026-03-10T02:00:00Z", "view_promotion", "s2", "k2"),
        ("b", "2026-03-10T02:00:00Z", "select_promotion", None, "k2"),  # no slot
        ("b", "2026-03-10T03:00:00Z", "view_promotion", "s2", None),  # no content
        ("b", "2026-03-10T04:00:00Z", "view_item", "s2", "k2"),  # neither exposure nor click
        ("b", "2026-04-01T00:00:00Z", "view_promotion", "s2", "k2"),  # after the period
    )
    shop = open_shop(write_shop(tmp_path / "shop", events=events))
    return shop, shop.period("2026-03-01", "2026-03-31", "Asia/Shanghai")


def bucket(user: str) -> int:
    return int(hashlib.md5(user.encode()).hexdigest()[:2], 16)


def test_pairs_of_content_and_slot(small):
    shop, period = small
    found = shop.collect(content_slots(shop.events, period)).sort_values(["content_id", "slot_id"])
    rows = [tuple(None if pd.isna(one) else one for one in row) for row in found.itertuples(index=False)]
    # on Monday s1 showed k1 and k2; on Sunday k1 alone
    assert rows == [("k1", "s1", 2, 1, 1), ("k2", "s1", 1, 0, 1), ("k2", "s2", 1, 0, 0), ("k2", None, 0, 1, 0)]


def test_people(small):
    shop, period = small
    found = shop.collect(content_users(shop.events, period)).set_index("content_id")
    assert found.loc["k1"].tolist() == [1, 1]
    assert found.loc["k2"].tolist() == [1, 1]


def test_cells_by_local_week_from_monday_and_64_buckets(small):
    shop, period = small
    found = shop.collect(content_cells(shop.events, period))
    a, b = (bucket(user) % 64 for user in "ab")
    # 1970-01-01 was a Thursday, so week 0 ran from 1969-12-29; Monday 2026-03-09 is day 20,521 = 7 x 2932 - 3
    rows = {tuple(None if pd.isna(one) else one for one in row) for row in found.itertuples(index=False)}
    assert rows == {
        ("s1", "k1", 2931, a, 1, 0),
        ("s1", "k1", 2932, a, 1, 1),
        ("s1", "k2", 2932, b, 1, 0),
        ("s2", "k2", 2932, b, 1, 0),
        (None, "k2", None, b, 0, 1),
    }


def test_cells_outside_the_limits_keep_their_content(small):
    shop, period = small
    found = shop.collect(content_cells(shop.events, period, slots=["s2"], contents=["k1"]))
    assert found["slot_id"].isna().all()
    assert found.groupby("content_id")["impression_count"].sum().to_dict() == {"k1": 2, "k2": 2}


def audience_by_pandas(events: pd.DataFrame, average_rate: float) -> pd.Series:
    """The same definition row by row: each exposure's user elsewhere, minus the mean of its slot and day."""
    day = events["event_at"].dt.floor("D")
    is_view = events["event"] == "view_promotion"
    rates = []
    for row in events[is_view].itertuples():
        others = (events["user_id"] == row.user_id) & (events["slot_id"] != row.slot_id)
        others &= day != row.event_at.floor("D")
        clicks, exposures = (others & ~is_view).sum(), (others & is_view).sum()
        rates.append((clicks + 20 * average_rate) / (exposures + 20))
    seen = events[is_view].assign(day=day[is_view], rate=rates)
    by_day = seen.groupby(["slot_id", "day"])
    seen["surplus"] = seen["rate"] - by_day["rate"].transform("mean")
    return seen[by_day["content_id"].transform("nunique") > 1].groupby("content_id")["surplus"].sum()


def test_audience_equals_its_definition(tmp_path):
    rng = np.random.default_rng(0)
    size = 600
    events = pd.DataFrame(
        {
            "user_id": rng.choice(list("abcdefgh"), size),
            "event_at": at("2026-03-02") + rng.integers(0, 12, size) * DAY,
            "event": rng.choice(["view_promotion", "select_promotion"], size, p=[0.7, 0.3]),
            "slot_id": rng.choice(["s1", "s2", "s3"], size),
            "content_id": rng.choice(["k1", "k2", "k3"], size),
        }
    )
    events.loc[events["slot_id"] == "s3", "content_id"] = "k9"  # alone in its slot: never compared
    shop = open_shop(write_shop(tmp_path / "shop", events=events))
    found = shop.collect(content_audience(shop.events, shop.period(None, None, "UTC"), 0.2))
    expected = audience_by_pandas(events, 0.2)
    assert set(found["content_id"]) == {"k1", "k2", "k3"}
    assert found.groupby("content_id")["rate_surplus"].sum().to_dict() == pytest.approx(expected.to_dict(), abs=1e-9)
    assert found.groupby(["slot_id", "week"])["rate_surplus"].sum().abs().max() < 1e-9
    assert set(found["week"]) == {2931, 2932}  # 2026-03-02 is a Monday
    part = shop.collect(content_audience(shop.events, shop.period(None, None, "UTC"), 0.2, buckets=128))
    assert set(part["user_bucket"]) == {one for one in found["user_bucket"] if one < 128}
