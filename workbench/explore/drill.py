"""Tables that no report shows, made for whoever looks into one slot: its contents, and the products seen after them."""

from collections.abc import Mapping, Sequence

import ibis
import pandas as pd
from ibis import _

from workbench.contract import CLICK
from workbench.metrics.contents import content_slots
from workbench.period import HOUR_MS, Period
from workbench.source.shop import Shop

Picked = Mapping[str, Sequence[object]]
"""Values by column: only rows with one of them are wanted."""
MOST_ROWS = 5_000
"""A panel shows fifty; so many are fetched at most, those with most clicks."""


def slot_contents(shop: Shop, parameters: Mapping[str, object], picked: Picked) -> pd.DataFrame:
    """Which contents does each slot show, and which of them are clicked?

    Returns
    -------
    pandas.DataFrame
        One row per slot_id and content_id: content_name, impression_count, click_count, click_through_rate.
        Most clicks first.
    """
    names = ["slot_id", "content_id", "content_name", "impression_count", "click_count", "click_through_rate"]
    shop, period = _scope(shop, parameters)
    if not shop.has("events", "content_id", "slot_id"):
        return pd.DataFrame(columns=names)
    rows = content_slots(shop.events, period).filter(_.slot_id.notnull())
    shown = rows.impression_count.cast("float64").nullif(0)
    rated = _of_picked(rows.mutate(click_through_rate=rows.click_count / shown), picked)
    table = _named(shop, "contents", "content_id", rated)
    return shop.collect(table.select(names).order_by(_.click_count.desc(), _.slot_id, _.content_id).limit(MOST_ROWS))


def content_products(shop: Shop, parameters: Mapping[str, object], picked: Picked) -> pd.DataFrame:
    """Which products do users look at next after a click on a content?

    A click leads to the first product view of the same user that follows it within ``lookback_hours``.

    Returns
    -------
    pandas.DataFrame
        One row per slot_id, content_id and product_id: product_name, click_count, user_count. Most clicks first.
    """
    names = ["slot_id", "content_id", "product_id", "product_name", "click_count", "user_count"]
    full, (shop, period) = shop, _scope(shop, parameters)
    if not full.has("events", "content_id", "slot_id", "product_id"):
        return pd.DataFrame(columns=names)
    events, lookback = shop.events, float(str(parameters["lookback_hours"])) * HOUR_MS
    clicks = events.filter(
        _.event == CLICK,
        _.content_id.notnull(),
        _.slot_id.notnull(),
        _.event_ms >= period.start_ms,
        _.event_ms < period.end_ms,
    ).select("user_id", "event_ms", slot_id=_.slot_id.cast("string"), content_id=_.content_id.cast("string"))
    clicks = _of_picked(clicks, picked)
    seen = events.filter(_.event == "view_item", _.product_id.notnull()).view()
    seen = seen.select("user_id", "product_id", seen_ms=seen.event_ms)
    next_view = clicks.asof_join(seen, on=clicks.event_ms <= seen.seen_ms, predicates=[clicks.user_id == seen.user_id])
    reached = next_view.filter(_.product_id.notnull(), _.seen_ms - _.event_ms <= lookback)
    rows = reached.group_by(
        slot_id=_.slot_id, content_id=_.content_id, product_id=_.product_id.cast("string")
    ).aggregate(click_count=_.count(), user_count=_.user_id.nunique())
    table = _named(shop, "products", "product_id", rows)
    ordered = table.select(names).order_by(_.click_count.desc(), _.slot_id, _.content_id, _.product_id)
    return shop.collect(ordered.limit(MOST_ROWS))


def _of_picked(rows: ibis.Table, picked: Picked) -> ibis.Table:
    conditions = [rows[column].isin(list(values)) for column, values in picked.items() if column in rows.columns]
    return rows.filter(*conditions) if conditions else rows


def _scope(shop: Shop, parameters: Mapping[str, object]) -> tuple[Shop, Period]:
    """The chosen users' shop and the period, as the analysis sees them."""
    period = shop.period(parameters["start_date"], parameters["end_date"], str(parameters["timezone"]))
    return shop.only(list(parameters.get("only_users") or [])), period  # type: ignore[call-overload]


def _named(shop: Shop, table: str, key: str, rows: ibis.Table) -> ibis.Table:
    """The rows with the name of their key, null where the shop has none."""
    name = f"{key.removesuffix('_id')}_name"
    if not shop.has(table, "name"):
        return rows.mutate(**{name: ibis.null("string")})
    named = shop.tables[table].select(named_id=_[key].cast("string"), **{name: _.name})
    return rows.left_join(named, rows[key] == named.named_id).drop("named_id")
