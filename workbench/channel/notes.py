"""Assumptions and limits of the channel report."""

from collections.abc import Sequence

import pandas as pd

from workbench.language import Language, say
from workbench.metrics.population import Population
from workbench.source.shop import Shop


def channel_notes(
    shop: Shop,
    lang: Language,
    population: Population,
    conversion_days: int,
    scorecard: pd.DataFrame,
    funnel: pd.DataFrame,
    absent: Sequence[str],
) -> tuple[str, ...]:
    """What was assumed, what is missing, and what would be gained by adding it."""
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
    if absent:
        notes.append(
            say(
                lang,
                f"The source never records {', '.join(absent)}: left out of the funnel.",
                f"数据源从未记录 {'、'.join(absent)}，漏斗中略去。",
            )
        )
    if shop.has_money and not shop.has("orders", "refund_amount"):
        notes.append(
            say(lang, "orders carry no refund_amount: refunds count as 0.", "orders 没有 refund_amount，退款按 0 计。")
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
