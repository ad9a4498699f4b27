"""The sales picture of any users within a blink: sums are held once by what users are chosen by."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import ibis
import pandas as pd

from workbench.metrics.sales import block_sums, counted_orders, visitor_sums
from workbench.period import Period
from workbench.sales.collect import Totals, asked_spans, block_start, make_totals, rows_there, spend_by_day
from workbench.sales.overview import QUESTION, Wishes, changes, overview_sales, read_wishes, watched_alerts
from workbench.sales.spans import Spans, find_spans
from workbench.source.restriction import Segments, conditions
from workbench.source.shop import Shop

Answer = Callable[[Sequence[str]], dict[str, pd.DataFrame]]


def live_tables(shop: Shop, parameters: Mapping[str, object]) -> Answer | None:
    """Hold the sums of the sales picture, so that other users cost a look at them instead of a new picture.

    Parameters
    ----------
    shop
        The shop with all its users.
    parameters
        Those of ``overview_sales``; ``only_users`` among them does not matter.

    Returns
    -------
    callable or None
        From ``only_users`` to ``sales_kpis``, ``sales_contribution``, ``sales_alerts``, ``sales_watched`` and
        ``sales_history``, equal to those of ``overview_sales``; it raises its errors too. None where the shop has no
        users to choose from, or no orders.

    Raises
    ------
    ParameterError
        If a parameter cannot be used, as in ``overview_sales``.
    """
    asked: dict[str, Any] = {
        name: parameters.get(name, one.default) for name, one in inspect.signature(overview_sales).parameters.items()
    }
    wishes = read_wishes(**{name: asked[name] for name in inspect.signature(read_wishes).parameters})
    if not shop.has("orders") or not shop.has("users"):
        return None
    period = shop.period(asked["start_date"], asked["end_date"], asked["timezone"])
    spans = find_spans(period, asked["compare_to"])
    segments = Segments(shop)
    rows = {name: segments.counted(shop.tables[name]) for name in ("orders", "events") if shop.has(name)}
    totals = _held(shop, segments, period, spans, wishes) if spans.now is not None else None

    def answer(only_users: Sequence[str]) -> dict[str, pd.DataFrame]:
        numbers = segments.choose(chosen := conditions(shop, only_users))
        there = {name: one["user_segment"].isin(numbers).any() for name, one in rows.items()}
        if not there["orders"]:
            shop.only(only_users).require(QUESTION, "orders")
        has_events = bool(there.get("events"))
        found = totals(chosen, has_events) if totals is not None else None
        return {**changes(found, spans, wishes), **watched_alerts(found, spans, wishes).tables}

    return answer


def _held(
    shop: Shop, segments: Segments, period: Period, spans: Spans, asked: Wishes
) -> Callable[[Mapping[str, list[str]], bool], Totals]:
    """Sums of spans, days and weeks by segment; from conditions to the totals of the users chosen."""
    assert spans.now is not None
    by, tables = ["user_segment"], rows_there(shop)
    tables["users"] = segments.numbered(tables["users"])
    orders = counted_orders(shop.orders, has_money=shop.has_money)
    names = list(asked_spans(spans))
    each = [
        visitor_sums(tables, orders, one.reach, asked.segment_by, by).mutate(span=ibis.literal(number, "int64"))
        for number, one in enumerate(asked_spans(spans).values())
    ]
    people = segments.hold("live_sales_users", ibis.union(*each) if len(each) > 1 else each[0])
    blocks = {
        days: segments.hold(
            f"live_sales_blocks_{days}",
            block_sums(
                tables,
                orders,
                period,
                asked.segment_by,
                first=block_start(spans, days),
                end=spans.now.end,
                days=days,
                apart=by,
            ),
        )
        for days in (1, 7)
    }
    spend = spend_by_day(shop, spans)
    spending = shop.collect(shop.channel_spend.select("channel").distinct())["channel"] if spend is not None else ()

    ask_people = shop.prepared(lambda: segments.summed(people, ["span", "segment", "user_bucket"]))
    ask_blocks = {
        days: shop.prepared(partial(segments.summed, held, ["block", "segment"])) for days, held in blocks.items()
    }

    def totals(chosen: Mapping[str, list[str]], has_events: bool) -> Totals:  # noqa: FBT001
        found = ask_people()
        frames = {name: found[found["span"] == number] for number, name in enumerate(names)}
        summed = {days: ask() for days, ask in ask_blocks.items()}
        known = spend
        if chosen and spend is not None:  # of other conditions nobody knows their part
            is_known = set(chosen) == {"channel"} and bool(set(chosen["channel"]) & set(spending))
            known = spend[spend["channel"].isin(chosen["channel"])] if is_known else None
        return make_totals(shop, spans, frames, summed, known, has_events=has_events)

    return totals
