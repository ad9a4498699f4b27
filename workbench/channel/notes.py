"""Assumptions and limits of the channel report."""

from collections.abc import Mapping, Sequence

import pandas as pd

from workbench.channel.funnel import SESSION_CHANNEL, ChannelFunnel, FunnelCounts
from workbench.channel.wishes import Wishes
from workbench.language import Language, format_count, format_rate, say
from workbench.period import HOUR_MS
from workbench.source.shop import Shop
from workbench.stats.resampling import MINIMUM_OWN


def channel_notes(
    shop: Shop,
    lang: Language,
    wishes: Wishes,
    tables: Mapping[str, pd.DataFrame],
    asked: ChannelFunnel,
    counted: FunnelCounts,
    missing: Sequence[str],
    mixed_sessions: int,
) -> tuple[str, ...]:
    """What was assumed, what is missing, and what would be gained by adding it.

    Parameters
    ----------
    missing
        Columns of users by which to compare the audience that the source lacks.
    mixed_sessions
        Sessions that name more than one channel.
    """
    scorecard, conversion_days = tables["channel_scorecard"], wishes.conversion_days
    notes = [
        say(
            lang,
            "Channels differ in audience; a difference between channels is not yet the channel's doing. What the measured "
            "audience explains is not caused by it: what is not measured may differ as well.",
            "各渠道受众不同，渠道之间的差异并不等于渠道本身的作用。可测受众所解释的部分也并非因果：未测量的方面同样可能不同。",
        ),
        *_basis_notes(wishes, lang, mixed_sessions),
        *_pair_notes(tables["channel_pairs"], wishes, lang),
        *_window_notes(wishes, scorecard, lang),
        *_audience_notes(shop, wishes, tables["channel_adjusted"], missing, lang),
    ]
    if wishes.population == "new" and wishes.channel_basis == "acquisition":
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
    if wishes.population == "active":
        notes.append(
            say(
                lang,
                "Retention, economics and payback are of users first seen in the period, whoever else was active.",
                "留存、经济账与回本只统计期内首访的用户，与其他活跃用户无关。",
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
    notes += _funnel_notes(shop, asked, counted, lang)
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
            say(
                lang,
                f"(unknown) are {format_count(_unknown(scorecard))} users without a channel; they count in all users and "
                "are not ranked.",
                f"(unknown) 为 {format_count(_unknown(scorecard))} 名没有渠道的用户，计入全部用户，不参与排名。",
            )
        )
    notes += _spend_notes(tables["channel_economics"], lang)
    notes += _elapsed_notes(wishes, lang)
    return tuple(notes)


def _funnel_notes(shop: Shop, asked: ChannelFunnel, counted: FunnelCounts, lang: Language) -> list[str]:
    if not shop.has("events"):
        return [
            say(
                lang,
                "No events: the funnel is off. Add events to see where each channel loses users.",
                "没有 events 表，漏斗关闭；补充后可见各渠道在何处流失。",
            )
        ]
    notes = []
    if counted.table.empty:
        notes.append(
            say(
                lang,
                "No event of the funnel's steps by these users in the period: the funnel is empty.",
                "期内这些用户没有漏斗步骤的事件，漏斗为空。",
            )
        )
    if asked.absent:
        notes.append(
            say(
                lang,
                f"The source never records {', '.join(asked.absent)}: left out of the funnel.",
                f"数据源从未记录 {'、'.join(asked.absent)}，漏斗中略去。",
            )
        )
    rules = asked.rules
    if rules is None or counted.table.empty:
        return notes
    if counted.waiting_count:
        share = format_rate(counted.waiting_count / counted.started_count)
        hours = f"{rules.window_ms / HOUR_MS:g}"
        notes.append(
            say(
                lang,
                f"Of {format_count(counted.started_count)} users who begin the funnel, {format_count(counted.waiting_count)} "
                f"({share}) began less than {hours} hours before the end of the data: their later steps may still come.",
                f"进入漏斗的 {format_count(counted.started_count)} 名用户中，{format_count(counted.waiting_count)} 名（{share}）"
                f"距数据末不足 {hours} 小时，之后的步骤可能尚未发生。",
            )
        )
    if asked.ordered:
        notes.append(
            say(
                lang,
                f"Events without a product of their own hold the products of their order's lines: {', '.join(asked.ordered)}.",
                f"自身不带商品的事件按其订单明细的商品计：{'、'.join(asked.ordered)}。",
            )
        )
    if rules.breakdown is not None:
        column = "channel" if rules.breakdown == SESSION_CHANNEL else rules.breakdown
        end, end_zh = ("first", "第一个") if rules.breakdown_at == "first" else ("last", "最后一个")
        notes.append(
            say(
                lang,
                f"The funnel is broken down by the {column} of the {end} required step of the chain that gets furthest.",
                f"漏斗按到达最远的链条中{end_zh}必要步骤的 {column} 拆分。",
            )
        )
    return notes


def _elapsed_notes(wishes: Wishes, lang: Language) -> list[str]:
    """Why numbers of longer windows may lie below those of shorter ones."""
    if len(wishes.repurchase_days) < 2:
        return []
    days = sorted(wishes.repurchase_days)
    return [
        say(
            lang,
            f"Repurchase and paid amounts within {days[0]} and within {days[-1]} days are of different users: each counts "
            "those whose days have elapsed, the longer window fewer and earlier ones. So the longer may show the smaller "
            "number; compare channels within one window.",
            f"{days[0]} 天与 {days[-1]} 天的复购和实付统计的用户不同：各只计已满该天数的用户，窗口越长，用户越少、越早。"
            "因此较长窗口的数值可能更小；请在同一窗口内比较渠道。",
        )
    ]


def _unknown(scorecard: pd.DataFrame) -> float:
    return float(scorecard.loc[scorecard["channel"] == "(unknown)", "user_count"].iloc[0])


def _basis_notes(wishes: Wishes, lang: Language, mixed_sessions: int) -> list[str]:
    basis = wishes.channel_basis
    if basis == "acquisition":
        return [
            say(
                lang,
                "A user belongs to the channel of acquisition, whatever the later visits come through.",
                "用户归属于首次获客渠道，与之后的访问来源无关。",
            )
        ]
    rule = {
        "session": say(lang, "all of it to the channel of the order's own session", "全部归于订单所在会话的渠道"),
        "first": say(lang, "all of it to the first session with a channel", "全部归于首个有渠道的会话"),
        "last": say(lang, "all of it to the last session with a channel", "全部归于最后一个有渠道的会话"),
        "linear": say(lang, "equally to every session with a channel", "在有渠道的会话之间平分"),
    }[basis]
    reach = (
        ""
        if basis == "session"
        else say(
            lang,
            f", no further back than {wishes.conversion_days} days or the order before",
            f"，不早于 {wishes.conversion_days} 天，也不早于上一单",
        )
    )
    notes = [
        say(
            lang,
            f"channel_basis {basis}: orders are credited, {rule}{reach}. A user counts under every channel through which "
            "the user came, so users of channels do not add up; pairs of channels are compared by buckets of users, who "
            "may count on both sides.",
            f"channel_basis {basis}：订单功劳{rule}{reach}。用户计入其到访的每个渠道，因此各渠道用户数不可相加；渠道两两比较按用户分桶进行，同一用户可同时计入双方。",
        ),
        say(
            lang,
            "The funnel, repurchase, retention, price bands and economics follow users by the channel of acquisition.",
            "漏斗、复购、留存、价格带与成本按用户的获客渠道统计。",
        ),
    ]
    if mixed_sessions:
        notes.append(
            say(
                lang,
                f"Sessions that name more than one channel: {format_count(mixed_sessions)}; the first one named counts.",
                f"出现多个渠道的会话：{format_count(mixed_sessions)} 个，取最先出现的渠道。",
            )
        )
    return notes


def _pair_notes(pairs: pd.DataFrame, wishes: Wishes, lang: Language) -> list[str]:
    """Pairs that are listed and not tested, where users may count under several channels."""
    untested = int(pairs["p_value"].isna().sum())
    if wishes.channel_basis == "acquisition" or not untested:
        return []
    return [
        say(
            lang,
            f"Too few buyers, or too few others, to compare: {format_count(untested)} of {format_count(len(pairs))} pairs of "
            f"channels have no test ({MINIMUM_OWN} of each are needed on both sides).",
            f"买家或未买者太少，无法比较：{format_count(len(pairs))} 对渠道中 {format_count(untested)} 对没有检验"
            f"（双方各需 {MINIMUM_OWN} 名）。",
        )
    ]


def _window_notes(wishes: Wishes, scorecard: pd.DataFrame, lang: Language) -> list[str]:
    if wishes.population != "new" or scorecard["user_count"].sum() == 0:
        return []
    waiting = int(scorecard["user_count"].sum() - scorecard["conversion_eligible_count"].sum())
    if not scorecard["conversion_eligible_count"].sum():
        return [
            say(
                lang,
                f"No user's {wishes.conversion_days} days have elapsed: conversion is empty. Take a shorter "
                "conversion_days, an earlier period, or wait.",
                f"没有用户满 {wishes.conversion_days} 天，转化率为空。请缩短 conversion_days、选更早的时期或等待。",
            )
        ]
    if waiting and wishes.channel_basis == "acquisition":
        return [
            say(
                lang,
                f"{format_count(waiting)} new users came too late to be followed {wishes.conversion_days} days; they are in no "
                "conversion rate.",
                f"{format_count(waiting)} 名新客尚未满 {wishes.conversion_days} 天，不计入转化率。",
            )
        ]
    return []


def _audience_notes(
    shop: Shop, wishes: Wishes, adjusted: pd.DataFrame, missing: Sequence[str], lang: Language
) -> list[str]:
    notes = []
    if missing:
        named = ", ".join(missing)
        notes.append(
            say(
                lang,
                f"users carry no {named}: the audience is compared without. Add it to see how much of a gap it explains.",
                f"users 没有 {named}，受众比较不含该列；补充后可见它解释多少差距。",
            )
        )
    if not wishes.standardise_by and len(adjusted):
        notes.append(
            say(
                lang,
                "Nothing describes the audience: how much of a gap it explains is unknown, and the split is empty.",
                "没有描述受众的列：受众能解释多少差距未知，拆分为空。",
            )
        )
    if wishes.standardise_by and len(adjusted):
        words = wishes.audience_words(lang)
        notes.append(
            say(
                lang,
                f"The audience is measured by {words}, unknown its own group. Weights are symmetric: exchanging the two sides "
                "changes signs alone; groups that one side lacks stand apart as unsupported.",
                f"受众按{words}衡量，未知单列。权重对称，交换双方只改变符号；只有一方拥有的组单列为“无对照”。",
            )
        )
        reasons = adjusted.loc[
            adjusted["reason"].isin(("few_own_buyers", "few_other_buyers", "few_effective_buyers")), "channel"
        ]
        if len(reasons):
            names = ", ".join(reasons.head(8))
            notes.append(
                say(
                    lang,
                    f"Too few buyers for an interval of the gap: {names}.",
                    f"买家太少，差距没有区间：{names}。",
                )
            )
    return notes


def _spend_notes(economics: pd.DataFrame, lang: Language) -> list[str]:
    alone = economics.loc[(economics["spend_amount"] > 0) & (economics["new_user_count"] == 0), "channel"]
    if alone.empty:
        return []
    names = ", ".join(alone.head(8))
    return [
        say(
            lang,
            f"Spend without a new user: {names}. Its name may differ from that of the users' channel, or nobody came.",
            f"有花费但没有新客的渠道：{names}。可能名称与用户渠道不一致，或无人到来。",
        )
    ]
