"""Compare channels: who comes, who buys, who comes back, and what each new user costs and earns."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from workbench.analysis import Analysis
from workbench.channel.findings import channel_findings, channel_headline
from workbench.language import Language, say
from workbench.metrics.funnel import funnel_reach
from workbench.metrics.orders import paid_orders
from workbench.metrics.population import (
    Population,
    channel_repurchase,
    channel_sums,
    member_events,
    population_users,
)
from workbench.parameters import check_choices, check_days, check_positive, check_rate
from workbench.period import HOUR_MS, Period, local_date
from workbench.source.shop import Shop
from workbench.stats.intervals import ratio_by_bucket, wilson
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
    sums = shop.collect(channel_sums(members, paid, population, period, conversion_days))
    counts = shop.collect(channel_repurchase(members, paid, period, repurchase_days))
    spend = _spend(shop, period)
    scorecard = _scorecard(shop, sums, counts, spend, population, repurchase_days, confidence_level)
    funnel = _funnel(shop, members, period, funnel_steps, window_hours, confidence_level, scorecard)
    notes = _notes(shop, lang, population, conversion_days, scorecard, funnel, funnel_steps)
    return Analysis(
        name="channel_comparison",
        lang=lang,
        period=period,
        tables={"channel_scorecard": scorecard, "channel_funnel": funnel},
        headline=channel_headline(scorecard, period, population, lang, repurchase_days, conversion_days),
        findings=channel_findings(scorecard, funnel, population, lang, repurchase_days, conversion_days),
        notes=notes,
        flags=shop.flags(period, lang, has_orders=bool(scorecard["order_count"].fillna(0).sum())),
    )


def _check_steps(steps: Sequence[str]) -> None:
    from workbench.errors import ParameterError

    if len(steps) < 2:
        raise ParameterError(
            f"funnel_steps: {list(steps)} has fewer than two steps; name at least two events in order."
        )
    twice = sorted({step for step in steps if list(steps).count(step) > 1})
    if twice:
        raise ParameterError(f"funnel_steps: {', '.join(twice)} stands there twice; name each step once.")


def _spend(shop: Shop, period: Period) -> pd.Series:
    """Spend in the period by channel; empty where the source has none."""
    if not shop.has("channel_spend"):
        return pd.Series(dtype=float)
    table = shop.channel_spend
    inside = table.filter(table.date >= local_date(period.start_ms, period.timezone), table.date < period.end_date)
    spent = shop.collect(inside.group_by("channel").aggregate(spend_amount=inside.spend_amount.sum()))
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
    """One row per channel, largest first."""
    total = sums.drop(columns="user_bucket").groupby("channel").sum()
    total = total.assign(order=-total["user_count"]).sort_values(["order", "channel"]).drop(columns="order")
    card = total[["user_count", *_SUMS]].copy()
    if not card["order_count"].sum():
        card[_SUMS] = float("nan")
    card["average_order_value"] = divide(card["paid_amount"], card["order_count"])
    card["refund_rate"] = divide(card["refund_amount"], card["paid_amount"])
    card["conversion_eligible_count"] = total["eligible_count"]
    converted = wilson(total["converted_count"], total["eligible_count"], confidence_level=confidence_level)
    card["conversion_rate"], card["ci_lower"], card["ci_upper"] = converted.estimate, converted.lower, converted.upper
    aligned = counts.set_index("channel").reindex(card.index)
    if aligned.empty:
        aligned = aligned.astype(float)
    card = card.join(repurchase_columns(aligned, days, confidence_level))
    card["spend_amount"] = spend.reindex(card.index)
    if population == "new":
        card["cost_per_new_user"] = divide(card["spend_amount"], card["user_count"])
        card = card.join(_contribution(shop, sums, card["cost_per_new_user"], confidence_level))
    if not shop.has_money:
        card[[name for name in _MONEY if name in card]] = float("nan")
    if not card["order_count"].sum():
        card[["conversion_rate", "ci_lower", "ci_upper"]] = float("nan")
    return card.reset_index()


def _contribution(shop: Shop, sums: pd.DataFrame, cost: pd.Series, confidence_level: float) -> pd.DataFrame:
    """Profit of a new user's first ``conversion_days`` less the cost of winning the user, by resampled buckets."""
    wide = {
        name: sums.pivot(index="user_bucket", columns="channel", values=name).fillna(0)[cost.index]
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
    if not shop.has("events"):
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


def _notes(
    shop: Shop,
    lang: Language,
    population: Population,
    conversion_days: int,
    scorecard: pd.DataFrame,
    funnel: pd.DataFrame,
    steps: Sequence[str],
) -> tuple[str, ...]:
    notes = [
        say(
            lang,
            "Channels differ in audience; a difference between channels is not yet the channel's doing.",
            "各渠道受众不同，渠道之间的差异并不等于渠道本身的作用。",
        ),
        say(
            lang,
            "A user belongs to the channel of acquisition, whatever the later visits come through.",
            "用户归属于首次获客渠道，与之后的访问来源无关。",
        ),
    ]
    if population == "new":
        notes.append(
            say(
                lang,
                f"Conversion counts users whose first {conversion_days} days have elapsed; orders and amounts count what "
                "the period's new users paid inside the period.",
                f"转化率只统计首访后已满 {conversion_days} 天的用户；订单与金额为期内新用户在期内支付的部分。",
            )
        )
        notes.append(
            say(
                lang,
                f"Contribution per new user is the profit of the first {conversion_days} days less spend per new user; "
                "spend is taken as certain.",
                f"单个新客贡献 = 首 {conversion_days} 天利润 − 单个新客成本；投放花费视为确定值。",
            )
        )
    if not shop.has_money:
        notes.append(
            say(
                lang,
                "orders carry no amounts: columns of money are empty. Add gross_amount to see them.",
                "订单没有金额，金额列为空；补充 gross_amount 后可见。",
            )
        )
    if not shop.has("events"):
        notes.append(
            say(
                lang,
                "No events: the funnel is off. Add events to see where each channel loses users.",
                "没有 events 表，漏斗关闭；补充后可见各渠道在何处流失。",
            )
        )
    elif funnel.empty:
        notes.append(
            say(
                lang,
                "No event of the funnel's steps by these users in the period: the funnel is empty.",
                "期内这些用户没有漏斗步骤的事件，漏斗为空。",
            )
        )
    else:
        absent = [step for step in steps if not funnel.loc[funnel["step"] == step, "user_count"].sum()]
        if absent:
            notes.append(
                say(
                    lang,
                    f"Funnel steps that no user reached: {', '.join(absent)}.",
                    f"没有用户到达的漏斗步骤：{'、'.join(absent)}。",
                )
            )
    if not shop.has("channel_spend"):
        notes.append(
            say(
                lang,
                "No channel_spend: cost per new user is unknown and contribution is before ad spend.",
                "没有 channel_spend 表：获客成本未知，贡献未扣除投放花费。",
            )
        )
    if shop.has_money and not shop.has("orders", "cost_amount"):
        notes.append(
            say(lang, "orders carry no cost_amount: contribution is off.", "orders 没有 cost_amount，贡献不可计算。")
        )
    if scorecard["channel"].eq("(unknown)").any():
        notes.append(
            say(lang, "(unknown) are users without a channel of acquisition.", "(unknown) 为没有获客渠道的用户。")
        )
    return tuple(notes)
