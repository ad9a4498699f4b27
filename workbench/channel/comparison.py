"""Compare channels: who comes, who buys, who comes back, and what each new user costs and earns."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from workbench.analysis import Analysis
from workbench.channel.findings import channel_findings, channel_headline
from workbench.channel.notes import channel_notes
from workbench.contract import EVENT_RANK
from workbench.errors import ParameterError, nearest
from workbench.language import Language
from workbench.metrics.funnel import funnel_reach
from workbench.metrics.orders import paid_in_period, paid_orders
from workbench.metrics.population import (
    Population,
    channel_repurchase,
    channel_sums,
    member_events,
    population_users,
)
from workbench.parameters import check_choices, check_days, check_positive, check_rate
from workbench.period import HOUR_MS, Period
from workbench.source.shop import Shop
from workbench.stats.intervals import MINIMUM_EFFECTIVE, effective_counts, ratio_by_bucket, wilson
from workbench.stats.tables import divide, repurchase_columns

FUNNEL_STEPS = ("view_item", "add_to_cart", "begin_checkout", "purchase")
_MONEY = [
    "gross_amount",
    "paid_amount",
    "refund_amount",
    "average_order_value",
    "refund_rate",
    "contribution_per_new_user",
]
_SUMS = ["buyer_count", "repeat_buyer_count", "order_count", "gross_amount", "paid_amount", "refund_amount"]


def compare_channels(
    shop: Shop,
    *,
    start_date: str | None = None,
    end_date: str | None = None,
    timezone: str = "UTC",
    lang: Language = "en",
    confidence_level: float = 0.95,
    population: Population = "new",
    conversion_days: int = 30,
    repurchase_days: Sequence[int] = (30, 60, 90),
    funnel_steps: Sequence[str] = FUNNEL_STEPS,
    window_hours: float = 168,
) -> Analysis:
    """Which channel brings users who buy and come back?

    Parameters
    ----------
    shop
        Needs ``orders`` and ``users``; ``events`` for the funnel, ``channel_spend`` for cost.
    start_date, end_date, timezone
        The period, ``start_date <= local day < end_date``; None is all the data.
    lang
        Language of the sentences.
    confidence_level
        Coverage of intervals.
    population
        ``new``: users first seen in the period. ``active``: users with an event or order in it.
    conversion_days
        Days after the first visit in which a first paid order counts as conversion (``new``).
    repurchase_days
        Windows after the first paid order in which another counts.
    funnel_steps, window_hours
        Events in order, and the longest time from the first to the last of them.

    Returns
    -------
    Analysis
        ``channel_scorecard`` (one row per channel, by user_count) and ``channel_funnel`` (one row per channel
        and step).

    Raises
    ------
    ParameterError, TableError
        If an argument or the data cannot be used.
    """
    check_choices("population", [population], ("new", "active"))
    check_rate("confidence_level", confidence_level)
    check_days("conversion_days", [conversion_days])
    check_days("repurchase_days", repurchase_days)
    check_positive("window_hours", window_hours, "hours")
    _check_steps(funnel_steps)
    shop.require("channel_comparison", "orders", "users")
    period = shop.period(start_date, end_date, timezone)
    tables = dict(shop.tables)
    members = population_users(tables, population, period)
    paid = paid_orders(tables["orders"])
    inside = paid_in_period(paid, period)
    paid_count = int(shop.collect(inside.aggregate(orders=inside.count()))["orders"].item())
    sums = shop.collect(channel_sums(members, paid, population, period, conversion_days))
    counts = shop.collect(channel_repurchase(members, paid, period, repurchase_days))
    spend = _spend(shop, period)
    scorecard = _scorecard(shop, sums, counts, spend, population, repurchase_days, confidence_level)
    if not paid_count:
        scorecard = _without_orders(scorecard, population)
    steps, absent = _recorded_steps(shop, funnel_steps)
    funnel = _funnel(shop, members, period, steps, window_hours, confidence_level, scorecard)
    return Analysis(
        name="channel_comparison",
        lang=lang,
        period=period,
        tables={"channel_scorecard": scorecard, "channel_funnel": funnel},
        headline=channel_headline(scorecard, period, population, lang, repurchase_days, conversion_days, paid_count),
        findings=channel_findings(scorecard, funnel, population, lang, repurchase_days, conversion_days),
        notes=channel_notes(shop, lang, population, conversion_days, scorecard, funnel, absent),
        flags=shop.flags(period, lang, has_orders=bool(paid_count)),
    )


def _check_steps(steps: Sequence[str]) -> None:
    if len(steps) < 2:
        raise ParameterError(
            f"funnel_steps: {list(steps)} has fewer than two steps; name at least two events in order."
        )
    twice = sorted({step for step in steps if list(steps).count(step) > 1})
    if twice:
        raise ParameterError(f"funnel_steps: {', '.join(twice)} stands there twice; name each step once.")


def _recorded_steps(shop: Shop, steps: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split steps into those that the source records and those that it never does.

    Raises
    ------
    ParameterError
        If a step is neither recorded nor an event of the contract.
    """
    if not shop.has("events"):
        return list(steps), []
    events = shop.events
    recorded = set(shop.collect(events.filter(events.event.isin(list(steps))).select("event").distinct())["event"])
    absent = [step for step in steps if step not in recorded]
    for step in absent:
        if step not in EVENT_RANK:
            names = shop.collect(events.select("event").distinct().order_by("event").limit(200))["event"].tolist()
            raise ParameterError(
                f'funnel_steps: no event "{step}" in the data{nearest(step, [*names, *EVENT_RANK], ".")} '
                f"There are: {', '.join(names[:12])}."
            )
    return [step for step in steps if step in recorded], absent


def _spend(shop: Shop, period: Period) -> pd.Series:
    """Spend in the period by channel; empty where the source has none."""
    if not shop.has("channel_spend"):
        return pd.Series(dtype=float)
    table = shop.channel_spend
    if period.has_start:
        table = table.filter(table.date >= period.start_date)
    if period.has_end:
        table = table.filter(table.date < period.end_date)
    spent = shop.collect(table.group_by("channel").aggregate(spend_amount=table.spend_amount.sum()))
    return spent.set_index("channel")["spend_amount"]


def _scorecard(
    shop: Shop,
    sums: pd.DataFrame,
    counts: pd.DataFrame,
    spend: pd.Series,
    population: Population,
    days: Sequence[int],
    confidence_level: float,
) -> pd.DataFrame:
    """One row per channel, largest first; channels with spend and no user included."""
    total = sums.drop(columns="user_bucket").groupby("channel").sum()
    total = total.reindex(total.index.union(spend.index[spend > 0]), fill_value=0).rename_axis("channel")
    total = total.assign(order=-total["user_count"]).sort_values(["order", "channel"]).drop(columns="order")
    card = total[["user_count", *_SUMS]].copy()
    unknown = (total["amount_count"] == 0) & (total["order_count"] > 0)
    card.loc[unknown, ["gross_amount", "paid_amount"]] = float("nan")
    card["average_order_value"] = divide(card["paid_amount"], total["amount_count"])
    card["refund_rate"] = divide(card["refund_amount"], card["paid_amount"])
    card["conversion_eligible_count"] = total["eligible_count"]
    converted = wilson(total["converted_count"], total["eligible_count"], confidence_level=confidence_level)
    card["conversion_rate"], card["ci_lower"], card["ci_upper"] = converted.estimate, converted.lower, converted.upper
    aligned = counts.set_index("channel").reindex(card.index).astype(float)
    card = card.join(repurchase_columns(aligned, days, confidence_level))
    card["spend_amount"] = spend.reindex(card.index)
    if population == "new":
        card["cost_per_new_user"] = divide(card["spend_amount"], card["user_count"])
        card = card.join(_contribution(shop, sums, card["cost_per_new_user"], confidence_level))
        few = effective_counts(total["paid_amount"], total["paid_squares"]) < MINIMUM_EFFECTIVE
        card.loc[few, ["contribution_ci_lower", "contribution_ci_upper"]] = float("nan")
    if not shop.has_money:
        card[[name for name in _MONEY if name in card]] = float("nan")
    return card.reset_index()


def _without_orders(scorecard: pd.DataFrame, population: Population) -> pd.DataFrame:
    """Where nobody at all paid in the period, what rests on its orders is unknown rather than 0."""
    blank = [*_SUMS, *(["conversion_rate", "ci_lower", "ci_upper"] if population == "active" else [])]
    return scorecard.assign(**dict.fromkeys(blank, float("nan")))


def _contribution(shop: Shop, sums: pd.DataFrame, cost: pd.Series, confidence_level: float) -> pd.DataFrame:
    """Profit of a new user's first ``conversion_days`` less the cost of winning the user, by resampled buckets."""
    wide = {
        name: sums.pivot(index="user_bucket", columns="channel", values=name).reindex(columns=cost.index).fillna(0)
        for name in ("early_profit_amount", "eligible_count")
    }
    found = ratio_by_bucket(
        wide["early_profit_amount"], wide["eligible_count"], confidence_level=confidence_level, is_share=False
    )
    known = shop.has("orders", "cost_amount")
    spent = cost.fillna(0.0)
    bounds = {
        "contribution_per_new_user": found.estimate,
        "contribution_ci_lower": found.lower,
        "contribution_ci_upper": found.upper,
    }
    return pd.DataFrame(
        {name: values - spent if known else float("nan") for name, values in bounds.items()}, index=cost.index
    )


def _funnel(
    shop: Shop,
    members: Any,
    period: Period,
    steps: Sequence[str],
    window_hours: float,
    confidence_level: float,
    scorecard: pd.DataFrame,
) -> pd.DataFrame:
    """One row per channel and step, channels in the order of the scorecard."""
    columns = ["channel", "step", "step_index", "user_count", "step_rate", "overall_rate", "ci_lower", "ci_upper"]
    if not shop.has("events") or len(steps) < 2:
        return pd.DataFrame(columns=columns)
    events = member_events(shop.events, members, period)
    reached = shop.collect(funnel_reach(events, steps, round(window_hours * HOUR_MS), "channel"))
    wide = reached.set_index("channel").reindex(scorecard["channel"]).fillna(0)
    wide.columns = pd.RangeIndex(1, len(steps) + 1)
    table = wide.stack().reset_index().set_axis(["channel", "step_index", "user_count"], axis=1)
    if not table["user_count"].sum():
        return pd.DataFrame(columns=columns)
    table["step"] = [steps[index - 1] for index in table["step_index"]]
    by_channel = table.groupby("channel", sort=False)["user_count"]
    first, before = by_channel.transform("first"), by_channel.shift()
    table["step_rate"] = divide(table["user_count"], before.fillna(first))
    found = wilson(table["user_count"], first, confidence_level=confidence_level)
    table["overall_rate"], table["ci_lower"], table["ci_upper"] = found.estimate, found.lower, found.upper
    return table[columns]
