"""Exposures and clicks by slot and bucket, and touches that name no slot."""

from shops import frame, write_shop

from workbench import open_shop
from workbench.metrics.touches import promotion_counts, unnamed_touches


def test_counts_by_hand(tmp_path):
    shop = open_shop(
        write_shop(
            tmp_path,
            events=frame(
                "user_id event_at event slot_id",
                ("u", "2026-03-01 10:00", "view_promotion", "a"),
                ("u", "2026-03-01 10:01", "view_promotion", "a"),
                ("u", "2026-03-01 10:02", "select_promotion", "a"),
                ("v", "2026-03-01 10:02", "view_promotion", "a"),
                ("v", "2026-03-01 10:03", "select_promotion", None),
                ("v", "2026-03-02 10:03", "select_promotion", None),
                ("v", "2026-03-01 10:04", "add_to_cart", "a"),
            ),
        )
    )
    period = shop.period("2026-03-01", "2026-03-02", "UTC")
    found = shop.collect(promotion_counts(shop.events, period, "slot_id"))
    names = ["impression_count", "click_count", "viewer_count", "clicker_count"]
    # u saw a twice and clicked it once, v saw it once; what names no slot counts for none
    assert found[names].sum().tolist() == [3, 1, 2, 1]
    assert shop.collect(unnamed_touches(shop.events, "select_promotion", period, contents_count=False))[
        "rows"
    ].tolist() == [1]
    assert shop.collect(unnamed_touches(shop.events, "view_promotion", period, contents_count=False))[
        "rows"
    ].tolist() == [0]
