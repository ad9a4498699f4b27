"""Attribute conversions to slots under every model, and say which slots to change and why."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from workbench.analysis import Analysis, remembers
from workbench.contract import CLICK
from workbench.language import Language
from workbench.metrics.journeys import ORDER_TARGETS, CreditTo, JourneyRules, Sales
from workbench.metrics.orders import paid_in_period, paid_orders
from workbench.metrics.touches import promotion_counts, unnamed_touches
from workbench.period import Period
from workbench.slot.attributable import attributable_rate
from workbench.slot.checks import check_arguments, check_data
from workbench.slot.concentration import slot_concentration
from workbench.slot.content import content_metrics
from workbench.slot.credit import TargetSums, Weights, collect_target
from workbench.slot.findings import shown_model, slot_findings, slot_headline
from workbench.slot.focus import slot_focus
from workbench.slot.headline_figures import slot_figures
from workbench.slot.leak import slot_leak, slot_quadrants
from workbench.slot.metrics import count_metrics, slot_names, with_sales
from workbench.slot.model_error import model_error
from workbench.slot.notes import Facts, slot_notes
from workbench.slot.position import position_misfit
from workbench.slot.purchases import Purchases
from workbench.slot.retention import slot_retention
from workbench.slot.shares import Resampling, credit_tables, make_resampling, model_agreement
from workbench.source.shop import Shop

DEFAULT_MODELS = ("first", "last", "linear", "position_based", "time_decay", "markov")
TARGETS = ("view_item", "add_to_cart", "begin_checkout", "purchase")
CORE_TABLES = ("slot_metrics", "slot_credit", "slot_differences", "slot_ranks")
"""Tables that rest on sums by slot and bucket of users alone."""
MOST_COMPARED = 60
"""Slots compared in pairs at most."""


@dataclass(frozen=True)
class _Credits:
    """Credit of all targets, and of purchases by slot and by content for the tables about slots and contents."""

    every: dict[str, TargetSums]
    by_slot: Purchases
    by_content: Purchases


@remembers
def attribute_slots(
    shop: Shop,
    *,
    start_date: str | None = None,
    end_date: str | None = None,
    timezone: str = "UTC",
    lang: Language = "en",
    confidence_level: float = 0.95,
    only_users: Sequence[str] = (),
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
    only_users
        Users that it is about, as in ``Shop.only``; empty: all.
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
        How often users' buckets are drawn again for intervals; 0: no intervals of credit. Ranks use the first 500 of
        them at 95 %, at higher levels up to 25 ÷ (1 - ``confidence_level``).
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
    shop = shop.only(only_users)
    rules = JourneyRules(touch, credit_to, lookback_hours, key_event, match_on, reset_after_order, net_of_refunds)
    weights = Weights(half_life_hours, tuple(position_weights), markov_states)  # type: ignore[arg-type]
    check_arguments(rules, weights, models, targets, confidence_level, top_n, bootstrap_replicates, seed)
    shop.require("slot_attribution", "events")
    check_data(shop, rules, targets)
    period, sales = shop.period(start_date, end_date, timezone), sales_of(shop)
    resampling = make_resampling(bootstrap_replicates, seed, confidence_level)
    names, counts = slot_names(shop), shop.collect(promotion_counts(shop.events, period, "slot_id"))
    counts["slot_id"] = counts["slot_id"].astype(str)
    credits = _collect(shop, sales, rules, targets, models, period, weights, bootstrap_replicates > 0, confidence_level)
    by_slot, model = credits.by_slot, shown_model(models)
    core = core_tables(
        shop, names, counts, credits.every, by_slot, models, resampling, credit_to=credit_to, top_n=top_n
    )
    metrics, credit, ranks = core["slot_metrics"], core["slot_credit"], core["slot_ranks"]
    leak = slot_leak(
        shop,
        period,
        names,
        lookback_hours=lookback_hours,
        credit=_shares_of_slots(credit, by_slot, model, counts["slot_id"].unique().tolist()),
        amount_by_slot=by_slot.credit("amount") if by_slot.has_amount else None,
        confidence_level=confidence_level,
    )
    focus = slot_focus(
        metrics,
        counts,
        by_slot.cells() if touch == CLICK else None,
        shop.has_money and by_slot.are_enough,
        leak.table,
        ranks[(ranks["model"] == model) & (credit_to == "slot_id")],
        confidence_level,
    )
    content = content_metrics(shop, period, credit=credits.by_content.table(), confidence_level=confidence_level)
    retention = slot_retention(shop, period, names, touch=touch, confidence_level=confidence_level)
    drawn = resampling.weights if by_slot.are_enough else None
    whole = start_date is None and end_date is None
    tables = {
        "slot_metrics": metrics,
        "slot_credit": credit,
        "slot_focus": focus,
        "slot_differences": core["slot_differences"],
        "slot_ranks": ranks,
        "slot_leak": leak.table,
        "slot_quadrants": slot_quadrants(leak.table),
        "slot_concentration": slot_concentration(
            by_slot.by_bucket(by_slot.measure), names, drawn, top_n=top_n, confidence_level=confidence_level
        ),
        "position_misfit": position_misfit(
            by_slot.by_bucket("conversions"), names, drawn, confidence_level=confidence_level
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
        model_of_slots=by_slot.model if by_slot.sums is not None else None,
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
        figures=slot_figures(tables, models, top_n, lang),
    )


def core_tables(
    shop: Shop,
    names: pd.DataFrame,
    counts: pd.DataFrame,
    every: Mapping[str, TargetSums],
    by_slot: Purchases,
    models: Sequence[str],
    resampling: Resampling,
    *,
    credit_to: str,
    top_n: int,
    wanted: Collection[str] = CORE_TABLES,
) -> dict[str, pd.DataFrame]:
    """Slots and their credit: what rests on sums by slot and bucket of users alone.

    Parameters
    ----------
    shop
        Tells whether people are told apart.
    names
        From ``slot_names``.
    counts
        Collected from ``metrics.touches.promotion_counts`` by slot, whose ids are texts.
    every
        Credit of each target.
    by_slot
        Credit of purchases by slot under the model shown.
    models
        Models in the order wanted.
    resampling
        Replicates of the buckets.
    credit_to
        What the ids of credit are.
    top_n
        So many slots are compared in pairs.
    wanted
        Which of these tables.

    Returns
    -------
    dict
        Those wanted of ``slot_metrics``, ``slot_credit``, ``slot_differences`` and ``slot_ranks``.
    """
    tables = {}
    if "slot_metrics" in wanted:
        metrics = count_metrics(shop, counts, names, resampling.confidence_level)
        tables["slot_metrics"] = with_sales(metrics, by_slot)
    if not set(wanted) - set(tables):
        return tables
    found = credit_tables(
        every.values(),
        models,
        counts["slot_id"].unique().tolist() if credit_to == "slot_id" else [],
        resampling,
        credit_to=credit_to,
        compared_model=shown_model(models),
        most_compared=min(max(top_n, 2), MOST_COMPARED),
        with_ranks="slot_ranks" in wanted,
        with_differences="slot_differences" in wanted,
    )
    named = zip(("slot_credit", "slot_differences", "slot_ranks"), found, strict=True)
    return tables | {name: table for name, table in named if name in wanted}


def sales_of(shop: Shop) -> Sales:
    """The tables that journeys are made of."""
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
    """Credit of every target, as they were asked for, and of purchases by slot and content under the model shown."""

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

    every = {target: credit(target, rules, models) for target in possible_targets(shop, targets)}
    shown = purchase_model(models)

    def purchases(credit_to: CreditTo) -> Purchases:
        if not shop.has("orders"):
            return Purchases(None, shown)
        if has_purchases(rules, targets, models, credit_to):
            return Purchases(every["purchase"], shown)
        return Purchases(credit("purchase", replace(rules, credit_to=credit_to), [shown]), shown)

    has_contents = shop.has("events", "content_id")
    return _Credits(every, purchases("slot_id"), purchases("content_id") if has_contents else Purchases(None, shown))


def possible_targets(shop: Shop, targets: Sequence[str]) -> list[str]:
    """Targets that the shop can have: those of orders need orders."""
    return [one for one in targets if one not in ORDER_TARGETS or shop.has("orders")]


def purchase_model(models: Sequence[str]) -> str:
    """The model under which purchases stand beside something else.

    The Markov model has no sums by bucket, and participation counts an order more than once.
    """
    model = shown_model(models)
    return "linear" if model in ("markov", "participation") else model


def has_purchases(rules: JourneyRules, targets: Sequence[str], models: Sequence[str], credit_to: CreditTo) -> bool:
    """Whether the credit of purchases asked for serves beside something else too."""
    return "purchase" in targets and rules.credit_to == credit_to and purchase_model(models) in models


def _shares_of_slots(credit: pd.DataFrame, by_slot: Purchases, model: str, known: list[str]) -> pd.DataFrame:
    """Shares of conversions by slot, 0 without credit; where it goes to something else, of purchases alone."""
    columns = ["target", "credited_id", "conversion_share"]
    if (credit["credit_to"] == "slot_id").any() or by_slot.sums is None:
        return credit.loc[(credit["model"] == model) & (credit["credit_to"] == "slot_id"), columns]
    orders, total = by_slot.credit("conversions"), by_slot.all_there_is("conversions")
    orders = orders.reindex(orders.index.union(known), fill_value=0.0)
    shares = orders / total if total else orders * float("nan")
    return pd.DataFrame({"target": "purchase", "credited_id": shares.index, "conversion_share": shares.to_numpy()})


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
