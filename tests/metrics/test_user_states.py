"""What users did in each window, and in which quadrant that puts them: by hand, against a loop, on both engines."""

import ibis
import numpy as np
import pandas as pd
import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.metrics import user_states
from workbench.metrics.user_states import (
    QUADRANTS,
    Line,
    UserPeriods,
    UserStates,
    bucket_sums,
    is_own,
    metric_value,
    move_sums,
    ordered_values,
    quadrant_members,
    user_days,
    user_windows,
    value_range,
)

SHANGHAI = "Asia/Shanghai"
METRICS = (
    "visit_days",
    "sessions",
    "orders",
    "paid_amount",
    "average_order_value",
    "days_since_last_visit",
    "categories_bought",
    "points",
)
EPOCH = pd.Timestamp("1970-01-01")
NEEDS_CHDB = "chdb is not installed: pip install 'workbench[engines-test]'"


def day(text):
    return (pd.Timestamp(text) - EPOCH).days


def keyed(shop):
    return {
        name: shop.keyed(table) if name in ("events", "orders", "users") else table
        for name, table in shop.tables.items()
        if shop.has(name)
    }


def windows_of(shop, periods, metrics, timezone):
    period, tables = shop.period(None, None, timezone), keyed(shop)
    days = shop.hold("days", user_days(tables, period))
    has_sessions = shop.has("events", "session_id")
    return shop.hold("windows", user_windows(tables, days, period, periods, metrics, has_sessions=has_sessions)), tables


@pytest.fixture(scope="module")
def four_users(tmp_path_factory):
    """Weeks that end on 15 and 22 March 2026 (UTC), windows of 14 days: 1-14 March and 8-21 March.

    a: days 2, 3 and 9; pays 10 on the 3rd and 30 on the 9th, sees 5 points       d: outside: active on 28 February alone
    b: days 10 and 20; pays nothing; an order on the 20th stays unpaid              c: day 16; pays 20 there; unknown to users
    """
    return open_shop(
        write_shop(
            tmp_path_factory.mktemp("states") / "shop",
            users=frame(
                "user_id first_seen_at points",
                ("a", "2026-02-01 08:00", 5.0),
                ("b", "2026-03-10 08:00", None),
                ("d", "2026-02-28 08:00", 1.0),
            ),
            orders=frame(
                "order_id user_id submitted_at paid_at gross_amount",
                (1, "a", "2026-03-03 08:00", "2026-03-03 09:00", 10.0),
                (2, "a", "2026-03-09 08:00", "2026-03-09 09:00", 30.0),
                (3, "c", "2026-03-16 08:00", "2026-03-16 09:00", 20.0),
                (4, "b", "2026-03-20 08:00", None, 99.0),
            ),
            order_lines=frame(
                "order_id line_no product_id category quantity amount",
                (1, 1, "p1", "tea", 1, 4.0),
                (1, 2, "p2", "tea", 1, 6.0),
                (2, 1, "p3", "shoes", 1, 30.0),
                (3, 1, "p4", None, 1, 20.0),
            ),
            events=frame(
                "user_id event_at event session_id",
                ("a", "2026-03-02 08:00", "view_item", "s1"),
                ("a", "2026-03-02 23:50", "view_item", "s2"),
                ("a", "2026-03-03 00:10", "view_item", "s2"),
                ("a", "2026-03-09 08:00", "view_item", "s3"),
                ("b", "2026-03-10 08:00", "view_item", "s4"),
                ("d", "2026-02-28 08:00", "view_item", "s5"),
            ),
        )
    )


TWO_WEEKS = UserPeriods((day("2026-03-15"), day("2026-03-22")), period_days=7, window_days=14)


def collected(shop, periods, metrics, timezone="UTC"):
    """Values by user: for each period and metric."""
    users, _ = windows_of(shop, periods, metrics, timezone)
    ids = keyed(shop)
    union = ibis.union(
        *[ids[name].select("user_key", "user_id") for name in ("users", "orders", "events") if name in ids]
    )
    named = users.inner_join(union.distinct(), "user_key")
    shown = named.select(
        "user_id",
        "first_day",
        "user_bucket",
        **{
            f"{metric}_at_{k}": metric_value(named, metric, periods, k).cast("float64")
            for k in range(len(periods))
            for metric in metrics
        },
        **{
            f"{name}_{k}": named[f"{name}_{k}"]
            for k in range(len(periods))
            for name in ("is_visitor", "visit_days", "order_count", "paid_amount")
            if name not in metrics and (k or name != "is_visitor")
        },
    )
    return shop.collect(shown).set_index("user_id").sort_index()


def test_windows_by_hand(four_users):
    found = collected(four_users, TWO_WEEKS, METRICS)
    assert found.index.tolist() == ["a", "b", "c", "d"]
    # d was active before all windows alone, and is in none
    assert (found.loc["d", [f"{name}_at_{k}" for name in METRICS[:5] for k in (0, 1)]] == 0).all()
    assert found.loc["d", ["visit_days_at_0", "visit_days_at_1"]].sum() == 0
    expected = {
        # visit_days, sessions, orders, paid_amount, average_order_value, days_since_last_visit, categories_bought, points
        ("a", 0): [3, 3, 2, 40.0, 20.0, 14 - 9, 2, 5.0],
        ("a", 1): [1, 1, 1, 30.0, 30.0, 21 - 9, 1, 5.0],
        ("b", 0): [1, 1, 0, 0.0, 0.0, 14 - 10, 0, np.nan],
        ("b", 1): [2, 1, 0, 0.0, 0.0, 21 - 20, 0, np.nan],
        ("c", 0): [0, 0, 0, 0.0, 0.0, np.nan, 0, np.nan],
        ("c", 1): [1, 0, 1, 20.0, 20.0, 21 - 16, 0, np.nan],
    }
    for (user, k), values in expected.items():
        row = found.loc[user, [f"{metric}_at_{k}" for metric in METRICS]].astype(float).tolist()
        assert row == pytest.approx(values, nan_ok=True), (user, k)
    assert found["is_visitor_1"].tolist() == [False, True, True, False]
    assert found["first_day"].tolist() == [day("2026-02-01"), day("2026-03-10"), day("2026-03-16"), day("2026-02-28")]
    assert found["user_bucket"].notna().tolist() == [True, False, True, False]


def test_days_are_the_shops(four_users):
    """2 March 23:50 UTC is 3 March in Shanghai: a was there on 2 (16:00), 3 and 9 March, as before, but sessions move not."""
    periods = UserPeriods((day("2026-03-03"), day("2026-03-10")), period_days=7, window_days=7)
    utc, shanghai = (collected(four_users, periods, ("visit_days",), zone) for zone in ("UTC", SHANGHAI))
    assert utc.loc["a", ["visit_days_at_0", "visit_days_at_1"]].tolist() == [1, 2]
    late = UserPeriods((day("2026-03-02"), day("2026-03-03")), period_days=1, window_days=1)
    assert collected(four_users, late, ("visit_days",)).loc["a", "visit_days_at_1"] == 1
    assert shanghai.loc["a", ["visit_days_at_0", "visit_days_at_1"]].tolist() == [1, 2]


def test_moves_by_hand(four_users):
    """Lines at 1 visit day and 15 of money. First window: a high_high, b low_low. Second: a low_high, b high_low, c low_high.

    a is not seen in 15-21 March and has stopped; c is unknown to users and first acts on the 16th: new.
    """
    users, tables = windows_of(four_users, TWO_WEEKS, ("visit_days", "paid_amount"), "UTC")
    states = UserStates(users, TWO_WEEKS, Line("visit_days", 1.0, 0.0), Line("paid_amount", 15.0, 0.0))
    sums = four_users.collect(move_sums(states))
    inside = sums[sums["target"] > 0]
    by_quadrant = inside.groupby(["period_index", "target"])[["user_count", "order_count", "paid_amount"]].sum()
    assert {key: tuple(row) for key, row in zip(by_quadrant.index, by_quadrant.to_numpy())} == {
        (0, 1): (1, 2, 40.0),
        (0, 4): (1, 0, 0.0),
        (1, 2): (1, 0, 0.0),
        (1, 3): (2, 2, 50.0),
    }
    moves = sums[sums["period_index"] == 1].sort_values("origin")
    columns = ["period_index", "origin", "target", "user_count", "stopped_count", "paid_before", "paid_amount"]
    assert moves[columns].to_numpy().tolist() == [
        [1, 1, 3, 1, 1, 40.0, 30.0],
        [1, 4, 2, 1, 0, 0.0, 0.0],
        [1, 5, 3, 1, 0, 0.0, 20.0],
    ]
    buckets = four_users.collect(bucket_sums(states)).sort_values(["period_index", "paid_amount"])
    columns = ["period_index", "code", "paid_amount", "paid_squares"]
    assert buckets[columns].to_numpy().tolist() == [[0, 1, 40.0, 1600.0], [1, 3, 20.0, 400.0], [1, 3, 30.0, 900.0]]
    members = four_users.collect(quadrant_members(states, tables, four_users.engine.user_bucket)).sort_values("user_id")
    columns = ["user_id", "quadrant", "x_value", "y_value", "order_count", "paid_amount"]
    assert members[columns].to_numpy().tolist() == [
        ["a", "low_high", 1.0, 30.0, 1, 30.0],
        ["b", "high_low", 2.0, 0.0, 0, 0.0],
        ["c", "low_high", 1.0, 20.0, 1, 20.0],
    ]
    assert members["user_bucket"].between(0, 255).all()


def sides(values, threshold, hysteresis, inside=None):
    """Sides of one user with these values in consecutive periods, through the engine: True for high."""
    count = len(values)
    inside = [True] * count if inside is None else inside
    row = {"user_key": [1], "first_day": [0], "user_bucket": [0]}
    for k, (value, here) in enumerate(zip(values, inside)):
        row |= {f"visit_days_{k}": [1 if here else 0], f"order_count_{k}": [0], f"is_visitor_{k}": [True]}
        row |= {f"paid_amount_{k}": [float(value)], f"sessions_{k}": [1]}
    periods = UserPeriods(tuple(range(1, count + 1)), 1, 1)
    lines = Line("paid_amount", threshold, hysteresis), Line("sessions", 0.0, 0.0)
    users = ibis.memtable(pd.DataFrame(row))
    codes = UserStates(users, periods, *lines).codes()
    found = ibis.duckdb.connect().to_pandas(users.select(**{f"k{k}": code for k, code in enumerate(codes)}))
    return [{1: True, 3: False, 0: None}[int(one)] for one in found.iloc[0]]


def test_a_user_changes_side_only_beyond_the_band():
    # threshold 100, band 90 to 110: 101 and 110 are not enough for one who was low, 91 is enough to stay high
    assert sides([100, 101, 110, 110.5, 91, 90.5, 90, 105], 100, 0.1) == [
        False,
        False,
        False,
        True,
        True,
        True,
        False,
        False,
    ]
    assert sides([101, 99, 101], 100, 0.0) == [True, False, True]


def test_who_was_away_is_judged_by_the_line_itself():
    values, inside = [120, 95, 95, 105], [True, False, True, True]
    assert sides(values, 100, 0.1, inside) == [True, None, False, False]
    assert sides([80, 0, 105], 100, 0.1, [True, False, True]) == [False, None, True]


def test_a_line_at_0_has_no_band_and_below_0_the_band_widens_away_from_it():
    assert sides([0, 0.01, 0, 5], 0, 0.5) == [False, True, False, True]
    # threshold -10, band -11 to -9
    assert sides([-10, -9.5, -8.9, -10.5, -11], -10, 0.1) == [False, False, True, True, False]


def random_tables(seed, users=70):
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2026-02-20", tz="UTC")
    ids = [f"u{number}" for number in range(users)]

    def moments(size):
        return start + pd.to_timedelta(rng.integers(0, 45 * 24 * 60, size), unit="min")

    people = pd.DataFrame({"user_id": ids[: users - 5], "first_seen_at": moments(users - 5)})
    people["points"] = np.where(rng.random(users - 5) < 0.2, np.nan, rng.integers(0, 9, users - 5))
    events = pd.DataFrame({"user_id": rng.choice(ids, 500), "event_at": moments(500), "event": "view_item"})
    events["session_id"] = [None if one < 0.1 else f"s{int(one * 400)}" for one in rng.random(500)]
    orders = pd.DataFrame({"order_id": range(200), "user_id": rng.choice(ids, 200), "submitted_at": moments(200)})
    orders["gross_amount"] = rng.integers(100, 9_999, 200) / 100
    delay = pd.to_timedelta(rng.integers(0, 2_000, 200), unit="min")
    orders["paid_at"] = (orders["submitted_at"] + delay).where(rng.random(200) < 0.8)
    lines = pd.DataFrame({"order_id": np.repeat(range(200), 2), "line_no": np.tile([1, 2], 200), "product_id": "p"})
    lines["category"] = rng.choice(["tea", "shoes", "hats", None], 400)
    lines["quantity"], lines["amount"] = 1, np.repeat(orders["gross_amount"].to_numpy(), 2) / 2
    return {"users": people, "events": events, "orders": orders, "order_lines": lines}


def local(moments, timezone):
    return [(one.tz_convert(timezone).tz_localize(None).normalize() - EPOCH).days for one in moments]


def by_loop(tables, user, window, timezone):
    """Values of one user in one window, and whether the user is in it."""
    first, end = window
    seen = tables["events"][tables["events"]["user_id"] == user]
    own = tables["orders"][tables["orders"]["user_id"] == user]
    paid = own.dropna(subset="paid_at")
    visits = {
        *local(seen["event_at"], timezone),
        *local(own["submitted_at"], timezone),
        *local(paid["paid_at"], timezone),
    }
    visits = {one for one in visits if first <= one < end}
    paid = paid[np.array([first <= one < end for one in local(paid["paid_at"], timezone)], dtype=bool)]
    begun = {}
    for session, moment in zip(seen["session_id"], local(seen["event_at"], timezone)):
        name = str(moment) if pd.isna(session) else session
        begun[name] = min(begun.get(name, moment), moment)
    lines = tables["order_lines"][tables["order_lines"]["order_id"].isin(paid["order_id"])]
    points = tables["users"].set_index("user_id")["points"].get(user, np.nan)
    amount = paid["gross_amount"].sum()
    values = {
        "visit_days": len(visits),
        "sessions": sum(first <= one < end for one in begun.values()),
        "orders": len(paid),
        "paid_amount": amount,
        "average_order_value": amount / len(paid) if len(paid) else 0.0,
        "days_since_last_visit": end - 1 - max(visits) if visits else np.nan,
        "categories_bought": lines["category"].nunique(),
        "points": points,
    }
    return values, visits


PERIODS = UserPeriods(tuple(day("2026-03-10") + 5 * k for k in range(5)), period_days=5, window_days=12)


@pytest.mark.parametrize("timezone", ["UTC", SHANGHAI])
def test_every_metric_equals_a_loop(tmp_path, timezone):
    tables = random_tables(1)
    shop = open_shop(write_shop(tmp_path / "shop", **tables))
    found = collected(shop, PERIODS, METRICS, timezone)
    counted = 0
    for user in {*tables["events"]["user_id"], *tables["orders"]["user_id"]}:
        for k in range(len(PERIODS)):
            values, visits = by_loop(tables, user, PERIODS.window(k), timezone)
            if not visits:
                continue
            counted += 1
            row = found.loc[user, [f"{metric}_at_{k}" for metric in METRICS]].astype(float).tolist()
            assert row == pytest.approx([values[metric] for metric in METRICS], abs=1e-4, nan_ok=True), (user, k)
            if k:
                assert found.loc[user, f"is_visitor_{k}"] == any(one >= PERIODS.own(k)[0] for one in visits)
    assert counted > 200


def first_days(tables, timezone):
    """First visit or first activity in the data, by user."""
    found = {}
    moments = [(tables["users"], "first_seen_at"), (tables["events"], "event_at")]
    moments += [(tables["orders"], name) for name in ("submitted_at", "paid_at")]
    for table, column in moments:
        known = table.dropna(subset=column)
        for user, moment in zip(known["user_id"], local(known[column], timezone)):
            found[user] = min(found.get(user, moment), moment)
    return found


def moves_by_loop(tables, x, y, timezone, with_buyers_only):
    """Quadrants and moves of all users, one by one: {(period, from, to): users, stopped, before, after}."""
    first, moves, stock = first_days(tables, timezone), {}, {}
    for user in first:
        before, paid_before = None, 0.0
        side = {}
        for k in range(len(PERIODS)):
            values, visits = by_loop(tables, user, PERIODS.window(k), timezone)
            inside = values["orders"] > 0 if with_buyers_only else bool(visits)
            inside = inside and not any(is_own(one.metric) and np.isnan(values[one.metric]) for one in (x, y))
            now, paid = None, values["paid_amount"]
            if inside:
                words = []
                for line in (x, y):
                    band = line.hysteresis * abs(line.threshold)
                    value = values[line.metric]
                    if before is None:
                        is_high = value > line.threshold
                    elif side[line.metric]:
                        is_high = not value <= line.threshold - band
                    else:
                        is_high = value > line.threshold + band
                    side[line.metric] = is_high
                    words.append("high" if is_high else "low")
                now = "_".join(words)
                cell = stock.setdefault((k, now), [0, 0, 0.0])
                cell[0], cell[1], cell[2] = cell[0] + 1, cell[1] + values["orders"], cell[2] + paid
            if k and (before or now):
                origin = before or ("new" if first[user] >= PERIODS.own(k)[0] else "returned")
                is_stopped = before is not None and not any(one >= PERIODS.own(k)[0] for one in visits)
                cell = moves.setdefault((k, origin, now or "gone"), [0, 0, 0.0, 0.0])
                cell[0], cell[1] = cell[0] + 1, cell[1] + is_stopped
                cell[2], cell[3] = cell[2] + paid_before, cell[3] + paid
            before, paid_before = now, paid
    return stock, moves


NAMES = {**dict(enumerate(QUADRANTS, 1)), 0: "gone", 5: "new", 6: "returned"}


def moves_of_engine(shop, x, y, timezone, with_buyers_only):
    users, _ = windows_of(shop, PERIODS, (x.metric, y.metric), timezone)
    states = UserStates(users, PERIODS, x, y, with_buyers_only=with_buyers_only)
    sums = shop.collect(move_sums(states))
    stock = sums[sums["target"] > 0].groupby(["period_index", "target"], as_index=False).sum()
    moves = sums[sums["period_index"] > 0]
    columns = ["user_count", "order_count", "paid_amount"]
    found = {(row["period_index"], NAMES[row["target"]]): [row[one] for one in columns] for _, row in stock.iterrows()}
    columns = ["user_count", "stopped_count", "paid_before", "paid_amount"]
    return found, {
        (row["period_index"], NAMES[row["origin"]], NAMES[row["target"]]): [row[one] for one in columns]
        for _, row in moves.iterrows()
    }


CASES = [
    (Line("visit_days", 2.0, 0.3), Line("paid_amount", 40.0, 0.2), False),
    (Line("orders", 1.0, 0.0), Line("average_order_value", 45.0, 0.1), True),
    (Line("days_since_last_visit", 4.0, 0.3), Line("sessions", 2.0, 0.4), False),
    (Line("points", 4.0, 0.1), Line("categories_bought", 0.0, 0.5), False),
]


@pytest.mark.parametrize(("x", "y", "with_buyers_only"), CASES)
def test_moves_equal_a_loop(tmp_path, x, y, with_buyers_only):
    tables = random_tables(2)
    shop = open_shop(write_shop(tmp_path / "shop", **tables))
    stock, moves = moves_by_loop(tables, x, y, SHANGHAI, with_buyers_only)
    found_stock, found_moves = moves_of_engine(shop, x, y, SHANGHAI, with_buyers_only)
    assert len(moves) > 30
    assert {origin for _, origin, _ in moves} >= {"returned", "low_low"}
    for found, expected in ((found_stock, stock), (found_moves, moves)):
        assert found.keys() == expected.keys()
        for key, row in expected.items():
            assert found[key] == pytest.approx(row, abs=1e-3), key


@pytest.mark.parametrize("at_once", [1, 2, 60])
def test_moves_do_not_depend_on_how_many_periods_a_pass_takes(tmp_path, monkeypatch, at_once):
    shop = open_shop(write_shop(tmp_path / "shop", **random_tables(2)))
    expected = moves_of_engine(shop, *CASES[0][:2], SHANGHAI, False)
    monkeypatch.setattr(user_states, "_AT_ONCE", at_once)
    for found, known in zip(moves_of_engine(shop, *CASES[0][:2], SHANGHAI, False), expected, strict=True):
        assert found.keys() == known.keys()
        assert all(found[key] == pytest.approx(row, abs=1e-6) for key, row in known.items())


@pytest.mark.parametrize("last", ["2026-03-20", "2099-01-01"])
def test_a_user_has_one_row_a_day_with_the_next_day_however_far_it_is(tmp_path, last):
    """2099 lies beyond days of 16 bits."""
    shop = open_shop(
        write_shop(
            tmp_path / "shop",
            events=frame(
                "user_id event_at event",
                ("a", "2026-03-02 08:00", "view_item"),
                ("a", "2026-03-02 09:00", "view_item"),
                ("a", "2026-03-05 08:00", "view_item"),
                ("b", "2026-03-07 08:00", "view_item"),
            ),
            orders=frame(
                "order_id user_id submitted_at paid_at gross_amount",
                (1, "a", "2026-03-05 09:00", f"{last} 08:00", 10.0),
            ),
        )
    )
    rows = shop.collect(user_days(keyed(shop), shop.period(None, None, "UTC")))
    one = rows[rows["user_key"].map(rows["user_key"].value_counts()) > 1].sort_values("day")
    assert one["day"].tolist() == [day("2026-03-02"), day("2026-03-05"), day(last)]
    assert one["next_day"].tolist()[:2] == one["day"].tolist()[1:]
    assert one["next_day"].isna().tolist() == [False, False, True]
    assert len(rows) == 4


def test_an_id_that_users_lack_is_read_from_its_orders_or_events(tmp_path):
    tables = random_tables(5)
    found = []
    for people in (tables["users"], tables["users"].iloc[::3]):
        shop = open_shop(write_shop(tmp_path / f"shop{len(people)}", **(tables | {"users": people})))
        line = Line("visit_days", 2.0, 0.3), Line("paid_amount", 40.0, 0.2)
        users, own = windows_of(shop, PERIODS, ("visit_days", "paid_amount"), SHANGHAI)
        states = UserStates(users, PERIODS, *line)
        members = shop.collect(quadrant_members(states, own, shop.engine.user_bucket)).sort_values("user_id")
        found.append(members.drop(columns="user_key").reset_index(drop=True))
    assert len(found[0]) > 30
    pd.testing.assert_frame_equal(*found)


@pytest.mark.engine
def test_the_same_on_clickhouse(tmp_path):
    pytest.importorskip("chdb", reason=NEEDS_CHDB)
    folder = write_shop(tmp_path / "shop", **random_tables(3))
    shops = [open_shop(source) for source in (folder, f"chdb://{folder}")]
    tables = [collected(shop, PERIODS, METRICS, SHANGHAI) for shop in shops]
    pd.testing.assert_frame_equal(*tables, check_dtype=False, rtol=0, atol=1e-9)
    for x, y, with_buyers_only in CASES:
        found = [moves_of_engine(shop, x, y, SHANGHAI, with_buyers_only) for shop in shops]
        for one, other in zip(*found):
            assert one.keys() == other.keys()
            for key, row in one.items():
                assert row == pytest.approx(other[key], abs=1e-9), key


def test_ordered_values_are_exact(tmp_path):
    shop = open_shop(write_shop(tmp_path / "shop", **random_tables(4)))
    users, _ = windows_of(shop, PERIODS, ("visit_days", "paid_amount"), "UTC")
    inside = users["visit_days_2"] > 0
    known = shop.collect(users.filter(inside).select("visit_days_2", "paid_amount_2"))
    places = [0, 3, len(known) // 2, len(known) - 1]
    for metric in ("visit_days", "paid_amount"):
        row = shop.collect(ordered_values(users, metric, inside, PERIODS, 2, places)).iloc[0].tolist()
        assert row == np.sort(known[f"{metric}_2"].to_numpy(dtype=float))[places].tolist()
    ranges = shop.collect(value_range(users, ("visit_days", "paid_amount"), PERIODS, 2, with_buyers_only=False)).iloc[0]
    assert ranges["user_count"] == len(known)
    assert ranges["unknown_count"] == 0
    assert ranges[["least_0", "most_1"]].tolist() == [known["visit_days_2"].min(), known["paid_amount_2"].max()]
    assert ranges["mean_1"] == pytest.approx(known["paid_amount_2"].mean(), rel=1e-12)


def test_orders_alone_are_enough(tmp_path):
    tables = random_tables(5)
    shop = open_shop(write_shop(tmp_path / "shop", orders=tables["orders"]))
    users, _ = windows_of(shop, PERIODS, ("visit_days", "paid_amount"), "UTC")
    states = UserStates(users, PERIODS, Line("visit_days", 1.0, 0.0), Line("paid_amount", 40.0, 0.0))
    found = shop.collect(move_sums(states))
    assert found.loc[(found["period_index"] == 4) & (found["target"] > 0), "user_count"].sum() > 20


def test_events_alone_have_no_money(tmp_path):
    tables = random_tables(6)
    shop = open_shop(write_shop(tmp_path / "shop", events=tables["events"].drop(columns="session_id")))
    users, tables = windows_of(shop, PERIODS, ("visit_days", "sessions"), "UTC")
    states = UserStates(users, PERIODS, Line("visit_days", 1.0, 0.0), Line("sessions", 2.0, 0.0))
    sums = shop.collect(move_sums(states))
    assert sums["order_count"].sum() == sums["paid_amount"].sum() == 0
    # without sessions a user's local day is one
    values = shop.collect(users.select("visit_days_4", "sessions_4"))
    assert (values["visit_days_4"] == values["sessions_4"]).all()
