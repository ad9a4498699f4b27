"""For how many days is there stock, and what should be ordered?"""

from datetime import timedelta

import pandas as pd

from workbench.metrics.sales import counted_orders, last_stock_day, sold_pieces, stock_levels
from workbench.period import Period
from workbench.sales.spans import Span, Spans
from workbench.source.shop import Shop

LOOK_BACK_DAYS = 28
"""Demand is that of so many days before the end of the period."""
COVER_DAYS = 14
"""Stock should last for so many days; the hint fills it up to them."""
COLUMNS = [
    "product_id",
    "product_name",
    "region",
    "stock_date",
    "on_hand_quantity",
    "sold_quantity",
    "demand_per_day",
    "days_of_stock",
    "out_of_stock_days",
    "replenish_quantity",
    "at_risk_amount",
    "hint",
]


def stock_days(shop: Shop, period: Period, spans: Spans, names: dict[str, str]) -> pd.DataFrame:
    """One row per product and region that the last stock day lists, most money at risk first.

    Notes
    -----
    Demand per day = pieces sold in the region ÷ days, over the last ``LOOK_BACK_DAYS`` (fewer where the data are
    shorter) without those recorded with nothing on hand: what is not there cannot sell. Days of stock = pieces on hand ÷
    demand. Replenish = ``COVER_DAYS`` of demand less pieces on hand, rounded up. At risk = the gross amount that this
    demand brings in the days of ``COVER_DAYS`` after the stock ends. Goods on the way and delivery times are not known.
    """
    now = spans.now
    if now is None or not (shop.has("stock") and shop.has("order_lines")):
        return pd.DataFrame(columns=COLUMNS)
    last = pd.Timestamp(shop.collect(last_stock_day(shop.stock, now.end))["stock_date"].item())
    if pd.isna(last):
        return pd.DataFrame(columns=COLUMNS)
    window = _window(now, spans.data)
    levels = shop.collect(stock_levels(shop.stock, window.first, last.date()))
    tables = {name: shop.tables[name] for name in shop.tables if shop.has(name)}
    orders = counted_orders(shop.orders, has_money=False)
    sold = shop.collect(sold_pieces(tables, orders, window.end, window.days, period))
    table = levels.merge(sold, on=["product_id", "region"], how="left")
    return _judged(table.assign(stock_date=last.date().isoformat()), window.days, names)


def _window(now: Span, data: Span) -> Span:
    first = max(now.end - timedelta(days=LOOK_BACK_DAYS), data.first)
    return Span(first, now.end, now.start_ms, now.end_ms)


def _judged(table: pd.DataFrame, days: int, names: dict[str, str]) -> pd.DataFrame:
    sold, money = table["sold_quantity"].fillna(0.0).astype(float), table["sold_amount"]
    out = (table["recorded_count"] - table["stocked_count"]).clip(upper=days)
    open_days = (days - out).astype(float)
    demand = (sold / open_days.clip(lower=1.0)).where((open_days > 0) | (sold > 0))
    on_hand = table["on_hand_quantity"].astype(float)
    left = (on_hand / demand).where(demand > 0)
    missing = (COVER_DAYS * demand - on_hand).clip(lower=0.0)
    replenish = -(-missing.round(6) // 1)
    table = table.assign(
        product_name=[names.get(one, one) for one in table["product_id"]],
        sold_quantity=sold,
        demand_per_day=demand,
        days_of_stock=left,
        out_of_stock_days=out,
        replenish_quantity=replenish,
        at_risk_amount=(missing * money / sold.where(sold > 0)).where(demand > 0, 0.0).where(demand.notna()),
        hint="enough",
    )
    table.loc[replenish > 0, "hint"] = "order_soon"
    table.loc[left < COVER_DAYS / 2, "hint"] = "order_now"
    table.loc[demand == 0, "hint"] = "no_sales"
    table.loc[demand.isna(), "hint"] = "unknown"
    order = table["at_risk_amount"].fillna(-1.0)
    table = table.assign(_order=-order, _missing=-replenish.fillna(0.0))
    return table.sort_values(["_order", "_missing", "product_id", "region"], ignore_index=True)[COLUMNS]
