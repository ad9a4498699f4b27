"""Price bands by hand: quarters of products, each product once per user."""

from shops import frame, write_shop

from workbench import open_shop
from workbench.metrics.orders import paid_orders
from workbench.metrics.population import population_users
from workbench.metrics.prices import band_limits, price_bands, viewed_and_bought


def test_worked_by_hand(tmp_path):
    """p1 costs 1 (3 pieces for 3), p2 2.5, p3 20, p4 40; p5 was never sold and has no price; u2 is outside users."""
    orders = [(number, "u1", "2026-03-02", "2026-03-02", 65.5) for number in (1, 2)]
    orders += [(3, "u1", "2026-03-03", None, 40.0), (4, "u2", "2026-03-03", "2026-03-03", 2.5)]
    shop = open_shop(
        write_shop(
            tmp_path / "shop",
            users=frame("user_id first_seen_at channel", ("u1", "2026-03-01", "ads")),
            orders=frame("order_id user_id submitted_at paid_at gross_amount", *orders),
            order_lines=frame(
                "order_id line_no product_id quantity amount",
                (1, 1, "p1", 2, 2.0),
                (1, 2, "p2", 1, 2.5),
                (1, 3, "p3", 3, 61.0),
                (2, 1, "p1", 1, 1.0),
                (2, 2, "p3", 3, 59.0),
                (2, 3, "p2", 2, 5.5),
                (3, 1, "p4", 1, 40.0),
                (4, 1, "p2", 1, 2.0),
            ),
            events=frame(
                "user_id event_at event product_id",
                ("u1", "2026-03-01", "view_item", "p4"),
                ("u1", "2026-03-02", "view_item", "p4"),
                ("u1", "2026-03-02", "view_item", "p1"),
                ("u1", "2026-03-02", "view_item", "p5"),
                ("u1", "2026-03-02", "add_to_cart", "p3"),
                ("u1", "2026-03-02", "view_item", None),
            ),
        )
    )
    bands = price_bands(shop.order_lines)
    limits = shop.collect(band_limits(bands)).sort_values("band").to_numpy().tolist()
    assert limits == [[0, 100, 100, 1], [1, 250, 250, 1], [2, 2000, 2000, 1], [3, 4000, 4000, 1]]
    period = shop.period(None, None, "UTC")
    members = population_users(shop.tables, "new", period)
    found = shop.collect(
        viewed_and_bought(members, shop.events, shop.order_lines, paid_orders(shop.orders), bands, period)
    )
    rows = found.sort_values("band")[["channel", "band", "viewed_count", "bought_count"]].to_numpy().tolist()
    # p4 viewed twice counts once, and was not paid for; p1 to p3 were bought twice and count once
    assert rows == [["ads", -1, 1, 0], ["ads", 0, 1, 1], ["ads", 1, 0, 1], ["ads", 2, 0, 1], ["ads", 3, 1, 0]]
