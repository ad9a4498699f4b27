"""The first screen of the user report: the alarm or the groups in one sentence, and the groups in one table."""

from collections.abc import Mapping
from datetime import date, timedelta

import pandas as pd

from workbench.analysis import Headline
from workbench.language import Language, format_amount, format_count, format_rate, say
from workbench.stats.alarms import LEAST_PERIODS
from workbench.user.actions import user_actions
from workbench.user.quadrants import QuadrantRules, QuadrantsFound
from workbench.user.strategy import load_strategies
from workbench.user.words import Tables, alarms_of, counted, current_alarms, last_groups, newest_period, went

NEEDED_PERIODS = LEAST_PERIODS + 2
"""Periods from which on anything can ring: the first has no period before it, and the last is judged by those between."""
SHORT_WINDOW, SHORT_PERIOD = 14, 7
"""Days that are proposed where the periods asked for are too few for an alarm."""


def user_headline(
    tables: Tables,
    rules: QuadrantRules,
    found: QuadrantsFound,
    lang: Language,
    *,
    has_money: bool,
    has_chosen_users: bool = False,
) -> Headline:
    """The four groups, the alarm if there is one, and whom to call.

    Parameters
    ----------
    tables
        Of the analysis.
    rules, found, lang
        As in ``read_quadrants``, and what it found.
    has_money
        Whether orders carry amounts.
    has_chosen_users
        Whether the tables but those of audiences are of some of the shop's users.
    """
    return Headline(
        verdict=_verdict(tables, rules, found, lang),
        table=_headline_table(tables, rules, lang, has_money=has_money),
        source="quadrants",
        actions=user_actions(tables, rules, found, lang, has_chosen_users=has_chosen_users),
    )


def is_judged(tables: Tables) -> bool:
    """Whether any outflow has history enough to be judged."""
    alerts = tables["migration_alerts"]
    return bool(len(alerts) and alerts["p_value"].notna().any())


def has_small_groups(tables: Tables) -> bool:
    """Whether every group has always had too few users for an alarm."""
    alerts = tables["migration_alerts"]
    return bool(len(alerts)) and bool((alerts["reason"] == "few_users").all()) and not is_judged(tables)


def alarm_text(row: Mapping, lang: Language) -> str:
    """One alarm: who, where to, how many against how many, since when it rings, and the money."""
    share, usual = format_rate(row["row_share"]), format_rate(row["expected_share"])
    users, of = format_count(row["user_count"]), counted(row["from_user_count"], "user")
    did, start, since = went(row, row["user_count"], lang), str(row["start_date"]), str(row["since_date"])
    rings = say(lang, f", rings since {since}", f"，自 {since} 起持续预警") if since < start else ""
    money = row["amount_at_risk"]
    risk = ""
    if money == money and money > 0:
        amount = format_amount(money, lang)
        risk = say(lang, f"; {amount} at risk", f"，涉及金额 {amount}")
    last = (date.fromisoformat(str(row["end_date"])) - timedelta(days=1)).isoformat()
    return say(
        lang,
        f"{start} to {last}: {users} of {of} in “{row['from_name']}” {did}, {share} where {usual} are usual{rings}{risk}.",
        f"{start} 至 {last}：“{row['from_name']}”{format_count(row['from_user_count'])} 名用户中 {users} 名{did}，"
        f"占 {share}，通常为 {usual}{rings}{risk}。",
    )


def value_hint(tables: Tables, rules: QuadrantRules, found: QuadrantsFound, lang: Language) -> str:
    """Where a line lies at 0 because most users bought nothing: how to split by value instead; "" elsewhere.

    Who set the 0 is told nothing. It stands among the limits: on the first screen the groups' names say who they are.
    """
    words = load_strategies()
    lines = (found.x, found.y)
    at = [number for number, one in enumerate(lines) if words.only_tells_who(one.metric, one.threshold)]
    if not at or isinstance(rules.threshold, Mapping):
        return ""
    number, groups = at[-1], last_groups(tables)
    is_high = groups["quadrant"].str.split("_").str[number] == "high"
    share = format_rate(groups.loc[~is_high, "user_share"].sum())
    buyers = groups[is_high & (groups["user_count"] > 0)]
    column = "xy"[number] + "_mean"
    mean = (buyers[column] * buyers["user_count"]).sum() / max(buyers["user_count"].sum(), 1)
    values = [_short(one.threshold) for one in lines]
    values[number] = _short(mean)
    how = f"threshold=[{values[0]}, {values[1]}]"
    name = words.metric(lines[number].metric, lang)
    if rules.include_users_without_orders:
        how += say(lang, " or ", " 或 ") + "include_users_without_orders=false"
    return say(
        lang,
        f"The line of {name} is 0 ({share} of users have none); to split by value: {how}.",
        f"{name}的分界线为 0（{share} 的用户为 0）；如需按价值划分：{how}。",
    )


def _short(value: float) -> str:
    """A number with two digits that count.

    Examples
    --------
    >>> _short(143.26), _short(0.0), _short(1.416), _short(120_400.0)
    ('140', '0', '1.4', '120000')
    """
    return f"{float(f'{value:.2g}'):.10g}"


def _verdict(tables: Tables, rules: QuadrantRules, found: QuadrantsFound, lang: Language) -> str:
    """What rings in the newest period; where nothing does, the largest group, and what rang before."""
    alarms = current_alarms(tables)
    if len(alarms):
        first = alarms.iloc[0]
        told = alarm_text(first.to_dict(), lang)
        others = alarms[alarms["is_watched"].astype(bool) & (alarms["from_group"] != first["from_group"])]
        others = others.sort_values("excess_users", ascending=False)
        if others.empty:
            return told
        also = _in_short(others.iloc[0].to_dict(), lang)
        return told + say(lang, f" Also, {also}.", f"同期{also}。")
    return _largest(tables, lang) + _alarm_tail(tables, rules, found, lang)


def _largest(tables: Tables, lang: Language) -> str:
    """The group with most money, or with most users where there is none."""
    groups = last_groups(tables)
    size = "amount_share" if groups["amount_share"].notna().any() else "user_share"
    top = groups.sort_values(size, ascending=False).iloc[0]
    users, money = format_rate(top["user_share"]), format_rate(top["amount_share"])
    if size == "amount_share":
        return say(
            lang,
            f"“{top['name']}” are {users} of users and {money} of the paid amount",
            f"“{top['name']}”占用户 {users}，贡献实付金额 {money}",
        )
    return say(
        lang,
        f"“{top['name']}” is the largest group, {users} of all users",
        f"“{top['name']}”为最大群体，占用户 {users}",
    )


def _alarm_tail(tables: Tables, rules: QuadrantRules, found: QuadrantsFound, lang: Language) -> str:
    """Whether anything rang before, or why nothing could."""
    every = alarms_of(tables)
    if len(every):
        return _past_alarms(tables, every, lang)
    if is_judged(tables):
        return say(lang, "; no group lost more users than its history explains.", "；没有群体的流出超出历史水平。")
    if has_small_groups(tables):
        return say(
            lang,
            f"; no alarm is possible: no group had {counted(rules.min_users, 'user')} (min_users) before the last period.",
            f"；无法预警：上一周期末及以前，各群体均不足 {rules.min_users} 名用户（min_users）。",
        )
    count = len(found.periods)
    if count < NEEDED_PERIODS:
        return say(
            lang,
            f"; no alarm is possible yet: {count} of {NEEDED_PERIODS} periods needed.",
            f"；尚无法预警：需 {NEEDED_PERIODS} 个周期，现有 {count} 个。",
        )
    return say(
        lang,
        "; no alarm is possible yet: too few periods in which groups are large enough and somebody moves.",
        "；尚无法预警：人数足够且有迁移的周期过少。",
    )


def _past_alarms(tables: Tables, every: pd.DataFrame, lang: Language) -> str:
    """What rang before the newest period, by name where it was the period before, and that nothing has since."""
    last = every[every["period_index"] == every["period_index"].max()].iloc[0].to_dict()
    newest = tables["migration_alerts"]["period_index"] == newest_period(tables)
    is_known = tables["migration_alerts"].loc[newest, "p_value"].notna().any()
    since = ("nothing since", "其后无异常") if is_known else ("the last cannot be judged", "最近一期无法判断")
    if last["period_index"] == newest_period(tables) - 1:
        told = _in_short(last, lang)
        return say(
            lang,
            f". The period before (from {last['start_date']}) rang: {told}; {since[0]}.",
            f"。上一周期（自 {last['start_date']} 起）曾预警：{told}；{since[1]}。",
        )
    count = every["period_index"].nunique()
    return say(
        lang,
        f"; {count} earlier {'periods' if count > 1 else 'period'} rang, the last from {last['start_date']}; {since[0]}.",
        f"；此前 {count} 个周期触发预警，最近一次自 {last['start_date']} 起；{since[1]}。",
    )


def shorter_periods(rules: QuadrantRules, found: QuadrantsFound, lang: Language) -> str:
    """Where there are too few periods for alarms: shorter ones that would do on the same days; "" elsewhere.

    It stands among the limits, so that the first screen stays short.
    """
    count = len(found.periods)
    if count >= NEEDED_PERIODS:
        return ""
    days = found.periods.ends[-1] - found.periods.window(0)[0]
    is_shorter = rules.window_days > SHORT_WINDOW or rules.period_days > SHORT_PERIOD
    if not is_shorter or days < SHORT_WINDOW + (NEEDED_PERIODS - 1) * SHORT_PERIOD:
        return ""
    asked = f"window_days={SHORT_WINDOW}, period_days={SHORT_PERIOD}"
    return say(
        lang,
        f"An alarm needs {NEEDED_PERIODS} periods; here {'is' if count == 1 else 'are'} {count}. {asked} would do.",
        f"预警需要 {NEEDED_PERIODS} 个周期，现有 {count} 个；可改用 {asked}。",
    )


def _in_short(row: Mapping, lang: Language) -> str:
    """An alarm as part of a sentence, without its days and its money."""
    share, usual = format_rate(row["row_share"]), format_rate(row["expected_share"])
    users, did = format_count(row["user_count"]), went(row, row["user_count"], lang)
    return say(
        lang,
        f"{users} in “{row['from_name']}” {did} ({share}, usual {usual})",
        f"“{row['from_name']}”{users} 名{did}（{share}，通常 {usual}）",
    )


def _headline_table(tables: Tables, rules: QuadrantRules, lang: Language, *, has_money: bool) -> pd.DataFrame:
    """The four groups; what is of the window's days, and what of the period's, says so above its cells."""
    # The space does not break, so that a phone has two lines above a column, and not three.
    window, period = (say(lang, f", {days}\xa0d", f" {days}\xa0天") for days in (rules.window_days, rules.period_days))
    rows = []
    for row in last_groups(tables).to_dict("records"):
        change = row["user_count_change"]
        cells = {
            say(lang, "Group", "群体"): row["name"],
            say(lang, "Users", "用户") + window: format_count(row["user_count"]),
            say(lang, "Share", "占比"): format_rate(row["user_share"]),
            say(lang, "Change", "变化") + period: "–" if pd.isna(change) else f"{change:+,.0f}".replace("-", "−"),
        }
        if has_money:
            cells[say(lang, "Paid", "实付") + window] = format_amount(row["paid_amount"], lang)
            cells[say(lang, "Per user", "人均")] = format_amount(row["paid_amount_per_user"], lang)
        rows.append(cells)
    return pd.DataFrame(rows)
