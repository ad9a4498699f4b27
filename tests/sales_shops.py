"""Shops for the tests of the sales picture: one worked out by hand, and random ones."""

import numpy as np
import pandas as pd
from shops import frame, write_shop

from workbench.sales import overview_sales

NOW = {"start_date": "2026-03-03", "end_date": "2026-03-05"}
AMOUNTS = (
    "gross_amount coupon_discount_amount other_discount_amount refund_amount platform_discount_amount cost_amount "
    "shipping_cost_amount platform_fee_amount"
)


def days(table, column="date"):
    return table.assign(**{column: pd.to_datetime(table[column]).dt.date})


def hand_tables():
    """Compared are 1-2 March (before) and 3-4 March (now), UTC.

    before: visitors u1, u2, u3 by events and u5 by an order; buyers u1 (two orders) and u5
    now:    visitors u1, u3, u4 by events and u2 by an order; buyers u1 and u2, one order each
    o6 is not paid; o7 is paid and has no amount.
    """
    orders = [
        ("o1", "u1", "2026-03-01 08:00", "2026-03-01 08:00", None, 100.0, 10.0, 0.0, 0.0, 0.0, 40.0, 5.0, 1.0),
        ("o2", "u1", "2026-03-02 08:00", "2026-03-02 08:00", None, 50.0, 0.0, 0.0, 0.0, 0.0, 20.0, 5.0, 1.0),
        ("o3", "u5", "2026-03-02 09:00", "2026-03-02 09:00", "N", 50.0, 0.0, 5.0, 0.0, 0.0, 20.0, 5.0, 1.0),
        ("o4", "u1", "2026-03-03 08:00", "2026-03-03 08:00", "N", 120.0, 20.0, 0.0, 30.0, 4.0, 60.0, 5.0, 2.0),
        ("o5", "u2", "2026-03-04 08:00", "2026-03-04 08:00", None, 80.0, 0.0, 0.0, 0.0, 0.0, None, 5.0, 1.0),
        ("o6", "u3", "2026-03-03 08:00", None, "N", 70.0, 0.0, 0.0, 0.0, 0.0, 30.0, 5.0, 1.0),
        ("o7", "u3", "2026-03-03 10:00", "2026-03-03 10:00", "N", None, None, None, None, None, None, None, None),
    ]
    return {
        "users": frame(
            "user_id first_seen_at channel region",
            ("u1", "2026-03-01", "ads", "N"),
            ("u2", "2026-03-01", "ads", "S"),
            ("u3", "2026-03-01", "web", "S"),
            ("u4", "2026-03-03", None, None),
        ),
        "orders": frame(f"order_id user_id submitted_at paid_at region {AMOUNTS}", *orders),
        "order_lines": frame(
            "order_id line_no product_id category quantity amount",
            ("o1", 1, "A", "food", 1, 100.0),
            ("o2", 1, "B", "toys", 1, 50.0),
            ("o3", 1, "C", "toys", 1, 50.0),
            ("o4", 1, "A", "food", 2, 90.0),
            ("o4", 2, "B", "toys", 1, 30.0),
            ("o5", 1, "A", "food", 1, 80.0),
        ),
        "events": frame(
            "user_id event_at event seq page slot_id",
            ("u1", "2026-03-01 07:00", "page_view", 0, "home", None),
            ("u1", "2026-03-02 07:00", "select_promotion", 0, "home", "s2"),
            ("u2", "2026-03-01 07:00", "page_view", 0, "home", None),
            ("u3", "2026-03-01 07:00", "page_view", 0, "home", None),
            ("u1", "2026-03-03 07:00", "select_promotion", 0, "home", "s2"),
            ("u1", "2026-03-03 07:30", "select_promotion", 0, "home", "s1"),
            ("u1", "2026-03-03 08:30", "select_promotion", 0, "home", "s2"),
            ("u1", "2026-03-04 07:00", "page_view", 0, "home", None),
            ("u3", "2026-03-03 07:00", "page_view", 0, "home", None),
            ("u4", "2026-03-03 07:00", "page_view", 0, "home", None),
            ("u2", "2026-03-03 07:00", "page_view", 0, "home", None),
        )[lambda t: ~((t["user_id"] == "u2") & (t["event_at"] > "2026-03-02"))],
        "slots": frame(
            "slot_id name page floor position", ("s1", "one", "home", "1", 1), ("s2", "two", "home", "2", 2)
        ),
        "products": frame("product_id name category", ("A", "apples", "food"), ("B", "balls", "toys")),
        "channel_spend": days(
            frame(
                "date channel spend_amount",
                ("2026-03-01", "ads", 4.0),
                ("2026-03-03", "ads", 6.0),
                ("2026-03-04", "tv", 5.0),
                ("2026-03-05", "ads", 99.0),
            )
        ),
        "stock": days(
            frame(
                "date product_id region on_hand_quantity",
                ("2026-03-01", "A", "N", 0),
                ("2026-03-02", "A", "N", 5),
                ("2026-03-03", "A", "N", 4),
                ("2026-03-04", "A", "N", 2),
                ("2026-03-04", "A", "S", 1),
                ("2026-03-04", "B", "S", 3),
                ("2026-03-03", "B", "N", 3),
                ("2026-03-05", "A", "N", 50),
            )
        ),
    }


def hand_shop(folder):
    return write_shop(folder, **hand_tables())


def random_tables(seed):
    """Some 200 users over four weeks: channels that come and go, days without anybody, users unknown to ``users``."""
    rng = np.random.default_rng(seed)
    users = [f"u{one:03}" for one in range(200)]
    channels = np.array(["ads", "web", "mail", None], dtype=object)[rng.integers(0, 4, 200)]
    channels[rng.random(200) < 0.1] = "new"
    start = pd.Timestamp("2026-03-01", tz="UTC")
    hours = {name: rng.integers(0, 28 * 24, 600 if name == "events" else 150) for name in ("events", "orders")}
    hours = {name: one[(one // 24 != 3) & (one // 24 != 17)] for name, one in hours.items()}
    first_half = {"ads": rng.random() < 0.5, "new": False}
    buyers = rng.integers(0, 230, len(hours["orders"]))
    visitors = rng.integers(0, 200, len(hours["events"]))

    def known(place, hour):
        channel = channels[place] if place < 200 else None
        return channel not in first_half or (hour < 14 * 24) == first_half[channel]

    visits = [
        (users[u], start + pd.Timedelta(hours=int(h)), "page_view")
        for u, h in zip(visitors, hours["events"])
        if known(u, h)
    ]
    amounts = rng.gamma(1.0, 80.0, len(buyers)).round(2)
    coupons, refunds = (amounts * rng.random(len(buyers)) * (rng.random(len(buyers)) < 0.3) / 2).round(2), amounts * 0
    refunds[rng.random(len(buyers)) < 0.1] = 1.0
    orders = [
        (f"o{i}", f"u{u:03}", start + pd.Timedelta(hours=int(h)), start + pd.Timedelta(hours=int(h)), amount, c, 0.0, r)
        for i, (u, h, amount, c, r) in enumerate(zip(buyers, hours["orders"], amounts, coupons, refunds))
        if known(u, h)
    ]
    return {
        "users": frame("user_id first_seen_at channel", *[(u, "2026-02-01", c) for u, c in zip(users, channels)]),
        "events": frame("user_id event_at event", *visits),
        "orders": frame(
            "order_id user_id submitted_at paid_at gross_amount coupon_discount_amount other_discount_amount refund_amount",
            *orders,
        ),
    }


def overview_of_the_week(shop, **asked):
    """Sales of the sample's week with the planted change."""
    return overview_sales(shop, start_date="2026-06-07", end_date="2026-06-14", **asked)
