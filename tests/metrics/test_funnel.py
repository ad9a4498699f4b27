"""The funnel's best chain against every chain there is, and against ClickHouse's own function."""

import itertools

import numpy as np
import pandas as pd
import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.metrics.funnel import funnel_reach

STEPS = ["view_item", "add_to_cart", "purchase"]
START = pd.Timestamp("2026-03-01", tz="UTC")


def random_events(seed, users=60):
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        for _ in range(rng.integers(0, 10)):
            minute = int(rng.integers(0, 40))
            rows.append(
                (
                    f"u{user}",
                    START + pd.Timedelta(minutes=minute),
                    rng.choice([*STEPS, "search"]),
                    int(rng.integers(0, 2)),
                )
            )
    return frame("user_id event_at event seq", *rows).sample(frac=1, random_state=seed)


def longest_chain(events, window):
    """Try all chains in the total order (time, seq, rank) that fit the window."""
    order = events.assign(rank=events["event"].map({name: i for i, name in enumerate(STEPS)})).dropna(subset=["rank"])
    order = order.sort_values(["event_at", "seq", "rank"], kind="stable").reset_index(drop=True)
    best = 0
    for length in range(1, len(STEPS) + 1):
        places = [order.index[order["event"] == step].tolist() for step in STEPS[:length]]
        for chain in itertools.product(*places):
            rising = all(a < b for a, b in itertools.pairwise(chain))
            times = order.loc[list(chain), "event_at"]
            if rising and times.iloc[-1] - times.iloc[0] <= window:
                best = length
                break
    return best


def reach(shop, window_minutes):
    events = shop.events.mutate(everyone=shop.events.event.nullif(shop.events.event).fill_null("all"))
    return shop.collect(funnel_reach(events, STEPS, window_minutes * 60_000, "everyone")).iloc[0]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("window", [0, 3, 12])
def test_equals_every_chain_tried(tmp_path, seed, window):
    events = random_events(seed)
    found = reach(open_shop(write_shop(tmp_path / "shop", events=events)), window)
    best = events.groupby("user_id").apply(lambda one: longest_chain(one, pd.Timedelta(minutes=window)))
    assert [found[f"step_{k}"] for k in (1, 2, 3)] == [(best >= k).sum() for k in (1, 2, 3)]


@pytest.mark.engine
def test_equals_window_funnel_of_clickhouse(tmp_path):
    """windowFunnel on time packed with seq and rank: ts_ms * 2048 + seq, window * 2048 + 1023 (inclusive)."""
    client = pytest.importorskip("clickhouse_connect").get_client(interface="chdb")
    events = random_events(99, users=400)
    events["seq"] = events["seq"] * 8 + events["event"].map({name: i for i, name in enumerate(STEPS)}).fillna(7).astype(
        int
    )
    shop = open_shop(write_shop(tmp_path / "shop", events=events))
    conditions = ", ".join(f"event = '{step}'" for step in STEPS)
    query = f"""
        SELECT countIf(l >= 1), countIf(l >= 2), countIf(l >= 3) FROM (
            SELECT user_id, windowFunnel({7 * 60_000 * 2048 + 1023})(toUInt64(toUnixTimestamp64Milli(event_at) * 2048 + seq), {conditions}) AS l
            FROM file('{tmp_path}/shop/events.parquet', Parquet) GROUP BY user_id)
    """
    theirs = client.query(query).result_rows[0]
    found = reach(shop, 7)
    assert tuple(int(found[f"step_{k}"]) for k in (1, 2, 3)) == tuple(theirs)
    assert theirs[2] > 0


def test_ties_follow_seq_then_rank(tmp_path):
    """At one instant: u1 carts before viewing by seq; u2 by rank views, carts and buys."""
    noon = "2026-03-01 12:00"
    events = frame(
        "user_id event_at event seq",
        ("u1", noon, "view_item", 1),
        ("u1", noon, "add_to_cart", 0),
        ("u2", noon, "purchase", 0),
        ("u2", noon, "add_to_cart", 0),
        ("u2", noon, "view_item", 0),
    )
    found = reach(open_shop(write_shop(tmp_path / "shop", events=events)), 0)
    assert [found[f"step_{k}"] for k in (1, 2, 3)] == [2, 1, 1]
