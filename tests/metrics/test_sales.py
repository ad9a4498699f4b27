"""Sums of the sales picture on both engines, by hand and against a loop."""

from datetime import date

import pandas as pd
import pytest
from sales_shops import hand_tables, random_tables
from shops import at, frame, write_shop

from workbench import open_shop
from workbench.metrics import sales
from workbench.period import to_ms

BEFORE = tuple(to_ms(at(day).to_pydatetime()) for day in ("2026-03-01", "2026-03-03"))
NOW = tuple(to_ms(at(day).to_pydatetime()) for day in ("2026-03-03", "2026-03-05"))


@pytest.fixture(scope="module", params=["", pytest.param("chdb://", marks=pytest.mark.engine)], ids=["duckdb", "chdb"])
def opened(request, tmp_path_factory):
    """Opens tables on the engine."""
    if request.param:
        pytest.importorskip("chdb", reason="chdb is not installed: pip install 'workbench[engines-test]'")

    def of(tables):
        return open_shop(f"{request.param}{write_shop(tmp_path_factory.mktemp('made') / 'shop', **tables)}")

    return of


@pytest.fixture(scope="module")
def shop(opened):
    return opened(hand_tables())


@pytest.fixture(scope="module")
def orders(shop):
    return sales.counted_orders(shop.orders, has_money=True)


def collected(shop, expression, *key):
    return shop.collect(expression).set_index(list(key)).sort_index()


def test_only_paid_orders_with_an_amount_count(shop, orders):
    assert sorted(shop.collect(orders)["order_id"]) == ["o1", "o2", "o3", "o4", "o5"]
    every = sales.counted_orders(shop.orders, has_money=False)
    assert sorted(shop.collect(every)["order_id"]) == ["o1", "o2", "o3", "o4", "o5", "o7"]
    assert shop.collect(sales.left_out_orders(shop.orders, NOW))["row_count"].item() == 1


def test_visitors_count_once_and_buyers_without_events_too(shop, orders):
    found = shop.collect(sales.visitor_sums(dict(shop.tables), orders, BEFORE, "channel"))
    names = ["visitor_count", "buyer_count", "order_count", "gross_amount", "net_amount", "gross_squares"]
    by_segment = found.groupby("segment")[names].sum()
    assert by_segment.loc["ads"].tolist() == [2, 1, 2, 150.0, 140.0, 22_500.0]
    assert by_segment.loc["web"].tolist() == [1, 0, 0, 0.0, 0.0, 0.0]
    assert by_segment.loc["(unknown)"].tolist() == [1, 1, 1, 50.0, 45.0, 2_500.0]  # u5 is not in users


@pytest.mark.parametrize("days", [1, 7])
def test_blocks_of_days_and_weeks_are_those_of_a_loop(opened, days):
    tables = random_tables(7)
    shop = opened(tables)
    first, end = date(2026, 3, 1), date(2026, 3, 29)
    period = shop.period(None, None, "Asia/Shanghai")
    orders = sales.counted_orders(shop.orders, has_money=True)
    lazy = sales.block_sums(dict(shop.tables), orders, period, "channel", first=first, end=end, days=days)
    found = collected(shop, lazy, "block", "segment")
    channel = tables["users"].set_index("user_id")["channel"]
    seen = [tables["events"][["user_id", "event_at"]].set_axis(["user", "at"], axis=1).assign(orders=0, gross=0.0)]
    paid = tables["orders"][["user_id", "paid_at", "gross_amount"]].set_axis(["user", "at", "gross"], axis=1)
    rows = pd.concat([*seen, paid.assign(orders=1)])
    local = rows["at"].dt.tz_convert("Asia/Shanghai").dt.date
    rows = rows[(local >= first) & (local < end)]
    rows["block"] = [(one - first).days // days for one in local[(local >= first) & (local < end)]]
    known = [channel.get(one) for one in rows["user"]]
    rows["segment"] = [one if isinstance(one, str) else "(unknown)" for one in known]
    for key, group in rows.groupby(["block", "segment"]):
        buyers = group[group["orders"] == 1]
        wanted = [group["user"].nunique(), buyers["user"].nunique(), len(buyers)]
        assert found.loc[key, ["visitor_count", "buyer_count", "order_count"]].tolist() == wanted, key
        if days == 1:
            assert found.loc[key, "gross_amount"] == pytest.approx(group["gross"].sum())
    assert len(found) == rows.groupby(["block", "segment"]).ngroups


def test_groups_take_the_region_of_the_order_then_of_the_buyer(shop, orders):
    found = collected(shop, sales.order_groups(dict(shop.tables), orders, [NOW, BEFORE]), "span", "channel", "region")
    assert found["gross_amount"].to_dict() == {
        (0, "ads", "N"): 120.0,
        (0, "ads", "S"): 80.0,
        (1, "(unknown)", "N"): 50.0,
        (1, "ads", "N"): 150.0,
    }
    assert found["costless_count"].sum() == 1


def test_lines_carry_their_share_of_discounts_and_costs(shop, orders):
    found = collected(shop, sales.product_sums(dict(shop.tables), orders, [NOW, BEFORE]), "span", "product_id")
    assert found.loc[(0, "A"), ["category", "line_count", "quantity"]].tolist() == ["food", 2, 3]
    assert found.loc[(0, "B"), ["gross_amount", "refund_amount", "cost_amount"]].tolist() == [30.0, 7.5, 15.0]
    assert found["net_amount"].groupby("span").sum().tolist() == pytest.approx([150.0, 185.0])


def test_clicks_at_the_same_instant_are_told_apart_by_seq(opened):
    tables = hand_tables()
    clicks = frame(
        "user_id event_at event seq page slot_id",
        ("u1", "2026-03-03 07:00", "select_promotion", 2, "home", "s2"),
        ("u1", "2026-03-03 07:00", "select_promotion", 1, "home", "s1"),
        ("u2", "2026-03-03 23:59", "select_promotion", 0, "home", "s1"),  # the day before the payment
    )
    shop = opened(tables | {"events": clicks})
    orders = sales.counted_orders(shop.orders, has_money=True)
    period = shop.period("2026-03-03", "2026-03-05", "UTC")
    found = shop.collect(sales.floor_sums(dict(shop.tables), orders, [NOW], period))
    assert found[["span", "page", "floor", "order_count", "net_amount"]].to_numpy().tolist() == [
        [0, "home", "2", 1, 70.0]
    ]


def test_stock_is_that_of_the_last_day(shop, orders):
    assert pd.Timestamp(shop.collect(sales.last_stock_day(shop.stock, date(2026, 3, 5)))["stock_date"].item()).day == 4
    levels = collected(shop, sales.stock_levels(shop.stock, date(2026, 3, 1), date(2026, 3, 4)), "product_id", "region")
    assert levels.loc[("A", "N")].tolist() == [2, 4, 3]
    assert ("B", "N") not in levels.index
    period = shop.period(None, None, "UTC")
    sold = sales.sold_pieces(dict(shop.tables), orders, date(2026, 3, 5), 4, period)
    assert collected(shop, sold, "product_id", "region")["sold_quantity"].to_dict() == {
        ("A", "N"): 3,
        ("A", "S"): 1,
        ("B", "N"): 2,
    }


def test_pairs_are_in_the_order_of_texts(shop, orders):
    baskets = sales.basket_lines(dict(shop.tables), orders, NOW, ["A", "B"])
    assert shop.collect(sales.basket_items(baskets)).groupby("product_id")["order_count"].sum().to_dict() == {
        "A": 2,
        "B": 1,
    }
    [pair] = shop.collect(sales.basket_pairs(baskets)).to_dict("records")
    assert (pair["product_id"], pair["other_id"], pair["order_count"]) == ("A", "B", 1)
    assert shop.collect(sales.basket_orders(orders, NOW))["order_count"].sum() == 2


def test_spend_is_summed_by_day_and_channel(shop):
    found = collected(shop, sales.daily_spend(shop.channel_spend, date(2026, 3, 1), date(2026, 3, 5)), "channel")
    assert found.groupby("channel")["spend_amount"].sum().to_dict() == {"ads": 10.0, "tv": 5.0}
