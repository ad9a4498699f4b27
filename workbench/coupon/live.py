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
from workbench.source.restriction import COLUMNS, check_conditions, conditions, is_chosen, user_counts
from workbench.source.shop import Shop

Answer = Callable[[Sequence[str]], dict[str, pd.DataFrame]]
Chosen = Mapping[str, list[str]]
_ROW = "has_row"  # of users that a table of users tells of; only these can be chosen
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
    counts, sums = user_counts(shop), _held(tables, days)
    rows = {name: _rows(shop, shop.tables[name]) for name in NEEDED[1:]}
    check_ids = _held_ids(tables, coupon_ids)

    def answer(only_users: Sequence[str]) -> dict[str, pd.DataFrame]:
        chosen = conditions(shop, only_users)
        if chosen:
            check_conditions(shop, chosen, counts)
            if any(not _of(one, chosen)["row_count"].sum() for one in rows.values()):
                shop.only(only_users).require(*NEEDED)
        check_ids(chosen)
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


def _held(tables: CouponTables, days: Sequence[int]) -> Callable[[Chosen], CardSums]:
    """Everything that adds up over users, by what users are chosen by; from conditions to the sums of the users chosen."""
    shop, period, by = tables.shop, tables.period, [*_columns(tables.shop), _ROW]
    products = shop.has("products", "category")
    orders, lines = _with_users(shop, tables.by_level), categorised(shop)
    grants = metrics.grant_counts(_with_users(shop, tables.grants), tables.used, period, [*by, "user_id"])
    held = {
        "grants": grants.mutate(
            level=ibis.literal("coupon"),
            group_id=grants.coupon_id,
            grant_squares=grants.granted_count * grants.granted_count,
        ).drop("user_id", "coupon_id"),
        "waits": metrics.waits(_with_users(shop, tables.grants), tables.used, tables.coupons, period, by),
        "orders": metrics.order_sums(orders, period, by),
        "exits": metrics.buyer_exits(orders, period, days, by).drop("exit_day", "is_repurchase"),
    }
    counted = {"orders": _rows(shop, paid_in_period(tables.paid, period), "paid_amount", "gross_amount")}
    if lines is not None:
        held["categories"] = metrics.category_amounts(_with_users(shop, by_category(tables)), lines, period, by)
        lines = lines.left_join(shop.orders.select("order_id", "user_id"), "order_id")
        counted["lines"] = _rows(shop, lines, apart=() if products else ("category",))
    if shop.has("events"):
        held["active"] = metrics.active_days(orders, shop.events, period, ACTIVE_WINDOW, by)
        counted["events"] = _rows(shop, shop.events)
    waits = shop.hold("live_coupon_waits", held.pop("waits"))
    numbers = {name: _numbers(table) for name, table in held.items()}
    every = shop.hold("live_coupon_sums", _together(held, by))
    offered = int(shop.collect(shop.products.aggregate(count=_.category.nunique()))["count"].item()) if products else 0

    def sums(chosen: Chosen) -> CardSums:
        table = _chosen(every, chosen)
        added = {name: table[name].sum() for name in dict.fromkeys(chain(*numbers.values()))}
        found = shop.collect(table.group_by(["part", *_PARTS]).aggregate(**added))

        def part(name: str, *keys: str) -> pd.DataFrame:
            rows = found.loc[found["part"] == name, [*keys, *numbers[name]]].reset_index(drop=True)
            return rows.astype({one: "int64" for one, type_ in numbers[name].items() if type_.is_integer()})

        there = {name: _of(one, chosen) for name, one in counted.items()}
        has = {name: bool(one["row_count"].sum()) for name, one in there.items()}
        return CardSums(
            totals=there["orders"].rename(columns={"row_count": "order_count"})[_TOTALS].sum(),
            grants=part("grants", "group_id", "user_bucket").rename(columns={"group_id": "coupon_id"}),
            waits=shop.collect(metrics.median_waits(_chosen(waits, chosen), tables.coupons)),
            orders=part("orders", *_KEY, "user_bucket"),
            exits=part("exits", *_KEY),
            categories=part("categories", *_KEY, "category") if has.get("lines") else None,
            category_count=offered if products or not has.get("lines") else there["lines"]["category"].nunique(),
            active=part("active", *_KEY) if has.get("events") else None,
        )

    return sums


def _numbers(table: ir.Table) -> dict[str, DataType]:
    """What is added up."""
    return {name: type_ for name, type_ in table.schema().items() if type_.is_numeric() and name not in _PARTS}


def _together(tables: Mapping[str, ir.Table], by: Sequence[str]) -> ir.Table:
    """The rows of all tables, with ``part``, whose they are: one question is answered sooner than five."""
    # Counts are held as floats: sums of whole numbers reach pandas one Python object each.
    types = _PARTS | {name: "float64" for table in tables.values() for name in _numbers(table)}
    each = []
    for part, table in tables.items():
        columns = {
            name: table[name].cast(type_) if name in table.columns else ibis.null(type_)
            for name, type_ in types.items()
        }
        each.append(table.select(*by, part=ibis.literal(part), **columns))
    return ibis.union(*each)


def _held_ids(tables: CouponTables, coupon_ids: Sequence[str] | None) -> Callable[[Chosen], None]:
    """Refuses coupons that were not granted to the users chosen, where nothing else tells that there are such coupons."""
    shop, names = tables.shop, coupon_names(tables.shop)
    wanted = [coupon_ids] if isinstance(coupon_ids, str) else [str(one) for one in coupon_ids or ()]
    if set(wanted) <= set(names.index):
        return lambda _chosen: None
    grants = _with_users(shop, shop.coupon_grants.mutate(coupon_id=_.coupon_id.cast("string").fill_null(UNKNOWN)))
    granted = shop.hold("live_coupon_ids", grants.select("coupon_id", *_columns(shop), _ROW).distinct())

    def check(chosen: Chosen) -> None:
        ids = shop.collect(_chosen(granted, chosen).select("coupon_id").distinct())["coupon_id"]
        checked_ids(shop.name, ids, names, wanted)

    return check


def _columns(shop: Shop) -> list[str]:
    return [name for name in COLUMNS if shop.has("users", name)]


def _with_users(shop: Shop, table: ir.Table) -> ir.Table:
    """Rows of users with the columns that users are chosen by; null for users that no row of ``users`` tells of."""
    users = shop.users
    own = users.select(
        own_user_id=users.user_id,
        **{name: users[name].cast("string") for name in _columns(shop)},
        **{_ROW: ibis.literal("yes")},
    )
    return table.left_join(own, table.user_id == own.own_user_id).drop("own_user_id")


def _chosen(held: ir.Table, chosen: Chosen) -> ir.Table:
    return held.filter(held[_ROW] == "yes", *is_chosen(held, chosen)) if chosen else held


def _rows(shop: Shop, table: ir.Table, *amounts: str, apart: Sequence[str] = ()) -> pd.DataFrame:
    """How many rows, and what amounts, are of users with which values; the values as ``user_counts`` writes them."""
    by = [*_columns(shop), _ROW]
    sums = {name: table[name].sum() for name in amounts}
    counted = _with_users(shop, table.group_by(["user_id", *apart]).aggregate(row_count=table.count(), **sums))
    found = counted.group_by([*by, *apart]).aggregate(**{name: counted[name].sum() for name in ("row_count", *amounts)})
    return shop.collect(found.mutate(**{name: found[name].fill_null(UNKNOWN) for name in by}))


def _of(rows: pd.DataFrame, chosen: Chosen) -> pd.DataFrame:
    """The rows of users with these values."""
    if not chosen:
        return rows
    rows = rows[rows[_ROW] == "yes"]
    for column, values in chosen.items():
        rows = rows[rows[column].isin(values)]
    return rows
