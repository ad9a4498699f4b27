"""Credits of the window formulation against a plain loop over each conversion's touches."""

from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.metrics.touches import credit_by_bucket

HOUR = 3_600_000
START = pd.Timestamp("2026-03-01", tz="UTC")


def random_shop(folder, seed, users=40):
    """Few users, coarse times: many ties, touches on the window's edge, orders at the same instant."""
    rng = np.random.default_rng(seed)
    events, orders = [], []
    for user in range(users):
        for _ in range(rng.integers(0, 9)):
            hour = int(rng.integers(0, 30))
            name = rng.choice(["select_promotion", "view_promotion", "add_to_cart"], p=[0.5, 0.2, 0.3])
            slot = f"s{rng.integers(0, 5)}" if name != "add_to_cart" else None
            events.append((f"u{user}", START + pd.Timedelta(hours=hour), name, int(rng.integers(0, 3)), slot))
        for number in range(rng.integers(0, 4)):
            submitted = START + pd.Timedelta(hours=int(rng.integers(0, 30)))
            paid = submitted if rng.random() < 0.8 else None
            orders.append((f"o{user}-{number}", f"u{user}", submitted, paid, float(rng.integers(1, 100)), 0.5))
    shop = write_shop(
        folder,
        events=frame("user_id event_at event seq slot_id", *events).sample(frac=1, random_state=seed),
        orders=frame("order_id user_id submitted_at paid_at gross_amount other_discount_amount", *orders),
    )
    return open_shop(shop)


def by_loop(shop, target, model, lookback_hours, reset):
    """The rules word for word, one conversion at a time."""
    events, orders = shop.collect(shop.events), shop.collect(shop.orders)
    credit = defaultdict(lambda: np.zeros(2))
    if target == "purchase":
        paid = orders[orders["paid_ms"].notna()]
        found = [(r.user_id, r.paid_ms, r.order_id, r.paid_amount) for r in paid.itertuples()]
    else:
        chosen = events[events["event"] == target]
        found = [(r.user_id, r.event_ms, str(i), 0.0) for i, r in enumerate(chosen.itertuples())]
    for user, instant, key, amount in found:
        payments = orders[(orders["user_id"] == user) & orders["paid_ms"].notna()]
        if target == "purchase":
            before = payments[[(r.paid_ms, r.order_id) < (instant, key) for r in payments.itertuples()]]
        else:
            before = payments[payments["paid_ms"] < instant]
        barrier = before["paid_ms"].max() if reset and len(before) else -np.inf
        touches = events[
            (events["user_id"] == user)
            & (events["event"] == "select_promotion")
            & (events["event_ms"] <= instant)
            & (events["event_ms"] >= instant - lookback_hours * HOUR)
            & (events["event_ms"] > barrier)
        ].sort_values(["event_ms", "seq", "slot_id"])
        slots = touches["slot_id"].tolist()
        if not slots:
            credit["(direct)"] += (1, amount)
            continue
        weights = {
            "first": [1] + [0] * (len(slots) - 1),
            "last": [0] * (len(slots) - 1) + [1],
            "linear": [1 / len(slots)] * len(slots),
        }[model]
        for slot, weight in zip(slots, weights, strict=True):
            credit[slot] += np.array([weight, weight * amount])
    return {slot: values for slot, values in credit.items() if values[0]}


@pytest.mark.parametrize("target", ["purchase", "add_to_cart"])
@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("lookback_hours", [5, 1000])
def test_windows_equal_the_loop(tmp_path, target, reset, lookback_hours):
    for seed in range(3):
        shop = random_shop(tmp_path / str(seed), seed)
        period = shop.period(None, None, "UTC")
        models = ["first", "last", "linear"]
        found = shop.collect(
            credit_by_bucket(
                shop.events,
                shop.orders,
                target=target,
                models=models,
                period=period,
                lookback_hours=lookback_hours,
                reset_after_order=reset,
            )
        )
        totals = found.groupby(["model", "credited_id"])[["conversion_credit", "amount_credit"]].sum()
        for model in models:
            expected = by_loop(shop, target, model, lookback_hours, reset)
            mine = totals.loc[model]
            assert set(mine.index) == set(expected)
            for slot, values in expected.items():
                assert mine.loc[slot].to_numpy() == pytest.approx(values, abs=1e-9)


def test_two_touches_of_one_order(tmp_path):
    """u buys for 100 at hour 10 after clicks of a (hour 1) and b (hour 9); lookback 9 hours includes its edge."""
    hours = lambda h: START + pd.Timedelta(hours=h)  # noqa: E731
    shop = open_shop(
        write_shop(
            tmp_path,
            events=frame(
                "user_id event_at event slot_id",
                ("u", hours(1), "select_promotion", "a"),
                ("u", hours(9), "select_promotion", "b"),
                ("v", hours(9), "select_promotion", "b"),
            ),
            orders=frame(
                "order_id user_id submitted_at paid_at gross_amount",
                ("1", "u", hours(10), hours(10), 100.0),
                ("2", "u", hours(10), hours(10), 7.0),
                ("3", "w", hours(10), None, 9.0),
            ),
        )
    )
    found = shop.collect(
        credit_by_bucket(
            shop.events,
            shop.orders,
            target="purchase",
            models=["linear", "last"],
            period=shop.period(None, None, "UTC"),
            lookback_hours=9,
            reset_after_order=True,
        )
    )
    amounts = found.groupby(["model", "credited_id"])["amount_credit"].sum().to_dict()
    # order 1 takes both touches; order 2, paid at the same instant, comes after it and has none; order 3 is unpaid
    assert amounts == {
        ("linear", "a"): 50.0,
        ("linear", "b"): 50.0,
        ("linear", "(direct)"): 7.0,
        ("last", "b"): 100.0,
        ("last", "(direct)"): 7.0,
    }
