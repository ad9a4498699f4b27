"""Attribute conversions to slots, measure how slots are seen and clicked, and name those worth a look."""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from ibis import _

from workbench.analysis import Analysis
from workbench.contract import DIRECT, EVENT_RANK
from workbench.errors import ParameterError, nearest
from workbench.language import Language
from workbench.metrics.orders import paid_in_period, paid_orders
from workbench.metrics.touches import CreditModel, carried_by_users, conversions, credit_by_bucket, promotion_counts
from workbench.parameters import check_choices, check_names, check_positive, check_rate
from workbench.period import HOUR_MS, Period
from workbench.slot.findings import slot_findings, slot_headline
from workbench.slot.focus import slot_focus
from workbench.slot.notes import slot_notes
from workbench.source.shop import Shop
from workbench.stats.intervals import (
    MINIMUM_EFFECTIVE,
    effective_count,
    ratio_by_bucket,
    zero_share_upper,
)
from workbench.stats.tables import divide

MODELS: tuple[CreditModel, ...] = ("first", "last", "linear")


def attribute_slots(
    shop: Shop,
    *,
    start_date: str | None = None,
    end_date: str | None = None,
    timezone: str = "UTC",
    lang: Language = "en",
    confidence_level: float = 0.95,
    targets: Sequence[str] = ("purchase", "add_to_cart"),
    models: Sequence[CreditModel] = MODELS,
    lookback_hours: float = 168,
    reset_after_order: bool = True,
) -> Analysis:
    """Which place on the page really sells?

    Parameters
    ----------
    shop
        Needs ``events``; ``orders`` for purchases, ``slots`` for names and positions.
    start_date, end_date, timezone
        The period, ``start_date <= local day < end_date``, selects conversions; touches may lie before it.
    lang
        Language of the sentences.
    confidence_level
        Coverage of intervals.
    targets
        What is credited: ``purchase`` (paid orders), ``begin_checkout`` (submitted orders), or any event name.
    models
        ``first``, ``last``, ``linear``.
    lookback_hours
        A touch counts from this long before the conversion up to its instant, both included.
    reset_after_order
        Whether a touch must also lie after the user's previous paid order.

    Returns
    -------
    Analysis
        ``slot_metrics`` (one row per slot, by click_count), ``slot_credit`` (one row per target, model and
        slot, with ``(direct)``; credits sum to all conversions) and ``slot_focus`` (slots worth a look).

    Raises
    ------
    ParameterError, TableError
        If an argument or the data cannot be used.
    """
    check_rate("confidence_level", confidence_level)
    check_positive("lookback_hours", lookback_hours, "hours")
    check_choices("models", models, MODELS)
    check_names("models", models)
    check_names("targets", targets)
    shop.require("slot_attribution", "events")
    _check_targets(shop, targets)
    _check_reach(shop, lookback_hours)
    period = shop.period(start_date, end_date, timezone)
    names = slot_names(shop)
    counts = shop.collect(promotion_counts(shop.events, period, "slot_id"))
    counts["slot_id"] = counts["slot_id"].astype(str)
    metrics = _metrics(shop, counts, names, confidence_level)
    sums = {
        target: _credit_sums(shop, target, models, period, lookback_hours, reset_after_order)
        for target in targets
        if target not in ("purchase", "begin_checkout") or shop.has("orders")
    }
    carried = {target: _carried(shop, target, period) for target in sums}
    credit = _credit(shop, sums, metrics["slot_id"], carried, confidence_level, models)
    focus = slot_focus(metrics, counts, sums.get("purchase"), shop.has_money, models, confidence_level)
    has_orders = _has_paid_orders(shop, period)
    return Analysis(
        name="slot_attribution",
        lang=lang,
        period=period,
        tables={"slot_metrics": metrics, "slot_credit": credit, "slot_focus": focus},
        headline=slot_headline(metrics, credit, focus, period, lang, models, has_orders_table=shop.has("orders")),
        findings=slot_findings(metrics, credit, focus, lang, models),
        notes=slot_notes(shop, lang, targets, credit, carried, metrics, reset_after_order, lookback_hours),
        flags=shop.flags(period, lang, has_orders=has_orders),
    )


def _check_targets(shop: Shop, targets: Sequence[str]) -> None:
    """Refuse a target that neither the contract nor the data know."""
    unknown = [target for target in targets if target not in EVENT_RANK]
    if not unknown:
        return
    events = shop.events
    found = set(shop.collect(events.filter(events.event.isin(unknown)).select("event").distinct())["event"])
    for target in unknown:
        if target not in found:
            counted = events.group_by("event").aggregate(rows=_.count()).order_by([_.rows.desc(), "event"]).limit(200)
            names = shop.collect(counted)["event"].tolist()
            raise ParameterError(
                f'targets: no event "{target}" in the data{nearest(target, [*names, *EVENT_RANK], ".")} '
                f"There are: {', '.join(names[:12])}."
            )


def _check_reach(shop: Shop, lookback_hours: float) -> None:
    """Refuse a lookback that the engine's windows cannot reach."""
    longest = 2**31 / HOUR_MS
    if shop.engine.kind == "clickhouse" and lookback_hours > longest:
        raise ParameterError(
            f"lookback_hours is {lookback_hours:g}; on ClickHouse windows reach {int(longest)} hours. "
            "Shorten it, or open the same data with DuckDB."
        )


def _has_paid_orders(shop: Shop, period: Period) -> bool:
    if not shop.has("orders"):
        return False
    inside = paid_in_period(paid_orders(shop.orders), period)
    return bool(shop.collect(inside.aggregate(orders=inside.count()))["orders"].item())


def slot_names(shop: Shop) -> pd.DataFrame:
    """slot_id (text), slot_name, page, position, slot_kind of the slots that the source describes."""
    columns = ["slot_id", "slot_name", "page", "position", "slot_kind"]
    if not shop.has("slots"):
        return pd.DataFrame(columns=columns)
    slots = shop.slots
    found = shop.collect(slots.select("slot_id", "page", "position", slot_name=slots.name, slot_kind=slots.kind))
    return found.assign(slot_id=found["slot_id"].astype(str))[columns]


def _metrics(shop: Shop, counts: pd.DataFrame, names: pd.DataFrame, confidence_level: float) -> pd.DataFrame:
    """One row per slot that was seen or clicked in the period."""
    sums = counts.drop(columns="user_bucket").groupby("slot_id").sum()
    table = sums.join(names.set_index("slot_id"))
    table["slot_name"] = table["slot_name"].fillna(pd.Series(table.index, index=table.index))
    rate = divide(table["click_count"], table["impression_count"])
    wide = {
        name: counts.pivot(index="user_bucket", columns="slot_id", values=name).fillna(0)[table.index]
        for name in ("click_count", "impression_count")
    }
    impossible = table["click_count"] > table["impression_count"]
    with np.errstate(all="ignore"):
        found = ratio_by_bucket(wide["click_count"], wide["impression_count"], confidence_level=confidence_level)
    none = (table["click_count"] == 0) & (table["impression_count"] > 0)
    upper = np.where(none, zero_share_upper(table["viewer_count"], confidence_level=confidence_level), found.upper)
    lower = np.where(none, 0.0, found.lower)
    table["click_through_rate"] = rate.mask(impossible)
    table["ci_lower"] = pd.Series(lower, index=table.index).mask(impossible)
    table["ci_upper"] = pd.Series(upper, index=table.index).mask(impossible)
    table["clicks_per_clicker"] = divide(table["click_count"], table["clicker_count"])
    table["reason"] = pd.Series(None, index=table.index, dtype=object).mask(table["ci_lower"].isna(), "too_few_users")
    table["reason"] = table["reason"].mask(impossible, "clicks_above_exposures")
    if not shop.user_ids_known:
        table[["viewer_count", "clicker_count", "clicks_per_clicker"]] = float("nan")
    first = [
        "slot_name",
        "page",
        "position",
        "slot_kind",
        "impression_count",
        "click_count",
        "viewer_count",
        "clicker_count",
    ]
    table = table[[*first, "click_through_rate", "ci_lower", "ci_upper", "clicks_per_clicker", "reason"]]
    return table.reset_index().sort_values(["click_count", "slot_id"], ascending=[False, True]).reset_index(drop=True)


def _credit_sums(
    shop: Shop,
    target: str,
    models: Sequence[CreditModel],
    period: Period,
    lookback_hours: float,
    reset_after_order: bool,
) -> pd.DataFrame:
    """Credits by model, slot and bucket of users."""
    orders = shop.orders if shop.has("orders") else _no_orders(shop.events)
    return shop.collect(
        credit_by_bucket(
            shop.events,
            orders,
            target=target,
            models=models,
            period=period,
            lookback_hours=lookback_hours,
            reset_after_order=reset_after_order and shop.has("orders"),
        )
    )


def _no_orders(events: ir.Table) -> ir.Table:
    """An empty table in the shape of orders, for sources without any."""
    return events.filter(ibis.literal(False)).select(
        "user_id", "user_bucket", order_id=ibis.literal(""), paid_ms=events.event_ms, submitted_ms=events.event_ms
    )


def _has_amount(shop: Shop, target: str) -> bool:
    return target in ("purchase", "begin_checkout") and shop.has_money


def _carried(shop: Shop, target: str, period: Period) -> pd.Series:
    """How many users carry what is credited: their amount, or their conversions where there is none."""
    orders = shop.orders if shop.has("orders") else _no_orders(shop.events)
    converted = conversions(shop.events, orders, target, period)
    found = shop.collect(carried_by_users(converted, "amount" if _has_amount(shop, target) else "conversions"))
    return found.iloc[0].fillna(0.0)


def _credit(
    shop: Shop,
    sums: dict[str, pd.DataFrame],
    slots: pd.Series,
    carried: dict[str, pd.Series],
    confidence_level: float,
    models: Sequence[CreditModel],
) -> pd.DataFrame:
    """One row per target, model and slot; (direct) last."""
    parts = []
    for target, by_bucket in sums.items():
        few = effective_count(carried[target]["total"], carried[target]["total_of_squares"]) < MINIMUM_EFFECTIVE
        for model in models:
            mine = by_bucket[by_bucket["model"] == model]
            if mine.empty:
                continue
            credited = _credit_of(mine, slots, _has_amount(shop, target), confidence_level)
            if few:
                credited[["ci_lower", "ci_upper"]] = float("nan")
            parts.append(credited.assign(target=target, model=model))
    columns = ["target", "model", "credit_to", "credited_id", "conversion_credit", "amount_credit"]
    columns += ["conversion_share", "amount_share", "ci_lower", "ci_upper"]
    if not parts:
        return pd.DataFrame(columns=columns)
    return pd.concat(parts, ignore_index=True).assign(credit_to="slot_id")[columns]


def _credit_of(mine: pd.DataFrame, slots: pd.Series, has_amount: bool, confidence_level: float) -> pd.DataFrame:
    """Credits of one target and model with their shares; the interval is of the amount share where there is one."""
    wide = {
        name: mine.pivot(index="user_bucket", columns="credited_id", values=name).fillna(0.0)
        for name in ("conversion_credit", "amount_credit")
    }
    every = [*dict.fromkeys([*slots, *wide["conversion_credit"].columns, DIRECT])]
    wide = {name: table.reindex(columns=every, fill_value=0.0) for name, table in wide.items()}
    table = pd.DataFrame({name: one.sum() for name, one in wide.items()})
    table["conversion_share"] = table["conversion_credit"] / table["conversion_credit"].sum()
    if has_amount:
        table["amount_share"] = divide(
            table["amount_credit"], pd.Series(table["amount_credit"].sum(), index=table.index)
        )
    else:
        table[["amount_credit", "amount_share"]] = float("nan")
    measure = wide["amount_credit" if has_amount else "conversion_credit"]
    found = ratio_by_bucket(measure, measure.sum(axis=1).to_numpy()[:, None], confidence_level=confidence_level)
    table["ci_lower"], table["ci_upper"] = found.lower, found.upper
    order = table.assign(is_direct=table.index == DIRECT, size=-table["conversion_credit"], id=table.index)
    return table.loc[order.sort_values(["is_direct", "size", "id"]).index].rename_axis("credited_id").reset_index()
