"""The scorecard of coupons for any users within a blink: sums are held once by what users are chosen by."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd
from ibis import _
from ibis.expr.datatypes import DataType

from workbench.contract import UNKNOWN
from workbench.coupon.evaluation import NEEDED, evaluate_coupons, read_rules
from workbench.coupon.scorecard import (
    ACTIVE_WINDOW,
    CardSums,
    CouponTables,
    by_category,
    categorised,
    checked_ids,
    coupon_names,
    coupon_tables,
    scorecard_of,
)
from workbench.metrics import coupons as metrics
from workbench.metrics.orders import paid_in_period
from workbench.source.restriction import Segments, conditions
from workbench.source.shop import Shop

Answer = Callable[[Sequence[str]], dict[str, pd.DataFrame]]
_KEY = ["level", "group_id"]
_PARTS = {"level": "string", "group_id": "string", "category": "string", "user_bucket": "int64"}
_TOTALS = ["order_count", "paid_amount", "gross_amount"]


def live_tables(shop: Shop, parameters: Mapping[str, object]) -> Answer | None:
    """Hold the sums of a scorecard, so that other users cost a look at them instead of a new evaluation.

    Parameters
    ----------
    shop
        The shop with all its users.
    parameters
        Those of ``evaluate_coupons``; ``only_users`` among them does not matter, nor do those of experiments.

    Returns
    -------
    callable or None
        From ``only_users`` to ``coupon_scorecard``, equal to that of ``evaluate_coupons``; it raises its errors too. None
        where the shop has no users to choose from, no orders or no grants, and where a grant was used on the order of
        another user: whether it was used then rests on two users at once.

    Raises
    ------
    ParameterError
        If a parameter cannot be used, as in ``evaluate_coupons``.
    """
    asked: dict[str, Any] = {
        name: parameters.get(name, one.default) for name, one in inspect.signature(evaluate_coupons).parameters.items()
    }
    ignored = {"shop", "start_date", "end_date", "timezone", "lang", "only_users", "coupon_ids", "experiment_ids"}
    read_rules(**{name: value for name, value in asked.items() if name not in ignored})
    if not all(shop.has(name) for name in (*NEEDED[1:], "users")):
        return None
    period, coupon_ids = shop.period(asked["start_date"], asked["end_date"], asked["timezone"]), asked["coupon_ids"]
    tables, days = coupon_tables(shop, period, coupon_ids, asked["margin_rate"]), asked["repurchase_days"]
    if _of_two_users(tables):
        return None
    segments = Segments(shop)
    sums, check_ids = _held(tables, segments, days), _held_ids(tables, segments, coupon_ids)
    rows = {name: segments.counted(shop.tables[name]) for name in NEEDED[1:]}

    def answer(only_users: Sequence[str]) -> dict[str, pd.DataFrame]:
        chosen = segments.choose(asked_users := conditions(shop, only_users))
        if asked_users and any(not _of(one, chosen)["row_count"].sum() for one in rows.values()):
            shop.only(only_users).require(*NEEDED)
        check_ids()
        return {
            "coupon_scorecard": scorecard_of(
                tables, sums(chosen), days, asked["subsidy_limit"], asked["confidence_level"]
            )
        }

    return answer


def _of_two_users(tables: CouponTables) -> bool:
    """Whether a grant was used on an order that is not its user's."""
    used = tables.grants.select("order_id", holder_id="user_id").inner_join(tables.paid, "order_id")
    others = used.filter((used.user_id != used.holder_id).fill_null(True))
    return bool(tables.shop.collect(others.aggregate(rows=_.count()))["rows"].item())


def _held(tables: CouponTables, segments: Segments, days: Sequence[int]) -> Callable[[pd.Index], CardSums]:
    """Everything that adds up over users, by segment; from the segments chosen to the sums of their users."""
    shop, period, by = tables.shop, tables.period, ["user_segment"]
    products = shop.has("products", "category")
    orders, lines = segments.numbered(tables.by_level), categorised(shop)
    granted = segments.numbered(tables.grants)
    grants = metrics.grant_counts(granted, tables.used, period, [*by, "user_id"])
    held = {
        "grants": grants.mutate(
            level=ibis.literal("coupon"),
            group_id=grants.coupon_id,
            grant_squares=grants.granted_count * grants.granted_count,
        ).drop("user_id", "coupon_id"),
        "waits": metrics.waits(granted, tables.used, tables.coupons, period, by),
        "orders": metrics.order_sums(orders, period, by),
        "exits": metrics.buyer_exits(orders, period, days, by).drop("exit_day", "is_repurchase"),
    }
    counted = {"orders": segments.counted(paid_in_period(tables.paid, period), "paid_amount", "gross_amount")}
    if lines is not None:
        held["categories"] = metrics.category_amounts(segments.numbered(by_category(tables)), lines, period, by)
        lines = lines.left_join(shop.orders.select("order_id", "user_id"), "order_id")
        counted["lines"] = segments.counted(lines, apart=() if products else ("category",))
    if shop.has("events"):
        held["active"] = metrics.active_days(orders, shop.events, period, ACTIVE_WINDOW, by)
        counted["events"] = segments.counted(shop.events)
    waits = shop.hold("live_coupon_waits", held.pop("waits"))
    numbers = {name: _numbers(table) for name, table in held.items()}
    every = shop.hold("live_coupon_sums", _together(held))
    offered = int(shop.collect(shop.products.aggregate(count=_.category.nunique()))["count"].item()) if products else 0
    added = list(dict.fromkeys(chain(*numbers.values())))

    def together() -> ir.Table:
        some = segments.of(every)
        return some.group_by(["part", *_PARTS]).aggregate(**{name: some[name].sum() for name in added})

    ask_sums = shop.prepared(together)
    ask_waits = shop.prepared(lambda: metrics.median_waits(segments.of(waits), tables.coupons))

    def sums(chosen: pd.Index) -> CardSums:
        found = ask_sums()

        def part(name: str, *keys: str) -> pd.DataFrame:
            rows = found.loc[found["part"] == name, [*keys, *numbers[name]]].reset_index(drop=True)
            return rows.astype({one: "int64" for one, type_ in numbers[name].items() if type_.is_integer()})

        there = {name: _of(one, chosen) for name, one in counted.items()}
        has = {name: bool(one["row_count"].sum()) for name, one in there.items()}
        return CardSums(
            totals=there["orders"].rename(columns={"row_count": "order_count"})[_TOTALS].sum(),
            grants=part("grants", "group_id", "user_bucket").rename(columns={"group_id": "coupon_id"}),
            waits=ask_waits(),
            orders=part("orders", *_KEY, "user_bucket"),
            exits=part("exits", *_KEY),
            categories=part("categories", *_KEY, "category") if has.get("lines") else None,
            category_count=offered if products or not has.get("lines") else there["lines"]["category"].nunique(),
            active=part("active", *_KEY) if has.get("events") else None,
        )

    return sums


def _numbers(table: ir.Table) -> dict[str, DataType]:
    """What is added up."""
    return {
        name: type_
        for name, type_ in table.schema().items()
        if type_.is_numeric() and name not in ("user_segment", *_PARTS)
    }


def _together(tables: Mapping[str, ir.Table]) -> ir.Table:
    """The rows of all tables, with ``part``, whose they are: one question is answered sooner than five."""
    # Counts are held as floats: sums of whole numbers reach pandas one Python object each.
    types = _PARTS | {name: "float64" for table in tables.values() for name in _numbers(table)}
    each = []
    for part, table in tables.items():
        columns = {
            name: table[name].cast(type_) if name in table.columns else ibis.null(type_)
            for name, type_ in types.items()
        }
        each.append(table.select("user_segment", part=ibis.literal(part), **columns))
    return ibis.union(*each)


def _held_ids(tables: CouponTables, segments: Segments, coupon_ids: Sequence[str] | None) -> Callable[[], None]:
    """Refuses coupons that were not granted to the users chosen, where nothing else tells that there are such coupons."""
    shop, names = tables.shop, coupon_names(tables.shop)
    wanted = [coupon_ids] if isinstance(coupon_ids, str) else [str(one) for one in coupon_ids or ()]
    if set(wanted) <= set(names.index):
        return lambda: None
    grants = segments.numbered(shop.coupon_grants.mutate(coupon_id=_.coupon_id.cast("string").fill_null(UNKNOWN)))
    granted = shop.hold("live_coupon_ids", grants.select("coupon_id", "user_segment").distinct())
    ask = shop.prepared(lambda: segments.of(granted).select("coupon_id").distinct())

    def check() -> None:
        checked_ids(shop.name, ask()["coupon_id"], names, wanted)

    return check


def _of(rows: pd.DataFrame, segments: pd.Index) -> pd.DataFrame:
    return rows[rows["user_segment"].isin(segments)]
