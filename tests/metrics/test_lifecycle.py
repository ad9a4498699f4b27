"""Visits, silences, states and purchases by hand and against loops over users; equal on ClickHouse."""

from collections import Counter, defaultdict
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.metrics.lifecycle import (
    STATES,
    buyer_sums,
    days_since_purchase,
    key_buckets,
    purchase_gaps,
    purchases,
    state_counts,
    user_lives,
    visit_gaps,
)
from workbench.metrics.local_days import local_day
from workbench.metrics.orders import paid_orders
from workbench.metrics.user_states import user_days
from workbench.period import DAY_MS, local_date

BERLIN = "Europe/Berlin"
EPOCH = date(1970, 1, 1)
MARCH = 20_513  # number of 2026-03-01


def lazy(shop, timezone, periods, dormant, gone):
    """Everything collected that the module makes of a shop."""
    period = shop.period(None, None, timezone)
    days = tuple((local_date(one, timezone) - EPOCH).days for one in (period.data_start_ms, period.data_end_ms))
    tables = {name: shop.keyed(shop.tables[name]) for name in ("events", "orders", "users") if shop.has(name)}
    seen = shop.hold("test_visits", user_days(tables, period))
    bought = shop.hold("test_purchases", purchases(paid_orders(tables["orders"]), period))
    users = tables.get("users")
    if users is not None:
        users = users.select("user_key", first_seen_day=local_day(users.first_seen_ms, period))
    lives = user_lives(seen, users, days[0], periods, dormant, gone)
    return {
        "days": days,
        "period": period,
        "visits": shop.collect(seen),
        "gaps": shop.collect(visit_gaps(seen, days, key_buckets(tables.values()))),
        "states": shop.collect(state_counts(lives, bought, periods)),
        "bought": shop.collect(bought),
        "purchase_gaps": shop.collect(purchase_gaps(bought, period, [7])),
        "buyers": shop.collect(buyer_sums(bought, period.end_ms)),
        "since": shop.collect(days_since_purchase(bought, period)),
    }


@pytest.fixture(scope="module")
def month(tmp_path_factory):
    """March 2026 in UTC; the data reach from the 1st to the 31st.

    a: first seen last year; events on the 1st, 2nd, 20th        b: first seen on the 3rd, never again
    c: first seen on the 12th, buys on the 12th, 14th and 31st   d: first seen last year, seen on the 25th alone
    e: not among users; submits an order on the 5th that is paid on the 6th
    """
    return open_shop(
        write_shop(
            tmp_path_factory.mktemp("lifecycle") / "shop",
            users=frame(
                "user_id first_seen_at",
                ("a", "2025-03-01 08:00"),
                ("b", "2026-03-03 08:00"),
                ("c", "2026-03-12 08:00"),
                ("d", "2025-12-01 08:00"),
            ),
            events=frame(
                "user_id event_at event",
                ("a", "2026-03-01 08:00", "view_item"),
                ("a", "2026-03-01 23:59", "view_item"),
                ("a", "2026-03-02 00:00", "view_item"),
                ("a", "2026-03-20 10:00", "view_item"),
                ("d", "2026-03-25 10:00", "view_item"),
            ),
            orders=frame(
                "order_id user_id submitted_at paid_at gross_amount",
                (1, "c", "2026-03-12 08:00", "2026-03-12 09:00", 10.0),
                (2, "c", "2026-03-12 10:00", "2026-03-12 11:00", 5.0),
                (3, "c", "2026-03-14 08:00", "2026-03-14 09:00", 7.0),
                (4, "c", "2026-03-31 08:00", "2026-03-31 09:00", 1.0),
                (5, "e", "2026-03-05 08:00", "2026-03-06 08:00", 3.0),
            ),
        )
    )


PERIODS = [(MARCH, MARCH + 10), (MARCH + 10, MARCH + 20), (MARCH + 20, MARCH + 31)]


@pytest.fixture(scope="module")
def by_hand(month):
    return lazy(month, "UTC", PERIODS, 5, 15)


def test_visits_by_hand(by_hand):
    seen = by_hand["visits"]
    found = zip(seen["day"] - MARCH + 1, seen["next_day"] - MARCH + 1, strict=True)
    found = [(int(day), None if pd.isna(after) else int(after)) for day, after in found]
    expected = {
        "a": [(1, 2), (2, 20), (20, None)],
        "c": [(12, 14), (14, 31), (31, None)],
        "d": [(25, None)],
        "e": [(5, 6), (6, None)],
    }
    assert sorted(found, key=str) == sorted([row for rows in expected.values() for row in rows], key=str)


def test_silences_by_hand(by_hand):
    """From the 2nd to the 20th are 17 days without a visit. Of b, of whom nothing is seen, no silence is measured."""
    gaps = by_hand["gaps"].groupby(["is_return", "exit_day"])["origin_count"].sum()
    assert gaps.to_dict() == {
        (True, 0): 2,  # a 1st-2nd, e 5th-6th
        (True, 1): 1,  # c 12th-14th
        (True, 16): 1,  # c 14th-31st
        (True, 17): 1,  # a 2nd-20th
        (False, 0): 1,  # c on the last day
        (False, 6): 1,  # d 25th
        (False, 11): 1,  # a 20th
        (False, 25): 1,  # e 6th
    }


def test_states_by_hand(by_hand):
    """Dormant after 5 days, gone after 15.

    To the 10th: a there (known before: active), b new, e new, d not there and silent for 10 days: dormant.
    To the 20th: a there after 17 days: back, b silent for 17: gone, c new, e silent for 14: dormant, d for 20: gone.
    To the 31st: a silent for 11: dormant, b, e gone, c there on the 31st after 16 days: back, d there after 24: back.
    """
    rows = {
        (int(row.period_index), int(row.from_state), int(row.to_state)): (int(row.user_count), row.paid_amount)
        for row in by_hand["states"].itertuples()
    }
    new, back, active, _, dormant, gone = range(len(STATES))
    assert rows == {
        (0, -1, active): (1, 0.0),
        (0, -1, new): (2, 3.0),
        (0, -1, dormant): (1, 0.0),
        (1, active, back): (1, 0.0),
        (1, new, gone): (1, 0.0),
        (1, new, dormant): (1, 0.0),
        (1, dormant, gone): (1, 0.0),
        (1, -1, new): (1, 22.0),
        (2, back, dormant): (1, 0.0),
        (2, gone, gone): (1, 0.0),
        (2, dormant, gone): (1, 0.0),
        (2, new, back): (1, 1.0),
        (2, gone, back): (1, 0.0),
    }


def test_quiet_is_not_there_and_not_yet_dormant(month):
    found = lazy(month, "UTC", PERIODS[:2], 15, 18)["states"]
    totals = found[found["period_index"] == 1].groupby("to_state")["user_count"].sum()
    # a back after 17 days; c new; e silent for 14: quiet; b for 17: dormant; d for 20: gone
    assert {STATES[one]: count for one, count in totals.items()} == {
        "back": 1,
        "new": 1,
        "quiet": 1,
        "dormant": 1,
        "gone": 1,
    }


def test_purchases_by_hand(by_hand):
    """Two orders of one day are one purchase; the next is the first on a later day, to the millisecond."""
    gaps = by_hand["purchase_gaps"].groupby(["purchase_number", "is_repurchase", "exit_day"])
    found = gaps[["origin_count", "eligible_7", "repurchased_7"]].sum()
    assert {key: tuple(row) for key, row in found.T.items()} == {
        (1, True, 2): (1, 1, 1),  # c, 12th 09:00 to 14th 09:00: two whole days
        (1, False, 25): (1, 1, 0),  # e, 6th 08:00 to 1 April
        (2, False, 17): (1, 1, 0),  # c, 14th 09:00 to 31st 09:00: on a day of 24 hours that the data end within
        (3, False, 0): (1, 0, 0),
    }
    buyers = by_hand["buyers"].groupby("purchase_number")[["user_count", "order_count", "paid_amount"]].sum()
    assert buyers.T.to_dict("list") == {1: [1, 1, 3.0], 3: [1, 4, 23.0]}
    since = by_hand["since"]
    assert sorted(zip(since["purchase_number"], since["elapsed_days"], since["user_count"], strict=True)) == [
        (1, 25, 1),
        (3, 0, 1),
    ]


def test_buyers_are_counted_as_of_the_end(month):
    period = month.period(None, "2026-03-13", "UTC")
    bought = purchases(paid_orders(month.keyed(month.orders)), period)
    found = month.collect(buyer_sums(bought, period.end_ms))
    assert found.groupby("purchase_number")["user_count"].sum().to_dict() == {1: 2}
    assert found["paid_squares"].sum() == 15.0**2 + 9


def random_tables(seed, users=80):
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2026-02-20 23:00", tz="UTC")
    ids = [f"u{number}" for number in range(users)]

    def moments(size, before=0):
        return start + pd.to_timedelta(rng.integers(-before * 24, 70 * 24, size), unit="h")

    people = pd.DataFrame({"user_id": ids[: users - 5], "first_seen_at": moments(users - 5, before=40)})
    events = pd.DataFrame({"user_id": rng.choice([*ids, "x1"], 500), "event_at": moments(500), "event": "view_item"})
    events.loc[rng.random(500) < 0.03, "user_id"] = None
    orders = pd.DataFrame({"order_id": range(300), "user_id": rng.choice(ids[20:], 300), "submitted_at": moments(300)})
    orders["gross_amount"] = rng.integers(100, 9_999, 300) / 100
    orders["paid_at"] = (orders["submitted_at"] + pd.to_timedelta(rng.integers(0, 30, 300), unit="h")).where(
        rng.random(300) < 0.8
    )
    return {"users": people, "events": events, "orders": orders}


def by_loop(tables, found, timezone, periods, dormant, gone):
    """The same counts, one user at a time."""
    days, end_ms = found["days"], found["period"].data_end_ms

    def day(moment):
        return (moment.tz_convert(timezone).date() - EPOCH).days

    seen, first, orders = defaultdict(set), {}, defaultdict(list)
    for row in tables["events"].dropna(subset="user_id").itertuples():
        seen[row.user_id].add(day(row.event_at))
    for row in tables["orders"].itertuples():
        seen[row.user_id].add(day(row.submitted_at))
        if not pd.isna(row.paid_at):
            seen[row.user_id].add(day(row.paid_at))
            orders[row.user_id].append((row.paid_at, row.gross_amount))
    for row in tables["users"].itertuples():
        first[row.user_id] = day(row.first_seen_at)
        seen[row.user_id].update(())  # known, even if nothing is seen of the user
    gaps, states, repeats, since = Counter(), Counter(), Counter(), Counter()
    for user, visited in seen.items():
        visited = sorted(visited)
        for one in visited:
            later = [other for other in visited if other > one]
            if later:
                gaps[True, later[0] - one - 1] += 1
            else:
                gaps[False, days[1] - 1 - one] += 1
        if user in first and (not visited or first[user] < visited[0]):
            visited = [max(first[user], days[0] - 1), *visited]
        before = -1
        for number, (start, end) in enumerate(periods):
            known = [one for one in visited if one < end]
            if not known:
                continue
            inside = [one for one in known if one >= start]
            silences = [one - max(two for two in known if two < one) - 1 for one in inside if one > known[0]]
            if min(known[0], first.get(user, known[0])) >= start:
                state = "new"
            elif inside and any(one >= dormant for one in silences):
                state = "back"
            elif inside:
                state = "active"
            else:
                silent = end - 1 - known[-1]
                state = "quiet" if silent < dormant else "dormant" if silent < gone else "gone"
            paid = sum(amount for moment, amount in orders[user] if start <= day(moment) < end)
            states[number, before, STATES.index(state)] += 1
            states["paid", number, STATES.index(state)] += round(paid * 100)
            before = STATES.index(state)
        own = sorted(orders[user])
        purchased = []
        for moment, _ in own:
            if not purchased or day(moment) > day(purchased[-1]):
                purchased.append(moment)
        for number, moment in enumerate(purchased):
            at_ms = moment.value // 10**6
            if number + 1 < len(purchased):
                after = (purchased[number + 1].value // 10**6 - at_ms) // DAY_MS
            followed = (end_ms - at_ms) // DAY_MS
            is_again = number + 1 < len(purchased) and after < followed
            repeats[min(number + 1, 3), is_again, after if is_again else followed] += 1
        if purchased:
            since[min(len(purchased), 3), (end_ms - purchased[-1].value // 10**6) // DAY_MS] += 1
    return gaps, states, repeats, since


def as_counters(found):
    gaps, states, repeats, since = Counter(), Counter(), Counter(), Counter()
    for row in found["gaps"].itertuples():
        gaps[bool(row.is_return), int(row.exit_day)] += int(row.origin_count)
    for row in found["states"].itertuples():
        number, to_state = int(row.period_index), int(row.to_state)
        states[number, int(row.from_state), to_state] += int(row.user_count)
        states["paid", number, to_state] += round(row.paid_amount * 100)
    for row in found["purchase_gaps"].itertuples():
        repeats[int(row.purchase_number), bool(row.is_repurchase), int(row.exit_day)] += int(row.origin_count)
    for row in found["since"].itertuples():
        since[int(row.purchase_number), int(row.elapsed_days)] += int(row.user_count)
    return gaps, states, repeats, since


@pytest.mark.parametrize(("seed", "dormant", "gone"), [(1, 5, 12), (2, 20, 40), (3, 1, 2)])
def test_equals_a_loop(tmp_path, seed, dormant, gone):
    tables = random_tables(seed)
    shop = open_shop(write_shop(tmp_path / "shop", **tables))
    period = shop.period(None, None, BERLIN)
    last = (local_date(period.data_end_ms, BERLIN) - EPOCH).days
    first = (local_date(period.data_start_ms, BERLIN) - EPOCH).days
    periods = [(max(last - 14 * (number + 1), first), last - 14 * number) for number in range(4, -1, -1)]
    found = lazy(shop, BERLIN, periods, dormant, gone)
    for engine, expected in zip(
        as_counters(found), by_loop(tables, found, BERLIN, periods, dormant, gone), strict=True
    ):
        assert +engine == +expected
        assert len(expected) > 5


def test_all_known_users_have_one_state(tmp_path):
    tables = random_tables(5)
    shop = open_shop(write_shop(tmp_path / "shop", **tables))
    periods = [(MARCH + 7 * number, MARCH + 7 * number + 7) for number in range(6)]
    found = lazy(shop, "UTC", periods, 4, 9)
    firsts = pd.concat(
        [
            tables["users"].rename(columns={"first_seen_at": "at"}),
            tables["events"].rename(columns={"event_at": "at"}),
            tables["orders"].rename(columns={"submitted_at": "at"}),
        ]
    )
    firsts = firsts.groupby("user_id")["at"].min()
    for number, (_, end) in enumerate(periods):
        known = int((firsts < pd.Timestamp(EPOCH + timedelta(days=end), tz="UTC")).sum())
        states = found["states"][found["states"]["period_index"] == number]
        assert int(states["user_count"].sum()) == known


def test_a_source_of_orders_alone(tmp_path):
    tables = random_tables(6)
    shop = open_shop(write_shop(tmp_path / "shop", orders=tables["orders"]))
    tables |= {"events": tables["events"].head(0), "users": tables["users"].head(0)}
    periods = [(MARCH, MARCH + 20), (MARCH + 20, MARCH + 40)]
    found = lazy(shop, BERLIN, periods, 5, 12)
    for engine, expected in zip(as_counters(found), by_loop(tables, found, BERLIN, periods, 5, 12), strict=True):
        assert +engine == +expected


@pytest.mark.engine
def test_the_same_on_clickhouse(tmp_path):
    pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    folder = write_shop(tmp_path / "shop", **random_tables(4))
    periods = [(MARCH, MARCH + 20), (MARCH + 20, MARCH + 40)]
    found = [lazy(open_shop(source), BERLIN, periods, 5, 12) for source in (folder, f"chdb://{folder}")]
    for one, other in zip(*map(as_counters, found), strict=True):
        assert one == other
    buyers = [one["buyers"].sort_values(["user_bucket", "purchase_number"]).reset_index(drop=True) for one in found]
    pd.testing.assert_frame_equal(*buyers, check_dtype=False, rtol=1e-12)
