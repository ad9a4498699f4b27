"""The sales picture of any users within a blink: sums are held once by what users are chosen by."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd

from workbench.contract import UNKNOWN
from workbench.metrics.sales import block_sums, counted_orders, visitor_sums
from workbench.period import Period
from workbench.sales.collect import Totals, asked_spans, block_start, make_totals, rows_there, spend_by_day
from workbench.sales.overview import QUESTION, Wishes, changes, overview_sales, read_wishes, watched_alerts
from workbench.sales.spans import Spans, find_spans
from workbench.source.restriction import COLUMNS, check_conditions, conditions, is_chosen, user_counts
from workbench.source.shop import Shop

Answer = Callable[[Sequence[str]], dict[str, pd.DataFrame]]
_ROW = "has_row"  # of users that a table of users tells of; only these can be chosen


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
    counts, rows = user_counts(shop), {name: _rows(shop, name) for name in ("orders", "events") if shop.has(name)}
    totals = _held(shop, period, spans, wishes) if spans.now is not None else None

    def answer(only_users: Sequence[str]) -> dict[str, pd.DataFrame]:
        chosen = conditions(shop, only_users)
        has_events = shop.has("events")
        if chosen:
            check_conditions(shop, chosen, counts)
            if not _count(rows["orders"], chosen):
                shop.only(only_users).require(QUESTION, "orders")
            has_events = has_events and bool(_count(rows["events"], chosen))
        found = totals(chosen, has_events) if totals is not None else None
        return {**changes(found, spans, wishes), **watched_alerts(found, spans, wishes).tables}

    return answer


def _held(shop: Shop, period: Period, spans: Spans, asked: Wishes) -> Callable[[Mapping[str, list[str]], bool], Totals]:
    """Sums of spans, days and weeks by what users are chosen by; from conditions to the totals of the users chosen."""
    assert spans.now is not None
    by = [*[name for name in COLUMNS if shop.has("users", name)], _ROW]
    tables = rows_there(shop)
    tables["users"] = tables["users"].mutate(**{_ROW: ibis.literal("yes")})
    orders = counted_orders(shop.orders, has_money=shop.has_money)
    names = list(asked_spans(spans))
    each = [
        visitor_sums(tables, orders, one.reach, asked.segment_by, by).mutate(span=ibis.literal(number, "int64"))
        for number, one in enumerate(asked_spans(spans).values())
    ]
    people = shop.hold("live_sales_users", ibis.union(*each) if len(each) > 1 else each[0])
    blocks = {
        days: shop.hold(
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

    def totals(chosen: Mapping[str, list[str]], has_events: bool) -> Totals:  # noqa: FBT001
        found = shop.collect(_summed(people, chosen, ["span", "segment", "user_bucket"]))
        frames = {name: found[found["span"] == number] for number, name in enumerate(names)}
        summed = {days: shop.collect(_summed(held, chosen, ["block", "segment"])) for days, held in blocks.items()}
        known = spend
        if chosen and spend is not None:  # of other conditions nobody knows their part
            is_known = set(chosen) == {"channel"} and bool(set(chosen["channel"]) & set(spending))
            known = spend[spend["channel"].isin(chosen["channel"])] if is_known else None
        return make_totals(shop, spans, frames, summed, known, has_events=has_events)

    return totals


def _summed(held: ir.Table, chosen: Mapping[str, list[str]], by: Sequence[str]) -> ir.Table:
    """The sums of some users by fewer columns."""
    table = held.filter(held[_ROW] == "yes", *is_chosen(held, chosen)) if chosen else held
    numbers = [name for name, type_ in held.schema().items() if type_.is_numeric() and name not in by]
    wide = {name: table[name].cast("float64") for name in numbers}  # sums of whole numbers reach pandas as objects
    return table.group_by(list(by)).aggregate(
        **{name: one.max() if name == "gross_largest" else one.sum() for name, one in wide.items()}
    )


def _rows(shop: Shop, name: str) -> pd.DataFrame:
    """How many rows of a table are of users with which values: as ``user_counts``, with row_count."""
    users, table = shop.tables["users"], shop.tables[name]
    by = [one for one in COLUMNS if shop.has("users", one)]
    known = users.select("user_id", **{one: users[one].cast("string").fill_null(UNKNOWN) for one in by})
    counted = table.group_by("user_id").aggregate(row_count=table.count()).inner_join(known, "user_id")
    return shop.collect(counted.group_by(by).aggregate(row_count=counted.row_count.sum()))


def _count(rows: pd.DataFrame, chosen: Mapping[str, list[str]]) -> int:
    """How many of the rows are of users with these values."""
    for column, values in chosen.items():
        rows = rows[rows[column].isin(values)]
    return int(rows["row_count"].sum())
