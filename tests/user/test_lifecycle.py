"""Lifecycle tables by hand, shares that sum up, gaps of the user's or the data's choice, and a planted gap found again."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from shops import at, frame, write_shop

from workbench import open_shop
from workbench.errors import ParameterError, TableError
from workbench.metrics.lifecycle import STATES
from workbench.metrics.user_states import user_days
from workbench.period import DAY_MS
from workbench.user.lifecycle import MOST_PERIODS, read_lifecycle
from workbench.user.next_purchase import read_purchases


def found_in(shop, weeks=3, **asked):
    period = shop.period(None, None, "UTC")
    end = period.data_end_ms
    periods = [(end - (number + 1) * 7 * DAY_MS, end - number * 7 * DAY_MS) for number in range(weeks - 1, -1, -1)]
    return read_lifecycle(shop, period, periods, read_purchases(shop, period), **asked)


@pytest.fixture(scope="module")
def three_weeks(tmp_path_factory):
    """1 to 21 March 2026: a comes every day, b once and buys, c on the 2nd and the 16th, d first seen in 2025 and not again."""
    days = [f"2026-03-{day:02} 08:00" for day in range(1, 22)]
    seen = [("a", day, "view_item") for day in days]
    seen += [("c", "2026-03-02 08:00", "view_item"), ("c", "2026-03-16 08:00", "view_item")]
    return open_shop(
        write_shop(
            tmp_path_factory.mktemp("weeks") / "shop",
            users=frame("user_id first_seen_at", ("a", days[0]), ("c", "2026-03-02 08:00"), ("d", "2025-03-01 08:00")),
            events=frame("user_id event_at event", *seen),
            orders=frame(
                "order_id user_id submitted_at paid_at gross_amount",
                (1, "b", "2026-03-09 08:00", "2026-03-09 08:00", 30.0),
            ),
        )
    )


def test_states_of_each_period_by_hand(three_weeks):
    found = found_in(three_weeks, dormant_days=8, gone_days=10)
    counts = found.lifecycle.pivot(index="period_index", columns="state", values="user_count")[list(STATES)]
    assert counts.to_numpy().tolist() == [
        [2, 0, 0, 1, 0, 0],  # a, c new; d silent for the 7 days of the data: quiet
        [1, 0, 1, 0, 0, 2],  # b new; a; c silent for 12 days and d for 14: gone
        [0, 1, 1, 0, 0, 2],  # c is back, b silent for 12 days: gone
    ]
    assert (found.dormant_days, found.gone_days) == (8, 10)
    last = found.lifecycle[found.lifecycle["period_index"] == 2].set_index("state")
    assert last["user_share"].tolist() == [0, 0.25, 0.25, 0, 0, 0.5]
    assert [str(one) for one in last.loc["back", ["start_date", "end_date"]]] == ["2026-03-15", "2026-03-22"]
    assert found.lifecycle["watched_days"].drop_duplicates().tolist() == [7, 14, 21]
    assert found.lifecycle.groupby("period_index")["is_complete"].first().tolist() == [False, True, True]
    money = found.lifecycle[found.lifecycle["paid_amount"] > 0]
    assert money[["period_index", "state", "order_count", "paid_amount"]].to_numpy().tolist() == [[1, "new", 1, 30.0]]


def test_moves_sum_to_the_states_before_and_after(three_weeks):
    found = found_in(three_weeks, dormant_days=8, gone_days=10)
    moves = found.moves
    assert moves[moves["period_index"] == 1][
        ["from_state", "to_state", "user_count", "row_share"]
    ].to_numpy().tolist() == [
        ["none", "new", 1, 1.0],
        ["new", "active", 1, 0.5],
        ["new", "gone", 1, 0.5],
        ["quiet", "gone", 1, 1.0],
    ]
    states = found.lifecycle.set_index(["period_index", "state"])["user_count"]
    for (number, state), count in moves.groupby(["period_index", "to_state"])["user_count"].sum().items():
        assert count == states[number, state]
    for (number, state), count in moves.groupby(["period_index", "from_state"])["user_count"].sum().items():
        assert state == "none" or count == states[number - 1, state]


def test_periods_before_the_data_are_left_out_and_one_that_begins_before_is_cut(three_weeks):
    found = found_in(three_weeks, weeks=5, dormant_days=8, gone_days=10)
    assert found.lifecycle["period_index"].max() == 2
    period = three_weeks.period(None, None, "UTC")
    start = at("2026-02-20").value // 10**6
    asked = [(start, at("2026-03-08").value // 10**6)]
    cut = read_lifecycle(three_weeks, period, asked, read_purchases(three_weeks, period), dormant_days=8, gone_days=10)
    assert str(cut.lifecycle["start_date"].iloc[0]) == "2026-03-01"
    assert cut.lifecycle.set_index("state")["user_count"].to_dict() == dict(
        zip(STATES, [2, 0, 0, 1, 0, 0], strict=True)
    )
    assert cut.moves.empty
    none = read_lifecycle(three_weeks, period, [(start, start + DAY_MS)], read_purchases(three_weeks, period))
    assert none.lifecycle.empty
    assert none.moves.empty


def test_the_latest_periods_are_taken_and_days_that_are_there_are_used(three_weeks):
    period = three_weeks.period(None, None, "UTC")
    days = [(period.data_start_ms // DAY_MS * DAY_MS + number * DAY_MS) for number in range(22)]
    bought = read_purchases(three_weeks, period)
    found = read_lifecycle(three_weeks, period, list(pairwise(days)), bought)
    assert found.lifecycle["period_index"].max() == MOST_PERIODS - 1
    assert str(found.lifecycle["end_date"].iloc[-1]) == "2026-03-22"
    tables = {name: three_weeks.keyed(three_weeks.tables[name]) for name in ("events", "orders")}
    given = read_lifecycle(three_weeks, period, list(pairwise(days)), bought, days=user_days(tables, period))
    pd.testing.assert_frame_equal(given.lifecycle, found.lifecycle)


def test_silences_are_by_the_same_buckets_whether_users_are_listed_or_not(tmp_path):
    rng = np.random.default_rng(3)
    moments = pd.Timestamp("2026-03-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 60, 900), unit="D")
    events = pd.DataFrame({"user_id": [f"u{one}" for one in rng.integers(0, 90, 900)], "event_at": moments})
    orders = frame(
        "order_id user_id submitted_at paid_at gross_amount", (1, "o1", "2026-03-09 08:00", "2026-03-09 08:00", 30.0)
    )
    everyone = sorted({*events["user_id"], "o1"})
    found = []
    for listed in (everyone, everyone[::2], everyone[:0]):
        users = pd.DataFrame({"user_id": listed, "first_seen_at": moments.min()})
        tables = {"events": events.assign(event="view_item"), "orders": orders} | ({"users": users} if listed else {})
        found.append(found_in(open_shop(write_shop(tmp_path / f"shop{len(listed)}", **tables))))
    assert found[0].silence["at_risk_count"].max() > 300
    for other in found[1:]:
        pd.testing.assert_frame_equal(found[0].silence, other.silence)
        pd.testing.assert_frame_equal(found[0].gaps, other.gaps)


def test_too_little_data_fall_back_on_the_usual_gaps(three_weeks):
    found = found_in(three_weeks)
    assert found.gaps["reason"].tolist() == ["few_users"] * 4
    assert (found.dormant_days, found.gone_days) == (30, 90)
    assert found.gaps["source"].tolist()[:2] == ["default", "default"]
    assert found.silence.empty


def test_no_money_is_null_and_not_zero(tmp_path):
    orders = frame(
        "order_id user_id submitted_at paid_at gross_amount", (1, "b", "2026-03-09 08:00", "2026-03-09 08:00", None)
    )
    orders["gross_amount"] = orders["gross_amount"].astype(float)
    found = found_in(open_shop(write_shop(tmp_path / "shop", orders=orders)), weeks=1)
    assert found.lifecycle["paid_amount"].isna().all()
    assert found.lifecycle["order_count"].sum() == 1


def test_gaps_that_cannot_be_are_refused(three_weeks, tmp_path):
    with pytest.raises(ParameterError, match="gone_days is 30 and dormant_days 30"):
        found_in(three_weeks, dormant_days=30, gone_days=30)
    with pytest.raises(ParameterError, match="dormant_days: 0"):
        found_in(three_weeks, dormant_days=0)
    with pytest.raises(ParameterError, match="gone_days is 1"):
        found_in(three_weeks, gone_days=1)
    events = frame("user_id event_at event", ("a", "2026-03-01 08:00", "view_item"))
    with pytest.raises(TableError, match='"orders" is missing'):
        found_in(open_shop(write_shop(tmp_path / "shop", events=events)))


def test_what_the_user_sets_stands_and_the_other_gap_gives_way(three_weeks):
    assert found_in(three_weeks, dormant_days=100).gaps["used_days"].tolist()[:2] == [100, 200]
    found = found_in(three_weeks, gone_days=20)
    assert (found.dormant_days, found.gone_days) == (10, 20)
    assert found.gaps["source"].tolist()[:2] == ["default", "set"]


# --- a planted gap -----------------------------------------------------------------------------------------------

COMES, LEAVES, DAYS, HORIZON = 0.12, 0.08, 240, 60


def wanderers(rng, users, leaves=LEAVES):
    """Users come with 12 % on each day, and after each visit 8 % of them never again."""
    rows = []
    for user in range(users):
        day = int(rng.integers(0, DAYS))
        while day < DAYS:
            rows.append((user, day))
            if rng.random() < leaves:
                break
            day += int(rng.geometric(COMES))
    return pd.DataFrame(rows, columns=["user_id", "day"])


def return_share(days, leaves=LEAVES):
    """Of those silent for so many days: one minus the ratio of leaves + (1 - leaves) (1 - COMES)^days."""
    alive = (1 - leaves) * (1 - COMES) ** np.array([days + HORIZON, days])
    return 1 - (leaves + alive[0]) / (leaves + alive[1])


def truth(limit):
    return next(day for day in range(DAYS) if return_share(day) < limit)


@pytest.fixture(scope="module")
def wandering(tmp_path_factory):
    visits = wanderers(np.random.default_rng(8), 6_000)
    moments = at("2026-01-01 12:00") + pd.to_timedelta(visits["day"], unit="D")
    events = pd.DataFrame({"user_id": visits["user_id"], "event_at": moments, "event": "view_item"})
    orders = frame(
        "order_id user_id submitted_at paid_at gross_amount", (1, 0, "2026-03-09 08:00", "2026-03-09 08:00", 30.0)
    )
    return open_shop(write_shop(tmp_path_factory.mktemp("wandering") / "shop", events=events, orders=orders))


def test_a_planted_gap_is_found(wandering):
    """Fewer than 20 % of those silent for 30 days come back within 60 more, and fewer than 5 % after 43."""
    found = found_in(wandering, horizon_days=HORIZON)
    gaps = found.gaps[found.gaps["basis"] == "visit"]
    assert [truth(0.2), truth(0.05)] == [30, 43]
    for row, limit in zip(gaps.itertuples(), (0.2, 0.05), strict=True):
        assert row.ci_lower <= truth(limit) <= row.ci_upper
        assert abs(row.suggested_days - truth(limit)) <= 2
        assert row.ci_upper - row.ci_lower <= 6
        assert row.return_share < limit
        assert (row.horizon_days, row.source, pd.isna(row.reason)) == (HORIZON, "data", True)
    assert (found.dormant_days, found.gone_days) == tuple(gaps["suggested_days"])
    silence = found.silence[found.silence["basis"] == "visit"].set_index("silent_days")
    for days in (0, 10, 20, 40):
        row = silence.loc[days]
        assert row["ci_lower"] <= return_share(days) <= row["ci_upper"]


def test_where_silence_says_nothing_no_gap_is_suggested(tmp_path):
    """Users who never leave come back with the same chance after any silence."""
    visits = wanderers(np.random.default_rng(9), 300, leaves=0.0)
    moments = at("2026-01-01 12:00") + pd.to_timedelta(visits["day"], unit="D")
    events = pd.DataFrame({"user_id": visits["user_id"], "event_at": moments, "event": "view_item"})
    orders = frame(
        "order_id user_id submitted_at paid_at gross_amount", (1, 0, "2026-03-09 08:00", "2026-03-09 08:00", 30.0)
    )
    found = found_in(open_shop(write_shop(tmp_path / "shop", events=events, orders=orders)), horizon_days=HORIZON)
    assert found.gaps["reason"].tolist() == ["beyond_reach"] * 2 + ["few_users"] * 2
    assert found.gaps["suggested_days"].isna().all()
    assert (found.dormant_days, found.gone_days) == (30, 90)


def test_where_few_return_at_all_no_gap_is_suggested(tmp_path):
    """90 % leave after a visit: even at once fewer than a fifth will come back."""
    visits = wanderers(np.random.default_rng(10), 3_000, leaves=0.9)
    moments = at("2026-01-01 12:00") + pd.to_timedelta(visits["day"], unit="D")
    events = pd.DataFrame({"user_id": visits["user_id"], "event_at": moments, "event": "view_item"})
    orders = frame(
        "order_id user_id submitted_at paid_at gross_amount", (1, 0, "2026-03-09 08:00", "2026-03-09 08:00", 30.0)
    )
    found = found_in(open_shop(write_shop(tmp_path / "shop", events=events, orders=orders)))
    assert found.gaps["reason"].tolist()[0] == "few_return_at_all"
    assert found.gaps["source"].tolist()[:2] == ["default", "data"]
    assert found.gone_days == found.gaps["suggested_days"][1]
    assert found.dormant_days == found.gone_days // 2


@pytest.mark.engine
def test_the_same_on_clickhouse(tmp_path, three_weeks):
    pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    other = open_shop(f"chdb://{three_weeks.folder}")
    found = [found_in(shop, dormant_days=8, gone_days=10) for shop in (three_weeks, other)]
    for name in ("lifecycle", "moves", "gaps", "silence"):
        pd.testing.assert_frame_equal(*[getattr(one, name) for one in found], check_dtype=False)


def test_the_sample_keeps_its_sums(sample):
    period = sample.period(None, None, "Asia/Shanghai")
    periods = [
        (period.end_ms - (number + 1) * 28 * DAY_MS, period.end_ms - number * 28 * DAY_MS) for number in (3, 2, 1, 0)
    ]
    found = read_lifecycle(sample, period, periods, read_purchases(sample, period))
    last = found.lifecycle[found.lifecycle["period_index"] == 3]
    assert last["user_count"].sum() == 20_000
    inside = last["state"].isin(["new", "back", "active"])
    events, orders = sample.events, sample.orders
    seen = sample.collect(
        events.filter(events.event_ms >= periods[3][0], events.event_ms < periods[3][1]).select("user_id").distinct()
    )
    bought = sample.collect(orders.filter(orders.paid_ms >= periods[3][0], orders.paid_ms < periods[3][1]))
    assert last.loc[inside, "user_count"].sum() == seen["user_id"].nunique()
    assert last["order_count"].sum() == len(bought)
    assert last["paid_amount"].sum() == pytest.approx(bought["paid_amount"].sum())
