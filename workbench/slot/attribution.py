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
from workbench.language import Language, say
from workbench.metrics.orders import amount_by_user, paid_in_period, paid_orders
from workbench.metrics.touches import CreditModel, credit_by_bucket, promotion_counts
from workbench.parameters import check_choices, check_positive, check_rate
from workbench.period import Period
from workbench.slot.findings import slot_findings, slot_headline
from workbench.slot.focus import slot_focus
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
    shop.require("slot_attribution", "events")
    _check_targets(shop, targets)
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
    carried = _carried(shop, period)
    credit = _credit(shop, sums, metrics["slot_id"], carried, confidence_level, models)
    focus = slot_focus(metrics, counts, sums.get("purchase"), shop.has_money, models, confidence_level)
    has_orders = bool(carried is not None and carried["total"] == carried["total"])
    return Analysis(
        name="slot_attribution",
        lang=lang,
        period=period,
        tables={"slot_metrics": metrics, "slot_credit": credit, "slot_focus": focus},
        headline=slot_headline(metrics, credit, focus, period, lang, models),
        findings=slot_findings(metrics, credit, focus, lang, models),
        notes=_notes(shop, lang, targets, credit, carried, metrics, reset_after_order, lookback_hours),
        flags=shop.flags(period, lang, has_orders=has_orders),
    )


def _check_targets(shop: Shop, targets: Sequence[str]) -> None:
    """Refuse a target that neither the contract nor the data know."""
    unknown = [target for target in targets if target not in EVENT_RANK]
    if not unknown:
        return
    events = shop.events
    names = shop.collect(events.group_by("event").aggregate(rows=_.count()).order_by(_.rows.desc()).limit(200))[
        "event"
    ].tolist()
    for target in unknown:
        if target not in names:
            raise ParameterError(
                f'targets: no event "{target}" in the data{nearest(target, [*names, *EVENT_RANK], ".")} '
                f"There are: {', '.join(names[:12])}."
            )


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
    table["reason"] = pd.Series(None, index=table.index, dtype=object).mask(impossible, "clicks_above_exposures")
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


def _carried(shop: Shop, period: Period) -> pd.Series | None:
    """Totals that say how many buyers carry the amount; None without orders or money."""
    if not shop.has("orders"):
        return None
    return shop.collect(amount_by_user(paid_in_period(paid_orders(shop.orders), period))).iloc[0]


def _credit(
    shop: Shop,
    sums: dict[str, pd.DataFrame],
    slots: pd.Series,
    carried: pd.Series | None,
    confidence_level: float,
    models: Sequence[CreditModel],
) -> pd.DataFrame:
    """One row per target, model and slot; (direct) last."""
    parts = []
    for target, by_bucket in sums.items():
        has_amount = target in ("purchase", "begin_checkout") and shop.has_money
        for model in models:
            mine = by_bucket[by_bucket["model"] == model]
            if mine.empty:
                continue
            parts.append(
                _credit_of(mine, slots, has_amount, carried, confidence_level).assign(target=target, model=model)
            )
    columns = ["target", "model", "credit_to", "credited_id", "conversion_credit", "amount_credit"]
    columns += ["conversion_share", "amount_share", "ci_lower", "ci_upper"]
    if not parts:
        return pd.DataFrame(columns=columns)
    return pd.concat(parts, ignore_index=True).assign(credit_to="slot_id")[columns]


def _credit_of(
    mine: pd.DataFrame, slots: pd.Series, has_amount: bool, carried: pd.Series | None, confidence_level: float
) -> pd.DataFrame:
    """Credits of one target and model with their shares; the interval is of the amount share where there is one."""
    wide = {
        name: mine.pivot(index="user_bucket", columns="credited_id", values=name).fillna(0.0)
        for name in ("conversion_credit", "amount_credit")
    }
    every = [*dict.fromkeys([*slots, *wide["conversion_credit"].columns])]
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
    found = ratio_by_bucket(
        measure,
        np.repeat(measure.sum(axis=1).to_numpy()[:, None], len(every), axis=1),
        confidence_level=confidence_level,
    )
    table["ci_lower"], table["ci_upper"] = found.lower, found.upper
    if (
        has_amount
        and carried is not None
        and effective_count(carried["total"], carried["total_of_squares"]) < MINIMUM_EFFECTIVE
    ):
        table[["ci_lower", "ci_upper"]] = float("nan")
    order = table.assign(is_direct=table.index == DIRECT, size=-table["conversion_credit"], id=table.index)
    return table.loc[order.sort_values(["is_direct", "size", "id"]).index].rename_axis("credited_id").reset_index()


def _notes(
    shop: Shop,
    lang: Language,
    targets: Sequence[str],
    credit: pd.DataFrame,
    carried: pd.Series | None,
    metrics: pd.DataFrame,
    reset_after_order: bool,
    lookback_hours: float,
) -> tuple[str, ...]:
    notes = [
        say(
            lang,
            "Attribution is not incrementality: credit says which touches came before a sale, not which caused it.",
            "归因不等于增量：功劳只说明成交前接触过哪些坑位，不说明由谁带来。",
        ),
        say(
            lang,
            f"A click counts if it lies within {lookback_hours:g} hours before the conversion"
            + (" and after the user's previous paid order." if reset_after_order else "."),
            f"点击须在转化前 {lookback_hours:g} 小时内"
            + ("，且晚于该用户上一笔已支付订单。" if reset_after_order else "。"),
        ),
    ]
    for target in targets:
        if credit.empty or target not in set(credit["target"]):
            notes.append(
                say(lang, f"No {target} in the period: nothing to credit for it.", f"期内没有 {target}，无可归因。")
            )
    if carried is not None and carried["total"] and carried["total"] == carried["total"]:
        effective = effective_count(carried["total"], carried["total_of_squares"])
        if effective < MINIMUM_EFFECTIVE:
            share = carried["largest"] / carried["total"]
            notes.append(
                say(
                    lang,
                    f"No intervals of money: one buyer carries {share:.0%} of the paid amount.",
                    f"金额不给区间：单个买家占支付金额的 {share:.0%}。",
                )
            )
    if not shop.user_ids_known:
        notes.append(
            say(
                lang,
                "The source cannot tell people apart: counts of viewers and clickers are empty.",
                "数据源无法区分用户，曝光人数与点击人数为空。",
            )
        )
    if (metrics["reason"] == "clicks_above_exposures").any():
        notes.append(
            say(
                lang,
                "Slots with more clicks than exposures have no click-through rate: exposures are missing or sampled.",
                "点击多于曝光的坑位不给点击率：曝光缺失或被抽样。",
            )
        )
    if not shop.has("slots"):
        notes.append(
            say(
                lang,
                "No slots table: ids stand for names, and pages and positions are unknown.",
                "没有 slots 表，以编号代替名称，页面与位置未知。",
            )
        )
    if not shop.has("orders"):
        notes.append(
            say(
                lang,
                "No orders: purchases and money are off. Add orders to see what slots sell.",
                "没有 orders 表，无法计算成交与金额。",
            )
        )
    elif not shop.has_money:
        notes.append(say(lang, "orders carry no amounts: credit is in orders only.", "订单没有金额，仅按订单数归因。"))
    return tuple(notes)
