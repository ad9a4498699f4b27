"""Coming back to slots: by hand, with what has not elapsed marked, and bounded for very many slots."""

import math

import numpy as np
import pandas as pd
import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.errors import ParameterError
from workbench.slot.retention import COLUMNS, slot_retention
from workbench.stats.intervals import ratio_by_bucket

NO_SLOTS = pd.DataFrame(columns=["slot_id", "slot_name", "page", "position", "slot_kind"])


def small(folder, *rows, mapping=None):
    folder = write_shop(folder, events=frame("user_id event_at event slot_id", *rows))
    if mapping:
        (folder / "mapping.yml").write_text(mapping)
    return open_shop(folder)


def retention_of(shop, *dates, timezone="UTC", **options):
    return slot_retention(shop, shop.period(*(dates or (None, None)), timezone), NO_SLOTS, **options)


HAND = (
    ("u1", "2026-03-02 10:00", "select_promotion", "a"),
    ("u1", "2026-03-02 11:00", "select_promotion", "a"),
    ("u1", "2026-03-03 10:00", "select_promotion", "a"),
    ("u2", "2026-03-02 10:00", "select_promotion", "a"),
    ("u2", "2026-03-03 10:00", "page_view", None),
    ("u2", "2026-03-05 10:00", "page_view", None),
    ("u3", "2026-03-05 10:00", "select_promotion", "b"),
    ("u3", "2026-03-05 10:00", "select_promotion", None),
    ("u1", "2026-03-02 09:00", "view_promotion", "c"),
)


def test_days_by_hand(tmp_path):
    """Data from Monday 03-02 to Thursday 03-05. Starts of a: u1 on 02 and 03, u2 on 02; of b: u3 on 05."""
    found = retention_of(small(tmp_path, *HAND))
    table = found.table.set_index(["slot_id", "unit", "period_index"])
    assert list(found.table.columns) == COLUMNS
    assert (found.reason, found.slots_left_out) == (None, 0)
    assert set(table.index.get_level_values("unit")) == {"day"}  # no week lies whole in the data
    counts = table.loc[("a", "day")][["user_count", "retained_count", "site_retained_count"]]
    assert counts.loc[1].tolist() == [3, 1, 2]  # u1 again on 03; on the site u1 and u2 on 03, nobody on 04
    assert counts.loc[2].tolist() == [3, 0, 0]
    assert counts.loc[3].tolist() == [2, 0, 1]  # the start on 03 has no third day; u2 came on 05
    assert counts.loc[4].tolist() == [0, 0, 0]
    first = table.loc[("a", "day", 1)]
    assert (first["retention_rate"], first["site_retention_rate"]) == pytest.approx((1 / 3, 2 / 3))
    assert table.loc[("a", "day")]["is_complete"].tolist() == [True, True] + [False] * 12
    assert table.loc[("a", "day")]["reason"].tolist()[1:5] == ["none_returned"] * 2 + ["not_elapsed"] * 2
    assert math.isnan(table.loc[("a", "day", 4), "retention_rate"])
    assert math.isnan(table.loc[("a", "day", 4), "site_retention_rate"])
    assert table.loc[("b", "day")]["user_count"].eq(0).all()
    assert "c" not in table.index
    seen = retention_of(open_shop(tmp_path), touch="view_promotion").table
    assert seen["slot_id"].unique().tolist() == ["c"]


def test_weeks_by_hand(tmp_path):
    """Report from Wednesday 03-04 to Sunday 03-22, data to Sunday 04-05: starts lie in the weeks of 03-09 and 03-16."""
    rows = [
        ("u1", "2026-03-02 10:00", "page_view", None),
        ("u1", "2026-03-05 10:00", "select_promotion", "a"),  # its week began before the report
        ("u1", "2026-03-09 00:00", "select_promotion", "a"),
        ("u1", "2026-03-15 23:59", "select_promotion", "a"),
        ("u1", "2026-03-22 10:00", "select_promotion", "a"),
        ("u1", "2026-03-30 10:00", "select_promotion", "a"),
        ("u2", "2026-03-16 10:00", "select_promotion", "a"),
        ("u2", "2026-04-05 10:00", "page_view", None),
    ]
    table = retention_of(small(tmp_path, *rows), "2026-03-04", "2026-03-23").table
    weeks = table[table["unit"] == "week"].set_index("period_index")
    # starts: u1 in 03-09 and 03-16, u2 in 03-16. k=1: u1 again in 03-16. k=2: the week of 03-30 after 03-16: u1
    # clicks, u2 visits; after 03-09 the week of 03-23: nobody. k=3: after 03-09 the week of 03-30: u1
    assert weeks.loc[1, ["user_count", "retained_count", "site_retained_count"]].tolist() == [3, 1, 1]
    assert weeks.loc[2, ["user_count", "retained_count", "site_retained_count"]].tolist() == [3, 1, 2]
    assert weeks.loc[3, ["user_count", "retained_count", "site_retained_count"]].tolist() == [1, 1, 1]
    assert weeks["is_complete"].tolist() == [True, True] + [False] * 6
    assert weeks["reason"].tolist()[3:] == ["not_elapsed"] * 5


def test_days_are_local(tmp_path):
    """23:30 and 00:30 in Shanghai are two days there and one in UTC."""
    rows = [
        ("u1", "2026-03-02 15:30", "select_promotion", "a"),
        ("u1", "2026-03-02 16:30", "select_promotion", "a"),
        ("u2", "2026-03-04 10:00", "page_view", None),
    ]
    shop = small(tmp_path, *rows)
    first = [
        retention_of(shop, timezone=zone).table.set_index("period_index").loc[1, "retained_count"]
        for zone in ("Asia/Shanghai", "UTC")
    ]
    assert first == [1, 0]


def test_the_interval_is_over_users_not_starts(tmp_path):
    """300 users, one of whom comes every day: his starts count, but he is one user."""
    rng = np.random.default_rng(1)
    start = pd.Timestamp("2026-03-02 10:00", tz="UTC")
    rows = [("u0", start + pd.Timedelta(days=day), "select_promotion", "a") for day in range(40)]
    for user in range(1, 300):
        for day in np.flatnonzero(rng.random(40) < 0.1):
            rows.append((f"u{user}", start + pd.Timedelta(days=int(day)), "select_promotion", "a"))
    shop = small(tmp_path, *rows)
    table = retention_of(shop).table
    first = table[(table["unit"] == "day") & (table["period_index"] == 1)].iloc[0]
    events = shop.collect(shop.events.select("user_id", "user_bucket", "event_ms"))
    events["day"] = events["event_ms"] // 86_400_000
    days = set(zip(events["user_id"], events["day"], strict=True))
    followed = events[events["day"] < events["day"].max()]
    again = pd.Series([(user, day + 1) in days for user, day in zip(followed["user_id"], followed["day"], strict=True)])
    by_bucket = pd.DataFrame({"bucket": followed["user_bucket"].to_numpy(), "again": again}).groupby("bucket")["again"]
    expected = ratio_by_bucket(by_bucket.sum().to_numpy()[:, None], by_bucket.size().to_numpy()[:, None])
    assert first["retention_rate"] == pytest.approx(expected.estimate[0])
    assert first["ci_lower"] == pytest.approx(expected.lower[0])
    assert first["ci_upper"] == pytest.approx(expected.upper[0])
    assert first["reason"] is None or pd.isna(first["reason"])


def test_the_sample_comes_back_as_it_was_made(sample, truth):
    """Every retained start is retained by the site; the most used slot stands first; days that lie whole are followed."""
    table = slot_retention(sample, sample.period(None, None, "Asia/Shanghai"), NO_SLOTS).table
    assert table["slot_id"].iloc[0] == truth["slots"]["topic_page"][0]
    assert (table["retained_count"] <= table["site_retained_count"]).all()
    assert (table["site_retained_count"] <= table["user_count"]).all()
    assert len(table) == table["slot_id"].nunique() * (14 + 8)
    known = table["ci_lower"].notna()
    assert known.sum() > 400
    assert table.loc[known, "retention_rate"].between(table.loc[known, "ci_lower"], table.loc[known, "ci_upper"]).all()
    assert table.loc[~known, "reason"].notna().all()
    assert table.loc[known, "reason"].isna().all()


def test_very_many_slots_keep_the_most_used(tmp_path):
    rows = [
        ("u1", f"2026-03-0{day} 10:00", "select_promotion", f"s{slot:04d}") for day in (2, 3) for slot in range(510)
    ]
    rows += [("u2", "2026-03-02 10:00", "select_promotion", f"s{slot:04d}") for slot in range(9, 510)]
    found = retention_of(small(tmp_path, *rows))
    kept = found.table["slot_id"].unique()
    assert (len(kept), found.slots_left_out) == (500, 10)
    assert set(kept) == {f"s{slot:04d}" for slot in range(9, 509)}


def test_data_that_cannot_answer_give_an_empty_table_and_a_reason(tmp_path):
    unknown = retention_of(small(tmp_path / "1", *HAND, mapping="user_ids: per_event"))
    assert (len(unknown.table), unknown.reason) == (0, "users_unknown")
    none = retention_of(small(tmp_path / "2", *HAND), "2026-03-04", "2026-03-05")
    assert (len(none.table), none.reason) == (0, "no_starts")
    assert list(none.table.columns) == COLUMNS
    with pytest.raises(ParameterError, match='touch: "click" is not known'):
        retention_of(small(tmp_path / "3", *HAND), touch="click")


@pytest.mark.engine
def test_both_engines_give_the_same_table(small_folder):
    pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    tables = []
    for shop in (open_shop(small_folder), open_shop(f"chdb://{small_folder}")):
        period = shop.period("2026-03-10", None, "Asia/Shanghai")
        tables.append(slot_retention(shop, period, NO_SLOTS).table)
    pd.testing.assert_frame_equal(*tables, rtol=0, atol=1e-9)
