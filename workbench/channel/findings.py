"""What the channel tables say, in sentences that name their cell."""

from collections.abc import Mapping

import pandas as pd

from workbench.analysis import Action, Cell, Finding, Headline
from workbench.channel.apart import ranked_channels, rest_p_values, surely_above, surely_below
from workbench.channel.audience_findings import audience_findings, curve_findings, price_findings
from workbench.channel.funnel_findings import leak_findings, time_findings
from workbench.channel.verdict import verdict
from workbench.channel.wishes import Wishes
from workbench.language import Language, format_amount, format_count, format_interval, format_rate, say
from workbench.period import Period
from workbench.stats.tables import shown_window


def named_channels(scorecard: pd.DataFrame) -> pd.DataFrame:
    """Channels with users, without (unknown) where there are others; what the first screen shows."""
    named = scorecard[(scorecard["channel"] != "(unknown)") & (scorecard["user_count"] > 0)]
    return named if len(named) else scorecard


def channel_headline(
    tables: Mapping[str, pd.DataFrame], period: Period, wishes: Wishes, lang: Language, paid_count: int
) -> Headline:
    """The first screen of the channel report."""
    scorecard = tables["channel_scorecard"]
    return Headline(
        verdict=verdict(tables, period, wishes, lang, paid_count),
        table=_headline_table(scorecard, wishes, lang),
        source="channel_scorecard",
        actions=_actions(scorecard, lang, wishes.conversion_days),
    )


def _headline_table(scorecard: pd.DataFrame, wishes: Wishes, lang: Language) -> pd.DataFrame:
    window = None if wishes.is_credit else shown_window(wishes.repurchase_days)
    users = say(lang, "New users", "新客") if wishes.population == "new" else say(lang, "Users", "用户")
    converted = say(
        lang, "Credited with" if wishes.is_credit else "Conversion", "归功" if wishes.is_credit else "转化率"
    )
    if wishes.is_credit:
        users = say(lang, "Came through", "到访用户")
    rows = []
    for row in named_channels(scorecard).head(7).to_dict("records"):
        cells = {
            say(lang, "Channel", "渠道"): row["channel"],
            users: format_count(row["user_count"]),
            converted: format_rate(row["conversion_rate"]),
        }
        if window:
            cells[say(lang, f"Again in {window} d", f"{window} 天复购")] = format_rate(row[f"repurchase_rate_{window}"])
        if "contribution_per_new_user" in scorecard and scorecard["contribution_per_new_user"].notna().any():
            cells[say(lang, "Cost / user", "获客成本")] = format_amount(row["cost_per_new_user"], lang)
            cells[say(lang, "Earns / user", "单客贡献")] = format_amount(row["contribution_per_new_user"], lang)
        else:
            cells[say(lang, "Orders", "订单")] = format_count(row["order_count"])
        rows.append(cells)
    return pd.DataFrame(rows)


def _actions(scorecard: pd.DataFrame, lang: Language, conversion_days: int) -> tuple[Action, ...]:
    if "contribution_per_new_user" not in scorecard:
        return ()
    paid = scorecard[(scorecard["spend_amount"].fillna(0) > 0) & scorecard["contribution_per_new_user"].notna()]
    losing = paid[paid["contribution_ci_upper"] < 0].sort_values("contribution_per_new_user")
    earning = paid[paid["contribution_ci_lower"] > 0].sort_values("contribution_per_new_user", ascending=False)
    actions = [_cut(row, lang, conversion_days) for row in losing.head(2).to_dict("records")]
    actions += [_grow(row, lang, conversion_days) for row in earning.head(1).to_dict("records")]
    return tuple(actions[:3])


def _cut(row: dict, lang: Language, conversion_days: int) -> Action:
    """What the users won so far cost beyond what they earned is what not winning them would have saved."""
    users, lost = row["user_count"], format_amount(-row["contribution_per_new_user"], lang)
    return Action(
        name="cut_losing_channel",
        text=say(
            lang,
            f"Cut or renegotiate {row['channel']}: a new user costs {lost} more than the first {conversion_days} days earn.",
            f"削减或重谈 {row['channel']}：每个新客的成本比首 {conversion_days} 天利润高 {lost}。",
        ),
        cell=Cell("channel_scorecard", {"channel": row["channel"]}, "contribution_per_new_user"),
        amount=-row["contribution_per_new_user"] * users,
        ci_lower=-row["contribution_ci_upper"] * users,
        ci_upper=-row["contribution_ci_lower"] * users,
        basis=say(
            lang,
            f"lost on the period's {format_count(users)} new users, if all do as those followed so far",
            f"按已观察用户推算，期内 {format_count(users)} 名新客的亏损",
        ),
        evidence="observed",
    )


def _grow(row: dict, lang: Language, conversion_days: int) -> Action:
    """What users already won have earned is no promise of what the next ones will: a test, and no amount of its own."""
    users = row["user_count"]
    bounds = ("contribution_per_new_user", "contribution_ci_lower", "contribution_ci_upper")
    earned, low, high = (format_amount(row[name] * users, lang) for name in bounds)
    return Action(
        name="grow_earning_channel",
        text=say(
            lang,
            f"Test 10–20% more budget on {row['channel']}: in their first {conversion_days} days the period's "
            f"{format_count(users)} new users earn {earned} ({low} to {high}) after their cost.",
            f"试将 {row['channel']} 预算增加 10–20%：期内 {format_count(users)} 名新客首 {conversion_days} 天扣除成本后贡献 "
            f"{earned}（{low} 至 {high}）。",
        ),
        cell=Cell("channel_scorecard", {"channel": row["channel"]}, "contribution_per_new_user"),
        amount=None,
        ci_lower=None,
        ci_upper=None,
        basis=say(
            lang,
            "the average of users already won; those whom more budget wins may cost more and earn less",
            "已获取用户的平均；追加预算获取的用户可能成本更高、贡献更低",
        ),
        evidence="observed",
    )


def channel_findings(tables: Mapping[str, pd.DataFrame], wishes: Wishes, lang: Language) -> tuple[Finding, ...]:
    """Sentences on conversion and its gaps, repurchase, spend, the leakiest step, prices and small channels."""
    found = _conversion_findings(tables, wishes, lang)
    found += audience_findings(tables, wishes, lang)
    found += repurchase_findings(tables["channel_scorecard"], wishes, lang)
    found += curve_findings(tables["channel_repurchase"], tables["channel_economics"], lang, wishes.confidence_level)
    found += leak_findings(tables["channel_funnel"], wishes, lang)
    found += time_findings(tables["channel_funnel"], wishes, lang)
    found += price_findings(tables["channel_prices"], lang)
    return tuple(found + _small_channels(tables["channel_scorecard"], wishes, lang))


def _conversion_findings(tables: Mapping[str, pd.DataFrame], wishes: Wishes, lang: Language) -> list[Finding]:
    """The highest and the lowest channel if they are beyond chance above or below another; else that none is."""
    scorecard, pairs = tables["channel_scorecard"], tables["channel_pairs"]
    ranked = ranked_channels(scorecard)
    if len(ranked) < 2:
        return []
    high, low = ranked.iloc[0].to_dict(), ranked.iloc[-1].to_dict()
    above, below = surely_above(pairs, high["channel"]), surely_below(pairs, low["channel"])
    found = []
    if above:
        found.append(_end_of_ranking(high, len(above), len(ranked) - 1, wishes, lang, is_highest=True))
    if below:
        found.append(_end_of_ranking(low, len(below), len(ranked) - 1, wishes, lang, is_highest=False))
    if found or pairs["p_value"].isna().all() or pairs["is_different"].any():
        return found
    what = say(
        lang, "credited share" if wishes.is_credit else "conversion", "归功比例" if wishes.is_credit else "转化率"
    )
    ends = [f"{format_rate(one['conversion_rate'])} ({one['channel']})" for one in (low, high)]
    text = say(
        lang,
        f"No channel's {what} is beyond chance apart from another's: they run from {ends[0]} to {ends[1]}.",
        f"没有渠道的{what}与其他渠道有超出随机的差异：介于 {ends[0]} 与 {ends[1]} 之间。",
    )
    cell = Cell("channel_scorecard", {"channel": high["channel"]}, "conversion_rate")
    return [Finding("credits_alike" if wishes.is_credit else "conversions_alike", text, cell, high["conversion_rate"])]


def _end_of_ranking(row: dict, apart: int, others: int, wishes: Wishes, lang: Language, *, is_highest: bool) -> Finding:
    between = format_interval(row["ci_lower"], row["ci_upper"])
    rate = format_rate(row["conversion_rate"])
    users = format_count(row["conversion_eligible_count"])
    side, side_zh = ("above", "高于") if is_highest else ("below", "低于")
    told = say(
        lang,
        f"beyond chance {side} {apart} of {others} others",
        f"超出随机地{side_zh}其余 {others} 个渠道中的 {apart} 个",
    )
    if wishes.is_credit:
        name, most = ("most_credited", "most") if is_highest else ("least_credited", "least")
        text = say(
            lang,
            f"{row['channel']} is credited {most}: with {wishes.credit_words(lang)} of {rate} of the {users} users who came "
            f"through it; {told}.",
            f"{row['channel']} 归功比例最{'高' if is_highest else '低'}：经其到访的 {users} 名用户中，有 {rate} 其"
            f"{wishes.credit_words(lang)}归功于它；{told}。",
        )
    else:
        name, most = ("highest_conversion", "highest") if is_highest else ("lowest_conversion", "lowest")
        text = say(
            lang,
            f"{row['channel']} has the {most} conversion: {rate} ({between}) of {users} users; {told}.",
            f"{row['channel']} 转化率最{'高' if is_highest else '低'}：{users} 名用户中 {rate}（{between}）；{told}。",
        )
    return Finding(
        name, text, Cell("channel_scorecard", {"channel": row["channel"]}, "conversion_rate"), row["conversion_rate"]
    )


def _small_channels(scorecard: pd.DataFrame, wishes: Wishes, lang: Language) -> list[Finding]:
    """Channels that are not ranked; one sentence where nobody at all has been followed long enough."""
    small = scorecard[scorecard["unranked_reason"].isin(("few_users", "no_elapsed_window"))]
    if len(small) and not scorecard["conversion_eligible_count"].sum():
        one = small.iloc[0]
        days = wishes.conversion_days
        text = say(
            lang,
            f"No channel is ranked: none of the {format_count(scorecard['user_count'].sum())} users has been followed for "
            f"{days} days.",
            f"没有渠道参与排名：{format_count(scorecard['user_count'].sum())} 名用户均未满 {days} 天。",
        )
        cell = Cell("channel_scorecard", {"channel": one["channel"]}, "conversion_eligible_count")
        return [Finding("nobody_followed", text, cell, one["conversion_eligible_count"])]
    return [
        Finding(
            "small_channel",
            say(
                lang,
                f"{one['channel']} is not ranked: only {format_count(one['conversion_eligible_count'])} users with an elapsed window.",
                f"{one['channel']} 未参与排名：已满窗口期的用户仅 {format_count(one['conversion_eligible_count'])} 名。",
            ),
            Cell("channel_scorecard", {"channel": one["channel"]}, "conversion_eligible_count"),
            one["conversion_eligible_count"],
        )
        for one in small.to_dict("records")
    ]


def repurchase_findings(scorecard: pd.DataFrame, wishes: Wishes, lang: Language) -> list[Finding]:
    """The channel whose buyers come back most, if beyond chance more than the others' buyers."""
    window = shown_window(wishes.repurchase_days)
    if not window:
        return []
    column = f"repurchase_rate_{window}"
    eligible = scorecard[f"{column}_eligible_count"].fillna(0)
    returned = (scorecard[column].fillna(0) * eligible).round()
    enough = (eligible >= wishes.min_users) & (scorecard["channel"] != "(unknown)")
    if enough.sum() < 2:
        return []
    overall = returned.sum() / eligible.sum()
    p_values = rest_p_values(returned[enough], eligible[enough], returned.sum(), eligible.sum())
    surely = scorecard[enough][(p_values < 1 - wishes.confidence_level) & (scorecard.loc[enough, column] > overall)]
    found = []
    for one in surely.sort_values(column, ascending=False).head(1).to_dict("records"):
        span = format_interval(one[f"{column}_ci_lower"], one[f"{column}_ci_upper"])
        found.append(
            Finding(
                "highest_repurchase",
                say(
                    lang,
                    f"Buyers of {one['channel']} come back most: {format_rate(one[column])} ({span}) pay again within {window} "
                    f"days, {format_rate(overall)} of all buyers.",
                    f"{one['channel']} 的买家回头最多：{window} 天内复购 {format_rate(one[column])}（{span}），全部买家为 "
                    f"{format_rate(overall)}。",
                ),
                Cell("channel_scorecard", {"channel": one["channel"]}, column),
                one[column],
            )
        )
    return found
