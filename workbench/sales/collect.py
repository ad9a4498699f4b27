"""Everything the sales picture asks of the engine: a few grouped queries, small frames back."""

from dataclasses import dataclass
from datetime import date, timedelta

import ibis.expr.types as ir
import pandas as pd

from workbench.metrics.sales import (
    AMOUNTS,
    block_sums,
    counted_orders,
    daily_spend,
    floor_sums,
    left_out_orders,
    order_groups,
    product_sums,
    visitor_sums,
)
from workbench.period import Period
from workbench.sales.figures import MEASURES, Known, Sums, aligned
from workbench.sales.spans import Span, Spans
from workbench.source.shop import Shop

HISTORY_DAYS = 364
"""Days before the period from which alerts learn, at most."""


@dataclass(frozen=True)
class Collected:
    """What the engine gave.

    Attributes
    ----------
    known
        What the source can tell.
    sums
        ``now``, and ``before`` and ``year`` where the data hold these days.
    blocks
        For 1 and 7 days one row per first day and segment: the sums of ``MEASURES``.
    groups, products, floors
        Collected ``order_groups``, ``product_sums`` and ``floor_sums``; span 0 is the period, 1 the comparison.
    spend
        Ad spend by date and channel; None where the shop has none.
    left_out
        Orders of the period without an amount, which count nowhere.
    """

    known: Known
    sums: dict[str, Sums]
    blocks: dict[int, pd.DataFrame]
    groups: pd.DataFrame
    products: pd.DataFrame
    floors: pd.DataFrame
    spend: pd.DataFrame | None
    left_out: int

    def whole_blocks(self, days: int) -> pd.DataFrame:
        """Sums of all segments by first day."""
        return self.blocks[days].groupby("first")[list(MEASURES)].sum()


def collect_sales(shop: Shop, period: Period, spans: Spans, segment_by: str) -> Collected:
    """Ask the engine for everything but stock and baskets."""
    now = spans.now
    assert now is not None
    tables = {name: shop.tables[name] for name in shop.tables if shop.has(name)}
    orders = counted_orders(shop.orders, has_money=shop.has_money)
    wanted = {"now": now, "before": spans.before, "year": spans.year}
    frames = {
        name: shop.collect(visitor_sums(tables, orders, one.reach, segment_by))
        for name, one in wanted.items()
        if one is not None
    }
    known = Known(visitors=_sees_visitors(shop, frames), people=shop.user_ids_known, money=shop.has_money)
    compared = [one for one in (now, spans.before) if one is not None]
    reaches = [one.reach for one in compared]
    groups = shop.collect(order_groups(tables, orders, reaches))
    products = _empty("span product_id category line_count quantity costless_count gross_amount net_amount")
    if shop.has("order_lines") and shop.has_money:
        products = shop.collect(product_sums(tables, orders, reaches))
    floors = _empty("span page floor order_count gross_amount net_amount")
    if shop.has("slots", "page") and shop.has("events", "slot_id"):
        floors = shop.collect(floor_sums(tables, orders, reaches, period))
    first = min([_history_start(spans, now), *[one.first for one in wanted.values() if one is not None]])
    daily = _blocks(shop, tables, orders, period, segment_by, spans, first, 1)
    weekly = _with_amounts(_blocks(shop, tables, orders, period, segment_by, spans, first, 7), daily)
    spend, last = None, max(one.end for one in compared)
    if shop.has("channel_spend"):
        spend = shop.collect(daily_spend(shop.channel_spend, first - timedelta(days=7), last))
        spend["date"] = pd.to_datetime(spend["date"]).dt.date
    left_out = 0
    if shop.has_money:
        left_out = int(shop.collect(left_out_orders(shop.orders, now.reach))["row_count"].item())
    sums = dict(zip(frames, aligned(list(frames.values())), strict=True))
    return Collected(known, sums, {1: daily, 7: weekly}, groups, products, floors, spend, left_out)


def _sees_visitors(shop: Shop, frames: dict[str, pd.DataFrame]) -> bool:
    """Whether each span has visitors who did not buy; where events are not recorded, buyers are all that is seen."""
    return shop.has("events") and all(
        one["visitor_count"].sum() > one["buyer_count"].sum() or not one["visitor_count"].sum()
        for name, one in frames.items()
        if name != "year"
    )


def _history_start(spans: Spans, now: Span) -> date:
    return max(spans.data.first, now.first - timedelta(days=HISTORY_DAYS))


def _blocks(
    shop: Shop, tables: dict, orders: ir.Table, period: Period, segment_by: str, spans: Spans, first: date, days: int
) -> pd.DataFrame:
    """Sums of the days, or of the weeks counted back from the end of the period, by first day and segment."""
    now = spans.now
    assert now is not None
    count = (now.end - first).days // days
    start = now.end - timedelta(days=days * count)
    found = shop.collect(block_sums(tables, orders, period, segment_by, first=start, end=now.end, days=days))
    found["first"] = [start + timedelta(days=days * int(block)) for block in found["block"]]
    return found.drop(columns="block").sort_values(["first", "segment"], ignore_index=True)


def _with_amounts(weekly: pd.DataFrame, daily: pd.DataFrame) -> pd.DataFrame:
    """Weeks with the amounts of their days; people of a week are not those of its days."""
    if weekly.empty:
        return weekly.reindex(columns=daily.columns)
    start = weekly["first"].min()
    weeks = [start + timedelta(days=7 * ((one - start).days // 7)) for one in daily["first"]]
    sums = daily.assign(first=weeks).groupby(["first", "segment"])[list(AMOUNTS)].sum().reset_index()
    return weekly.merge(sums, on=["first", "segment"], how="left")


def _empty(columns: str) -> pd.DataFrame:
    numeric = {name: pd.Series(dtype=float) for name in columns.split()} | {
        name: pd.Series(dtype=float) for name in AMOUNTS
    }
    return pd.DataFrame(numeric)
