"""Steps after a click against a plain search for the earliest chain, by hand, and on both engines."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.metrics.slot_funnel import FUNNEL_STEPS, exposed_users, recorded_steps, slot_funnel

HOUR = 3_600_000
START = pd.Timestamp("2026-03-01", tz="UTC")
AFTER = FUNNEL_STEPS[2:]


def random_shop(folder, seed, users=60):
    """Few users, coarse times: many steps at the same instant and on the edge of the lookback."""
    rng = np.random.default_rng(seed)
    events, orders = [], []
    names = ["view_promotion", "select_promotion", "view_item", "add_to_cart", "begin_checkout", "purchase"]
    for user in range(users):
        for _ in range(rng.integers(0, 14)):
            name = rng.choice(names, p=[0.15, 0.3, 0.25, 0.16, 0.07, 0.07])
            slot = f"s{rng.integers(0, 4)}" if name.endswith("promotion") and rng.random() < 0.95 else None
            events.append((f"u{user}", START + pd.Timedelta(hours=int(rng.integers(0, 60))), name, slot))
        for number in range(rng.integers(0, 4)):
            submitted = START + pd.Timedelta(hours=int(rng.integers(0, 60)))
            paid = submitted + pd.Timedelta(hours=int(rng.integers(0, 3))) if rng.random() < 0.7 else None
            orders.append((f"o{user}-{number}", f"u{user}", submitted, paid, 5.0))
    folder = write_shop(
        folder,
        events=frame("user_id event_at event slot_id", *events).sample(frac=1, random_state=seed),
        orders=frame("order_id user_id submitted_at paid_at gross_amount", *orders),
    )
    return open_shop(folder)


def by_search(shop, steps, period, lookback_hours, with_orders):
    """From each click the first occurrence of each step at or after the one before, word for word."""
    events = shop.collect(shop.events)
    orders = shop.collect(shop.orders)
    instants = {}
    for step in steps:
        if with_orders and step in ("begin_checkout", "purchase"):
            column = "paid_ms" if step == "purchase" else "submitted_ms"
            table = orders[orders[column].notna()].rename(columns={column: "ms"})
        else:
            table = events[events["event"] == step].rename(columns={"event_ms": "ms"})
        instants[step] = table.groupby("user_id")["ms"].apply(sorted).to_dict()
    clicks = events[(events["event"] == "select_promotion") & events["slot_id"].notna()]
    clicks = clicks[(clicks["event_ms"] >= period.start_ms) & (clicks["event_ms"] < period.end_ms)]
    reached = {}
    for click in clicks.itertuples():
        users = reached.setdefault(click.slot_id, {step: set() for step in ("select_promotion", *steps)})
        users["select_promotion"].add(click.user_id)
        now = click.event_ms
        for step in steps:
            now = next((one for one in instants[step].get(click.user_id, []) if one >= now), None)
            if now is None or now > click.event_ms + lookback_hours * HOUR:
                break
            users[step].add(click.user_id)
    return {slot: {step: len(one) for step, one in users.items()} for slot, users in reached.items()}


@pytest.fixture(scope="module")
def random_shops(tmp_path_factory):
    return [random_shop(tmp_path_factory.mktemp("shops") / str(seed), seed) for seed in range(2)]


@pytest.mark.parametrize("with_orders", [True, False])
@pytest.mark.parametrize("steps", [AFTER, ("view_item", "purchase"), ("add_to_cart",), ()])
def test_windows_equal_the_search(random_shops, steps, with_orders):
    for shop in random_shops:
        for dates, hours in (((None, None), 7), (("2026-03-01", "2026-03-02"), 30)):
            period = shop.period(*dates, "Asia/Shanghai")
            lazy = slot_funnel(
                shop.events,
                shop.orders if with_orders else None,
                steps=steps,
                period=period,
                lookback_hours=hours,
            )
            found = shop.collect(lazy).set_index("slot_id").to_dict("index")
            expected = by_search(shop, steps, period, hours, with_orders)
            assert len(expected) == 4
            assert found == expected


def test_chains_by_hand(tmp_path):
    """Lookback 2 hours. a: u1 goes all the way within it, paying exactly at its end; u2 carts before the view, so
    only the view counts; u3's second click reaches the cart that the first is too early for; u4 only clicks.
    """
    events = [
        ("u1", "2026-03-01 10:00", "view_promotion", "a"),
        ("u1", "2026-03-01 10:00", "view_promotion", "a"),
        ("u9", "2026-03-01 10:00", "view_promotion", "a"),
        ("u1", "2026-03-01 10:00", "select_promotion", "a"),
        ("u1", "2026-03-01 10:00", "view_item", None),
        ("u1", "2026-03-01 10:00", "add_to_cart", None),
        ("u2", "2026-03-01 10:00", "select_promotion", "a"),
        ("u2", "2026-03-01 10:01", "add_to_cart", None),
        ("u2", "2026-03-01 10:02", "view_item", None),
        ("u3", "2026-03-01 06:00", "select_promotion", "a"),
        ("u3", "2026-03-01 10:00", "select_promotion", "a"),
        ("u3", "2026-03-01 10:30", "view_item", None),
        ("u3", "2026-03-01 10:40", "add_to_cart", None),
        ("u4", "2026-03-01 10:00", "select_promotion", "a"),
        ("u4", "2026-03-01 10:00", "select_promotion", None),
    ]
    orders = [
        ("1", "u1", "2026-03-01 11:00", "2026-03-01 12:00", 1.0),
        ("2", "u3", "2026-03-01 11:00", "2026-03-01 12:00:00.001", 1.0),
    ]
    shop = open_shop(
        write_shop(
            tmp_path,
            events=frame("user_id event_at event slot_id", *events),
            orders=frame("order_id user_id submitted_at paid_at gross_amount", *orders),
        )
    )
    period = shop.period(None, None, "UTC")
    found = shop.collect(slot_funnel(shop.events, shop.orders, period=period, lookback_hours=2))
    assert found.to_dict("records") == [
        # clickers u1 u2 u3 u4; views u1 u2 u3; carts u1 u3; submitted u1 u3; paid u1 (u3 a millisecond late)
        {
            "slot_id": "a",
            "select_promotion": 4,
            "view_item": 3,
            "add_to_cart": 2,
            "begin_checkout": 2,
            "purchase": 1,
        }
    ]
    assert shop.collect(exposed_users(shop.events, period)).to_dict("records") == [
        {"slot_id": "a", "view_promotion": 2}
    ]
    assert set(shop.collect(recorded_steps(shop.events))["event"]) == {
        "view_promotion",
        "select_promotion",
        "view_item",
        "add_to_cart",
    }


def test_a_longer_lookback_never_loses_users(random_shops):
    shop = random_shops[0]
    period = shop.period(None, None, "UTC")
    counts = [
        shop.collect(slot_funnel(shop.events, shop.orders, period=period, lookback_hours=hours))
        .set_index("slot_id")
        .sort_index()
        for hours in (1, 6, 48)
    ]
    for shorter, longer in pairwise(counts):
        assert (longer >= shorter).all(axis=None)
        assert (longer[list(AFTER)].sum() > shorter[list(AFTER)].sum()).any()
    for one in counts:
        assert (one[["select_promotion", *AFTER]].diff(axis=1).iloc[:, 1:] <= 0).all(axis=None)


def test_a_heavy_user_costs_no_more_than_his_rows(tmp_path):
    """20,000 clicks and 2,000 orders of one user: joined they would be 40 million rows."""
    seconds = pd.to_timedelta(np.arange(20_000) * 10, unit="s")
    clicks = pd.DataFrame({"user_id": "bot", "event_at": START + seconds, "event": "select_promotion", "slot_id": "a"})
    steps = [clicks[::10].assign(event=name, slot_id=None) for name in ("view_item", "add_to_cart")]
    orders = pd.DataFrame({"order_id": np.arange(2_000), "user_id": "bot", "submitted_at": START + seconds[::10]})
    orders = orders.assign(paid_at=orders["submitted_at"], gross_amount=1.0)
    shop = open_shop(write_shop(tmp_path, events=pd.concat([clicks, *steps], ignore_index=True), orders=orders))
    lazy = slot_funnel(shop.events, shop.orders, period=shop.period(None, None, "UTC"), lookback_hours=1000)
    assert shop.collect(lazy).iloc[0, 1:].tolist() == [1, 1, 1, 1, 1]


@pytest.mark.engine
def test_both_engines_count_the_same(small_folder):
    pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")
    tables = []
    for shop in (open_shop(small_folder), open_shop(f"chdb://{small_folder}")):
        period = shop.period("2026-03-10", None, "Asia/Shanghai")
        for lazy in (
            slot_funnel(shop.events, shop.orders, period=period, lookback_hours=168),
            slot_funnel(shop.events, None, steps=AFTER[1:], period=period, lookback_hours=24),
            exposed_users(shop.events, period),
        ):
            tables.append(shop.collect(lazy).sort_values("slot_id").reset_index(drop=True))
    for duckdb, clickhouse in zip(tables[:3], tables[3:], strict=True):
        assert len(duckdb) > 50
        pd.testing.assert_frame_equal(duckdb, clickhouse, check_dtype=False, rtol=0, atol=1e-9)
