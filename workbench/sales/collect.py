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
class Totals:
    """What the picture, the parts of its change and the alerts are made from.

    Attributes
    ----------
    known
        What the source can tell.
    sums
        ``now``, and ``before`` and ``year`` where the data hold these days.
    blocks
        For 1 and 7 days one row per first day and segment: the sums of ``MEASURES``.
    spend
        Ad spend by date and channel; None where the shop has none.
    """

    known: Known
    sums: dict[str, Sums]
    blocks: dict[int, pd.DataFrame]
    spend: pd.DataFrame | None

    def whole_blocks(self, days: int) -> pd.DataFrame:
        """Sums of all segments by first day."""
        return self.blocks[days].groupby("first")[list(MEASURES)].sum()


@dataclass(frozen=True)
class Collected(Totals):
    """What the engine gave.

    Attributes
    ----------
    groups, products, floors
        Collected ``order_groups``, ``product_sums`` and ``floor_sums``; span 0 is the period, 1 the comparison.
    left_out
        Orders of the period without an amount, which count nowhere.
    """

    groups: pd.DataFrame
    products: pd.DataFrame
    floors: pd.DataFrame
    left_out: int


def collect_sales(shop: Shop, period: Period, spans: Spans, segment_by: str) -> Collected:
    """Ask the engine for everything but stock and baskets."""
    tables, now = rows_there(shop), spans.now
    assert now is not None
    orders = counted_orders(shop.orders, has_money=shop.has_money)
    frames = {
        name: shop.collect(visitor_sums(tables, orders, one.reach, segment_by))
        for name, one in asked_spans(spans).items()
    }
    reaches = [one.reach for one in (now, spans.before) if one is not None]
    groups = shop.collect(order_groups(tables, orders, reaches))
    products = _empty("span product_id category line_count quantity costless_count gross_amount net_amount")
    if shop.has("order_lines") and shop.has_money:
        products = shop.collect(product_sums(tables, orders, reaches))
    floors = _empty("span page floor order_count gross_amount net_amount")
    if shop.has("slots", "page") and shop.has("events", "slot_id"):
        floors = shop.collect(floor_sums(tables, orders, reaches, period))
    blocks = {
        days: shop.collect(
            block_sums(tables, orders, period, segment_by, first=block_start(spans, days), end=now.end, days=days)
        )
        for days in (1, 7)
    }
    left_out = 0
    if shop.has_money:
        left_out = int(shop.collect(left_out_orders(shop.orders, now.reach))["row_count"].item())
    found = make_totals(shop, spans, frames, blocks, spend_by_day(shop, spans), has_events=shop.has("events"))
    return Collected(
        found.known,
        found.sums,
        found.blocks,
        found.spend,
        groups=groups,
        products=products,
        floors=floors,
        left_out=left_out,
    )


def make_totals(
    shop: Shop,
    spans: Spans,
    frames: dict[str, pd.DataFrame],
    blocks: dict[int, pd.DataFrame],
    spend: pd.DataFrame | None,
    *,
    has_events: bool,
) -> Totals:
    """What collected sums say of people, money and days.

    Parameters
    ----------
    shop
        Tells whether it knows people and money.
    spans
        With a period.
    frames
        Collected ``visitor_sums`` by the names of ``asked_spans``.
    blocks
        Collected ``block_sums`` by days, those of ``block_start``.
    spend
        From ``spend_by_day``.
    has_events
        Whether anything at all is known of what these users looked at.
    """
    sees_visitors = has_events and _sees_visitors(frames)
    known = Known(visitors=sees_visitors, people=shop.user_ids_known, money=shop.has_money)
    daily, weekly = (_dated(blocks[days], spans, days) for days in (1, 7))
    sums = dict(zip(frames, aligned(list(frames.values())), strict=True))
    return Totals(known, sums, {1: daily, 7: _with_amounts(weekly, daily)}, spend)


def rows_there(shop: Shop) -> dict[str, ir.Table]:
    """The tables that have rows."""
    return {name: shop.tables[name] for name in shop.tables if shop.has(name)}


def asked_spans(spans: Spans) -> dict[str, Span]:
    """Those of ``now``, ``before`` and ``year`` that the data hold."""
    wanted = {"now": spans.now, "before": spans.before, "year": spans.year}
    return {name: one for name, one in wanted.items() if one is not None}


def spend_by_day(shop: Shop, spans: Spans) -> pd.DataFrame | None:
    """Ad spend by date and channel; None where the shop has none."""
    if not shop.has("channel_spend"):
        return None
    assert spans.now is not None
    last = max(one.end for one in (spans.now, spans.before) if one is not None)
    spend = shop.collect(daily_spend(shop.channel_spend, _first_day(spans) - timedelta(days=7), last))
    spend["date"] = pd.to_datetime(spend["date"]).dt.date
    return spend


def block_start(spans: Spans, days: int) -> date:
    """First day of the days, or of the weeks counted back from the end of the period."""
    assert spans.now is not None
    return spans.now.end - timedelta(days=days * ((spans.now.end - _first_day(spans)).days // days))


def _first_day(spans: Spans) -> date:
    """The first day that anything asks for."""
    assert spans.now is not None
    history = max(spans.data.first, spans.now.first - timedelta(days=HISTORY_DAYS))
    return min([history, *[one.first for one in asked_spans(spans).values()]])


def _sees_visitors(frames: dict[str, pd.DataFrame]) -> bool:
    """Whether each span has visitors who did not buy; where events are not recorded, buyers are all that is seen."""
    return all(
        one["visitor_count"].sum() > one["buyer_count"].sum() or not one["visitor_count"].sum()
        for name, one in frames.items()
        if name != "year"
    )


def _dated(found: pd.DataFrame, spans: Spans, days: int) -> pd.DataFrame:
    """Sums by the first day of each block, and segment."""
    start = block_start(spans, days)
    firsts = [start + timedelta(days=days * int(block)) for block in found["block"]]
    return found.drop(columns="block").assign(first=firsts).sort_values(["first", "segment"], ignore_index=True)


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
