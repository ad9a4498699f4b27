"""What the channel tables say, in sentences that name their cell."""

from collections.abc import Mapping, Sequence

import pandas as pd

from workbench.analysis import Action, Cell, Finding, Headline
from workbench.channel.audience_findings import (
    audience_findings,
    clearest_gap,
    curve_findings,
    gap_verdict,
    price_findings,
)
from workbench.channel.wishes import Wishes
from workbench.language import Language, format_amount, format_count, format_interval, format_rate, say
from workbench.metrics.population import Population
from workbench.period import Period
from workbench.stats.intervals import wilson
from workbench.stats.tables import shown_window


def named_channels(scorecard: pd.DataFrame) -> pd.DataFrame:
    """Channels with users, without (unknown) where there are others; what the first screen shows."""
    named = scorecard[(scorecard["channel"] != "(unknown)") & (scorecard["user_count"] > 0)]
    return named if len(named) else scorecard


def _ranked(scorecard: pd.DataFrame) -> pd.DataFrame:
    known = scorecard["conversion_rate"].notna() & scorecard["unranked_reason"].isna()
    return scorecard[known].sort_values("conversion_rate", ascending=False)


def channel_headline(
    tables: Mapping[str, pd.DataFrame], period: Period, wishes: Wishes, lang: Language, paid_count: int
) -> Headline:
    """The first screen of the channel report."""
    scorecard = tables["channel_scorecard"]
    return Headline(
        verdict=_verdict(tables, period, wishes, lang, paid_count),
        table=_headline_table(scorecard, wishes.population, lang, wishes.repurchase_days),
        source="channel_scorecard",
        actions=_actions(scorecard, lang, wishes.conversion_days),
    )


def _verdict(
    tables: Mapping[str, pd.DataFrame], period: Period, wishes: Wishes, lang: Language, paid_count: int
) -> str:
    scorecard, population = tables["channel_scorecard"], wishes.population
    ranked = _ranked(scorecard)
    if scorecard.empty:
        return say(
            lang,
            f"No {'new' if population == 'new' else 'active'} user from {period.start_date} to {period.last_date}.",
            f"{period.start_date} 至 {period.last_date} 没有{'新' if population == 'new' else '活跃'}用户。",
        )
    if not paid_count and len(ranked) < 2:
        return say(
            lang,
            f"No paid order from {period.start_date} to {period.last_date}: channels cannot be compared by sales.",
            f"{period.start_date} 至 {period.last_date} 没有已支付订单，无法按销售比较渠道。",
        )
    if len(ranked) < 2:
        return say(
            lang,
            f"Fewer than two channels have {wishes.min_users} users whose window has elapsed: nothing to compare yet.",
            f"不足两个渠道拥有 {wishes.min_users} 名已满窗口期的用户，暂无法比较。",
        )
    gap = clearest_gap(tables["channel_adjusted"], scorecard) if wishes.standardise_by else None
    if gap is not None:
        return gap_verdict(gap, wishes, lang)
    best, worst = ranked.iloc[0], ranked.iloc[-1]
    apart = best["ci_lower"] > worst["ci_upper"]
    spans = [format_interval(row["ci_lower"], row["ci_upper"]) for row in (best, worst)]
    if not apart:
        return say(
            lang,
            f"No clear difference: the highest conversion ({best['channel']}, {format_rate(best['conversion_rate'])}, "
            f"{spans[0]}) overlaps the lowest ({worst['channel']}, {spans[1]}).",
            f"差异不明显：最高转化（{best['channel']}，{format_rate(best['conversion_rate'])}，{spans[0]}）与最低"
            f"（{worst['channel']}，{spans[1]}）区间重叠。",
        )
    days = wishes.conversion_days
    window = say(lang, f" within {days} days", f" {days} 天内") if population == "new" else ""
    return say(
        lang,
        f"{best['channel']} converts best{window}: {format_rate(best['conversion_rate'])} ({spans[0]}), "
        f"against {format_rate(worst['conversion_rate'])} ({spans[1]}) of {worst['channel']}.",
        f"{best['channel']}{window}转化最高：{format_rate(best['conversion_rate'])}（{spans[0]}），"
        f"最低为 {worst['channel']} 的 {format_rate(worst['conversion_rate'])}（{spans[1]}）。",
    )


def _headline_table(
    scorecard: pd.DataFrame, population: Population, lang: Language, days: Sequence[int]
) -> pd.DataFrame:
    window = shown_window(days)
    rows = []
    for row in named_channels(scorecard).head(7).to_dict("records"):
        cells = {
            say(lang, "Channel", "渠道"): row["channel"],
            (say(lang, "New users", "新客") if population == "new" else say(lang, "Users", "用户")): format_count(
                row["user_count"]
            ),
            say(lang, "Conversion", "转化率"): format_rate(row["conversion_rate"]),
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
    actions = []
    losing = paid[paid["contribution_ci_upper"] < 0].sort_values("contribution_per_new_user")
    for row in losing.head(2).to_dict("records"):
        actions.append(
            _money_action(
                row,
                "cut_losing_channel",
                say(
                    lang,
                    f"Cut or renegotiate {row['channel']}: a new user costs {format_amount(-row['contribution_per_new_user'], lang)} "
                    f"more than the first {conversion_days} days earn.",
                    f"削减或重谈 {row['channel']}：每个新客的成本比首 {conversion_days} 天利润高 "
                    f"{format_amount(-row['contribution_per_new_user'], lang)}。",
                ),
                lang,
            )
        )
    earning = paid[paid["contribution_ci_lower"] > 0].sort_values("contribution_per_new_user", ascending=False)
    for row in earning.head(1).to_dict("records"):
        actions.append(
            _money_action(
                row,
                "grow_earning_channel",
                say(
                    lang,
                    f"Try more budget on {row['channel']}: each new user earns {format_amount(row['contribution_per_new_user'], lang)} "
                    "after its cost.",
                    f"尝试增加 {row['channel']} 预算：每个新客扣除成本后贡献 {format_amount(row['contribution_per_new_user'], lang)}。",
                ),
                lang,
            )
        )
    return tuple(actions[:3])


def _money_action(row: dict, name: str, text: str, lang: Language) -> Action:
    users = row["user_count"]
    return Action(
        name=name,
        text=text,
        cell=Cell("channel_scorecard", {"channel": row["channel"]}, "contribution_per_new_user"),
        amount=row["contribution_per_new_user"] * users,
        ci_lower=row["contribution_ci_lower"] * users,
        ci_upper=row["contribution_ci_upper"] * users,
        basis=say(
            lang,
            f"contribution of the period's {format_count(users)} new users, if all do as those followed so far",
            f"按已观察用户推算的期内 {format_count(users)} 名新客贡献",
        ),
        evidence="observed",
    )


def channel_findings(
    tables: Mapping[str, pd.DataFrame], wishes: Wishes, lang: Language, confidence_level: float
) -> tuple[Finding, ...]:
    """Sentences on conversion and its gaps, repurchase, spend, the leakiest step, prices and small channels."""
    scorecard = tables["channel_scorecard"]
    found = []
    ranked = _ranked(scorecard)
    for name, row in (
        ("highest_conversion", ranked.head(1)),
        ("lowest_conversion", ranked.tail(1) if len(ranked) > 1 else ranked.head(0)),
    ):
        for one in row.to_dict("records"):
            which = say(lang, "highest", "最高") if name == "highest_conversion" else say(lang, "lowest", "最低")
            found.append(
                Finding(
                    name,
                    say(
                        lang,
                        f"{one['channel']} has the {which} conversion: {format_rate(one['conversion_rate'])} "
                        f"({format_interval(one['ci_lower'], one['ci_upper'])}) of {format_count(one['conversion_eligible_count'])} users.",
                        f"{one['channel']} 转化率{which}：{format_count(one['conversion_eligible_count'])} 名用户中 "
                        f"{format_rate(one['conversion_rate'])}（{format_interval(one['ci_lower'], one['ci_upper'])}）。",
                    ),
                    Cell("channel_scorecard", {"channel": one["channel"]}, "conversion_rate"),
                    one["conversion_rate"],
                )
            )
    found += audience_findings(tables, wishes, lang)
    found += _repurchase_findings(scorecard, lang, wishes)
    found += curve_findings(tables["channel_repurchase"], tables["channel_economics"], lang, confidence_level)
    found += _leak_findings(tables["channel_funnel"], lang, wishes.min_users)
    found += price_findings(tables["channel_prices"], lang)
    small = scorecard[scorecard["unranked_reason"].isin(("few_users", "no_elapsed_window"))]
    for one in small.to_dict("records"):
        found.append(
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
        )
    return tuple(found)


def _repurchase_findings(scorecard: pd.DataFrame, lang: Language, wishes: Wishes) -> list[Finding]:
    window = shown_window(wishes.repurchase_days)
    if not window:
        return []
    column = f"repurchase_rate_{window}"
    many = scorecard[f"{column}_eligible_count"] >= wishes.min_users
    enough = scorecard[many & (scorecard["channel"] != "(unknown)")]
    found = []
    for one in enough.sort_values(column, ascending=False).head(1).to_dict("records"):
        span = format_interval(one[f"{column}_ci_lower"], one[f"{column}_ci_upper"])
        found.append(
            Finding(
                "highest_repurchase",
                say(
                    lang,
                    f"Buyers of {one['channel']} come back most: {format_rate(one[column])} ({span}) pay again within {window} days.",
                    f"{one['channel']} 的买家回头最多：{window} 天内复购 {format_rate(one[column])}（{span}）。",
                ),
                Cell("channel_scorecard", {"channel": one["channel"]}, column),
                one[column],
            )
        )
    return found


def _leak_findings(funnel: pd.DataFrame, lang: Language, min_users: int) -> list[Finding]:
    """The channel and step that fall furthest below all channels together, beyond the interval of its step rate."""
    if funnel.empty or "breakdown_value" in funnel:
        return []
    totals = funnel.groupby("step_index")["user_count"].sum()
    overall = (totals / totals.shift()).rename("all_rate")
    steps = funnel[(funnel["step_index"] > 1)].join(overall, on="step_index")
    base = funnel.set_index(["channel", "step_index"])["user_count"]
    steps["base_count"] = [base.loc[(row["channel"], row["step_index"] - 1)] for row in steps.to_dict("records")]
    steps = steps[(steps["base_count"] >= min_users) & (steps["channel"] != "(unknown)")]
    steps = steps.assign(lost=((steps["all_rate"] - steps["step_rate"]) * steps["base_count"]).round())
    surely = wilson(steps["user_count"], steps["base_count"]).upper < steps["all_rate"]
    found = []
    for one in steps[surely & (steps["lost"] > 0)].sort_values("lost", ascending=False).head(1).to_dict("records"):
        found.append(
            Finding(
                "leakiest_step",
                say(
                    lang,
                    f"{one['channel']} loses most at {one['step']}: {format_rate(one['step_rate'])} go on, "
                    f"{format_rate(one['all_rate'])} over all channels ({format_count(one['lost'])} users fewer).",
                    f"{one['channel']} 在 {one['step']} 流失最多：{format_rate(one['step_rate'])} 继续，全部渠道为 "
                    f"{format_rate(one['all_rate'])}（少 {format_count(one['lost'])} 人）。",
                ),
                Cell("channel_funnel", {"channel": one["channel"], "step": one["step"]}, "step_rate"),
                one["step_rate"],
            )
        )
    return found
