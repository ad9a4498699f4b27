"""The one sentence of the channel report: what differs beyond chance, or why nothing can be said."""

from collections.abc import Mapping

import pandas as pd

from workbench.channel.apart import clearest_gap, clearest_pair, is_outermost, ranked_channels
from workbench.channel.audience_findings import points, span, told_by
from workbench.channel.wishes import Wishes
from workbench.contract import UNKNOWN
from workbench.language import Language, format_count, format_interval, format_rate, say
from workbench.period import Period


def verdict(tables: Mapping[str, pd.DataFrame], period: Period, wishes: Wishes, lang: Language, paid_count: int) -> str:
    """What the manager remembers."""
    scorecard, pairs = tables["channel_scorecard"], tables["channel_pairs"]
    ranked = ranked_channels(scorecard)
    if scorecard.empty:
        return say(
            lang,
            f"No {'new' if wishes.population == 'new' else 'active'} user from {period.start_date} to {period.last_date}.",
            f"{period.start_date} 至 {period.last_date} 没有{'新' if wishes.population == 'new' else '活跃'}用户。",
        )
    if not paid_count and len(ranked) < 2:
        return say(
            lang,
            f"No paid order from {period.start_date} to {period.last_date}: channels cannot be compared by sales.",
            f"{period.start_date} 至 {period.last_date} 没有已支付订单，无法按销售比较渠道。",
        )
    if len(ranked) < 2:
        return too_few_channels(scorecard, period, wishes, lang)
    gap = None if wishes.is_credit else clearest_gap(tables)
    if gap is not None:
        return gap_verdict(gap, pairs, wishes, lang)
    pair = clearest_pair(pairs, scorecard)
    if pair is None:
        return _alike(ranked, pairs, wishes, lang)
    return _credited(*pair, wishes, lang) if wishes.is_credit else _better(*pair, pairs, wishes, lang)


def _rate(row: Mapping | pd.Series, lang: Language) -> str:
    between = format_interval(row["ci_lower"], row["ci_upper"])
    return format_rate(row["conversion_rate"]) + (say(lang, f" ({between})", f"（{between}）") if between else "")


def _alike(ranked: pd.DataFrame, pairs: pd.DataFrame, wishes: Wishes, lang: Language) -> str:
    high, low = ranked.iloc[0], ranked.iloc[-1]
    if pairs["p_value"].isna().all():
        return say(
            lang,
            f"Too few buyers, or too few others, to tell channels apart: from {format_rate(low['conversion_rate'])} "
            f"({low['channel']}) to {format_rate(high['conversion_rate'])} ({high['channel']}).",
            f"买家或未买者太少，无法区分各渠道：从 {format_rate(low['conversion_rate'])}（{low['channel']}）到 "
            f"{format_rate(high['conversion_rate'])}（{high['channel']}）。",
        )
    what = say(lang, "credited share" if wishes.is_credit else "conversion", "归功比例" if wishes.is_credit else "转化")
    return say(
        lang,
        f"No clear difference: the highest {what} ({high['channel']}, {_rate(high, lang)}) and the lowest "
        f"({low['channel']}, {_rate(low, lang)}) lie no further apart than chance puts {len(ranked)} alike channels.",
        f"差异不明显：最高{what}（{high['channel']}，{_rate(high, lang)}）与最低（{low['channel']}，{_rate(low, lang)}）"
        f"之差未超出 {len(ranked)} 个相同渠道的随机波动。",
    )


def _better(high: Mapping, low: Mapping, pairs: pd.DataFrame, wishes: Wishes, lang: Language) -> str:
    window = wishes.window_words(lang)
    if is_outermost(pairs, high["channel"], above=True):
        return say(
            lang,
            f"{high['channel']} converts best{window}: {_rate(high, lang)}, against {_rate(low, lang)} of {low['channel']}.",
            f"{high['channel']}{window}转化最高：{_rate(high, lang)}，{low['channel']} 为 {_rate(low, lang)}。",
        )
    return say(
        lang,
        f"{high['channel']} converts more than {low['channel']}{window}: {_rate(high, lang)} against {_rate(low, lang)}.",
        f"{high['channel']}{window}转化高于 {low['channel']}：{_rate(high, lang)}，后者 {_rate(low, lang)}。",
    )


def _credited(high: Mapping, low: Mapping, wishes: Wishes, lang: Language) -> str:
    what, basis = wishes.credit_words(lang), wishes.channel_basis
    return say(
        lang,
        f"{high['channel']} is credited with {what} of {_rate(high, lang)} of the users who came through it, "
        f"{low['channel']} of {_rate(low, lang)}. This follows from who gets the credit (channel_basis {basis}) as much as "
        "from the channel.",
        f"经 {high['channel']} 到访的用户中，有 {_rate(high, lang)}其{what}归功于它；{low['channel']} 为 {_rate(low, lang)}。"
        f"这既取决于渠道，也取决于功劳的分配规则（channel_basis {basis}）。",
    )


def too_few_channels(scorecard: pd.DataFrame, period: Period, wishes: Wishes, lang: Language) -> str:
    """Why fewer than two channels can be ranked, and what would help."""
    people = scorecard[scorecard["user_count"] > 0]
    named = people[people["channel"] != UNKNOWN]
    if named.empty:
        return say(
            lang,
            "No user has a channel: nothing to compare. Fill channel in users.",
            "没有用户带有渠道，无法比较。请在 users 中补充 channel。",
        )
    first = named["channel"].iloc[0]
    if len(named) == 1:
        nameless = people.loc[people["channel"] == UNKNOWN, "user_count"].sum()
        beside = say(
            lang,
            f" beside {format_count(nameless)} users without a channel" if nameless else "",
            f"（另有 {format_count(nameless)} 名用户没有渠道）" if nameless else "",
        )
        return say(
            lang,
            f"{first} is the only channel{beside}: there is no other to compare it with.",
            f"只有 {first} 一个渠道{beside}，没有可比较的对象。",
        )
    days = wishes.conversion_days
    if wishes.population == "new" and not people["conversion_eligible_count"].sum():
        watched = (period.data_last_date - period.start_date).days + 1
        return _nobody_followed(people["user_count"].sum(), watched, days, lang)
    enough = named[named["conversion_eligible_count"] >= wishes.min_users]
    followed = wishes.population == "new"
    whose = say(lang, f" followed for {days} days" if followed else "", f"已满 {days} 天的" if followed else "")
    who = say(
        lang, f"Only {first} has" if len(enough) else "No channel has", f"仅 {first}" if len(enough) else "没有渠道"
    )
    largest = int(named["conversion_eligible_count"].nlargest(2).iloc[-1])
    lower = (
        say(lang, f", or set min_users={largest}", f"，或设定 min_users={largest}")
        if 5 <= largest < wishes.min_users
        else ""
    )
    return say(
        lang,
        f"{who} {wishes.min_users} users{whose}: nothing to compare yet. Take a longer period{lower}.",
        f"{who}有 {wishes.min_users} 名{whose}用户，暂无法比较。请选更长的时期{lower}。",
    )


def _nobody_followed(count: float, watched: int, days: int, lang: Language) -> str:
    shorter = max(watched // 2, 1)
    if watched < 3:
        advice = say(lang, "Load more days, or take an earlier period.", "请载入更多天的数据，或选更早的时期。")
    else:
        advice = say(
            lang,
            f"Take an earlier period, or set conversion_days={shorter}.",
            f"请选更早的时期，或设定 conversion_days={shorter}。",
        )
    return say(
        lang,
        f"None of the {format_count(count)} new users has been followed for {days} days: from the start of the period the "
        f"data reach over {watched} {'day' if watched == 1 else 'days'}. {advice}",
        f"{format_count(count)} 名新客均未观察满 {days} 天：自期初起数据只有 {watched} 天。{advice}",
    )


def gap_verdict(row: pd.Series, pairs: pd.DataFrame, wishes: Wishes, lang: Language) -> str:
    """One sentence: the gap, and what explains it. Lowest is who is so against every other channel, beyond chance."""
    below, name, base = row["gap"] < 0, row["channel"], wishes.baseline_words(lang)
    own, other = format_rate(row["conversion_rate"]), format_rate(row["baseline_rate"])
    if is_outermost(pairs, name, above=not below):
        start = say(
            lang,
            f"{name} converts {'lowest' if below else 'highest'}: {own} against {other} of {base}. ",
            f"{name} 转化{'最低' if below else '最高'}：{own}，{base}为 {other}。",
        )
    else:
        start = say(
            lang,
            f"{name} converts {'less' if below else 'more'} than {base}: {own} against {other}. ",
            f"{name} 转化{'低于' if below else '高于'}{base}：{own}，{base}为 {other}。",
        )
    gap = points(abs(row["gap"]), lang, signed=False)
    mix = f"{100 * abs(row['mix']):.1f}"
    rest = f"{100 * row['rate']:+.1f}".replace("-", "−") + say(
        lang, f" ({span(row, 'rate')})", f"（{span(row, 'rate')}）"
    )
    kind = told_by(row)
    if kind == "audience":
        part = say(lang, mix, f" {mix} ")
        if abs(row["mix"]) > abs(row["gap"]):
            part = say(lang, f"all ({mix})", f"全部（{mix}）")
        return start + say(
            lang,
            f"Its measured audience explains {part} of the {gap}; {rest} remain with the same audience.",
            f"相差 {gap}，其中{part}由可测受众解释；受众相同时仍差 {rest}。",
        )
    if kind == "rate":
        explained = say(lang, f"only {mix}", mix) if row["mix"] * row["gap"] > 0 else say(lang, "none", "0")
        return start + say(
            lang,
            f"Its measured audience explains {explained} of the {gap}; {rest} remain with the same audience.",
            f"相差 {gap}，可测受众仅解释 {explained}；受众相同时仍差 {rest}。",
        )
    if kind == "unsupported":
        return start + say(
            lang,
            f"Most of the {gap} lies in groups of the audience that one side lacks.",
            f"相差 {gap}，大部分来自只有一方拥有的受众。",
        )
    return start + say(
        lang,
        f"How much of the {gap} the measured audience explains is not sure.",
        f"相差 {gap}，可测受众解释多少尚不确定。",
    )
