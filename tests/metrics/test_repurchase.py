"""Who bought again: later local day, exact window, only elapsed windows."""

from shops import frame, write_shop

from workbench import open_shop
from workbench.metrics.orders import first_payments, paid_orders
from workbench.metrics.repurchase import next_payments, repurchase_counts


def counts(tmp_path, timezone, *orders):
    rows = [(f"o{i}", user, paid, paid, 10.0) for i, (user, paid) in enumerate(orders)]
    shop = open_shop(
        write_shop(
            tmp_path / timezone.replace("/", "-"),
            orders=frame("order_id user_id submitted_at paid_at gross_amount", *rows),
        )
    )
    period = shop.period(None, None, timezone)
    paid = paid_orders(shop.orders)
    first = first_payments(paid)
    origins = first.select("user_id", origin_ms=first.first_paid_ms, everyone=first.user_id.length() * 0)
    found = repurchase_counts(next_payments(origins, paid, period, ["everyone"]), period, [7], ["everyone"])
    row = shop.collect(found).iloc[0]
    return int(row["eligible_7"]), int(row["repurchased_7"])


def test_worked_by_hand(tmp_path):
    """Data end on 20 March (exclusive). Windows of 7 days.

    a: again after 3 days -> counted          b: again the same day only -> not
    c: again after exactly 7 days -> not      d: again one second before 7 days -> counted
    e: first on 13 March 12:00, 7 days end on 20 March 12:00, after the data -> not eligible
    f: first on 19 March -> not eligible
    """
    orders = [
        ("a", "2026-03-01 10:00"),
        ("a", "2026-03-04 10:00"),
        ("b", "2026-03-01 10:00"),
        ("b", "2026-03-01 11:00"),
        ("c", "2026-03-01 10:00"),
        ("c", "2026-03-08 10:00"),
        ("d", "2026-03-01 10:00"),
        ("d", "2026-03-08 09:59:59"),
        ("e", "2026-03-13 12:00"),
        ("e", "2026-03-14 12:00"),
        ("f", "2026-03-19 12:00"),
    ]
    assert counts(tmp_path, "UTC", *orders) == (4, 2)


def test_the_day_is_the_shops(tmp_path):
    """15:00 and 17:00 UTC are one day in UTC and two in Shanghai (23:00 and 01:00)."""
    orders = [("a", "2026-03-01 15:00"), ("a", "2026-03-01 17:00"), ("b", "2026-03-20 01:00")]
    assert counts(tmp_path, "UTC", *orders) == (1, 0)
    assert counts(tmp_path, "Asia/Shanghai", *orders) == (1, 1)
