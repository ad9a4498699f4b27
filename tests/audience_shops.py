"""Random shops for tests of tags and audiences, and the members of a window by rules of their own."""

import ibis
import numpy as np
import pandas as pd
from ibis import _

from workbench.metrics.audiences import activity
from workbench.period import DAY_MS
from workbench.user.audience import Window

FIRST = pd.Timestamp("2026-03-01", tz="UTC")
CATEGORIES = ("food", "toys", "books", "shoes")


def window_of(shop, end_date=None, days=28, timezone="UTC"):
    """The last ``days`` days before the end of the period."""
    period = shop.period(None, end_date, timezone)
    end_ms = min(period.end_ms, period.data_end_ms)
    return Window(period, end_ms - days * DAY_MS, end_ms)


def members_of(shop, window):
    """Users with activity in the window; high x: more than 4 rows of activity, high y: more than 50 paid."""
    seen = activity(shop.tables, window.start_ms, window.end_ms).group_by("user_id").aggregate(x_value=_.count())
    orders = shop.orders
    paid = orders.filter(orders.paid_ms >= window.start_ms, orders.paid_ms < window.end_ms)
    sums = paid.group_by("user_id").aggregate(order_count=_.count(), paid_amount=_.paid_amount.cast("float64").sum())
    joined = seen.left_join(sums.rename(buyer_id="user_id"), seen.user_id == sums.user_id)
    amount = joined.paid_amount.fill_null(0.0)
    quadrant = ibis.cases((joined.x_value > 4, "high_"), else_="low_") + ibis.cases((amount > 50, "high"), else_="low")
    members = joined.select(
        "user_id",
        user_bucket=shop.engine.user_bucket(joined.user_id),
        quadrant=quadrant,
        x_value=joined.x_value,
        y_value=amount,
        order_count=joined.order_count.fill_null(0),
        paid_amount=amount,
    )
    return shop.hold("test_members", members)


def random_tables(seed, users=300, days=60, whole_ids=False):
    """Users, events, orders and lines of ``days`` days from 1 March; some users are in no table of users."""
    rng = np.random.default_rng(seed)
    ids = np.arange(1, users + 1) if whole_ids else np.array([f"u{one:04d}" for one in range(users)])

    def moments(size):
        return FIRST + pd.to_timedelta(rng.integers(0, days * 24 * 60, size), unit="min")

    known = ids[: int(users * 0.95)]
    people = pd.DataFrame(
        {
            "user_id": known,
            "first_seen_at": FIRST,
            "channel": rng.choice(["ads", "mail", "search"], len(known)),
            "age_group": rng.choice(["18-24", "25-34", "35+"], len(known)),
            "region": rng.choice(["north", "south"], len(known)),
            "loyalty_points": rng.integers(0, 100, len(known)),
        }
    )
    people.loc[rng.random(len(known)) < 0.1, "channel"] = None
    size = users * 6
    weight = rng.gamma(0.7, size=users)
    events = pd.DataFrame(
        {
            "user_id": rng.choice(ids, size, p=weight / weight.sum()),
            "event_at": moments(size),
            "event": rng.choice(["page_view", "view_item", "add_to_cart", "select_promotion"], size),
        }
    )
    count = users * 2
    orders = pd.DataFrame(
        {
            "order_id": np.arange(count),
            "user_id": rng.choice(ids, count, p=weight / weight.sum()),
            "submitted_at": moments(count),
            "coupon_discount_amount": np.where(rng.random(count) < 0.4, 1.0, 0.0),
        }
    )
    orders["paid_at"] = (orders["submitted_at"] + pd.Timedelta(minutes=3)).where(rng.random(count) < 0.85)
    lines = pd.DataFrame({"order_id": np.repeat(np.arange(count), rng.integers(1, 4, count))})
    lines["line_no"] = lines.groupby("order_id").cumcount()
    lines["product_id"] = rng.integers(0, 40, len(lines))
    lines["category"] = rng.choice([*CATEGORIES, None], len(lines), p=[0.35, 0.25, 0.2, 0.1, 0.1])
    lines["quantity"] = rng.integers(1, 4, len(lines))
    lines["amount"] = rng.integers(100, 3_000, len(lines)) / 100
    orders["gross_amount"] = lines.groupby("order_id")["amount"].sum()
    orders["cost_amount"] = (orders["gross_amount"] * 0.6).round(2)
    products = pd.DataFrame({"product_id": np.arange(40), "category": np.resize(CATEGORIES, 40)})
    return {"users": people, "events": events, "orders": orders, "order_lines": lines, "products": products}
