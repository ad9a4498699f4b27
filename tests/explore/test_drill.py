"""What a slot shows, and which product a click leads to: counted by hand."""

import pytest
from shops import frame, write_shop

from workbench import open_shop
from workbench.explore.drill import content_products, slot_contents

COLUMNS = "user_id event_at event slot_id content_id product_id"
ASKED = {"start_date": None, "end_date": None, "timezone": "UTC", "only_users": [], "lookback_hours": 1}


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    rows = [
        ("u1", "2026-01-01 10:00", "view_promotion", "s1", "k1", None),
        ("u1", "2026-01-01 10:01", "view_promotion", "s1", "k1", None),
        ("u1", "2026-01-01 10:02", "select_promotion", "s1", "k1", None),
        ("u1", "2026-01-01 10:03", "view_item", None, None, "p1"),  # the first view after the click
        ("u1", "2026-01-01 10:04", "view_item", None, None, "p2"),  # the second does not count
        ("u2", "2026-01-01 11:00", "view_item", None, None, "p1"),  # before the click
        ("u2", "2026-01-01 11:01", "select_promotion", "s1", "k1", None),
        ("u2", "2026-01-01 11:30", "view_item", None, None, "p1"),
        ("u3", "2026-01-01 11:40", "view_item", None, None, "p1"),  # another user's
        ("u2", "2026-01-01 12:00", "select_promotion", "s2", "k2", None),
        ("u2", "2026-01-01 13:01", "view_item", None, None, "p3"),  # a minute too late
        ("u3", "2026-01-02 09:00", "select_promotion", "s2", "k1", None),
        ("u3", "2026-01-02 10:00", "view_item", None, None, "p2"),  # after the whole hour, still within
    ]
    contents = frame("content_id name", ("k1", "Coat"))
    products = frame("product_id name", ("p1", "Red coat"), ("p2", "Blue coat"))
    folder = tmp_path_factory.mktemp("little") / "shop"
    return open_shop(write_shop(folder, events=frame(COLUMNS, *rows), contents=contents, products=products))


def rows(table):
    return [tuple(row) for row in table.astype(object).where(table.notna(), None).itertuples(index=False)]


def test_contents_of_slots(little):
    assert rows(slot_contents(little, ASKED, {})) == [
        ("s1", "k1", "Coat", 2, 2, 1.0),
        ("s2", "k1", "Coat", 0, 1, None),
        ("s2", "k2", None, 0, 1, None),
    ]


def test_the_product_seen_next_within_the_lookback(little):
    assert rows(content_products(little, ASKED, {})) == [
        ("s1", "k1", "p1", "Red coat", 2, 2),
        ("s2", "k1", "p2", "Blue coat", 1, 1),
    ]


def test_only_what_was_picked_and_the_period_are_counted(little):
    assert [row[:3] for row in rows(content_products(little, ASKED, {"slot_id": ("s2",)}))] == [("s2", "k1", "p2")]
    first_day = ASKED | {"end_date": "2026-01-02"}
    assert [row[:3] for row in rows(content_products(little, first_day, {}))] == [("s1", "k1", "p1")]
    assert rows(slot_contents(little, ASKED, {"slot_id": ("s1",), "content_id": ("k2",)})) == []
