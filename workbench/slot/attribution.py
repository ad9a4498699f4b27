"""Attribute conversions to slots under every model, and say which slots to change and why."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from ibis import _

from workbench.analysis import Analysis
from workbench.contract import CLICK, EVENT_RANK, EXPOSURE
from workbench.errors import ParameterError, nearest
from workbench.language import Language
from workbench.metrics.journeys import CreditTo, JourneyRules, Sales
from workbench.metrics.orders import paid_in_period, paid_orders
from workbench.metrics.touches import promotion_counts, unnamed_touches
from workbench.parameters import check_choices, check_names, check_positive, check_rate
from workbench.period import Period
from workbench.slot.attributable import attributable_rate
from workbench.slot.concentration import check_top_n, slot_concentration
from workbench.slot.content import content_metrics
from workbench.slot.credit import TargetSums, Weights, collect_target
from workbench.slot.findings import shown_model, slot_findings, slot_headline
from workbench.slot.focus import slot_focus
from workbench.slot.leak import slot_leak, slot_quadrants
from workbench.slot.model_error import model_error
from workbench.slot.notes import Facts, slot_notes
from workbench.slot.position import position_misfit
from workbench.slot.retention import slot_retention
from workbench.slot.shares import credit_tables, make_resampling, model_agreement
from workbench.source.shop import Shop
from workbench.stats.attribution import check_position_weights
from workbench.stats.intervals import MINIMUM_EFFECTIVE, ratio_by_bucket, zero_share_upper
from workbench.stats.tables import divide

MODELS: tuple[str, ...] = (
    "first",
    "last",
    "linear",
    "position_based",
    "time_decay",
    "participation",
    "shapley",
    "markov",
)
DEFAULT_MODELS = ("first", "last", "linear", "position_based", "time_decay", "markov")
TARGETS = ("view_item", "add_to_cart", "begin_checkout", "purchase")
CREDIT_TO = ("slot_id", "content_id", "page", "floor")
KEY_EVENTS = ("view_item", "add_to_cart")
MOST_COMPARED = 60
"""Slots compared in pairs at most."""
MOST_HALF_LIVES = 500
"""In a lookback of more half-lives than this, weights of early touches fall below what numbers hold."""


@dataclass(frozen=True)
class _Credits:
    """Credit of all targets, and of purchases by slot and by content for the tables about slots and contents."""

    every: dict[str, TargetSums]
    by_slot: TargetSums | None
    by_content: TargetSums | None


def attribute_slots(
    shop: Shop,
    *,
    start_date: str | None = None,
    end_date: str | None = None,
    timezone: str = "UTC",
    lang: Language = "en",
    confidence_level: float = 0.95,
    targets: Sequence[str] = TARGETS,
    models: Sequence[str] = DEFAULT_MODELS,
    touch: str = CLICK,
    credit_to: CreditTo = "slot_id",
    lookback_hours: float = 168,
    half_life_hours: float = 24,
    position_weights: Sequence[float] = (0.4, 0.2, 0.4),
    key_event: str | None = None,
    match_on: Literal["product_id"] | None = None,
    reset_after_order: bool = True,
    net_of_refunds: bool = False,
    top_n: int = 30,
    markov_states: int = 500,
    bootstrap_replicates: int = 2000,
    seed: int = 0,
) -> Analysis:
    """Which place on the page really sells, and where does it leak?

    Parameters
    ----------
    shop
        Needs ``events``; ``orders`` for purchases, ``order_lines`` for ``match_on``, ``slots`` for names and positions.
    start_date, end_date, timezone
        The period, ``start_date <= local day < end_date``, selects conversions; touches may lie before it.
    lang
        Language of the sentences.
    confidence_level
        Coverage of intervals.
    targets
        What is credited: ``purchase`` (paid orders), ``begin_checkout`` (submitted orders), or any event name.
    models
        How credit is shared: see ``MODELS``.
    touch
        ``select_promotion`` (a click counts) or ``view_promotion`` (an exposure counts).
    credit_to
        What credit goes to: ``slot_id``, ``content_id``, ``page`` or ``floor`` of the touch's slot.
    lookback_hours
        A touch counts from this long before the conversion up to its instant, both included.
    half_life_hours
        ``time_decay``: a touch this much earlier weighs half.
    position_weights
        ``position_based``: weights of the first touch, all middle ones together, the last; they sum to 1.
    key_event
        ``view_item`` or ``add_to_cart`` must lie between the touch and the conversion; None: nothing need.
    match_on
        ``product_id``: order lines are attributed, to touches (or key events) of their own product.
    reset_after_order
        Whether a touch must also lie after the user's previous paid order.
    net_of_refunds
        Whether refunds are taken off the amount of purchases.
    top_n
        So many page positions are held against the benchmark; so many slots (at most 60) are compared in pairs.
    markov_states
        Most states of the Markov chain; where more were touched, the less touched become ``(other)``.
    bootstrap_replicates
        How often users' buckets are drawn again for intervals; 0: no intervals of credit.
    seed
        Seed of these draws.

    Returns
    -------
    Analysis
        slot_metrics, slot_credit, slot_focus, slot_differences, slot_ranks, slot_leak, slot_quadrants,
        slot_concentration, position_misfit, content_metrics, slot_retention, model_agreement, attributable_rate,
        and model_error where the shop is simulated and its truth known.

    Raises
    ------
    ParameterError, TableError
        If an argument or the data cannot be used.
    """
    rules = JourneyRules(touch, credit_to, lookback_hours, key_event, match_on, reset_after_order, net_of_refunds)
    weights = Weights(half_life_hours, tuple(position_weights), markov_states)  # type: ignore[arg-type]
    _check(rules, weights, models, targets, confidence_level, top_n, bootstrap_replicates, seed)
    shop.require("slot_attribution", "events")
    _check_data(shop, rules, targets)
    period = shop.period(start_date, end_date, timezone)
    sales = _sales(shop)
    resampling = make_resampling(bootstrap_replicates, seed, confidence_level)
    names = slot_names(shop)
    counts = shop.collect(promotion_counts(shop.events, period, "slot_id"))
    counts["slot_id"] = counts["slot_id"].astype(str)
    credits = _collect(shop, sales, rules, targets, models, period, weights, bootstrap_replicates > 0, confidence_level)
    known = counts["slot_id"].unique().tolist() if credit_to == "slot_id" else []
    credit, differences, ranks = credit_tables(
        credits.every.values(),
        models,
        known,
        resampling,
        credit_to=credit_to,
        compared_model=shown_model(models),
        most_compared=min(max(top_n, 2), MOST_COMPARED),
    )
    by_slot = credits.by_slot
    model = shown_model(models)
    metrics = _with_sales(_metrics(shop, counts, names, confidence_level), by_slot, model)
    shares = credit[(credit["model"] == model) & (credit["credit_to"] == "slot_id")]
    amounts = _amount_by_slot(by_slot, model)
    leak = slot_leak(
        shop,
        period,
        names,
        lookback_hours=lookback_hours,
        credit=shares[["target", "credited_id", "conversion_share"]],
        amount_by_slot=amounts,
        confidence_level=confidence_level,
    )
    enough = by_slot is not None and by_slot.effective >= MINIMUM_EFFECTIVE
    own_ranks = ranks[(ranks["model"] == model) & (credit_to == "slot_id")]
    focus = slot_focus(
        metrics,
        counts,
        _long(by_slot, model) if touch == CLICK else None,
        shop.has_money and enough,
        leak.table,
        own_ranks,
        confidence_level,
    )
    orders_by_slot = _by_bucket(by_slot, model, "conversions")
    content = content_metrics(
        shop, period, credit=_content_credit(credits.by_content, model), confidence_level=confidence_level
    )
    retention = slot_retention(shop, period, names, touch=touch, confidence_level=confidence_level)
    whole = start_date is None and end_date is None
    tables = {
        "slot_metrics": metrics,
        "slot_credit": credit,
        "slot_focus": focus,
        "slot_differences": differences,
        "slot_ranks": ranks,
        "slot_leak": leak.table,
        "slot_quadrants": slot_quadrants(leak.table),
        "slot_concentration": slot_concentration(
            _by_bucket(by_slot, model, by_slot.measure if by_slot else "conversions"),
            names,
            resampling.weights if enough else None,
            top_n=top_n,
            confidence_level=confidence_level,
        ),
        "position_misfit": position_misfit(
            orders_by_slot, names, resampling.weights if enough else None, confidence_level=confidence_level
        ),
        "content_metrics": content.table,
        "slot_retention": retention.table,
        "model_agreement": model_agreement(credit),
        "attributable_rate": attributable_rate(shop, sales, rules, period),
        "model_error": model_error(credit, shop.truth if whole else None),
    }
    paid, nobody = _paid_counts(shop, period)
    facts = Facts(
        rules=rules,
        models=tuple(models),
        targets=tuple(targets),
        sums=credits.every,
        has_intervals=bootstrap_replicates > 0,
        markov_states=markov_states,
        unnamed_count=_unnamed(shop, rules, period),
        user_ids_known=shop.user_ids_known,
        nobody_share=nobody / paid if paid else 0.0,
        floors_are_shared=credit_to == "floor" and names["page"].nunique() > 1,
        leak=leak,
        retention=retention,
        content=content,
    )
    return Analysis(
        name="slot_attribution",
        lang=lang,
        period=period,
        tables=tables,
        headline=slot_headline(tables, period, lang, models, facts, top_n=top_n, has_orders_table=shop.has("orders")),
        findings=slot_findings(tables, lang, models, facts, top_n=top_n),
        notes=slot_notes(shop, lang, tables, facts),
        flags=shop.flags(period, lang, has_orders=paid > 0),
    )


# -- checks ------------------------------------------------------------------------------------------------


def _check(
    rules: JourneyRules,
    weights: Weights,
    models: Sequence[str],
    targets: Sequence[str],
    confidence_level: float,
    top_n: int,
    bootstrap_replicates: int,
    seed: int,
) -> None:
    """Refuse arguments that cannot be used, before any query."""
    for name, words in (("targets", targets), ("models", models)):
        if isinstance(words, str):
            raise ParameterError(f'{name} is the text "{words}"; give a list: ["{words}"].')
    if rules.touch in targets:
        raise ParameterError(
            f"targets: {rules.touch} is what touches are; every touch would earn itself. Leave it out of the targets."
        )
    check_rate("confidence_level", confidence_level)
    check_positive("lookback_hours", rules.lookback_hours, "hours")
    check_positive("half_life_hours", weights.half_life_hours, "hours")
    check_position_weights(weights.position_weights)
    check_choices("models", models, MODELS)
    check_names("models", models)
    check_names("targets", targets)
    check_choices("touch", [rules.touch], (CLICK, EXPOSURE))
    check_choices("credit_to", [rules.credit_to], CREDIT_TO)
    check_top_n(top_n)
    if rules.key_event is not None:
        check_choices("key_event", [rules.key_event], KEY_EVENTS)
    if rules.match_on is not None:
        check_choices("match_on", [rules.match_on], ("product_id",))
    for name, given, least in (
        ("seed", seed, 0),
        ("bootstrap_replicates", bootstrap_replicates, 0),
        ("markov_states", weights.markov_states, 2),
    ):
        if isinstance(given, bool) or not isinstance(given, int) or given < least:
            raise ParameterError(f"{name} is {given!r}; it must be a whole number of at least {least}.")
    if 0 < bootstrap_replicates < 200:
        raise ParameterError(
            f"bootstrap_replicates is {bootstrap_replicates}; below 200 draws the ends of an interval are chance. "
            "Use 2000, or 0 for no intervals."
        )
    if weights.markov_states > 2000:
        raise ParameterError(
            f"markov_states is {weights.markov_states}; the chain is solved exactly for at most 2000 states. "
            "Those less touched become one, (other)."
        )
    if "time_decay" in models and rules.lookback_hours > MOST_HALF_LIVES * weights.half_life_hours:
        raise ParameterError(
            f"half_life_hours is {weights.half_life_hours:g} with lookback_hours {rules.lookback_hours:g}; an early "
            f"touch would weigh nothing. Make it at least {rules.lookback_hours / MOST_HALF_LIVES:g}, or use the model last."
        )


def _check_data(shop: Shop, rules: JourneyRules, targets: Sequence[str]) -> None:
    """Refuse what the shop does not hold."""
    _check_targets(shop, targets)
    if rules.touch == EXPOSURE and not _events_there(shop, [EXPOSURE]):
        raise ParameterError(
            f'touch: no event "{EXPOSURE}" in the data, so that no touch could ever count. Use {CLICK}.'
        )
    if rules.match_on:
        missing = [] if shop.has("events", "product_id") else ["events.product_id"]
        missing += [] if shop.has("order_lines", "product_id") or not shop.has("orders") else ["order_lines.product_id"]
        if missing:
            raise ParameterError(
                f"match_on: product_id needs {' and '.join(missing)}, which {shop.name} does not have. "
                "Add it, name its source in a mapping (data/README.md), or set match_on to null."
            )
    if rules.key_event and rules.key_event not in _events_there(shop, [rules.key_event]):
        raise ParameterError(
            f'key_event: no event "{rules.key_event}" in the data, so that no touch could ever count. '
            "Set key_event to null."
        )
    if rules.credit_to == "floor" and not shop.has("slots", "floor"):
        raise ParameterError(
            f"credit_to: floor needs slots.floor, which {shop.name} does not have. Use slot_id or page."
        )
    if rules.credit_to == "page" and not (shop.has("slots", "page") or shop.has("events", "page")):
        raise ParameterError(f"credit_to: page needs slots.page or events.page; {shop.name} has neither. Use slot_id.")
    if rules.credit_to == "content_id" and not shop.has("events", "content_id"):
        raise ParameterError(
            f"credit_to: content_id needs events.content_id, which {shop.name} does not have. Use slot_id."
        )


def _events_there(shop: Shop, names: Sequence[str]) -> set[str]:
    events = shop.events
    return set(shop.collect(events.filter(events.event.isin(list(names))).select("event").distinct())["event"])


def _check_targets(shop: Shop, targets: Sequence[str]) -> None:
    """Refuse a target that neither the contract nor the data know."""
    unknown = [target for target in targets if target not in EVENT_RANK]
    if not unknown:
        return
    events, found = shop.events, _events_there(shop, unknown)
    for target in unknown:
        if target not in found:
            counted = events.group_by("event").aggregate(rows=_.count()).order_by([_.rows.desc(), "event"]).limit(200)
            names = shop.collect(counted)["event"].tolist()
            raise ParameterError(
                f'targets: no event "{target}" in the data{nearest(target, [*names, *EVENT_RANK], ".")} '
                f"There are: {', '.join(names[:12])}."
            )


# -- what the engine brings back ---------------------------------------------------------------------------


def _sales(shop: Shop) -> Sales:
    return Sales(
        events=shop.events,
        orders=shop.orders if shop.has("orders") else None,
        lines=shop.order_lines if shop.has("order_lines") else None,
        slots=shop.slots if shop.has("slots") else None,
    )


def _collect(
    shop: Shop,
    sales: Sales,
    rules: JourneyRules,
    targets: Sequence[str],
    models: Sequence[str],
    period: Period,
    weights: Weights,
    by_bucket: bool,
    confidence_level: float,
) -> _Credits:
    """Credit of every target, purchases first, and of purchases by slot and content under the model shown."""

    def credit(target: str, given: JourneyRules, wanted: Sequence[str]) -> TargetSums:
        return collect_target(
            shop,
            sales,
            given,
            target,
            period,
            models=wanted,
            weights=weights,
            by_bucket=by_bucket,
            confidence_level=confidence_level,
        )

    first = sorted(targets, key=lambda one: one != "purchase")
    possible = [one for one in first if one not in ("purchase", "begin_checkout") or shop.has("orders")]
    every = {target: credit(target, rules, models) for target in possible}
    if not shop.has("orders"):
        return _Credits(every, None, None)
    model = shown_model(models)
    is_rule = model not in ("markov", "participation")
    aside = [model if is_rule else "linear"]
    own = {name: every.get("purchase") if rules.credit_to == name else None for name in ("slot_id", "content_id")}
    if not is_rule:
        own = dict.fromkeys(own)
    by_slot = own["slot_id"] or credit("purchase", replace(rules, credit_to="slot_id"), aside)
    by_content = None
    if shop.has("events", "content_id"):
        by_content = own["content_id"] or credit("purchase", replace(rules, credit_to="content_id"), aside)
    return _Credits(every, by_slot, by_content)


def _unnamed(shop: Shop, rules: JourneyRules, period: Period) -> int:
    found = unnamed_touches(shop.events, rules.touch, period, contents_count=rules.credit_to == "content_id")
    return int(shop.collect(found)["rows"].item())


def _paid_counts(shop: Shop, period: Period) -> tuple[int, int]:
    """Paid orders of the period, and those of them that name no user."""
    if not shop.has("orders"):
        return 0, 0
    inside = paid_in_period(paid_orders(shop.orders), period)
    found = shop.collect(inside.aggregate(orders=inside.count(), nobody=inside.user_id.isnull().cast("int64").sum()))
    return int(found["orders"].item()), int(found["nobody"].fillna(0).item())


def slot_names(shop: Shop) -> pd.DataFrame:
    """slot_id (text), slot_name, page, floor, position, slot_kind of the slots that the source describes."""
    columns = ["slot_id", "slot_name", "page", "floor", "position", "slot_kind"]
    if not shop.has("slots"):
        return pd.DataFrame(columns=columns)
    slots = shop.slots
    wanted = slots.select("slot_id", "page", "floor", "position", slot_name=slots.name, slot_kind=slots.kind)
    found = shop.collect(wanted)
    return found.assign(slot_id=found["slot_id"].astype(str))[columns]


# -- purchases by slot -------------------------------------------------------------------------------------


def _rule_model(sums: TargetSums, model: str) -> str:
    """The model shown, or the one that was run in its place: the Markov model has no sums by bucket."""
    return model if f"{model}_conversions" in sums.cells else "linear"


def _by_bucket(sums: TargetSums | None, model: str, measure: str) -> pd.DataFrame:
    """Credit of slots by bucket of users, without ``(direct)``."""
    if sums is None:
        return pd.DataFrame(index=pd.RangeIndex(1))
    matrix = sums.matrix(_rule_model(sums, model), measure)[:, :-1]
    return pd.DataFrame(matrix, columns=list(sums.ids))


def _amount_by_slot(sums: TargetSums | None, model: str) -> pd.Series | None:
    return _by_bucket(sums, model, "amount").sum() if sums is not None and sums.has_amount else None


def _long(sums: TargetSums | None, model: str) -> pd.DataFrame | None:
    """One row per slot and bucket: conversion_credit, amount_credit; None without orders or without buckets."""
    if sums is None or sums.buckets == 1:
        return None
    model = _rule_model(sums, model)
    ids = np.array(sums.ids, dtype=object)
    return pd.DataFrame(
        {
            "credited_id": ids[sums.cells["item"]],
            "user_bucket": sums.cells["bucket"].to_numpy(),
            "conversion_credit": sums.cells[f"{model}_conversions"],
            "amount_credit": sums.cells[f"{model}_amount"],
        }
    )


def _content_credit(sums: TargetSums | None, model: str) -> pd.DataFrame | None:
    if sums is None:
        return None
    orders, amounts = (_by_bucket(sums, model, name).sum() for name in ("conversions", "amount"))
    return pd.DataFrame(
        {
            "credited_id": orders.index,
            "conversion_credit": orders.to_numpy(),
            "amount_credit": amounts.to_numpy() if sums.has_amount else np.nan,
        }
    )


def _metrics(shop: Shop, counts: pd.DataFrame, names: pd.DataFrame, confidence_level: float) -> pd.DataFrame:
    """One row per slot that was seen or clicked in the period."""
    sums = counts.drop(columns="user_bucket").groupby("slot_id").sum()
    table = sums.join(names.set_index("slot_id").drop(columns="floor"))
    table["slot_name"] = table["slot_name"].fillna(pd.Series(table.index, index=table.index))
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
    table["click_through_rate"] = divide(table["click_count"], table["impression_count"]).mask(impossible)
    table["ci_lower"] = pd.Series(lower, index=table.index).mask(impossible)
    table["ci_upper"] = pd.Series(upper, index=table.index).mask(impossible)
    table["viewer_click_rate"] = divide(table["clicker_count"], table["viewer_count"])
    table["viewer_click_rate"] = table["viewer_click_rate"].mask(table["clicker_count"] > table["viewer_count"])
    table["clicks_per_clicker"] = divide(table["click_count"], table["clicker_count"])
    table["reason"] = pd.Series(None, index=table.index, dtype=object).mask(table["ci_lower"].isna(), "too_few_users")
    table["reason"] = table["reason"].mask(impossible, "clicks_above_exposures")
    if not shop.user_ids_known:
        table[["viewer_count", "clicker_count", "viewer_click_rate", "clicks_per_clicker"]] = float("nan")
    return table.reset_index().sort_values(["click_count", "slot_id"], ascending=[False, True], ignore_index=True)


def _with_sales(metrics: pd.DataFrame, sums: TargetSums | None, model: str) -> pd.DataFrame:
    """Add what the model shown credits each slot with: per clicker, per thousand exposures, as shares."""
    orders, amounts = (
        _by_bucket(sums, model, name).sum().reindex(metrics["slot_id"], fill_value=0.0).to_numpy()
        for name in ("conversions", "amount")
    )
    known = sums is not None
    has_amount = sums is not None and sums.has_amount
    total = {name: sums.total[name].sum() if sums is not None else 0.0 for name in ("conversions", "amount")}
    table = metrics.assign(
        conversion_credit=orders if known else np.nan,
        amount_credit=amounts if has_amount else np.nan,
    )
    table["orders_per_clicker"] = divide(table["conversion_credit"], table["clicker_count"])
    table["amount_per_thousand_exposures"] = 1000 * divide(table["amount_credit"], table["impression_count"])
    table["conversion_share"] = table["conversion_credit"] / total["conversions"] if total["conversions"] else np.nan
    table["amount_share"] = table["amount_credit"] / total["amount"] if total["amount"] else np.nan
    first = ["slot_id", "slot_name", "page", "position", "slot_kind", "impression_count", "click_count"]
    first += ["viewer_count", "clicker_count", "click_through_rate", "ci_lower", "ci_upper", "viewer_click_rate"]
    first += ["clicks_per_clicker", "conversion_credit", "amount_credit", "conversion_share", "amount_share"]
    return table[[*first, "orders_per_clicker", "amount_per_thousand_exposures", "reason"]]
