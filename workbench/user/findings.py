"""What the tables of users say, in sentences that name their cell."""

from collections.abc import Mapping
from datetime import date, timedelta

import pandas as pd

from workbench.analysis import Action, Cell, Finding, Headline
from workbench.glossary import codes
from workbench.language import Language, format_amount, format_count, format_interval, format_rate, say
from workbench.user.alerts import STOPPED
from workbench.user.next_purchase import ALL
from workbench.user.quadrants import QuadrantRules, QuadrantsFound

Tables = Mapping[str, pd.DataFrame]
MOST_ALERTS = 3
RECENT_PERIODS = 2
"""An alarm of so many last periods is the verdict; older ones are told as past."""
_CALLED = ("high_high", "low_high")
_BUYERS = {
    "once": ("who bought once", "购买过一次"),
    "twice": ("who bought twice", "购买过两次"),
    "more": ("who bought three times or more", "购买过三次及以上"),
}


# -- the first screen ----------------------------------------------------------------------------------------


def user_headline(
    tables: Tables, rules: QuadrantRules, found: QuadrantsFound, lang: Language, *, has_money: bool
) -> Headline:
    """The four groups, the alarm if there is one, and whom to call."""
    return Headline(
        verdict=_verdict(tables, found, lang),
        table=_headline_table(tables["quadrants"], lang, has_money=has_money),
        source="quadrants",
        actions=_actions(tables, rules, found, lang),
    )


def alarms_of(tables: Tables) -> pd.DataFrame:
    """Alarms, most money first."""
    alerts = tables["migration_alerts"]
    return alerts[alerts["is_alarm"].astype(bool)] if len(alerts) else alerts


def is_judged(tables: Tables) -> bool:
    """Whether any outflow has history enough to be judged."""
    alerts = tables["migration_alerts"]
    return bool(len(alerts) and alerts["p_value"].notna().any())


def last_groups(tables: Tables) -> pd.DataFrame:
    """The quadrants at the end of the last period."""
    quadrants = tables["quadrants"]
    return quadrants[quadrants["period_index"] == quadrants["period_index"].max()]


def _verdict(tables: Tables, found: QuadrantsFound, lang: Language) -> str:
    every = alarms_of(tables)
    newest = tables["quadrants"]["period_index"].max()
    alarms = every[every["period_index"] > newest - RECENT_PERIODS]
    if len(alarms):
        first = alarms.iloc[0]
        told = alarm_text(first.to_dict(), lang)
        others = alarms[(alarms["period_index"] == first["period_index"]) & alarms["is_watched"].astype(bool)]
        others = others[others["from_group"] != first["from_group"]].sort_values("excess_users", ascending=False)
        return told if others.empty else f"{told} {_also(others.iloc[0].to_dict(), lang)}"
    groups = last_groups(tables)
    size = "amount_share" if groups["amount_share"].notna().any() else "user_share"
    top = groups.sort_values(size, ascending=False).iloc[0]
    if size == "amount_share":
        told = say(
            lang,
            f"{top['name']} users are {format_rate(top['user_share'])} of all and pay {format_rate(top['amount_share'])}",
            f"“{top['name']}”占用户 {format_rate(top['user_share'])}，贡献实付金额 {format_rate(top['amount_share'])}",
        )
    else:
        told = say(
            lang,
            f"{top['name']} is the largest group, {format_rate(top['user_share'])} of all users",
            f"“{top['name']}”为最大群体，占用户 {format_rate(top['user_share'])}",
        )
    if len(every):
        count, last = every["period_index"].nunique(), every["start_date"].max()
        return told + say(
            lang,
            f"; {count} earlier {'periods' if count > 1 else 'period'} rang, the last from {last}; nothing since.",
            f"；此前 {count} 个周期触发预警，最近一次自 {last} 起，其后无异常。",
        )
    if is_judged(tables):
        return told + say(
            lang, "; no group lost more users than its history explains.", "；没有群体的流出超出历史水平。"
        )
    if len(found.periods) < 2:
        return told + say(
            lang,
            "; there is one period only, so nobody can be seen to move.",
            "；仅有一个周期，无法观察迁移。",
        )
    alerts = tables["migration_alerts"]
    if len(alerts) and (alerts["reason"] == "few_users").any() and not (alerts["reason"] == "short_history").any():
        return told + say(lang, "; the groups are too small for alarms.", "；各群体人数过少，无法预警。")
    return told + say(
        lang,
        f"; {len(found.periods)} periods are too short a history for alarms.",
        f"；仅 {len(found.periods)} 个周期，历史不足以预警。",
    )


def _also(row: Mapping, lang: Language) -> str:
    """A second alarm of the same period, in short."""
    share, usual = format_rate(row["row_share"]), format_rate(row["expected_share"])
    return say(
        lang,
        f"So did {format_count(row['user_count'])} “{row['from_name']}” users ({row['to_name'].lower()}: {share}, usual {usual}).",
        f"同期“{row['from_name']}”{row['to_name']} {format_count(row['user_count'])} 名（{share}，通常 {usual}）。",
    )


def alarm_text(row: Mapping, lang: Language) -> str:
    """One alarm: who, where to, how many against how many, and the money."""
    share, usual = format_rate(row["row_share"]), format_rate(row["expected_share"])
    users, of = format_count(row["user_count"]), format_count(row["from_user_count"])
    money = row["amount_at_risk"]
    risk = ""
    if money == money and money > 0:
        amount = format_amount(money, lang)
        risk = say(lang, f"; {amount} at risk", f"，涉及金额 {amount}")
    if row["to_group"] == STOPPED:
        what, what_zh = "did not come at all", "未访问"
    elif row["to_group"] == "gone":
        what, what_zh = "are gone", "流失"
    else:
        what, what_zh = f"became “{row['to_name']}”", f"转为“{row['to_name']}”"
    last = (date.fromisoformat(str(row["end_date"])) - timedelta(days=1)).isoformat()
    return say(
        lang,
        f"{row['start_date']} to {last}: {users} of {of} “{row['from_name']}” users {what}, {share} where {usual} are usual{risk}.",
        f"{row['start_date']} 至 {last}：“{row['from_name']}”{of} 名用户中 {users} 名{what_zh}，占 {share}，通常为 {usual}{risk}。",
    )


def _headline_table(quadrants: pd.DataFrame, lang: Language, *, has_money: bool) -> pd.DataFrame:
    last = quadrants[quadrants["period_index"] == quadrants["period_index"].max()]
    rows = []
    for row in last.to_dict("records"):
        change = row["user_count_change"]
        cells = {
            say(lang, "Group", "群体"): row["name"],
            say(lang, "Users", "用户"): format_count(row["user_count"]),
            say(lang, "Share", "占比"): format_rate(row["user_share"]),
            say(lang, "Change", "变化"): "–" if pd.isna(change) else f"{change:+,.0f}".replace("-", "−"),
        }
        if has_money:
            cells[say(lang, "Paid", "实付")] = format_amount(row["paid_amount"], lang)
            cells[say(lang, "Per user", "人均")] = format_amount(row["paid_amount_per_user"], lang)
        rows.append(cells)
    return pd.DataFrame(rows)


def _actions(tables: Tables, rules: QuadrantRules, found: QuadrantsFound, lang: Language) -> tuple[Action, ...]:
    alarms = _of_alarms(tables, lang)
    actions = [*_of_result(tables, lang), *alarms, *_of_contacts(tables, rules, found, lang)]
    # An alarm makes the verdict long: with three actions below it a phone's first screen would not hold them.
    return tuple(actions[: 2 if alarms else 3])


def _of_result(tables: Tables, lang: Language) -> list[Action]:
    """What a test of an audience asks for comes first: it is the one number that says what calling changes."""
    words = {
        "roll_out": (
            "Address the rest of “{}” too: it earns more than its control",
            "对“{}”对照组也开始触达：效果优于对照",
        ),
        "stop": ("Stop addressing “{}”: it earns less than its control", "停止触达“{}”：效果低于对照"),
    }
    rows = tables.get("audience_action", pd.DataFrame())
    found = []
    for row in rows.to_dict("records"):
        if row["action"] not in words:
            continue
        en, zh = words[row["action"]]
        found.append(
            Action(
                name=f"audience_{row['action']}",
                text=say(lang, en, zh).format(row["audience"]) + say(lang, ".", "。"),
                cell=Cell("audience_action", {"audience": row["audience"]}, "total_estimate"),
                amount=row["total_estimate"],
                ci_lower=row["total_ci_lower"],
                ci_upper=row["total_ci_upper"],
                basis=say(
                    lang,
                    f"difference to the control in {row['outcome_days']:.0f} days, times the audience's users",
                    f"{row['outcome_days']:.0f} 天内与对照之差 × 触达用户数",
                ),
                evidence="randomized",
            )
        )
    return found


def _of_alarms(tables: Tables, lang: Language) -> list[Action]:
    """Call those who left where an alarm rang in the last period; older alarms are findings."""
    alarms = alarms_of(tables)
    if not len(alarms):
        return []
    recent = alarms[alarms["period_index"] == tables["quadrants"]["period_index"].max()]
    found = []
    for row in recent.head(2).to_dict("records"):
        more, is_money = format_count(round(row["excess_users"])), row["amount_at_risk"] > 0
        basis = (
            "what those beyond the usual number paid less in the window; not what a call brings back",
            "超出常态部分的用户在窗口内少付的金额，并非联系即可挽回",
        )
        if not is_money:
            basis = ("no money is at risk: they paid nothing in the window", "不涉及金额：窗口内没有实付")
        found.append(
            Action(
                name="call_leavers",
                text=say(
                    lang,
                    f"Find out why {more} “{row['from_name']}” users more than usual are lost ({row['to_name'].lower()}); call "
                    "them with a control held out.",
                    f"查明“{row['from_name']}”为何比通常多流失约 {more} 名（{row['to_name']}），联系时保留对照组。",
                ),
                cell=Cell("migration_alerts", _key(row), "amount_at_risk"),
                amount=row["amount_at_risk"] if is_money else None,
                ci_lower=None,
                ci_upper=None,
                basis=say(lang, *basis),
                evidence="descriptive",
            )
        )
    return found


def _key(row: Mapping) -> dict:
    return {name: row[name] for name in ("end_date", "from_group", "to_group")}


def _of_contacts(tables: Tables, rules: QuadrantRules, found: QuadrantsFound, lang: Language) -> list[Action]:
    """Valuable users whose next purchase is due now."""
    contacts = tables.get("contacts", pd.DataFrame())
    if not len(contacts) or "paid_amount" not in (rules.x_metric, rules.y_metric):
        return []
    groups = last_groups(tables).set_index("quadrant")
    due = contacts[contacts["buyer_group"] == ALL].set_index("quadrant")["contact_count"]
    actions = []
    for quadrant in _CALLED:
        count = due.get(quadrant)
        if count is None or count != count or count < 1:
            continue
        paid = float(groups["paid_amount_per_user"][quadrant])
        actions.append(
            Action(
                name="contact_due",
                text=say(
                    lang,
                    f"Contact the {format_count(count)} “{found.names[quadrant]}” users who are in the days when those who buy "
                    "again usually do.",
                    f"联系 {format_count(count)} 名“{found.names[quadrant]}”用户：正处于复购者通常再次购买的时段。",
                ),
                cell=Cell("contacts", {"quadrant": quadrant, "buyer_group": ALL}, "contact_count"),
                amount=None if paid != paid else float(count * paid),
                ci_lower=None,
                ci_upper=None,
                basis=say(
                    lang,
                    f"what so many users of the group paid in {rules.window_days} days; not what a message adds",
                    f"同等数量该群体用户 {rules.window_days} 天的实付金额，并非触达带来的增量",
                ),
                evidence="descriptive",
            )
        )
    return actions


# -- the findings --------------------------------------------------------------------------------------------


def user_findings(tables: Tables, rules: QuadrantRules, found: QuadrantsFound, lang: Language) -> tuple[Finding, ...]:
    """Sentences on alarms, groups, their profiles, flows, lifecycle, the next purchase, tags and audiences."""
    every = [
        *_alarm_findings(tables, lang),
        *_group_findings(tables, found, lang),
        *_flow_findings(tables, lang),
        *_profile_findings(tables, found, lang),
        *_lifecycle_findings(tables, lang),
        *_purchase_findings(tables, lang),
        *_tag_findings(tables, lang),
        *_audience_findings(tables, lang),
    ]
    return tuple(every)


def _alarm_findings(tables: Tables, lang: Language) -> list[Finding]:
    return [
        Finding(
            "alarm", alarm_text(row, lang), Cell("migration_alerts", _key(row), "row_share"), float(row["row_share"])
        )
        for row in alarms_of(tables).head(MOST_ALERTS).to_dict("records")
    ]


def _group_findings(tables: Tables, found: QuadrantsFound, lang: Language) -> list[Finding]:
    """What each group is of users and money, with its advice; the one that is watched always."""
    groups = last_groups(tables)
    findings = []
    for row in groups.to_dict("records"):
        if not row["user_count"]:
            continue
        users = f"{format_rate(row['user_share'])} ({format_interval(row['user_share_ci_lower'], row['user_share_ci_upper'])})"
        money = ""
        if row["amount_share"] == row["amount_share"]:
            money = say(
                lang,
                f" and {format_rate(row['amount_share'])} of the paid amount",
                f"，实付金额占 {format_rate(row['amount_share'])}",
            )
        advice = found.strategies[row["quadrant"]]
        findings.append(
            Finding(
                f"group_{row['quadrant']}",
                say(
                    lang,
                    f"{row['name']}: {format_count(row['user_count'])} users, {users} of all{money}. {advice}",
                    f"{row['name']}：{format_count(row['user_count'])} 名用户，占 {users}{money}。{advice}",
                ),
                Cell("quadrants", {"end_date": row["end_date"], "quadrant": row["quadrant"]}, "user_share"),
                float(row["user_share"]),
            )
        )
    return findings


def _flow_findings(tables: Tables, lang: Language) -> list[Finding]:
    """The largest move between two groups in the last period."""
    moves = tables["migration"]
    last = moves[moves["period_index"] == moves["period_index"].max()] if len(moves) else moves
    last = last[last["crossed"].notna() & (last["user_count"] > 0)] if len(last) else last
    if not len(last):
        return []
    row = last.sort_values("user_count", ascending=False).iloc[0]
    text = say(
        lang,
        f"Most who changed groups in the last period went from “{row['from_name']}” to “{row['to_name']}”: "
        f"{format_count(row['user_count'])}, {format_rate(row['row_share'])} of the group they left.",
        f"上一周期人数最多的迁移：“{row['from_name']}”→“{row['to_name']}” {format_count(row['user_count'])} 人，"
        f"占原群体 {format_rate(row['row_share'])}。",
    )
    return [Finding("largest_flow", text, Cell("migration", _key(row.to_dict()), "row_share"), float(row["row_share"]))]


def _profile_findings(tables: Tables, found: QuadrantsFound, lang: Language) -> list[Finding]:
    """What marks each group most among what is beyond chance."""
    profile = tables["quadrant_profile"]
    if not len(profile):
        return []
    different = profile[profile["is_different"].astype(bool)]
    # Who buys more often uses a coupon more often: that marks no group.
    different = different[~different["value"].isin(["(unknown)", "(other)"]) & (different["dimension"] != "coupon_use")]
    findings = []
    for quadrant, rows in different.groupby("quadrant", sort=False):
        row = rows.iloc[int(rows["difference"].abs().to_numpy().argmax())]
        more = row["difference"] > 0
        name, column = found.names[str(quadrant)], str(row["dimension"])
        known = codes("dimension", "quadrant_profile")
        word = known[column].word(lang) if column in known else column
        who = say(lang, " of its buyers", "的买家中") if column == "category" else ""
        text = say(
            lang,
            f"{name}: {format_rate(row['user_share'])}{who} are {word} {row['value']}, against "
            f"{format_rate(row['rest_share'])} of the others ({'more' if more else 'fewer'} by "
            f"{format_interval(abs(row['ci_lower' if more else 'ci_upper']), abs(row['ci_upper' if more else 'ci_lower']))}).",
            f"{name}{who}：{word}为 {row['value']} 的占 {format_rate(row['user_share'])}，其他群体为 "
            f"{format_rate(row['rest_share'])}（{'高' if more else '低'} "
            f"{format_interval(abs(row['ci_lower' if more else 'ci_upper']), abs(row['ci_upper' if more else 'ci_lower']))}）。",
        )
        key = {"quadrant": quadrant, "dimension": row["dimension"], "value": row["value"]}
        findings.append(
            Finding(f"profile_{quadrant}", text, Cell("quadrant_profile", key, "difference"), float(row["difference"]))
        )
    return findings


def _lifecycle_findings(tables: Tables, lang: Language) -> list[Finding]:
    states = tables.get("lifecycle", pd.DataFrame())
    if not len(states):
        return []
    last = states[states["period_index"] == states["period_index"].max()].set_index("state")
    findings = []
    gaps = tables["lifecycle_gaps"]
    used = {row["state"]: row for row in gaps[gaps["basis"] == "visit"].to_dict("records")}
    dormant, gone = (int(used[state]["used_days"]) for state in ("dormant", "gone"))
    is_told = all(used[state]["source"] != "default" for state in ("dormant", "gone"))
    words = {
        "back": (
            f"came back in the last period after {dormant} silent days or more",
            f"在上一周期沉默 {dormant} 天以上后回归",
        ),
        "dormant": ("are dormant", "处于沉睡"),
        "gone": ("are gone", "已流失"),
    }
    if not is_told:  # nothing says that they are: the days alone are told
        words["dormant"] = (f"were silent for {dormant} to {gone - 1} days", f"已沉默 {dormant}–{gone - 1} 天")
        words["gone"] = (f"were silent for {gone} days or more", f"已沉默 {gone} 天以上")
    for state, (en, zh) in words.items():
        row = last.loc[state]
        if not row["user_count"] or (state == "gone" and not row["is_complete"]):
            continue
        text = say(
            lang,
            f"{format_count(row['user_count'])} users {en}: {format_rate(row['user_share'])} of all known by {row['end_date']}.",
            f"{format_count(row['user_count'])} 名用户{zh}，占截至 {row['end_date']} 已知用户的 {format_rate(row['user_share'])}。",
        )
        key = {"end_date": row["end_date"], "state": state}
        findings.append(
            Finding(f"lifecycle_{state}", text, Cell("lifecycle", key, "user_count"), float(row["user_count"]))
        )
    gaps = gaps[(gaps["basis"] == "visit") & gaps["suggested_days"].notna() & (gaps["state"] == "dormant")]
    for row in gaps.to_dict("records"):
        days, limit = f"{row['suggested_days']:.0f}", format_rate(row["share_limit"], 0)
        text = say(
            lang,
            f"After {days} days without a visit fewer than {limit} come back within {row['horizon_days']:.0f} more days.",
            f"连续 {days} 天未访问后，{row['horizon_days']:.0f} 天内回访的不足 {limit}。",
        )
        key = {"basis": "visit", "state": "dormant"}
        findings.append(
            Finding("silence", text, Cell("lifecycle_gaps", key, "suggested_days"), float(row["suggested_days"]))
        )
    return findings


def _purchase_findings(tables: Tables, lang: Language) -> list[Finding]:
    buyers, moments = (tables.get(name, pd.DataFrame()) for name in ("buyers", "next_purchase"))
    findings = []
    once = buyers[buyers["buyer_group"] == "once"] if len(buyers) else buyers
    for row in once.to_dict("records"):
        if row["user_share"] != row["user_share"] or not row["user_count"]:
            continue
        again = row.get("next_purchase_rate_30", float("nan"))
        later = ""
        if again == again:
            bounds = format_interval(row["next_purchase_rate_30_ci_lower"], row["next_purchase_rate_30_ci_upper"])
            later = say(
                lang,
                f"; after a first purchase {format_rate(again)} ({bounds}) buy again within 30 days",
                f"；首次购买后 30 天内再次购买的为 {format_rate(again)}（{bounds}）",
            )
        text = say(
            lang,
            f"{format_rate(row['user_share'])} of buyers have bought once{later}.",
            f"{format_rate(row['user_share'])} 的买家只购买过一次{later}。",
        )
        findings.append(
            Finding(
                "bought_once", text, Cell("buyers", {"buyer_group": "once"}, "user_share"), float(row["user_share"])
            )
        )
    for row in moments.to_dict("records"):
        if row["buyer_group"] not in _BUYERS or row["median_day"] != row["median_day"]:
            continue
        who = say(lang, *_BUYERS[row["buyer_group"]])
        first, last = f"{row['contact_from_day']:.0f}", f"{row['contact_until_day']:.0f}"
        text = say(
            lang,
            f"Contact buyers {who} from day {first} to day {last} after it: half of those who buy again within "
            f"{row['horizon_days']:.0f} days have done so by day {row['median_day']:.0f} "
            f"({row['median_ci_lower']:.0f}–{row['median_ci_upper']:.0f}); {format_count(row['contact_count'])} were there at the end.",
            f"对{who}的买家，宜在购买后第 {first} 至 {last} 天联系：{row['horizon_days']:.0f} 天内复购者中，半数在第 "
            f"{row['median_day']:.0f} 天（{row['median_ci_lower']:.0f}–{row['median_ci_upper']:.0f}）前再次购买；期末有 "
            f"{format_count(row['contact_count'])} 人处于该区间。",
        )
        findings.append(
            Finding(
                f"next_purchase_{row['buyer_group']}",
                text,
                Cell("next_purchase", {"buyer_group": row["buyer_group"]}, "median_day"),
                float(row["median_day"]),
            )
        )
    return findings


def _tag_findings(tables: Tables, lang: Language) -> list[Finding]:
    """The most common mark of each kind among those that mark anything."""
    tags = tables["tags"]
    findings = []
    for tag, rows in tags.groupby("tag", sort=False) if len(tags) else ():
        marked = rows[~rows["value"].isin(["(no orders)", "(none)", "(unknown)", "none", "normal", "middle"])]
        if tag in ("channel", "price_band") or not len(marked):  # price bands are thirds by their making
            continue
        row = marked.iloc[0]
        word = say(
            lang,
            *{
                "category": ("prefer the category", "偏好品类"),
                "coupon_sensitivity": ("buy with coupons more than others", "更依赖优惠券"),
            }[str(tag)],
        )
        value = "" if tag == "coupon_sensitivity" else f" {row['value']}"
        text = say(
            lang,
            f"{format_count(row['user_count'])} users ({format_rate(row['share'])}) {word}{value}.",
            f"{format_count(row['user_count'])} 名用户（{format_rate(row['share'])}）{word}{value}。",
        )
        key = {"tag": tag, "value": row["value"]}
        findings.append(Finding(f"tag_{tag}", text, Cell("tags", key, "share"), float(row["share"])))
    return findings


def _audience_findings(tables: Tables, lang: Language) -> list[Finding]:
    findings = []
    summary = tables.get("audience_summary", pd.DataFrame())
    for row in summary[summary["segment"] == "(all)"].to_dict("records") if len(summary) else ():
        text = say(
            lang,
            f"Audience “{row['audience']}”: {format_count(row['user_count'])} users ({format_rate(row['user_share'])}), "
            f"{format_count(row['control_count'])} of them held back as control.",
            f"人群“{row['audience']}”：{format_count(row['user_count'])} 名用户（{format_rate(row['user_share'])}），其中 "
            f"{format_count(row['control_count'])} 名留作对照。",
        )
        key = {"audience": row["audience"], "segment": "(all)"}
        findings.append(
            Finding("audience", text, Cell("audience_summary", key, "user_count"), float(row["user_count"]))
        )
    actions = tables.get("audience_action", pd.DataFrame())
    words = {
        "roll_out": ("address the control too", "对照组也可触达"),
        "stop": ("stop", "停止"),
        "go_on": ("go on: it cannot be told from no effect yet", "继续观察：尚不能与无效区分"),
        "wait": ("wait: too little is followed yet", "等待：观察期尚不足"),
        "distrust": ("do not trust it: the groups have not the sizes that were drawn", "不可信：分组规模与抽取不符"),
    }
    for row in actions.to_dict("records"):
        estimate, what, need = row["total_estimate"], "", ""
        if not pd.isna(row["outcome"]):
            outcome = codes("outcome", "audience_action")[str(row["outcome"])].word(lang)
            what = say(
                lang,
                f", {outcome} in {row['outcome_days']:.0f} days times the users addressed",
                f"（{row['outcome_days']:.0f} 天，{outcome} × 触达人数）",
            )
        if row["units_needed"] == row["units_needed"] and row["action"] == "go_on":
            users = format_count(row["units_needed"])
            need = say(lang, f"; {users} users would tell", f"，需 {users} 名用户才能判断")
        money = ""
        if estimate == estimate:
            bounds = format_interval(row["total_ci_lower"], row["total_ci_upper"], lang, "amount")
            money = f" {format_amount(estimate, lang)} ({bounds})"
        text = say(
            lang,
            f"Audience “{row['audience']}” against its control{what}:{money or ' no estimate'}; {words[row['action']][0]}{need}.",
            f"人群“{row['audience']}”与对照相比{what}：{money or '无估计'}；{words[row['action']][1]}{need}。",
        )
        key = {"audience": row["audience"]}
        value = None if estimate != estimate else float(estimate)
        findings.append(Finding("audience_result", text, Cell("audience_action", key, "total_estimate"), value))
    return findings
